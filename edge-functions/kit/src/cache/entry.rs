//! What is kept, for how long, and its form in the key-value store.

use super::generation::Stamp;
use crate::limits::JITTER_PERMILLE;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tiffin_api::{ErrorCode, Problem};

/// Version of the stored form; entries of another version are misses.
const STORED_VERSION: u32 = 1;

/// How long one function believes the core.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The function's name, as `Cache-Status` and the key-value keys show it.
    pub cache: &'static str,
    /// How long a document is fresh, ms.
    pub fresh_ms: u64,
    /// How long after that it may be served while the core is asked in the background, ms.
    pub stale_while_revalidate_ms: u64,
    /// How long after it was fresh it may stand in for a core that fails, ms.
    pub stale_if_error_ms: u64,
    /// How long it is believed that something does not exist, ms; the core may say that it is less.
    pub absent_ms: u64,
    /// The problems by which the core says that something does not exist. No other 404 is believed.
    pub absent_codes: &'static [ErrorCode],
    /// What a diner is told then.
    pub absent: fn() -> Problem,
    /// How long the core may take to begin its answer, ms.
    pub first_byte_timeout_ms: u64,
    /// Until when a document says that it holds, ms since the epoch.
    pub valid_until_ms: fn(&[u8]) -> Option<i64>,
}

/// Moments in an entry's life, ms since the epoch, each at or after the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// When the core said it, or last confirmed it.
    pub stored_at_ms: i64,
    /// From then on it is stale.
    pub fresh_until_ms: i64,
    /// From then on the core must be asked before it is served.
    pub stale_while_revalidate_until_ms: i64,
    /// From then on it is not served at all.
    pub stale_if_error_until_ms: i64,
}

impl Lifetime {
    /// The life of a document that the core sent or confirmed at `now_ms`.
    pub fn of_document(
        policy: &Policy,
        now_ms: i64,
        random: u64,
        valid_until_ms: Option<i64>,
    ) -> Self {
        // What no longer holds at a known moment is not worth serving after it, be the core slow; only
        // if the core is gone is the old truth better than none.
        let cap_ms = valid_until_ms.unwrap_or(i64::MAX).max(now_ms);
        let fresh_until_ms = later(now_ms, jittered(policy.fresh_ms, random));
        Self {
            stored_at_ms: now_ms,
            fresh_until_ms: fresh_until_ms.min(cap_ms),
            stale_while_revalidate_until_ms: later(
                fresh_until_ms,
                policy.stale_while_revalidate_ms,
            )
            .min(cap_ms),
            stale_if_error_until_ms: later(fresh_until_ms, policy.stale_if_error_ms),
        }
    }

    /// The life of the fact that something does not exist. It is not served while revalidating: what
    /// was just created should be seen, no later than the core said with its `max_age_ms`.
    pub fn of_absence(policy: &Policy, now_ms: i64, random: u64, max_age_ms: Option<u64>) -> Self {
        let fresh_ms = jittered(policy.absent_ms, random).min(max_age_ms.unwrap_or(u64::MAX));
        let fresh_until_ms = later(now_ms, fresh_ms);
        Self {
            stored_at_ms: now_ms,
            fresh_until_ms,
            stale_while_revalidate_until_ms: fresh_until_ms,
            stale_if_error_until_ms: later(fresh_until_ms, policy.stale_if_error_ms),
        }
    }

    /// Whole seconds since the core said it, begun ones included: a cache in front of this one goes on from
    /// there, and must not come out later than here.
    pub fn age_s(&self, now_ms: i64) -> i64 {
        let age_ms = now_ms.saturating_sub(self.stored_at_ms).max(0);
        age_ms / 1_000 + i64::from(age_ms % 1_000 > 0)
    }

    /// Whole seconds of freshness left; negative if it is stale.
    pub fn ttl_s(&self, now_ms: i64) -> i64 {
        let left_ms = self.fresh_until_ms.saturating_sub(now_ms);
        // A stale entry must not round to zero, which would read as fresh.
        if left_ms <= 0 { left_ms.div_euclid(1_000).min(-1) } else { left_ms / 1_000 }
    }

    /// `Cache-Control` for clients: the same freshness as here; `Age` tells how much of it has passed.
    pub fn cache_control(&self) -> String {
        format!("public, max-age={}", self.fresh_s())
    }

