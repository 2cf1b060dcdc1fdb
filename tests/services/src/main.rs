//! Starts private services in the folder given and holds them until its standard input closes.
//!
//! For programs that are not Rust, and for the test of what happens when the holder is killed. The
//! lines it prints are `NAME=VALUE`: URLs and, for services of our own, process ids.

use std::env;
use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tiffin_services::{Durability, Options, Services};

fn main() -> ExitCode {
    match hold() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn hold() -> Result<()> {
    let folder = env::args_os().nth(1).context("usage: tiffin-services FOLDER")?;
    let mut options = Options::named("");
    options.folder = folder.into();
    options.durability = Durability::Relaxed;
    let services = Services::start(&options)?;
    println!("DATABASE_URL={}", services.database_url());
    println!("REDIS_URL={}", services.redis_url());
    for (name, daemon) in [("MARIADB_PID", services.mariadb()), ("REDIS_PID", services.redis())] {
        if let Some(pid) = daemon.ok().and_then(|daemon| daemon.pid()) {
            println!("{name}={pid}");
        }
    }
    io::copy(&mut io::stdin(), &mut io::sink())?;
    services.stop()
}
