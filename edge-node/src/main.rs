//! The command line of edge-node.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use edge_node::check::{self, CheckOptions};
use edge_node::{
    AdminAccess, ClientLimits, CorsOptions, FeedError, FeedOptions, FeedToken, Node, Options,
    Severity, TlsFiles, UpstreamOptions, VariableSource, top,
};
use tiffin_process::{log, stdin};
use tokio::signal::unix::{SignalKind, signal};

/// A request's memory is taken on one thread and given back on another, where glibc's allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a Spin application close to its users.
///
/// Logs of `up` are JSON lines on stderr; RUST_LOG sets their level (default: info).
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of them in a process")]
enum Command {
    /// Serve the application of a manifest until SIGTERM or SIGINT; SIGHUP reloads it.
    Up(Up),
    /// Say all that is wrong with an application, without serving it.
    ///
    /// One line for each error and warning: the file, the line, the setting, and what to do. Fails if there is an error.
    Check(Check),
    /// Watch a running node: its routes, functions, cache, upstreams and feed. `q` quits.
    Top(Top),
}

/// What names an application.
#[derive(Debug, clap::Args)]
struct Application {
    /// The application's manifest.
    #[arg(long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,

    /// Where key-value stores are kept, as Spin's runtime configuration says it. Beside Spin's types "spin" (a SQLite
    /// file) and "redis" there is "memory", which is also where "default" is when nothing else is said.
    #[arg(long, value_name = "FILE", env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,

    /// Where compiled components are kept, so that the next start is quick. Only this user may be
    /// able to write there.
    #[arg(long, value_name = "DIR", default_value = ".edge-node/cache", env = "EDGE_CACHE_DIR")]
    cache_dir: PathBuf,

    /// The value of an application variable; wins over SPIN_VARIABLE_<NAME>. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    variable: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
struct Up {
    #[command(flatten)]
    application: Application,

    /// Where clients are served; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", env = "EDGE_LISTEN")]
    listen: SocketAddr,

    /// Where /metrics, /healthz, /readyz, POST /purge and POST /reload are served; keep it from the public.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3002", env = "EDGE_ADMIN")]
    admin: SocketAddr,

    #[command(flatten)]
    feed: Feed,

    /// An upstream that is more than its URL: several addresses, a check of their health, a protocol. May be
    /// repeated; in the variable, separated by spaces. Example:
    /// core.example:3001=10.0.0.1:3001,10.0.0.2:3001;health=/readyz;health-every-ms=2000;protocol=http2;open-ms=2000
    #[arg(
        long,
        value_name = "AUTHORITY=ADDRESS,..",
        env = "EDGE_UPSTREAMS",
        value_delimiter = ' ',
        verbatim_doc_comment
    )]
    upstream: Vec<UpstreamOptions>,

    /// The certificate authorities that https upstreams are checked against, as a PEM bundle [default: the
    /// system's].
    #[arg(long, value_name = "FILE", env = "SSL_CERT_FILE")]
    upstream_ca: Option<PathBuf>,

    /// Take up changes of the manifest and its components as they happen; a bad one changes nothing. Without
    /// it, SIGHUP and POST /reload on the admin address do so.
    #[arg(long)]
    watch: bool,

    /// Serve HTTPS with this certificate chain, in PEM; HTTP/2 is offered then. Taken up anew when the
    /// file changes.
    #[arg(long, value_name = "FILE", env = "EDGE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The certificate's private key, in PEM: PKCS#8, SEC1 or RSA.
    #[arg(long, value_name = "FILE", env = "EDGE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// How long to go on serving after SIGTERM, with /readyz saying 503, so that balancers notice before
    /// the listener closes. A second signal ends the node at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, env = "EDGE_DRAIN_DELAY",
          value_parser = clap::value_parser!(u64).range(..=edge_node::limits::MAX_DRAIN_DELAY.as_secs()))]
    drain_delay: u64,

    #[command(flatten)]
    clients: ClientLimits,

    #[command(flatten)]
    cors: CorsOptions,

    #[command(flatten)]
    admin_access: AdminAccess,

    /// Stop when standard input ends: a parent that dies takes the node with it.
    #[arg(long)]
    exit_on_stdin_close: bool,
}

