//! `cargo xtask up`: the whole of Tiffin on this machine, with the demo city in it.
//!
//! Start at [`run`]. [`data`] guards the data folder, [`ports`] the ports, [`program`] is a running
//! core or edge, [`http`] asks them whether they are ready, [`tour`] writes the lines to try. With
//! `--stack` the core keeps its ledger in a private MariaDB ([`crate::services`]).
//!
//! Invariants: nothing is started before the ports and the data folder are ours; every program
//! that was started is stopped again on every way out, the edge before the core and that before its
//! database; programs do not outlive us even when we are killed, because they end when their
//! standard input does.

mod data;
mod feed_token;
mod http;
mod ports;
mod program;
mod tour;

use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use tiffin_services::{Options, Services};

use crate::interrupt::StopFlag;
use crate::services::Caretaker;
use crate::workspace::Workspace;
use crate::{functions, interrupt, limits, native, progress, services, shell};
use data::DataDir;
use feed_token::FeedToken;
use ports::Ports;
use program::Program;

/// The data that a fresh Tiffin shows.
const DEMO_CITY: &str = "infra/demo-city.jsonl";

/// The diner that the printed token stands for.
const DEMO_USER: &str = "1001";

/// The database that the core makes and uses with `--stack`.
const DATABASE: &str = "tiffin";

/// How long that token holds, s; the core allows no more.
const TOKEN_TTL_S: &str = "3600";

