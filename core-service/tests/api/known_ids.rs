//! The known ids as an edge is told them: who may ask, what is in them, and that what exists is never denied.

use crate::support::{Core, DINER, reply};
use core_service::{ids, limits};
use serde_json::{Value, json};
use tiffin_api::known_ids::{DEAL, Existence, KnownIds, STORE};
use tiffin_api::token::Role;

const PATH: &str = "/internal/known-ids";
const HOUR_MS: i64 = 3_600_000;

async fn known_ids(core: &Core, role: Role) -> KnownIds {
    let asked = core.request("GET", PATH).bearer_auth(core.token(7, &[role]));
    let answer = reply(asked).await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    serde_json::from_value(answer.expect(200)).unwrap()
}

/// Loads a store with a deal. Returns the ids of both.
async fn open_store(core: &Core, name: &str) -> (i64, i64) {
    let rows = include_str!("fixture.ndjson").replace("noodle-bar", name);
    let deal = json!({
        "kind": "deal", "store": name, "ref": "lunch", "item": "tea", "title": {"en": "Tea"},
        "price_minor": 100, "window": {"start_after_s": 60, "duration_s": 600},
    });
    core.import(&format!("{}\n{deal}", rows.trim_end())).await.expect(200);
    let newest = async |path: &str, list: &str| {
        let found = core.get(path).await.expect(200);
        let ids = found[list].as_array().unwrap().iter();
        ids.map(|it: &Value| it["id"].as_str().unwrap().parse::<i64>().unwrap()).max().unwrap()
    };
    (newest("/v1/stores?lang=en", "stores").await, newest("/v1/deals?lang=en", "deals").await)
}

#[tokio::test]
async fn known_ids_are_for_edges_and_operators() {
    let core = Core::start().await;
    reply(core.request("GET", PATH)).await.problem(401, "unauthenticated");
    let diner = core.token(DINER, &[Role::Diner, Role::Merchant]);
    reply(core.request("GET", PATH).bearer_auth(diner)).await.problem(403, "forbidden");
    let told = known_ids(&core, Role::Edge).await;
    assert_eq!(told, known_ids(&core, Role::Admin).await, "one answer serves all");
    let counts: Vec<_> = told.kinds.iter().map(|(kind, ids)| (kind.as_str(), ids.ids)).collect();
    assert_eq!(counts, [(DEAL, 0), (STORE, 2)]);
}

#[tokio::test]
async fn whatever_was_or_is_or_will_be_made_is_never_denied() {
    let core = Core::start().await;
    let (mut stores, mut deals) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        let (store, deal) = open_store(&core, name).await;
        stores.push(store);
        deals.push(deal);
        core.clock.advance(HOUR_MS);
    }
    let read_ms = core.app.clock.now_ms();
    let existence = Existence::read(&known_ids(&core, Role::Edge).await).unwrap();
    core.clock.advance(1);
    let (store, deal) = open_store(&core, "four").await;
    core.clock.advance(24 * HOUR_MS);
    let (late_store, late_deal) = open_store(&core, "five").await;
    stores.extend([store, late_store]);
    deals.extend([deal, late_deal]);
    for (kind, ids) in [(STORE, &stores), (DEAL, &deals)] {
        let denied: Vec<_> = ids.iter().filter(|id| existence.denies(kind, **id)).collect();
        assert!(denied.is_empty(), "{kind}: {denied:?}");
    }

    let settled = ids::lowest_at(read_ms - limits::KNOWN_IDS_SETTLED_MS);
    for (first, denies) in [(1, true), (settled - 1_000, true), (settled, false)] {
        let count = (first..first + 1_000).filter(|id| existence.denies(STORE, *id)).count();
        assert_eq!(count > 900, denies, "{count} of 1000 from {first}");
        assert_eq!(count > 0, denies, "{count} of 1000 from {first}");
    }
    // Made up at random.
    let ahead = (1..1_000).filter(|n| existence.denies(DEAL, i64::MAX / 1_000 * n)).count();
    assert!(ahead > 900, "{ahead} of 999");
}
