//! What is read: just enough of HTTP/1.1 for the answers of a core, status and body by Content-Length.

use crate::limits;
use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 201: it is taken.
    Accepted,
    /// 409 `out-of-stock`: nothing is left.
    SoldOut,
    /// Anything else.
    Other(u16),
}

impl Outcome {
    fn of(status: u16, body: &[u8]) -> Self {
        match status {
            201 => Self::Accepted,
            409 if says_sold_out(body) => Self::SoldOut,
            other => Self::Other(other),
        }
    }
}

fn says_sold_out(body: &[u8]) -> bool {
    const CODE: &[u8] = b"\"code\":\"out-of-stock\"";
    body.windows(CODE.len()).any(|window| window == CODE)
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
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .context("an answer without Content-Length")?;
    let length: usize = std::str::from_utf8(length.value)?.parse()?;
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
        Self { buffer: vec![0; 4_096], filled: 0 }
    }
}

impl Reader {
    /// Reads one whole answer.
    pub async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<Outcome> {
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
        let outcome = Outcome::of(status, &self.buffer[body_start..end]);
        self.buffer.copy_within(end..self.filled, 0);
        self.filled -= end;
        Ok(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: &str =
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    const SOLD_OUT: &str =
        "HTTP/1.1 409 Conflict\r\ncontent-length: 29\r\n\r\n{\"code\":\"out-of-stock\",\"a\":1}";
    const CLOSED: &str =
        "HTTP/1.1 409 Conflict\r\ncontent-length: 23\r\n\r\n{\"code\":\"store-closed\"}";

    #[tokio::test]
    async fn answers_that_arrive_together_or_in_pieces_are_told_apart() {
        let all = [TAKEN, SOLD_OUT, CLOSED].concat();
        for piece_bytes in [1, 7, all.len()] {
            let mut stream = tokio_test_stream(all.as_bytes(), piece_bytes);
            let mut reader = Reader::default();
            for expected in [Outcome::Accepted, Outcome::SoldOut, Outcome::Other(409)] {
                assert_eq!(reader.read(&mut stream).await.unwrap(), expected, "{piece_bytes}");
            }
            let ended = reader.read(&mut stream).await.unwrap_err();
            assert!(ended.to_string().contains("ended before"), "{ended}");
        }
    }

    #[tokio::test]
    async fn a_body_longer_than_the_first_buffer_is_read_whole() {
        let body = "x".repeat(10_000);
        let answer = format!("HTTP/1.1 503 Busy\r\ncontent-length: 10000\r\n\r\n{body}{TAKEN}");
        let mut stream = tokio_test_stream(answer.as_bytes(), 4_096);
        let mut reader = Reader::default();
        assert_eq!(reader.read(&mut stream).await.unwrap(), Outcome::Other(503));
        assert_eq!(reader.read(&mut stream).await.unwrap(), Outcome::Accepted);
    }

    #[tokio::test]
    async fn what_is_no_answer_of_ours_is_an_error() {
        let too_long =
            format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n", limits::ANSWER_BYTES);
        for text in ["SSH-2.0\r\n\r\n", "HTTP/1.1 201 Created\r\n\r\n", &too_long] {
            let mut stream = tokio_test_stream(text.as_bytes(), 64);
            assert!(Reader::default().read(&mut stream).await.is_err(), "{text:?}");
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
