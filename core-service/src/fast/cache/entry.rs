//! A cached value as it lies in the store: format u8 = 1, end i64 and load time u32 in ms, big-endian, value.

use crate::limits;
use bytes::{BufMut as _, Bytes, BytesMut};
use std::time::Duration;

const FORMAT: u8 = 1;
const HEAD_BYTES: usize = 13;

/// A value and what its renewal depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Until when it may be served, ms.
    pub(super) end_ms: i64,
    /// How long it took to load.
    pub(super) load_ms: u32,
    pub(super) value: Bytes,
}

impl Entry {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(HEAD_BYTES + self.value.len());
        bytes.put_u8(FORMAT);
        bytes.put_i64(self.end_ms);
        bytes.put_u32(self.load_ms);
        bytes.put_slice(&self.value);
        bytes.freeze()
    }

    /// `None` for what is not of this format: it is loaded anew.
    pub(super) fn decode(mut bytes: Bytes) -> Option<Self> {
        if bytes.len() < HEAD_BYTES {
            return None;
        }
        let value = bytes.split_off(HEAD_BYTES);
        let end_ms = i64::from_be_bytes(bytes[1..9].try_into().ok()?);
        let load_ms = u32::from_be_bytes(bytes[9..].try_into().ok()?);
        (bytes[0] == FORMAT).then_some(Self { end_ms, load_ms, value })
    }

    /// Whether this reader renews it: now − load · β · ln(chance) ≥ end, β = 1, chance in (0, 1].
    pub(super) fn is_due(&self, now_ms: i64, chance: f64) -> bool {
        let left_ms = u32::try_from(self.end_ms.saturating_sub(now_ms).max(0)).unwrap_or(u32::MAX);
        -f64::from(self.load_ms) * chance.ln() >= f64::from(left_ms)
    }
}

/// A life of `ttl` in ms, shortened by up to [`limits::CACHE_JITTER_PERCENT`].
pub(super) fn jittered(ttl: Duration, random: u64) -> i64 {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let most_off_ms = ttl_ms / 100 * limits::CACHE_JITTER_PERCENT
        + ttl_ms % 100 * limits::CACHE_JITTER_PERCENT / 100;
    let off_ms = random % (most_off_ms + 1);
    i64::try_from(ttl_ms - off_ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written_and_anything_else_is_none() {
        let entry =
            Entry { end_ms: 1_800_000_000_000, load_ms: 40, value: Bytes::from_static(b"v") };
        assert_eq!(Entry::decode(entry.encode()), Some(entry.clone()));
        assert_eq!(Entry::decode(entry.encode().slice(..HEAD_BYTES - 1)), None);
        assert_eq!(Entry::decode(Bytes::from_static(b"something else entirely")), None);
    }

    #[test]
    fn renewal_becomes_likelier_towards_the_end_and_for_slow_loads() {
        let entry = |load_ms| Entry { end_ms: 10_000, load_ms, value: Bytes::new() };
        // −ln(0.5) = 0.69: half of the readers renew from 0.69 load times before the end on.
        assert!(!entry(100).is_due(10_000 - 70, 0.5));
        assert!(entry(100).is_due(10_000 - 69, 0.5));
        assert!(entry(1_000).is_due(10_000 - 690, 0.5));
        assert!(!entry(100).is_due(9_999, 1.0), "the luckiest reader never renews a living value");
        assert!(entry(100).is_due(10_000, 1.0), "everybody renews what has ended");
    }

    #[test]
    fn jitter_only_shortens_and_by_no_more_than_its_share() {
        let ttl = Duration::from_millis(1_000);
        let lives: Vec<_> = (0..500).map(|random| jittered(ttl, random)).collect();
        assert_eq!(lives.iter().min(), Some(&900));
        assert_eq!(lives.iter().max(), Some(&1_000));
        assert_eq!(jittered(Duration::ZERO, 7), 0);
        assert!(jittered(Duration::MAX, u64::MAX) > 0);
    }
}
