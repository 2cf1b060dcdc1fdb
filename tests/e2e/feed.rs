//! News of the core at the edge: a new price is on every node at once, whatever happens to the feed in between.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tiffin_tests::{Cable, Client, FEED_HEAD, House, text};

/// The dish whose price changes, and its store.
const DISH: &str = "Chicken soup for late nights";
const STORE: &str = "Kiez Night Kitchen";
/// How long news may take on a crowded machine. What it takes is printed.
const NEWS_WITHIN: Duration = Duration::from_secs(30);
const PRICE_CHANGES: i64 = 8;

/// A node, as its diners and as the core team reach it.
struct Node<'a> {
    edge: &'a Client,
    admin: &'a Client,
}

impl Node<'_> {
    async fn price_minor(&self, menu: &str) -> i64 {
        let menu = self.edge.get(menu).await.expect(200);
        let categories = menu["categories"].as_array().unwrap().iter();
        let mut items = categories.flat_map(|category| category["items"].as_array().unwrap());
        items.find(|item| item["name"] == DISH).expect("the dish")["price_minor"].as_i64().unwrap()
    }

    /// Reads the price until the node has applied the number. From then on no answer may be old: each is judged by what
    /// was known before it was asked for. Returns after how long the new price was first seen.
    async fn sees(&self, menu: &str, price_minor: i64, seq: i64, since: Instant) -> Duration {
        let mut seen = None;
        loop {
            let is_applied = self.admin.metric("edge_feed_sequence").await >= seq;
            let found_minor = self.price_minor(menu).await;
            if found_minor == price_minor {
                seen.get_or_insert(since.elapsed());
            }
            if is_applied {
                assert_eq!(
                    found_minor, price_minor,
                    "number {seq} is applied, and the price is old"
                );
                return seen.expect("it was seen just now");
            }
            assert!(since.elapsed() < NEWS_WITHIN, "the node never heard of number {seq}");
        }
    }
}

/// Loads a price as a merchant does. Returns when the core has acknowledged it, and the number of its news.
async fn set_price(house: &House, token: &str, price_minor: i64) -> (Instant, i64) {
    let head = house.core.metric(FEED_HEAD).await;
    let row: Value = json!({
        "kind": "item", "store": "kiez-nachtkueche", "ref": "chicken-soup", "category": "all-hours",
        "name": {"en": DISH, "zh": "深夜鸡汤"}, "price_minor": price_minor, "tax_class": "food", "stock": 5000,
    });
    let request = house.core.request("POST", "/v1/admin/import").bearer_auth(token);
    let request = request.header("content-type", "application/x-ndjson").body(row.to_string());
    house.core.send(request).await.expect(200);
    (Instant::now(), house.core.metric_at_least(FEED_HEAD, head + 1).await)
}

async fn menu_of(house: &House) -> String {
    let stores = house.edge.get("/v1/stores?lang=en&limit=100").await.expect(200);
    let mut stores = stores["stores"].as_array().unwrap().iter();
    let store = stores.find(|store| store["name"] == STORE).expect("the store");
    format!("/v1/stores/{}/menu?lang=en", text(&store["id"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_serves_an_old_price_once_it_has_heard_of_the_new_one() {
    let mut house = House::start().await;
    let cable = Cable::to(house.core.port).await;
    let other = house.another_edge(cable.port).await;
    let (edge, edge_admin) = (house.edge.clone(), house.edge_admin.clone());
    let near = Node { edge: &edge, admin: &edge_admin };
    let far = Node { edge: &other.edge, admin: &other.admin };
    let menu = menu_of(&house).await;
    let token = house.admin_token();

    // Both nodes and all levels of their functions hold the price before, fresh for seconds, each time.
    let mut delays = Vec::new();
    for price_minor in 700..700 + PRICE_CHANGES {
        tokio::join!(near.price_minor(&menu), far.price_minor(&menu));
        let (since, seq) = set_price(&house, &token, price_minor).await;
        let sees = |node| Node::sees(node, &menu, price_minor, seq, since);
        let (one, two) = tokio::join!(sees(&near), sees(&far));
        delays.extend([one, two]);
    }
    delays.sort();
    let median = delays[delays.len() / 2];
    let longest = delays[delays.len() - 1];
    println!("from acknowledgement to the new price: {median:?}, at most {longest:?}");

    cable.cut();
    far.admin.until_says("/readyz", "degraded: feed down").await;
    let (since, seq) = set_price(&house, &token, 800).await;
    near.sees(&menu, 800, seq, since).await;
    far.edge.get(&menu).await.expect(200);
    cable.mend();
    let mended = Instant::now();
    far.sees(&menu, 800, seq, mended).await;
    for name in ["edge_feed_missed_total", "edge_feed_resets_total"] {
        assert_eq!(far.admin.metric(name).await, 0, "it read what it had missed");
    }

    // Another ledger under the same name: nothing that was known holds.
    far.edge.get(&menu).await.expect(200);
    house.lose_the_ledger().await;
    for node in [&near, &far] {
        node.admin.metric_at_least("edge_feed_resets_total", 1).await;
        node.edge.get(&menu).await.problem(404, "store-not-found");
    }
}
