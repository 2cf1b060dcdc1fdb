//! `cargo xtask services`: a private MariaDB and Redis to develop against.
//!
//! What they are and how they are kept apart from the machine's own is in `tests/services`. Here is
//! what a person sees of them, for this command and for `up --stack`.

use std::path::{self, PathBuf};
use std::process::ExitCode;
use std::thread;

use anyhow::{Result, bail};
use tiffin_services::{Daemon, Durability, Options, Services};

use crate::workspace::Workspace;
use crate::{interrupt, limits, progress};

/// Arguments of `cargo xtask services`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder for their data and logs [default: target/services/dev in the repository]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Forget what earlier runs kept
    #[arg(long)]
    fresh: bool,
    /// Let no commit wait for the disk, as tests like it
    #[arg(long)]
    relaxed: bool,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    let mut options = Options::named("dev");
    if let Some(dir) = &args.data {
        options.folder = path::absolute(dir)?;
    }
    options.fresh = args.fresh;
    if args.relaxed {
        options.durability = Durability::Relaxed;
    }
    let services = start(&options)?;
    println!("{}", welcome(&services, &workspace));
    if services.daemons().next().is_none() {
        println!("Both are servers that you named: there is nothing to hold, and nothing to stop.");
        return Ok(ExitCode::SUCCESS);
    }
    println!("Ctrl-C stops what was started; its data stays.");
    // Until here Ctrl-C ended us, and the daemons with us.
    let stop = interrupt::stop_flag()?;
    let mut caretaker = Caretaker::default();
    while !stop.is_raised() {
        caretaker.look_after(&services)?;
        thread::sleep(limits::POLL_INTERVAL);
    }
    self::stop(services)?;
    Ok(ExitCode::SUCCESS)
}

/// Starts them and says so.
pub(crate) fn start(options: &Options) -> Result<Services> {
    progress::step("Starting MariaDB and Redis", || Services::start(options))
}

/// Stops them and says so.
pub(crate) fn stop(services: Services) -> Result<()> {
    for daemon in services.daemons() {
        progress::note(&format!("stopping {}", daemon.name()));
        daemon.stop()?;
    }
    Ok(())
}

/// Starts a daemon again that ended unasked, because killing one is what people try.
#[derive(Debug, Default)]
pub(crate) struct Caretaker {
    restarts: u32,
}

impl Caretaker {
    /// Looks once.
    ///
    /// # Errors
    /// A daemon does not start again, or ended [`limits::DAEMON_RESTARTS`] times.
    pub(crate) fn look_after(&mut self, services: &Services) -> Result<()> {
        for daemon in services.daemons().filter(|daemon| daemon.pid().is_none()) {
            let name = daemon.name();
            if self.restarts >= limits::DAEMON_RESTARTS {
                bail!("{name} ended again; the end of its log:\n{}", daemon.last_words());
            }
            self.restarts += 1;
            progress::note(&format!("{name} ended: starting it again"));
            daemon.restart()?;
        }
        Ok(())
    }
}

/// The lines of a welcome that say where both are: `MariaDB  URL  and what it is`.
pub(crate) fn places(services: &Services, workspace: &Workspace) -> String {
    let line = |name: &str, url: &str, variable: &str, daemon: Result<&Daemon>| {
        let origin = match daemon {
            Ok(daemon) => format!(
                "process {}, log {}",
                daemon.pid().unwrap_or_default(),
                workspace.display(daemon.log())
            ),
            Err(_) => format!("named by {variable}"),
        };
        format!("  {name:<8} {url}   {origin}\n")
    };
    line("MariaDB", &services.database_url(), "DATABASE_URL", services.mariadb())
        + &line("Redis", services.redis_url(), "REDIS_URL", services.redis())
}

fn welcome(services: &Services, workspace: &Workspace) -> String {
    let database = services.database_url_for("tiffin");
    let redis = services.redis_url();
    format!(
        "\nMariaDB and Redis are up.\n\n{places}\n\
         The core on them (it makes the database), and the core's tests:\n\n  \
         core-service serve --database '{database}' --redis '{redis}'\n  \
         TIFFIN_TEST_DATABASE_URL='{server}' TIFFIN_TEST_REDIS_URL='{redis}' cargo test -p core-service\n",
        places = places(services, workspace),
        server = services.database_url(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Redis alone, which starts at once.
    fn redis(folder: &tempfile::TempDir) -> Services {
        let mut options = Options::own(folder.path(), Durability::Relaxed);
        options.database_url = Some("mysql://db.example/".to_owned());
        Services::start(&options).unwrap()
    }

    #[test]
    fn a_killed_daemon_is_started_again_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let services = redis(&folder);
        let mut caretaker = Caretaker::default();
        for _ in 0..limits::DAEMON_RESTARTS {
            services.redis().unwrap().kill().unwrap();
            caretaker.look_after(&services).unwrap();
            assert!(services.redis().unwrap().pid().is_some());
            caretaker.look_after(&services).unwrap();
        }
        services.redis().unwrap().kill().unwrap();
        let error = caretaker.look_after(&services).unwrap_err().to_string();
        assert!(error.starts_with("Redis ended again; the end of its log:"), "{error}");
    }

    #[test]
    fn the_welcome_says_whose_each_server_is_and_how_to_use_both() {
        let folder = tempfile::tempdir().unwrap();
        let services = redis(&folder);
        let workspace = Workspace { root: folder.path().into(), target_dir: folder.path().into() };
        let pid = services.redis().unwrap().pid().unwrap();
        let text = welcome(&services, &workspace);
        assert!(text.contains("MariaDB  mysql://db.example/   named by DATABASE_URL"), "{text}");
        assert!(text.contains(&format!("/   process {pid}, log redis.log")), "{text}");
        let serve = format!(
            "core-service serve --database 'mysql://db.example/tiffin' --redis '{}'",
            services.redis_url()
        );
        assert!(text.contains(&serve), "{text}");
    }
}
