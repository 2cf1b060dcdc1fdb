//! Deals over the whole router.

use crate::app::testing::{NOW_MS, app};
use crate::catalog::testing::{Client, deal_row, file, rows};
use serde_json::json;
use tiffin_api::import::Row;
use tiffin_api::text::Lang;
use tiffin_api::token::Role;

const START_MS: i64 = NOW_MS + 60_000;
const END_MS: i64 = START_MS + 3_600_000;

#[tokio::test]
async fn a_countdown_changes_phase_to_the_millisecond() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    client.import(file(&rows("noodles"))).await;
    let list = client.get("/v1/deals?lang=zh").await;
    let deal = &list.json["deals"][0];
    assert_eq!((&deal["title"], &deal["currency"]), (&json!("叻沙时刻"), &json!("EUR")));
    let id = deal["id"].as_str().unwrap();
    let mut now_ms = NOW_MS;
    for (at_ms, phase) in [
        (NOW_MS, "WARMING"),
        (START_MS - 1, "WARMING"),
        (START_MS, "RUNNING"),
        (END_MS - 1, "RUNNING"),
        (END_MS, "ENDED"),
    ] {
        app.clock.advance(at_ms - now_ms);
        now_ms = at_ms;
        let countdown = client.get(&format!("/v1/deals/{id}/countdown")).await;
        assert_eq!(countdown.header("cache-control"), "no-store");
        assert_eq!(
            countdown.json,
            json!({
                "deal_id": id, "server_now_ms": at_ms, "start_ms": START_MS, "end_ms": END_MS,
                "phase": phase, "version": 1, "uncertainty_ms": 0,
            })
        );
    }
}

#[tokio::test]
async fn a_deal_leaves_the_list_an_hour_after_its_end_and_stays_readable() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    client.import(file(&rows("noodles"))).await;
    let id = client.get("/v1/deals").await.json["deals"][0]["id"].as_str().unwrap().to_owned();
    app.clock.advance(END_MS + 3_599_999 - NOW_MS);
    assert_eq!(client.get("/v1/deals").await.json["deals"].as_array().unwrap().len(), 1);
    app.clock.advance(1);
    let list = client.get("/v1/deals").await;
    assert_eq!(list.json, json!({ "deals": [] }));

    let deal = client.get(&format!("/v1/deals/{id}")).await;
    assert_eq!((deal.status, &deal.json["title"]), (200, &json!("Laksa hour")));
    let tag = deal.header("etag").to_owned();
    let again = client.get_with(&format!("/v1/deals/{id}"), &[("if-none-match", &tag)]).await;
    assert_eq!(again.status, 304);
}

#[tokio::test]
async fn each_deal_has_its_own_stores_currency_and_language() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let mut all = [rows("noodles"), rows("dumplings")].concat();
    let Row::Store(store) = &mut all[5] else { panic!("the second store") };
    (store.currency, store.lang) = ("CNY".parse().unwrap(), Lang::Zh);
    all.push(Row::Deal(deal_row("noodles", "pho-hour", "pho")));
    client.import(file(&all)).await;
    let list = client.get("/v1/deals").await;
    let shown: Vec<_> = list.json["deals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deal| (deal["currency"].as_str().unwrap(), deal["title"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, [("EUR", "Laksa hour"), ("EUR", "Laksa hour"), ("CNY", "叻沙时刻")]);
}

#[tokio::test]
async fn unknown_deals_are_404_and_may_be_remembered() {
    let app = app().await;
    let client = Client::of(&app, &[]);
    for path in ["/v1/deals/9", "/v1/deals/x", "/v1/deals/9/countdown", "/v1/deals/x/countdown"] {
        let reply = client.get(path).await;
        assert_eq!((reply.status, &reply.json["code"]), (404, &json!("deal-not-found")), "{path}");
        assert_eq!(reply.header("cache-control"), "public, max-age=5");
    }
    assert_eq!(client.get("/v1/deals?lang=xx").await.status, 400);
}

#[tokio::test]
async fn the_core_tells_its_own_time() {
    let app = app().await;
    let reply = Client::of(&app, &[]).get("/v1/time").await;
    assert_eq!(reply.json, json!({ "now_ms": NOW_MS, "uncertainty_ms": 0 }));
    assert_eq!(reply.header("cache-control"), "no-store");
}
