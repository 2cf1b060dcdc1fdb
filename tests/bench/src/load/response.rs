//! What is read: just enough of HTTP/1.1 for the answers of our servers, status and body by Content-Length.

use crate::limits;
use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

/// What an answer counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It gives what was asked for.
    Granted,
    /// It refuses, as the load expects.
    Refused,
    /// It is wrong; in few words, so that equal ones are counted together.
    Wrong(String),
}

impl Outcome {
    /// An answer whose status says that it is wrong.
    pub fn of_status(status: u16) -> Self {
        Self::Wrong(format!("status {status}"))
    }
}

/// An answer that is whole: its status, and where its body begins and ends.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    status: u16,
    body_start: usize,
    end: usize,
}

/// Reads the head, if all of it is there.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<Parsed>> {
    let mut headers = [httparse::EMPTY_HEADER; limits::ANSWER_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_start) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.context("an answer without a status")?;
    let length = match status {
        // Never a body, and so no length. Source: RFC 9112, section 6.3.
        204 | 304 => 0,
        _ => {
            let is_length =
                |header: &&httparse::Header<'_>| header.name.eq_ignore_ascii_case("content-length");
            let length = response.headers.iter().find(is_length);
            let length = length.context("an answer without Content-Length")?;
            std::str::from_utf8(length.value)?.parse::<usize>()?
        }
    };
    if body_start + length > limits::ANSWER_BYTES {
        bail!("an answer of {length} bytes");
    }
    Ok(Some(Parsed { status, body_start, end: body_start + length }))
}

/// Reads answers from one connection, one after the other.
pub struct Reader {
    buffer: Vec<u8>,
    filled: usize,
}

impl Default for Reader {
    fn default() -> Self {
        Self { buffer: vec![0; limits::FIRST_READ_BYTES], filled: 0 }
    }
}

impl Reader {
    /// Reads one whole answer and returns what `judge` makes of it.
    pub async fn read<R>(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        judge: impl FnOnce(Answer<'_>) -> R,
    ) -> anyhow::Result<R> {
        let mut head = None;
        loop {
            if head.is_none() {
                head = parse(&self.buffer[..self.filled])?;
            }
            if let Some(parsed) = &head {
                if parsed.end <= self.filled {
                    break;
                }
                self.buffer.resize(self.buffer.len().max(parsed.end), 0);
            } else if self.filled == self.buffer.len() {
                if self.filled >= limits::ANSWER_BYTES {
                    bail!("an answer's head of more than {} bytes", limits::ANSWER_BYTES);
                }
                self.buffer.resize(self.filled * 2, 0);
            }
            match stream.read(&mut self.buffer[self.filled..]).await? {
                0 => bail!("the connection ended before the answer"),
                read => self.filled += read,
            }
        }
        let Parsed { status, body_start, end } = head.expect("the loop ends with a head");
        let judged = judge(Answer { status, body: &self.buffer[body_start..end] });
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(judged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: &str =
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    const SOLD_OUT: &str =
        "HTTP/1.1 409 Conflict\r\ncontent-length: 23\r\n\r\n{\"code\":\"out-of-stock\"}";
    const EMPTY: &str = "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n";

    #[tokio::test]
    async fn answers_that_arrive_together_or_in_pieces_are_told_apart() {
        let all = [TAKEN, SOLD_OUT, EMPTY].concat();
        for piece_bytes in [1, 7, all.len()] {
            let mut stream = tokio_test_stream(all.as_bytes(), piece_bytes);
            let mut reader = Reader::default();
            for (status, body) in [(201, "{}"), (409, r#"{"code":"out-of-stock"}"#), (304, "")] {
                let is_it =
                    |answer: Answer<'_>| (answer.status, answer.body) == (status, body.as_bytes());
                assert!(reader.read(&mut stream, is_it).await.unwrap(), "{status} {piece_bytes}");
            }
            let ended = reader.read(&mut stream, |_| ()).await.unwrap_err();
            assert!(ended.to_string().contains("ended before"), "{ended}");
        }
    }

    #[tokio::test]
    async fn a_body_longer_than_the_first_buffer_is_read_whole() {
        let body = "x".repeat(40_000);
        let answer = format!("HTTP/1.1 503 Busy\r\ncontent-length: 40000\r\n\r\n{body}{TAKEN}");
        let mut stream = tokio_test_stream(answer.as_bytes(), 4_096);
        let mut reader = Reader::default();
        let of = |answer: Answer<'_>| (answer.status, answer.body.len());
        assert_eq!(reader.read(&mut stream, of).await.unwrap(), (503, 40_000));
        assert_eq!(reader.read(&mut stream, of).await.unwrap(), (201, 2));
    }

    #[tokio::test]
    async fn what_is_no_answer_of_ours_is_an_error() {
        let too_long =
            format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", limits::ANSWER_BYTES);
        for text in ["SSH-2.0\r\n\r\n", "HTTP/1.1 201 Created\r\n\r\n", &too_long] {
            let mut stream = tokio_test_stream(text.as_bytes(), 64);
            assert!(Reader::default().read(&mut stream, |_| ()).await.is_err(), "{text:?}");
        }
    }

    /// A stream that gives `bytes` in pieces and then ends.
    fn tokio_test_stream(bytes: &[u8], piece_bytes: usize) -> tokio::io::DuplexStream {
        let (mut near, far) = tokio::io::duplex(piece_bytes);
        let bytes = bytes.to_vec();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            for piece in bytes.chunks(piece_bytes) {
                near.write_all(piece).await.unwrap();
            }
        });
        far
    }
}