#[derive(Debug, clap::Args)]
struct Feed {
    /// A core's address: what it says has changed is purged at once. Several cores of one feed, by commas or by
    /// repeating this, stand in for each other.
    #[arg(long = "feed", value_name = "URL", env = "EDGE_FEED", value_delimiter = ',')]
    feed: Vec<String>,

    /// A file with the token for the feed (role edge); read anew for each connection, because tokens are short-lived.
    #[arg(long, value_name = "FILE", env = "EDGE_FEED_TOKEN_FILE")]
    feed_token_file: Option<PathBuf>,

    /// The token itself, for an hour's trial.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "EDGE_FEED_TOKEN",
        hide_env_values = true,
        value_parser = parse_token,
        conflicts_with = "feed_token_file"
    )]
    feed_token: Option<FeedToken>,
}

impl Feed {
    fn options(self) -> Result<FeedOptions, FeedError> {
        let token = self.feed_token_file.map(FeedToken::File).or(self.feed_token);
        // An empty variable is none.
        let cores: Vec<String> = self.feed.into_iter().filter(|core| !core.is_empty()).collect();
        FeedOptions::new(&cores, token.unwrap_or_default())
    }
}

/// Not as text, which would show wherever the arguments do.
fn parse_token(text: &str) -> Result<FeedToken, std::convert::Infallible> {
    Ok(FeedToken::Text(text.to_owned()))
}

#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    application: Application,

    /// Print one JSON document instead: {"errors", "warnings", "problems": [{"severity", "file", "position", "place",
    /// "message"}]}.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Top {
    /// The node's admin address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3002", env = "EDGE_ADMIN")]
    admin: SocketAddr,

    /// Print the numbers since the node's start as plain text, and end.
    #[arg(long)]
    once: bool,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("must be NAME=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Up(up) => {
            let _log = log::start();
            run(up).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Check(check) => show_check(check),
        Command::Top(Top { admin, once: false }) => {
            top::watch(admin).await.map(|()| ExitCode::SUCCESS).map_err(Into::into)
        }
        Command::Top(Top { admin, once: true }) => show_top(admin).await,
    };
    outcome.unwrap_or_else(|error| {
        // For the person who typed the command: one plain sentence, not a log line.
        eprintln!("edge-node: {error:#}");
        ExitCode::FAILURE
    })
}

async fn show_top(admin: SocketAddr) -> anyhow::Result<ExitCode> {
    let text = top::once(admin).await?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn show_check(Check { application, json }: Check) -> anyhow::Result<ExitCode> {
    let report = check::check(&CheckOptions {
        manifest: application.from,
        runtime_config: application.runtime_config_file,
        cache_dir: application.cache_dir,
        variables: VariableSource::from_process(application.variable.into_iter().collect()),
    });
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        for problem in &report.problems {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            writeln!(out, "{severity}: {problem}")?;
        }
        writeln!(out, "errors: {}, warnings: {}", report.errors, report.warnings)?;
    }
    Ok(if report.errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(up: Up) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let application = up.application;
    let given: BTreeMap<String, String> = application.variable.into_iter().collect();
    let node = Node::start(Options {
        manifest: application.from,
        runtime_config: application.runtime_config_file,
        listen: up.listen,
        admin: up.admin,
        cache_dir: application.cache_dir,
        variables: VariableSource::from_process(given),
        feed: up.feed.options()?,
        upstreams: up.upstream,
        upstream_ca: up.upstream_ca,
        watch: up.watch,
        drain_delay: Duration::from_secs(up.drain_delay),
        tls: up.tls_cert.zip(up.tls_key).map(|(cert, key)| TlsFiles { cert, key }),
        clients: up.clients,
        cors: up.cors,
        admin_access: up.admin_access,
    })
    .await?;
    let mut closed = std::pin::pin!(stdin::closed());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut closed, if up.exit_on_stdin_close => break,
            // How it ended is in the log.
            _ = hangup.recv() => drop(node.reload().await),
        }
    }
    tracing::info!("stopping: requests in progress may finish");
    tokio::select! {
        finished = node.shutdown() => {
            if !finished {
                tracing::warn!("some requests did not finish in time and were cut off");
            }
        }
        _ = terminate.recv() => tracing::warn!("stopping at once: a second signal"),
        _ = interrupt.recv() => tracing::warn!("stopping at once: a second signal"),
    }
    Ok(())
}