    /// `CDN-Cache-Control` (RFC 9213) for caches in front of this one that can be purged: the same windows as here.
    /// Clients are not told of them, because nothing could take back what they keep.
    pub fn cdn_cache_control(&self) -> String {
        let after_fresh_s = |until_ms: i64| until_ms.saturating_sub(self.fresh_until_ms) / 1_000;
        format!(
            "public, max-age={}, stale-while-revalidate={}, stale-if-error={}",
            self.fresh_s(),
            after_fresh_s(self.stale_while_revalidate_until_ms),
            after_fresh_s(self.stale_if_error_until_ms)
        )
    }

    fn fresh_s(&self) -> i64 {
        self.fresh_until_ms.saturating_sub(self.stored_at_ms) / 1_000
    }
}

fn later(at_ms: i64, by_ms: u64) -> i64 {
    at_ms.saturating_add_unsigned(by_ms)
}

/// `ms`, stretched or shrunk by up to [`JITTER_PERMILLE`].
fn jittered(ms: u64, random: u64) -> u64 {
    let permille = 1_000 - JITTER_PERMILLE + random % (2 * JITTER_PERMILLE + 1);
    ms.saturating_mul(permille) / 1_000
}

/// A document of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its strong entity tag, quoted.
    pub etag: String,
    /// Its media type.
    pub content_type: String,
    /// Its language, if the core named one.
    pub content_language: Option<String>,
    /// Its bytes.
    pub body: Bytes,
}

/// What the core said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Here it is.
    Document(Document),
    /// There is no such thing.
    Absent,
}

/// What the core said about one key, and how long that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it said.
    pub content: Content,
    /// How long it is believed.
    pub lifetime: Lifetime,
    /// How far the host's purges were when it was asked for, if the host counts them.
    pub stamp: Option<Stamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredHead<'a> {
    version: u32,
    key: std::borrow::Cow<'a, str>,
    lifetime: Lifetime,
    stamp: Option<Stamp>,
    document: Option<StoredDocument>,
}

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    etag: String,
    content_type: String,
    content_language: Option<String>,
}

impl Entry {
    /// The entity tag to ask the core with.
    pub fn etag(&self) -> Option<&str> {
        match &self.content {
            Content::Document(document) => Some(&document.etag),
            Content::Absent => None,
        }
    }

    /// Bytes of its body.
    pub fn body_bytes(&self) -> usize {
        match &self.content {
            Content::Document(document) => document.body.len(),
            Content::Absent => 0,
        }
    }

