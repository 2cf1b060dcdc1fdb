//! A client's body, read whole before any guest hears of its request.
//!
//! However slowly a client sends, it holds no instance and no place among a component's requests,
//! only its connection and the bytes that have come so far. Invariants:
//! - a body is there within [`limits::REQUEST_BODY_TIMEOUT`], or its request is refused;
//! - all bodies in the node, read or being read, take at most [`limits::MAX_BODIES_BYTES`];
//! - of one client at most [`limits::MAX_SLOW_BODIES_PER_CLIENT`] are awaited for longer than
//!   [`limits::SLOW_BODY_AFTER`]; those that come at once are not counted.
//!
//! A client that is still sending does not read; if the connection were closed on it, it would see
//! a reset instead of its answer. What is refused is therefore drained, within bounds.
//! Start at [`Intake::read`].

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::WasiBody;

use super::clients::Counts;
use crate::body::{drain, full, guarded};
use crate::limits;
use crate::problem::Problem;

/// A body that is still with its client. Its drop drains what was not read.
pub(super) struct Upload {
    body: Option<Incoming>,
    /// The client waits for leave to send: what is not wanted never comes.
    is_held_back: bool,
}

impl Upload {
    pub(super) fn new(body: Incoming, headers: &HeaderMap) -> Self {
        Self { body: Some(body), is_held_back: headers.contains_key(EXPECT) }
    }

    /// Reads to the end; `held` grows with what is read.
    async fn collect(&mut self, held: &mut Held) -> Result<Bytes, Problem> {
        let Some(body) = self.body.as_mut() else { return Ok(Bytes::new()) };
        self.is_held_back = false;
        let mut collected = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Problem::BodyIncomplete)?;
            // Trailers are only for the hop that they came over.
            let Ok(data) = frame.into_data() else { continue };
            if (collected.len() + data.len()) as u64 > limits::MAX_REQUEST_BODY_BYTES {
                return Err(Problem::BodyTooLarge);
            }
            held.grow(data.len())?;
            collected.extend_from_slice(&data);
        }
        Ok(collected.into())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        if self.is_held_back || body.is_end_stream() {
            return;
        }
        // Outside a runtime the connection is gone, and there is nothing to drain.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(drain(body, limits::MAX_DRAIN_BYTES, limits::DRAIN_TIMEOUT));
        }
    }
}

/// The bytes of all bodies, and who is slow with one.
pub(super) struct Intake {
    free_bytes: Arc<Semaphore>,
    slow: Arc<Counts>,
    held_bytes: Gauge,
}

impl Intake {
    /// With all bytes free. `held_bytes` shows how many are not.
    pub(super) fn new(held_bytes: Gauge) -> Self {
        let free_bytes = Arc::new(Semaphore::new(limits::MAX_BODIES_BYTES));
        let slow = Counts::new(limits::MAX_SLOW_BODIES_PER_CLIENT);
        Self { free_bytes, slow, held_bytes }
    }

    /// Reads a body to its end; the bytes it takes are free again when a guest has read it.
    ///
    /// # Errors
    /// The problem to answer with.
    pub(super) async fn read(
        &self,
        mut upload: Upload,
        client: IpAddr,
    ) -> Result<WasiBody, Problem> {
        let Some(body) = upload.body.as_ref().filter(|body| !body.is_end_stream()) else {
            return Ok(full(Bytes::new()));
        };
        if body.size_hint().lower() > limits::MAX_REQUEST_BODY_BYTES {
            return Err(Problem::BodyTooLarge);
        }
        let deadline = Instant::now() + limits::REQUEST_BODY_TIMEOUT;
        let mut held = Held::new(Arc::clone(&self.free_bytes), self.held_bytes.clone());
        let bytes = {
            let mut reading = std::pin::pin!(upload.collect(&mut held));
            match timeout(limits::SLOW_BODY_AFTER, &mut reading).await {
                Ok(read) => read?,
                Err(_slow) => {
                    let _place = self.slow.join(client).ok_or(Problem::TooManyUploads)?;
                    let read = timeout_at(deadline, reading).await;
                    read.map_err(|_| Problem::BodyTimeout)??
                }
            }
        };
        Ok(guarded(full(bytes), held))
    }
}

/// What one body takes of all the bytes there are.
struct Held {
    free_bytes: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    held_bytes: Gauge,
}

impl Held {
    fn new(free_bytes: Arc<Semaphore>, held_bytes: Gauge) -> Self {
        Self { free_bytes, permit: None, held_bytes }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::BodyTooLarge)?;
        let more = Arc::clone(&self.free_bytes).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| Problem::Overloaded)?;
        self.held_bytes.inc_by(bytes.into());
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let bytes = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        self.held_bytes.dec_by(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::metrics::gauge::Gauge;
    use tokio::sync::Semaphore;

    use super::Held;
    use crate::problem::Problem;

    #[test]
    fn bodies_share_a_budget_of_bytes() {
        let free_bytes = Arc::new(Semaphore::new(100));
        let shown = Gauge::default();
        let held = || Held::new(Arc::clone(&free_bytes), shown.clone());
        let (mut one, mut other) = (held(), held());
        one.grow(40).unwrap();
        one.grow(40).unwrap();
        assert_eq!(other.grow(21), Err(Problem::Overloaded));
        assert_eq!(shown.get(), 80);
        drop(one);
        other.grow(100).unwrap();
        assert_eq!(shown.get(), 100);
        drop(other);
        assert_eq!(shown.get(), 0);
    }
}
