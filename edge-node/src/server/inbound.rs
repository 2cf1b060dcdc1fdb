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

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime_wasi_http::WasiBody;

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
    slow: Slow,
}

impl Intake {
    /// With all bytes free.
    pub(super) fn new() -> Self {
        let free_bytes = Arc::new(Semaphore::new(limits::MAX_BODIES_BYTES));
        Self { free_bytes, slow: Slow::default() }
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
        let mut held = Held { free_bytes: Arc::clone(&self.free_bytes), permit: None };
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
        Ok(guarded(full(bytes), held.permit))
    }
}

/// What one body takes of all the bytes there are.
struct Held {
    free_bytes: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).map_err(|_| Problem::BodyTooLarge)?;
        let more = Arc::clone(&self.free_bytes).try_acquire_many_owned(bytes);
        let more = more.map_err(|_| Problem::Overloaded)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

/// How many bodies of each client are awaited. Only clients with at least one have an entry.
#[derive(Default)]
struct Slow(Mutex<HashMap<IpAddr, usize>>);

impl Slow {
    /// A place until the returned guard is dropped; none if the client has its share.
    fn join(&self, client: IpAddr) -> Option<SlowGuard<'_>> {
        let client = owner(client);
        let mut counts = self.lock();
        let count = counts.entry(client).or_default();
        if *count >= limits::MAX_SLOW_BODIES_PER_CLIENT {
            return None;
        }
        *count += 1;
        Some(SlowGuard { slow: self, client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SlowGuard<'a> {
    slow: &'a Slow,
    client: IpAddr,
}

impl Drop for SlowGuard<'_> {
    fn drop(&mut self) {
        let mut counts = self.slow.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

/// Whom an address belongs to: an IPv6 client has a whole /64 to choose from.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::{Held, Slow};
    use crate::limits;
    use crate::problem::Problem;

    #[test]
    fn a_client_has_its_share_of_slow_bodies_and_leaves_no_trace() {
        let slow = Slow::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut places = Vec::new();
        for n in 0..limits::MAX_SLOW_BODIES_PER_CLIENT {
            places.push(slow.join(address(&format!("2001:db8::{n:x}"))).unwrap());
        }
        assert!(slow.join(address("2001:db8::ffff")).is_none(), "the same network");
        assert!(slow.join(address("2001:db8:0:1::1")).is_some(), "another one");
        assert!(slow.join(address("192.0.2.1")).is_some());
        places.pop();
        assert!(slow.join(address("2001:db8::ffff")).is_some());
        places.clear();
        assert!(slow.lock().is_empty());
    }

    #[test]
    fn bodies_share_a_budget_of_bytes() {
        let free_bytes = Arc::new(Semaphore::new(100));
        let held = || Held { free_bytes: Arc::clone(&free_bytes), permit: None };
        let (mut one, mut other) = (held(), held());
        one.grow(40).unwrap();
        one.grow(40).unwrap();
        assert_eq!(other.grow(21), Err(Problem::Overloaded));
        drop(one);
        other.grow(100).unwrap();
    }
}