/// Arguments of `cargo xtask up`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build and run the optimised programs
    #[arg(long)]
    release: bool,
    /// Port of the edge; the core takes the next one, the edge's admin the one after
    #[arg(long, default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..=65_533))]
    port: u16,
    /// Folder for everything that is kept between runs [default: target/up in the repository]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Forget what earlier runs kept
    #[arg(long)]
    fresh: bool,
    /// Keep the ledger in a private MariaDB and shed load with a private Redis, instead of SQLite
    /// and memory; DATABASE_URL and REDIS_URL name others to use
    #[arg(long)]
    stack: bool,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let data_dir = match &args.data {
        Some(dir) => path::absolute(dir)?,
        None => workspace.root.join("target/up"),
    };
    let data = DataDir::open(&data_dir, args.fresh)?;
    let ports = Ports::claim(args.port)?;
    let started = Instant::now();
    functions::build(&workspace, functions::Selection::Edge)?;
    let programs = native::build_programs(&workspace, args.release)?;
    let stack = match args.stack {
        true => {
            Some(services::start(&Options { folder: data.services(), ..Options::named("up") })?)
        }
        false => None,
    };

    // Until here Ctrl-C ends us and all that we started at once, and there is nothing to tidy up.
    let stop = interrupt::stop_flag()?;
    let up = Up { workspace, data, ports, programs, stack, stop };
    let outcome = up.serve(started);
    let stopping = up.stop.is_raised();
    if let Some(stack) = up.stack {
        services::stop(stack)?;
    }
    match outcome {
        Err(_) if stopping => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

/// One run, from the first program's start to the last one's end.
struct Up {
    workspace: Workspace,
    data: DataDir,
    ports: Ports,
    programs: native::Programs,
    /// What the core keeps its ledger in, if not its own folder.
    stack: Option<Services>,
    stop: StopFlag,
}

impl Up {
    /// Starts everything, shows it and waits. Programs stop when their values drop: the edge,
    /// declared last, goes first.
    fn serve(&self, started: Instant) -> Result<()> {
        let mut core = progress::step("Starting the core", || self.start_core())?;
        progress::step("Loading the demo city", || self.import())?;
        let feed_token = self.data.feed_token();
        let mut feed_token = FeedToken::new(feed_token, || self.token("edge"))?;
        let mut edge = progress::step("Starting the edge", || self.start_edge(&feed_token))?;
        let token = self.token("diner")?;
        let took = progress::seconds(started.elapsed());
        println!("{}", self.welcome(&took));
        // At an hour when nothing can be ordered the house still stands.
        match tour::Scene::find(self.ports.edge) {
            Ok(scene) => println!("{}", tour::render(&self.ports.edge_url(), &token, &scene)),
            Err(error) => println!("There is nothing to try: {error:#}.\n"),
        }
        println!("Ctrl-C stops everything.");
        let mut caretaker = Caretaker::default();
        while !self.stop.is_raised() {
            core.check()?;
            edge.check()?;
            feed_token.renew(|| self.token("edge"))?;
            if let Some(stack) = &self.stack {
                caretaker.look_after(stack)?;
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
        Ok(())
    }

    fn start_core(&self) -> Result<Program> {
        let mut command = Command::new(&self.programs.core);
        command.args(["serve", "--sandbox", "--listen", &self.ports.core_address(), "--data"]);
        command.arg(self.data.core());
        if let Some(stack) = &self.stack {
            command.args(["--database", &stack.database_url_for(DATABASE)]);
            command.args(["--redis", stack.redis_url()]);
        }
        let mut core = Program::start("core", command, &self.data.log("core"))?;
        self.wait_until_ready(&mut core, self.ports.core, "/readyz")
            .map_err(|error| if core.found_old_data() { self.old_data(&core) } else { error })?;
        Ok(core)
    }

    fn start_edge(&self, feed_token: &FeedToken) -> Result<Program> {
        let mut command = Command::new(&self.programs.edge);
        command.args(["up", "--from", "spin.toml", "--listen", &self.ports.edge_address()]);
        command.args(["--admin", &self.ports.admin_address(), "--cache-dir"]);
        command.arg(self.data.edge());
        command.args(["--feed", &self.ports.core_url(), "--feed-token-file"]);
        command.arg(feed_token.file());
        command.env("SPIN_VARIABLE_CORE_URL", self.ports.core_url());
        command.current_dir(&self.workspace.root);
        let mut edge = Program::start("edge", command, &self.data.log("edge"))?;
        self.wait_until_ready(&mut edge, self.ports.edge, "/.well-known/spin/health")?;
        Ok(edge)
    }

    fn wait_until_ready(&self, program: &mut Program, port: u16, path: &str) -> Result<()> {
        let deadline = Instant::now() + limits::READY;
        loop {
            program.check()?;
            if self.stop.is_raised() {
                bail!("stopped while the {} was starting", program.name());
            }
            if http::get(port, path).is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!(
                    "the {} did not become ready within {} s; its last words:\n{}",
                    program.name(),
                    limits::READY.as_secs(),
                    program.last_words()
                );
            }
            thread::sleep(limits::POLL_INTERVAL);
        }
    }

    /// Import updates what is there, so that it is right on the first run and on every later one.
    fn import(&self) -> Result<()> {
        let mut command = Command::new(&self.programs.core);
        command.arg("import").arg(self.workspace.root.join(DEMO_CITY));
        command.args(["--core", &self.ports.core_url(), "--data"]).arg(self.data.core());
        shell::run(&mut command)
    }

    fn token(&self, role: &str) -> Result<String> {
        let mut command = Command::new(&self.programs.core);
        command.arg("token").arg("--data").arg(self.data.core());
        shell::ask(command.args(["--user", DEMO_USER, "--role", role, "--ttl-s", TOKEN_TTL_S]))
    }

    fn old_data(&self, core: &Program) -> anyhow::Error {
        anyhow!(
            "the data in {} is of another version (the core says: {}); `cargo xtask up --fresh` \
             starts without it, `--data DIR` keeps it and starts elsewhere",
            self.shown(self.data.path()),
            core.last_line()
        )
    }

    fn shown(&self, path: &Path) -> String {
        self.workspace.display(path)
    }

    fn welcome(&self, took: &str) -> String {
        let stack = self.stack.as_ref();
        format!(
            "\nTiffin is up after {took}.\n\n  \
             edge     {edge}   what diners see\n  \
             API      {edge}/openapi.json\n  \
             core     {core}   behind the edge\n  \
             metrics  http://{admin}/metrics and {core}/metrics\n  \
             logs     {core_log} and {edge_log}\n  \
             token    {program} token --data {data} --user {DEMO_USER} --role diner --ttl-s {TOKEN_TTL_S}\n\
             {stack}",
            stack = stack.map(|stack| services::places(stack, &self.workspace)).unwrap_or_default(),
            edge = self.ports.edge_url(),
            core = self.ports.core_url(),
            admin = self.ports.admin_address(),
            core_log = self.shown(&self.data.log("core")),
            edge_log = self.shown(&self.data.log("edge")),
            program = self.shown(&self.programs.core),
            data = self.shown(&self.data.core()),
        )
    }
}
