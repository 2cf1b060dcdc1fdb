//! One client's connection: it sends a request, reads its answer, and connects again after a failure.

use super::Requests;
use super::response::{Answer, Outcome, Reader};
use crate::limits;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// A keep-alive connection to a server.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    reader: Reader,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = Some(connect(address).await?);
        Ok(Self { address, stream, reader: Reader::default(), buffer: Vec::with_capacity(2_048) })
    }

    /// Sends the next request and judges its answer.
    pub async fn ask(&mut self, requests: &impl Requests) -> anyhow::Result<Outcome> {
        self.exchange(|buffer| requests.write_next(buffer), |answer| requests.judge(answer)).await
    }

    /// Sends what `write` puts into the buffer, over what that held, and returns what `judge` makes of the
    /// answer. After a failure the next call connects anew.
    pub async fn exchange<R>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>),
        judge: impl FnOnce(Answer<'_>) -> R,
    ) -> anyhow::Result<R> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                sleep(limits::RECONNECT_PAUSE).await;
                self.reader = Reader::default();
                connect(self.address).await?
            }
        };
        write(&mut self.buffer);
        stream.write_all(&self.buffer).await?;
        let judged = self.reader.read(&mut stream, judge).await?;
        self.stream = Some(stream);
        Ok(judged)
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = timeout(limits::ANSWER_WITHIN, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A failure in few words, so that equal ones are counted together.
pub fn describe(error: &anyhow::Error) -> String {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.kind().to_string(),
        None => error.to_string(),
    }
}
