//! MariaDB: a data folder of its own and the settings that we run it with.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::daemon::{Plan, last_words};
use crate::programs::Programs;
use crate::{Durability, command, debian, limits};

/// The data folder, and where it is made before it is whole.
const DATA: &str = "mariadb";
const UNFINISHED: &str = "mariadb.new";
const INSTALL_LOG: &str = "mariadb-install.log";

/// The first byte of the server's greeting: version 10 of the protocol
/// (<https://mariadb.com/kb/en/connection/>, "Initial Handshake Packet").
const PROTOCOL_VERSION: u8 = 10;

/// Makes the data folder if there is none. It appears whole or not at all, so that a run that was
/// cut short leaves nothing that the next one would take for data.
pub(crate) fn install(folder: &Path, programs: &Programs) -> Result<()> {
    let data = folder.join(DATA);
    if data.exists() {
        return Ok(());
    }
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("deleting {}", unfinished.display()));
        }
        _ => {}
    }
    let mut installer = Command::new(&programs.mariadb_install);
    installer.arg("--no-defaults");
    installer.arg(format!("--datadir={}", unfinished.display()));
    installer.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    // No account for the machine's name, which nobody could use without name resolution.
    installer.arg("--skip-name-resolve");
    if debian::is_root() {
        installer.arg("--user=root");
    }
    // In a folder that servers share, each that starts deletes the temporary tables of the others.
    let temporary = std::path::absolute(folder).context("finding the current directory")?;
    installer.env("TMPDIR", temporary);
    let output = command::output_within(&mut installer, limits::MARIADB_INSTALL)?;
    if !output.status.success() {
        let log = folder.join(INSTALL_LOG);
        fs::write(&log, [output.stdout, output.stderr].concat())?;
        bail!(
            "mariadb-install-db failed ({}); the end of {}:\n{}",
            output.status,
            log.display(),
            last_words(&log)
        );
    }
    fs::rename(&unfinished, &data).with_context(|| format!("making {}", data.display()))
}

/// How to run it on that folder and port.
pub(crate) fn plan(folder: &Path, programs: &Programs, port: u16, durability: Durability) -> Plan {
    let data = folder.join(DATA);
    let mut arguments = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={}", data.display()),
        format!("--tmpdir={}", data.display()),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        // Relative to the data folder: a socket's whole path may have no more than 108 bytes.
        "--socket=mariadb.sock".to_owned(),
        "--pid-file=mariadb.pid".to_owned(),
        "--skip-name-resolve".to_owned(),
        format!("--max-connections={}", limits::MARIADB_CONNECTIONS),
        // Our own question whether it answers is a connection without a login.
        "--max-connect-errors=4294967295".to_owned(),
        "--character-set-server=utf8mb4".to_owned(),
        "--collation-server=utf8mb4_bin".to_owned(),
        "--skip-log-bin".to_owned(),
        "--performance-schema=OFF".to_owned(),
        "--innodb-buffer-pool-dump-at-shutdown=OFF".to_owned(),
        "--innodb-buffer-pool-load-at-startup=OFF".to_owned(),
    ];
    arguments.extend(durability_arguments(durability).iter().map(|&argument| argument.to_owned()));
    if debian::is_root() {
        arguments.push("--user=root".to_owned());
    }
    Plan {
        name: "MariaDB",
        program: programs.mariadbd.clone(),
        arguments: arguments.into_iter().map(Into::into).collect(),
        port,
        log: folder.join("mariadb.log"),
        greet,
        ready_within: limits::MARIADB_READY,
        stop_within: limits::MARIADB_STOP,
    }
}

/// What makes a commit safe, and what makes a throw-away server quick.
fn durability_arguments(durability: Durability) -> &'static [&'static str] {
    match durability {
        Durability::Durable => &[
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=1G",
            "--innodb-log-file-size=1G",
            // Pages written each second while there is time; the default is for a spinning disk, and lets the log
            // fill up until every client has to write pages.
            "--innodb-io-capacity=2000",
            "--innodb-io-capacity-max=4000",
        ],
        // The log reaches the system with each commit's write or a second later, and nothing waits
        // for a disk.
        Durability::Relaxed => &[
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=OFF",
            "--innodb-flush-method=nosync",
            "--sync-frm=OFF",
            "--innodb-buffer-pool-size=128M",
            "--innodb-log-file-size=96M",
        ],
    }
}

/// Reads the beginning of the server's greeting, which it sends when it takes logins. Three bytes
/// of length and one of sequence come before the protocol's version; an error has another.
fn greet(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, limits::GREETING)?;
    stream.set_read_timeout(Some(limits::GREETING))?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting)?;
    match greeting[4] {
        PROTOCOL_VERSION => Ok(()),
        other => Err(io::Error::other(format!("an unknown greeting ({other})"))),
    }
}
