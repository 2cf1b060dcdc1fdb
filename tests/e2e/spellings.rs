//! However a path is spelled, it is one resource: what was purged is not found under another spelling of it.

use serde_json::{Value, json};
use tiffin_tests::{Client, House, LoneEdge, text};

/// The dish whose price changes, and its store.
const DISH: &str = "Chicken soup for late nights";
const STORE: &str = "Kiez Night Kitchen";

async fn load_price(house: &House, price_minor: i64) {
    let row = json!({
        "kind": "item", "store": "kiez-nachtkueche", "ref": "chicken-soup", "category": "all-hours",
        "name": {"en": DISH, "zh": "深夜鸡汤"}, "price_minor": price_minor, "tax_class": "food", "stock": 5000,
    });
    house.import_rows(&[row]).await;
}

/// The price in a menu; none if the path is no menu's.
async fn price_minor(edge: &Client, token: &str, path: &str) -> Option<i64> {
    let reply = edge.send(edge.request("GET", path).bearer_auth(token)).await;
    if matches!(reply.status, 400 | 404) {
        return None;
    }
    let menu: Value = reply.expect(200);
    let categories = menu["categories"].as_array().unwrap().iter();
    let mut items = categories.flat_map(|category| category["items"].as_array().unwrap());
    let item = items.find(|item| item["name"] == DISH).expect("the dish");
    item["price_minor"].as_i64()
}

/// The same path with every n-th letter escaped, from the k-th on.
fn respelled(path: &str, n: usize, k: usize) -> String {
    let spell = |(at, byte): (usize, u8)| match byte {
        b'/' => "/".to_owned(),
        _ if at % n == k => format!("%{byte:02x}"),
        _ => char::from(byte).to_string(),
    };
    path.bytes().enumerate().map(spell).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_reaches_every_spelling_of_a_path() {
    let house = House::start().await;
    let token = house.token(tiffin_tests::DINER);
    // Without a feed: nothing but the purge takes out what is old.
    let lone = LoneEdge::start(house.core.port).await;
    load_price(&house, 710).await;
    let stores = lone.edge.get("/v1/stores?lang=en&limit=100").await.expect(200);
    let mut stores = stores["stores"].as_array().unwrap().iter();
    let id =
        text(&stores.find(|store| store["name"] == STORE).expect("the store")["id"]).to_owned();
    let menu = format!("/v1/stores/{id}/menu");

    let mut paths = vec![format!("{menu}?lang=en")];
    paths.extend((2..7).map(|n| format!("{}?lang=en", respelled(&menu, n, n / 2))));
    paths.extend([
        format!("{menu}?lang=%65n"),
        format!("{menu}?l%61ng=en"),
        format!("{menu}?lang=en&x=1"),
        format!("{menu}/?lang=en"),
        format!("/v1/stores//{id}/menu?lang=en"),
        format!("/v1/stores%2F{id}/menu?lang=en"),
    ]);
    for path in &paths {
        for _ in 0..2 {
            let seen = price_minor(&lone.edge, &token, path).await;
            assert!(seen.is_none_or(|seen| seen == 710), "{path}: {seen:?}");
        }
    }
    let same = respelled(&menu, 3, 1);
    let kept = lone.edge.get(&format!("{same}?lang=en")).await;
    assert!(kept.header("cache-status").contains("hit"), "{same}: {:?}", kept.headers);

    load_price(&house, 940).await;
    let order = json!({"tags": [format!("store:{id}"), format!("menu:{id}"), "stores"]});
    let purge = lone.admin.request("POST", "/purge").json(&order);
    assert_eq!(lone.admin.send(purge).await.status, 204);
    for path in &paths {
        let seen = price_minor(&lone.edge, &token, path).await;
        assert!(seen.is_none_or(|seen| seen == 940), "{path}: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edge_and_core_refuse_what_has_no_one_spelling_and_read_the_rest_alike() {
    let house = House::start().await;
    for door in [&house.edge, &house.core] {
        for path in ["/v1%2Fstores", "/v1/stores/%00", "/v1/%ff", "/v1/a%5cb"] {
            let reply = door.get(path).await;
            reply.problem(400, "bad-request");
        }
        door.get("/%761/st%6Fres?limit=1").await.expect(200);
    }
}
