//! The known ids that edges fetch, so that they can deny what does not exist ([`tiffin_api::known_ids`]).
//!
//! An edge denies an id that its filter does not have and that lies outside the span in which the core still mints. The
//! argument that it then never denies what exists, or will:
//!
//! 1. Ids of stores and deals are minted in an [`Edit`](crate::edit), which ends within [`limits::EDIT_MOST_MS`] of its
//!    begin or is not committed. None of its ids is older than that begin, by its core's clock ([`crate::ids`]).
//! 2. The row of each node number says how far its core's clock had come at the last renewal, or further: the floor
//!    below which that core mints no more. The span begins [`limits::KNOWN_IDS_SETTLED_MS`] before the lowest floor
//!    of all cores that ran lately, and before this core's own clock. Both are read *before* the ids are. So what is not
//!    committed when the ids are read has a higher id, however far apart the clocks of running cores are.
//! 3. The span ends [`limits::KNOWN_IDS_AHEAD_MS`] after whatever any core has reserved, so that ids may be minted while
//!    the answer is in use, which is a day at most.
//! 4. No store and no deal is ever deleted or given another id; were one, denying it late would cost a trip.
//!
//! What is assumed: the clock of a core that starts later is less than an hour behind, none is a month ahead, and none is
//! set back, nor its machine put to sleep, by an hour in the midst of an edit.
//!
//! One answer serves all who ask within [`limits::KNOWN_IDS_KEEP`]; who asks while it is made waits for it.

pub mod http;
pub mod store;

use crate::app::App;
use crate::db::DbError;
use crate::{ids, limits};
use axum::body::Bytes;
use ed25519_compact::Seed;
use std::collections::BTreeMap;
use store::Table;
use tiffin_api::known_ids::{FORMAT, IdFilter, KnownIds};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// The answer that was made last.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Option<(Instant, Bytes)>>);

/// The answer, made anew if the last one has got old.
pub async fn answer(app: &App) -> Result<Bytes, DbError> {
    // Held while it is made: the others wait here, and one of them goes on if this one's client leaves.
    let mut kept = app.known_ids.0.lock().await;
    if let Some((since, answer)) = kept.as_ref()
        && since.elapsed() < limits::KNOWN_IDS_KEEP
    {
        return Ok(answer.clone());
    }
    let since = Instant::now();
    let answer = Bytes::from(serde_json::to_vec(&read(app).await?)?);
    *kept = Some((since, answer.clone()));
    Ok(answer)
}

async fn read(app: &App) -> Result<KnownIds, DbError> {
    let as_of_ms = app.clock.now_ms();
    let minting = ids::store::minting(&app.db, limits::KNOWN_IDS_SETTLED_MS).await?;
    let lowest_ms = minting.map_or(as_of_ms, |span| as_of_ms.min(span.floor_ms));
    let highest_ms = minting.map_or(as_of_ms, |span| as_of_ms.max(span.reserved_ms));
    let mut kinds = BTreeMap::new();
    for table in Table::ALL {
        match store::ids(&app.db, table).await? {
            Some(ids) => {
                // Half a million ids are hashed for longer than a request may be held up.
                let filter = spawn_blocking(move || IdFilter::of(&ids, seed())).await;
                kinds.insert(table.kind().to_owned(), filter.expect("it does not panic"));
            }
            None => tracing::warn!(
                kind = table.kind(),
                most = limits::KNOWN_IDS_MOST,
                "too many ids for a filter; edges ask about each they do not know"
            ),
        }
    }
    Ok(KnownIds {
        format: FORMAT,
        as_of_ms,
        open_from: ids::lowest_at(lowest_ms - limits::KNOWN_IDS_SETTLED_MS),
        open_to: ids::lowest_at(highest_ms + limits::KNOWN_IDS_AHEAD_MS),
        kinds,
    })
}

fn seed() -> u128 {
    let seed = Seed::generate();
    seed[..16].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing;
    use crate::clock::ManualClock;
    use crate::db::Db;
    use crate::ids::lease::NodeLease;
    use std::sync::Arc;

    async fn lease(db: &Db, now_ms: i64) -> (NodeLease, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(now_ms));
        (NodeLease::take(db.clone(), clock.clone()).await.unwrap(), clock)
    }

    #[tokio::test]
    async fn the_span_begins_before_whatever_any_running_core_may_mint() {
        let core = testing::app().await;
        let now_ms = testing::NOW_MS;
        let open = async || {
            let KnownIds { open_from, open_to, .. } = read(&core).await.unwrap();
            (open_from, open_to)
        };
        let at = |ms| ids::lowest_at(ms);
        let (settled_ms, ahead_ms) = (limits::KNOWN_IDS_SETTLED_MS, limits::KNOWN_IDS_AHEAD_MS);
        assert_eq!(open().await, (at(now_ms - settled_ms), at(now_ms + ahead_ms)));

        const DAY_MS: i64 = 24 * 3_600 * 1_000;
        let (fast, _) = lease(&core.db, now_ms + DAY_MS).await;
        let reserved_ms = now_ms + DAY_MS + limits::NODE_LEASE_MS;
        assert_eq!(open().await, (at(now_ms - settled_ms), at(reserved_ms + ahead_ms)));

        let (slow, its_clock) = lease(&core.db, now_ms - DAY_MS).await;
        let (from, to) = open().await;
        assert_eq!(from, at(now_ms - DAY_MS - settled_ms));
        for core in [&fast, &slow] {
            assert!((from..to).contains(&core.ids().next()));
        }
        // Also when its clock is set back after its renewal: it goes on from there.
        its_clock.advance(DAY_MS);
        slow.renew().await.unwrap();
        its_clock.advance(-DAY_MS);
        let (from, to) = open().await;
        assert_eq!(from, at(now_ms - settled_ms));
        assert!((from..to).contains(&slow.ids().next()));
    }
}
