//! What both stores promise, and what Redis's failures may cost.
//!
//! [`suite`] runs on the in-process store always, and on the Redis server named by `TIFFIN_TEST_REDIS_URL` if
//! that is set; [`faults`] starts servers of its own. What cannot run is skipped, or fails if
//! `TIFFIN_REQUIRE_SERVICES=1`.

mod agreement;
mod faults;
mod guarding;
mod server;
mod suite;

use super::redis::Redis;
use super::{Admission, FastStore, GateTag};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// A time for calls that no busy machine exceeds; for tests that are not about time.
const PATIENT: Duration = Duration::from_secs(10);

/// Skips a test for want of a service, unless services are required.
fn skip(why: &str) {
    let required = std::env::var("TIFFIN_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(!required, "TIFFIN_REQUIRE_SERVICES=1, but {why}");
    eprintln!("skipped: {why}");
}

/// The Redis server that tests share, if there is one.
fn shared_redis() -> Option<Arc<dyn FastStore>> {
    match std::env::var("TIFFIN_TEST_REDIS_URL") {
        Ok(url) => Some(Arc::new(Redis::open_within(&url, PATIENT).unwrap())),
        Err(_) => {
            skip("TIFFIN_TEST_REDIS_URL is not set");
            None
        }
    }
}

/// A number that no other test has: the server may be shared, and may remember earlier runs.
fn fresh() -> i64 {
    i64::try_from(RandomState::new().hash_one("fresh") >> 2).unwrap()
}

/// A gate that no other test uses.
fn fresh_gate() -> GateTag {
    GateTag::Store(fresh())
}

/// A request of user 1 without a cap.
fn wish<'a>(tag: GateTag, request: &'a str, wants: &'a [(i64, i64)]) -> Admission<'a> {
    Admission { tag, user: 1, request, wants, held_cap_units: i64::MAX }
}