    /// Its form in the key-value store: one line of JSON, then the body as it is.
    pub fn encode(&self, key: &str) -> Vec<u8> {
        let (document, body) = match &self.content {
            Content::Document(Document { etag, content_type, content_language, body }) => (
                Some(StoredDocument {
                    etag: etag.clone(),
                    content_type: content_type.clone(),
                    content_language: content_language.clone(),
                }),
                body.clone(),
            ),
            Content::Absent => (None, Bytes::new()),
        };
        let (lifetime, stamp) = (self.lifetime, self.stamp);
        let (version, key) = (STORED_VERSION, key.into());
        let head = StoredHead { version, key, lifetime, stamp, document };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads [`Self::encode`] back. `None` for another key, another version, or anything unreadable:
    /// the store is a cache, so that what it cannot tell is a miss.
    pub fn decode(key: &str, bytes: Vec<u8>) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let head: StoredHead<'_> = serde_json::from_slice(&bytes[..end]).ok()?;
        if head.version != STORED_VERSION || head.key != key {
            return None;
        }
        let (lifetime, stamp) = (head.lifetime, head.stamp);
        let content = match head.document {
            None => Content::Absent,
            Some(StoredDocument { etag, content_type, content_language }) => {
                let body = Bytes::from(bytes).slice(end + 1..);
                Content::Document(Document { etag, content_type, content_language, body })
            }
        };
        Some(Self { content, lifetime, stamp })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Generation;
    use super::*;

    const POLICY: Policy = Policy {
        cache: "tiffin-test",
        fresh_ms: 5_000,
        stale_while_revalidate_ms: 60_000,
        stale_if_error_ms: 86_400_000,
        absent_ms: 5_000,
        absent_codes: &[],
        absent: || Problem::new(ErrorCode::StoreNotFound, ""),
        first_byte_timeout_ms: 1_000,
        valid_until_ms: |_| None,
    };

    #[test]
    fn lifetimes_are_jittered_by_a_tenth_both_ways() {
        let fresh_ms = |random| Lifetime::of_document(&POLICY, 0, random, None).fresh_until_ms;
        assert_eq!((fresh_ms(0), fresh_ms(100), fresh_ms(200)), (4_500, 5_000, 5_500));
        assert!((0..1_000).map(fresh_ms).all(|ms| (4_500..=5_500).contains(&ms)));
    }

    #[test]
    fn a_document_is_not_served_past_its_own_end_unless_the_core_fails() {
        let life = Lifetime::of_document(&POLICY, 1_000, 100, Some(3_000));
        assert_eq!(life.fresh_until_ms, 3_000);
        assert_eq!(life.stale_while_revalidate_until_ms, 3_000);
        assert_eq!(life.stale_if_error_until_ms, 86_406_000);

        let life = Lifetime::of_document(&POLICY, 1_000, 100, Some(20_000));
        assert_eq!(life.fresh_until_ms, 6_000);
        assert_eq!(life.stale_while_revalidate_until_ms, 20_000);

        let over = Lifetime::of_document(&POLICY, 1_000, 100, Some(10));
        assert_eq!(over.fresh_until_ms, 1_000, "never before it was stored");
    }

    #[test]
    fn an_absence_is_believed_no_longer_than_the_core_says() {
        for (max_age_ms, expected) in
            [(None, 5_500), (Some(5_000), 5_000), (Some(0), 0), (Some(60_000), 5_500)]
        {
            let life = Lifetime::of_absence(&POLICY, 0, 200, max_age_ms);
            assert_eq!(life.fresh_until_ms, expected, "{max_age_ms:?}");
            assert_eq!(life.stale_while_revalidate_until_ms, expected, "{max_age_ms:?}");
        }
    }

    #[test]
    fn a_cache_in_front_keeps_an_entry_for_no_longer_than_it_lives_here() {
        for (random, valid_until_ms) in
            [(0, None), (137, None), (200, Some(3_333)), (200, Some(9_999))]
        {
            let life = Lifetime::of_document(&POLICY, 0, random, valid_until_ms);
            let told = life.cdn_cache_control();
            let window_ms = |name: &str| {
                let (_, rest) = told.split_once(&format!("{name}=")).unwrap();
                rest.split(',').next().unwrap().parse::<i64>().unwrap() * 1_000
            };
            let (fresh, swr) = (window_ms("max-age"), window_ms("stale-while-revalidate"));
            let sie = window_ms("stale-if-error");
            for now_ms in [0, 1, 999, 1_000, 2_345] {
                let left_ms = fresh - life.age_s(now_ms) * 1_000;
                assert!(now_ms + left_ms <= life.fresh_until_ms, "{told} at {now_ms}");
                let until_ms = now_ms + left_ms + swr;
                assert!(until_ms <= life.stale_while_revalidate_until_ms, "{told} at {now_ms}");
                assert!(now_ms + left_ms + sie <= life.stale_if_error_until_ms);
            }
        }
        let absence = Lifetime::of_absence(&POLICY, 0, 100, Some(2_000)).cdn_cache_control();
        assert!(absence.starts_with("public, max-age=2, stale-while-revalidate=0, "), "{absence}");
    }

    #[test]
    fn a_stale_entry_never_shows_a_ttl_that_reads_as_fresh() {
        let life = Lifetime::of_document(&POLICY, 0, 100, None);
        for (now_ms, ttl_s) in [(0, 5), (4_001, 0), (5_000, -1), (5_001, -1), (6_001, -2)] {
            assert_eq!(life.ttl_s(now_ms), ttl_s, "at {now_ms}");
        }
    }

    #[test]
    fn the_stored_form_reads_back_for_its_own_key_only() {
        let document = Document {
            etag: "\"v1\"".to_owned(),
            content_type: "application/json".to_owned(),
            content_language: Some("zh".to_owned()),
            body: Bytes::from_static(b"{\"a\":\n1}\n\n"),
        };
        let lifetime = Lifetime::of_document(&POLICY, 7, 0, None);
        for content in [Content::Document(document), Content::Absent] {
            let stamp = Generation::parse(b"18446744073709551615 7 0 0").map(|it| it.stamp());
            let entry = Entry { content, lifetime, stamp };
            let bytes = entry.encode("k\n\"1");
            assert_eq!(Entry::decode("k\n\"1", bytes.clone()), Some(entry));
            assert_eq!(Entry::decode("k2", bytes), None);
        }
    }

    #[test]
    fn an_unreadable_stored_form_is_a_miss() {
        for bytes in ["", "\n", "{}\nbody", "no line", "{\"version\":1}\n"] {
            assert_eq!(Entry::decode("k", bytes.into()), None, "{bytes:?}");
        }
        let lifetime = Lifetime::of_absence(&POLICY, 0, 0, None);
        let text = String::from_utf8(
            Entry { content: Content::Absent, lifetime, stamp: None }.encode("k"),
        )
        .unwrap();
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert_ne!(text, newer);
        assert_eq!(Entry::decode("k", newer.into()), None);
    }
}
