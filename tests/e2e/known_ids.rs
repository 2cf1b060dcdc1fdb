//! What does not exist costs the core nothing, and what is new is seen at once.

use serde_json::{Value, json};
use tiffin_tests::{Client, House, text};

/// Of so many ids some may be in the filter by chance: one in a hundred.
const IDS: usize = 200;
const BY_CHANCE: usize = 20;

/// How often the core was asked for a store or a deal.
async fn asked(core: &Client) -> usize {
    let metrics = String::from_utf8(core.get("/metrics").await.bytes).unwrap();
    let routes =
        ["route=\"/v1/stores/{id}\"", "route=\"/v1/stores/{id}/menu\"", "route=\"/v1/deals/{id}\""];
    let counts = metrics.lines().filter(|line| {
        line.starts_with("tiffin_core_requests_total{") && routes.iter().any(|it| line.contains(it))
    });
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
}

/// Asks for ids that nothing has; returns those that were denied without a trip.
async fn denied(edge: &Client, path: fn(i64) -> String, code: &str) -> Vec<i64> {
    let mut denied = Vec::new();
    for id in (1..).take(IDS) {
        let reply = edge.get(&path(id)).await;
        reply.problem(404, code);
        assert_eq!(reply.header("cache-control"), "no-store");
        if reply.header("cache-status").contains("detail=unknown-id") {
            denied.push(id);
        }
    }
    denied
}

fn kiosk(name: &str) -> Value {
    json!({
        "kind": "store", "ref": name, "name": {"en": name}, "lang": "en", "currency": "EUR",
        "time_zone": "Europe/Berlin", "address": "Main Street 1", "location": {"lat": 52.5, "lng": 13.4},
        "fulfilment": ["pickup"],
        "hours": [{"days": ["sat", "sun"], "from": "22:00", "to": "04:00"}],
        "tax": {"inclusive": true, "classes": {"food": 70000}, "fee_class": "food"},
    })
}

async fn store_named(house: &House, name: &str) -> String {
    let stores = house.core.get("/v1/stores?lang=en&limit=100").await.expect(200);
    let mut stores = stores["stores"].as_array().unwrap().iter();
    text(&stores.find(|store| store["name"] == name).expect("the store")["id"]).to_owned()
}

#[tokio::test]
async fn what_does_not_exist_never_reaches_the_core_and_what_is_new_is_there_at_once() {
    let mut house = House::start().await;
    house.edge_admin.metric_at_least("edge_known_ids_timestamp_seconds", 1).await;
    let before = asked(&house.core).await;
    let menu = |id| format!("/v1/stores/{id}/menu");
    let countdown = |id| format!("/v1/deals/{id}/countdown");
    let no_stores = denied(&house.edge, menu, "store-not-found").await;
    let no_deals = denied(&house.edge, countdown, "deal-not-found").await;
    let by_chance = 2 * IDS - no_stores.len() - no_deals.len();
    assert!(by_chance <= BY_CHANCE, "{by_chance} of {} were not denied", 2 * IDS);
    let trips = asked(&house.core).await - before;
    assert!(trips <= by_chance, "{trips} trips for {by_chance} ids that seem known");

    // The node's filter is older than this store.
    let fetches = house.edge_admin.metric("edge_known_ids_fetches_total").await;
    house.import_rows(&[kiosk("new-kiosk")]).await;
    let id = store_named(&house, "new-kiosk").await;
    house.edge.get(&format!("/v1/stores/{id}?lang=en")).await.expect(200);
    assert_eq!(house.edge_admin.metric("edge_known_ids_fetches_total").await, fetches);

    // What cannot be is denied without the core as well; when it is back the node hears of all that is there by now.
    house.stop_core();
    house.edge_admin.until_says("/readyz", "degraded: feed down").await;
    house.edge.get(&menu(no_stores[0])).await.problem(404, "store-not-found");
    house.start_core().await;
    let fetches = fetches + 1;
    house.edge_admin.metric_at_least("edge_known_ids_fetches_total", fetches).await;
    house.edge.get(&format!("/v1/stores/{id}/menu?lang=en")).await.expect(200);
}
