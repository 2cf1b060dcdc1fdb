//! Countdowns: the right phase to the millisecond, with the core gone.

use serde_json::json;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tiffin_tests::{House, text};

/// How long the deal of the test runs, ms.
const RUNS_MS: i64 = 1_500;
/// From its import to its start, ms: room to stop the core before.
const STARTS_AFTER_MS: i64 = 6_000;

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

#[tokio::test]
async fn phases_change_on_time_while_the_core_is_gone() {
    let mut house = House::start().await;
    let (start_ms, end_ms) = (now_ms() + STARTS_AFTER_MS, now_ms() + STARTS_AFTER_MS + RUNS_MS);
    let (store, item) = first_item_refs();
    house
        .import_rows(&[json!({
            "kind": "deal", "store": store, "ref": "brief", "item": item,
            "title": {"en": "Brief", "zh": "短暂"}, "price_minor": 100,
            "window": {"start_ms": start_ms, "end_ms": end_ms},
        })])
        .await;
    let deals = house.core.get("/v1/deals?lang=en").await.expect(200);
    let brief = deals["deals"].as_array().unwrap().iter().find(|deal| deal["title"] == "Brief");
    let path = format!("/v1/deals/{}/countdown", text(&brief.unwrap()["id"]));
    house.edge.get(&path).await.expect(200);
    house.stop_core();

    let mut phases = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let asked_ms = now_ms();
        let reply = house.edge.get(&path).await;
        let answered_ms = now_ms();
        let countdown = reply.expect(200);
        assert_eq!(reply.header("cache-control"), "no-store");
        let server_now_ms = countdown["server_now_ms"].as_i64().unwrap();
        let phase = text(&countdown["phase"]).to_owned();
        let expected = match server_now_ms {
            now if now < start_ms => "WARMING",
            now if now < end_ms => "RUNNING",
            _ => "ENDED",
        };
        assert_eq!(phase, expected, "at {server_now_ms}, window [{start_ms}, {end_ms})");
        // One machine, one clock: the edge's now lies between the question and the answer, give or take
        // what it admits and the rounding to milliseconds.
        let slack_ms = countdown["uncertainty_ms"].as_i64().unwrap() + 1;
        let window = asked_ms - slack_ms..=answered_ms + slack_ms;
        assert!(window.contains(&server_now_ms), "{countdown} not in {window:?}");
        if phases.last() != Some(&phase) {
            phases.push(phase.clone());
        }
        if phase == "ENDED" {
            break;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(phases, ["WARMING", "RUNNING", "ENDED"]);
    let time = house.edge.get("/v1/time").await.expect(200);
    assert!((time["now_ms"].as_i64().unwrap() - now_ms()).abs() < 1_000);
    house.edge.get("/v1/deals").await;
}

/// The first item of the demo city and its store, by their refs.
fn first_item_refs() -> (String, String) {
    let city = std::fs::read_to_string(tiffin_tests::workspace().join("infra/demo-city.jsonl"));
    let rows = city.unwrap();
    let mut rows =
        rows.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let item = rows.find(|row| row["kind"] == "item").unwrap();
    (text(&item["store"]).to_owned(), text(&item["ref"]).to_owned())
}

#[tokio::test]
async fn deals_are_listed_and_unknown_ones_are_not_found() {
    let house = House::start().await;
    let deals = house.edge.get("/v1/deals?lang=zh").await.expect(200);
    let deals = deals["deals"].as_array().unwrap();
    assert!(deals.len() >= 4);
    let one = house.edge.get(&format!("/v1/deals/{}?lang=zh", text(&deals[0]["id"]))).await;
    assert_eq!(&one.expect(200), &deals[0]);
    house.edge.get("/v1/deals/424242").await.problem(404, "deal-not-found");
    house.edge.get("/v1/deals/424242/countdown").await.problem(404, "deal-not-found");
}
