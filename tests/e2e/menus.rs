//! Stores and menus at the edge: languages, validators, and ids that do not exist.

use tiffin_tests::{House, LoneEdge, text};

#[tokio::test]
async fn menus_come_in_both_languages_with_validators() {
    let house = House::start().await;
    let stores = house.edge.get("/v1/stores?lang=en&limit=100").await.expect(200);
    let stores = stores["stores"].as_array().unwrap();
    assert!(stores.len() >= 12);
    let path = format!("/v1/stores/{}/menu", text(&stores[0]["id"]));

    let english = house.edge.get(&format!("{path}?lang=en")).await;
    let chinese = house.edge.get(&format!("{path}?lang=zh")).await;
    assert_ne!(english.bytes, chinese.bytes);
    let request = house.edge.request("GET", &path).header("accept-language", "zh-CN,en;q=0.5");
    let negotiated = house.edge.send(request).await;
    assert_eq!(negotiated.bytes, chinese.bytes);
    assert_eq!(negotiated.header("content-language"), "zh");
    assert!(negotiated.header("vary").to_lowercase().contains("accept-language"));

    let tag = english.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a strong validator: {tag}");
    let again = house.edge.request("GET", &format!("{path}?lang=en")).header("if-none-match", &tag);
    let unchanged = house.edge.send(again).await;
    assert_eq!((unchanged.status, unchanged.bytes.len()), (304, 0));
    assert_eq!(unchanged.header("etag"), tag);
    let head = house.edge.send(house.edge.request("HEAD", &format!("{path}?lang=en"))).await;
    assert_eq!((head.status, head.bytes.len(), head.header("etag")), (200, 0, tag.as_str()));
    assert!(head.header("cache-status").contains("hit"), "{:?}", head.headers);

    house.edge.get(&format!("{path}?lang=xx")).await.problem(400, "bad-request");
}

#[tokio::test]
async fn a_thousand_asks_for_what_does_not_exist_reach_the_core_once() {
    let house = House::start().await;
    // One that has no feed, and so nothing by which to deny ids.
    let lone = LoneEdge::start(house.core.port).await;
    for id in ["424242", "434343"] {
        let path = format!("/v1/stores/{id}");
        let asks = (0..500).map(|_| lone.edge.get(&path));
        for reply in futures::future::join_all(asks).await {
            reply.problem(404, "store-not-found");
        }
    }
    for _ in 0..500 {
        lone.edge.get("/v1/stores/424242").await.problem(404, "store-not-found");
    }
    lone.edge.get("/v1/stores/not-an-id").await.problem(404, "store-not-found");
    let metrics = String::from_utf8(house.core.get("/metrics").await.bytes).unwrap();
    let misses = metrics
        .lines()
        .filter(|line| {
            line.contains("route=\"/v1/stores/{id}\"") && line.contains("status=\"404\"")
        })
        .find_map(|line| line.rsplit(' ').next())
        .expect("the core was asked");
    assert_eq!(misses, "2", "once per id");
}
