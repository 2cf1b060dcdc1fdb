//! A GET for our own programs on this machine, small enough to need no client library.
//!
//! Speaks HTTP/1.0 on purpose: the answer then ends with the connection and is never chunked
//! (RFC 9112, sections 6.3 and 7.1).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

use crate::limits;

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: String,
}

/// Asks the program on that loopback port.
pub(crate) fn get(port: u16, path: &str) -> Result<Answer> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limits::HTTP_CONNECT)?;
    stream.set_read_timeout(Some(limits::HTTP_ANSWER))?;
    stream.set_write_timeout(Some(limits::HTTP_ANSWER))?;
    // In one piece: a server that answers before it has read everything may close with a reset.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(limits::HTTP_ANSWER_BYTES).read_to_end(&mut bytes)?;
    parse(&String::from_utf8(bytes).context("an answer that is not UTF-8")?)
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) =
        text.split_once("\r\n\r\n").context("an answer without an end of headers")?;
    let Some(status) = head.split(' ').nth(1).and_then(|code| code.parse().ok()) else {
        bail!("an answer without a status");
    };
    Ok(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_answer_is_read_to_the_end_of_the_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\n{\"a\"").unwrap();
            stream.write_all(b":1}").unwrap();
            String::from_utf8(request).unwrap()
        });
        let answer = get(port, "/readyz").unwrap();
        assert_eq!(answer, Answer { status: 200, body: "{\"a\":1}".to_owned() });
        assert!(server.join().unwrap().starts_with("GET /readyz HTTP/1.0\r\nHost: 127.0.0.1:"));
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for text in ["", "HTTP/1.0 200 OK\r\n", "nonsense\r\n\r\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
