//! Redis: in memory alone, because it only sheds load and keeps nothing that cannot be rebuilt.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use crate::daemon::Plan;
use crate::limits;
use crate::programs::Programs;

/// Its working folder.
pub(crate) const DATA: &str = "redis";

/// How to run it in that folder, which exists, and on that port.
pub(crate) fn plan(folder: &Path, programs: &Programs, port: u16) -> Plan {
    let mut arguments: Vec<OsString> =
        [&format!("--port {port}"), "--bind 127.0.0.1", "--daemonize no", "--appendonly no"]
            .iter()
            .flat_map(|pair| pair.split(' '))
            .map(Into::into)
            .collect();
    // Tests that run side by side take a logical database each.
    arguments.extend(["--databases".into(), "4096".into()]);
    arguments.extend(["--save".into(), "".into()]);
    arguments.extend(["--dir".into(), folder.join(DATA).into_os_string()]);
    Plan {
        name: "Redis",
        program: programs.redis.clone(),
        arguments,
        port,
        log: folder.join("redis.log"),
        greet,
        ready_within: limits::REDIS_READY,
        stop_within: limits::REDIS_STOP,
    }
}

/// An inline PING, which needs no client (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).
fn greet(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, limits::GREETING)?;
    stream.set_read_timeout(Some(limits::GREETING))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if &answer == b"+PONG\r\n" { Ok(()) } else { Err(io::Error::other("no PONG")) }
}
