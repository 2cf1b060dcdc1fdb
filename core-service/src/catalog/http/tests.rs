//! The catalog's API over the whole router: languages, validators, imports and their refusals.

use crate::app::testing::{NOW_MS, app};
use crate::catalog::testing::{Client, category_row, file, item_row, rows, store_row};
use crate::limits;
use axum::body::{Body, Bytes};
use futures::stream;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tiffin_api::import::Row;
use tiffin_api::token::{Principal, Role};

const DAY_MS: i64 = 86_400_000;

async fn first_store(client: &Client) -> String {
    client.get("/v1/stores").await.json["stores"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_store_is_listed_read_and_shown_with_its_menu() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    assert_eq!(client.import(file(&rows("noodles"))).await.status, 200);

    let list = client.get("/v1/stores?lang=zh").await;
    assert_eq!((list.status, &list.json["stores"][0]["name"]), (200, &json!("面馆")));
    let id = list.json["stores"][0]["id"].as_str().unwrap();

    let store = client.get(&format!("/v1/stores/{id}?lang=en")).await;
    assert_eq!(store.json["name"], "Noodle House");
    assert_eq!(store.json["open"], true);
    assert_eq!(store.json["zones"][0]["fee_minor"], 250);

    let menu = client.get(&format!("/v1/stores/{id}/menu")).await;
    let laksa = &menu.json["categories"][0]["items"][0];
    assert_eq!((&laksa["price_minor"], &laksa["available"]), (&json!(1250), &json!(true)));
    assert_eq!(menu.json["valid_until_ms"], NOW_MS + 2 * 3_600_000);
    assert_eq!(
        menu.header("cache-control"),
        "public, max-age=5, stale-while-revalidate=60, stale-if-error=86400"
    );

    let evening_ms = NOW_MS + 6 * 3_600_000;
    let evening = client.get(&format!("/v1/stores/{id}/menu?at={evening_ms}")).await;
    let laksa = &evening.json["categories"][0]["items"][0];
    assert_eq!(laksa["unavailable"], "NOT_SERVED_NOW");
}

#[tokio::test]
async fn a_menu_that_has_not_changed_is_not_sent_again() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    client.import(file(&rows("noodles"))).await;
    let path = format!("/v1/stores/{}/menu", first_store(&client).await);
    let first = client.get(&path).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with("\"1-"), "{tag}");
    let again = client.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((again.status, again.header("etag")), (304, tag.as_str()));

    let mut laksa = item_row("noodles", "soups", "laksa");
    laksa.price_minor = 1_300;
    client.import(file(&[Row::Item(Box::new(laksa))])).await;
    let edited = client.get_with(&path, &[("if-none-match", &tag)]).await;
    assert_eq!((edited.status, &edited.json["version"]), (200, &json!(2)));
    let metrics = app.metrics.render();
    for count in ["{outcome=\"miss\"} 2", "{outcome=\"hit\"} 1"] {
        assert!(metrics.contains(&format!("tiffin_core_menu_reads_total{count}")), "{metrics}");
    }
}

#[tokio::test]
async fn the_language_is_the_parameter_then_the_header_then_the_stores_own() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    client.import(file(&rows("noodles"))).await;
    let path = format!("/v1/stores/{}", first_store(&client).await);
    for (query, header, expected, vary) in [
        ("?lang=zh-Hans", "en", "zh", ""),
        ("", "zh;q=0.9, fr", "zh", "accept-language"),
        ("", "fr", "en", "accept-language"),
        ("", "", "en", "accept-language"),
    ] {
        let reply =
            client.get_with(&format!("{path}{query}"), &[("accept-language", header)]).await;
        assert_eq!(reply.json["lang"], expected, "{query} {header}");
        assert_eq!(reply.header("content-language"), expected);
        assert_eq!(reply.header("vary"), vary, "{query} {header}");
    }
    for query in ["?lang=fr", "?lang=", "?at=soon", "?at=-1", "?at=99999999999999999"] {
        let reply = client.get(&format!("{path}{query}")).await;
        assert_eq!((reply.status, &reply.json["code"]), (400, &json!("bad-request")), "{query}");
        assert_eq!(reply.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn what_does_not_exist_may_be_remembered_for_a_moment() {
    let app = app().await;
    let client = Client::of(&app, &[]);
    for path in ["/v1/stores/5", "/v1/stores/5/menu", "/v1/stores/abc", "/v1/stores/05/menu"] {
        let reply = client.get(path).await;
        assert_eq!((reply.status, &reply.json["code"]), (404, &json!("store-not-found")), "{path}");
        assert_eq!(reply.header("cache-control"), "public, max-age=5", "{path}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
    }
}

#[tokio::test]
async fn pages_follow_their_cursor() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let all: Vec<_> = ["a", "b", "c"].iter().flat_map(|key| rows(key)).collect();
    client.import(file(&all)).await;
    let first = client.get("/v1/stores?limit=2").await;
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let second = client.get(&format!("/v1/stores?limit=2&cursor={cursor}")).await;
    assert_eq!(second.json["stores"].as_array().unwrap().len(), 1);
    assert_eq!(second.json["next_cursor"], Value::Null);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=x"] {
        assert_eq!(client.get(&format!("/v1/stores?{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn only_staff_may_import() {
    let app = app().await;
    let diner = Client::of(&app, &[Role::Diner]);
    let refused = diner.import(file(&rows("noodles"))).await;
    assert_eq!((refused.status, &refused.json["code"]), (403, &json!("forbidden")));
    let headers = [("content-type", "application/x-ndjson")];
    let nobody = diner.send("POST", "/v1/admin/import", &headers, "{}".into()).await;
    assert_eq!(nobody.status, 401);
    assert_eq!(diner.get("/v1/stores").await.json["stores"], json!([]));
}

#[tokio::test]
async fn a_body_is_not_read_before_its_head_is_in_order() {
    let app = app().await;
    let token = |role| {
        let user = tiffin_api::id::UserId::from_raw(7);
        format!("Bearer {}", app.keys.sign_token(&Principal::new(user, &[role]), NOW_MS, 900))
    };
    let client = Client::of(&app, &[]);
    for (role, media_type, status) in [
        (Role::Diner, "application/x-ndjson", 403),
        (Role::Admin, "application/json", 415),
        (Role::Admin, "application/x-ndjson", 422),
    ] {
        let was_read = Arc::new(AtomicBool::new(false));
        let marker = Arc::clone(&was_read);
        let body = Body::from_stream(stream::once(async move {
            marker.store(true, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(b"{}"))
        }));
        let token = token(role);
        let headers = [("content-type", media_type), ("authorization", token.as_str())];
        let reply = client.send("POST", "/v1/admin/import", &headers, body).await;
        assert_eq!(reply.status, status, "{}", reply.json);
        assert_eq!(was_read.load(Ordering::Relaxed), status == 422, "{status}");
    }
}

#[tokio::test]
async fn the_search_for_faults_ends() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let reply = client.import("x\n".repeat(limits::IMPORT_FAULTS + 500)).await;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("import-rejected")));
    assert_eq!(reply.json["detail"], "at least 1000 faults; the first 100 are listed");
    // References are searched as well: all of these name a store that is nowhere.
    let rows: Vec<_> = (0..limits::IMPORT_FAULTS + 500)
        .map(|n| Row::Category(category_row("noodles", &format!("c{n}"))))
        .collect();
    let reply = client.import(file(&rows)).await;
    assert_eq!(reply.json["detail"], "at least 1000 faults; the first 100 are listed");
}

#[tokio::test]
async fn a_file_has_a_bounded_number_of_rows() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let reply = client.import("x\n".repeat(limits::IMPORT_LINES + 1)).await;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("import-rejected")));
    let errors = reply.json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["detail"], "the file has more than 20000 rows; split it by store");
}

#[tokio::test]
async fn unknown_fields_are_errors_at_every_depth() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let sound = file(&rows("noodles"));
    for (what, with, line, pointer, detail) in [
        ("\"lng\":13.4}", "\"lng\":13.4,\"lon\":1}", 1, "", "unknown field `lon`"),
        (
            "\"duration_s\":3600}",
            "\"duration_s\":3600,\"end_ms\":9}",
            5,
            "/window",
            "a window has the fields start_ms and end_ms, or start_after_s and duration_s, and no \
             others",
        ),
        (
            "\"duration_s\":3600}",
            "\"duration_s\":3600,\"ends\":9}",
            5,
            "/window",
            "a window has the fields start_ms and end_ms, or start_after_s and duration_s, and no \
             others: unknown field `ends`",
        ),
    ] {
        assert!(sound.contains(what), "{what}");
        // Each of several places, alone.
        for (place, _) in sound.match_indices(what) {
            let body = sound[..place].to_owned() + with + &sound[place + what.len()..];
            let reply = client.import(body).await;
            let errors = reply.json["errors"].as_array().unwrap();
            assert_eq!(errors.len(), 1, "{errors:?}");
            let error = &errors[0];
            assert_eq!((&error["line"], &error["pointer"]), (&json!(line), &json!(pointer)));
            assert!(error["detail"].as_str().unwrap().starts_with(detail), "{error}");
        }
    }
}

#[tokio::test]
async fn a_bad_row_is_named_and_nothing_is_loaded() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let mut rows = rows("noodles");
    let Row::Item(item) = &mut rows[3] else { panic!("the fourth row is an item") };
    item.price_minor = -5;
    rows.push(Row::Category(category_row("dumplings", "steamed")));
    let reply = client.import(file(&rows)).await;
    assert_eq!((reply.status, &reply.json["code"]), (422, &json!("import-rejected")));
    let errors = reply.json["errors"].as_array().unwrap();
    let places: Vec<_> = errors.iter().map(|error| (&error["line"], &error["pointer"])).collect();
    assert_eq!(
        places,
        [(&json!(4), &json!("/price_minor")), (&json!(6), &json!("/store"))],
        "{errors:?}"
    );
    assert_eq!(client.get("/v1/stores").await.json["stores"], json!([]));
}

#[tokio::test]
async fn a_very_bad_file_names_the_first_lines_and_counts_the_rest() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let reply = client.import("x\n".repeat(limits::IMPORT_ERRORS_LISTED + 7)).await;
    assert_eq!(reply.json["errors"].as_array().unwrap().len(), limits::IMPORT_ERRORS_LISTED);
    assert_eq!(reply.json["detail"], "107 faults; the first 100 are listed, 7 more are not");
    let empty = client.import("\n").await;
    assert_eq!((empty.status, &empty.json["code"]), (422, &json!("import-rejected")));
}

#[tokio::test]
async fn an_import_has_its_own_limit_and_media_type() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let padding = " ".repeat(limits::BODY_BYTES + 1);
    let large = client.import(format!("{}{padding}", file(&rows("noodles")))).await;
    assert_eq!(large.status, 200, "an import may be larger than other bodies");
    let too_large = client.import(" ".repeat(limits::IMPORT_BODY_BYTES + 1)).await;
    assert_eq!((too_large.status, &too_large.json["code"]), (413, &json!("body-too-large")));

    let token = app.keys.sign_token(
        &Principal::new(tiffin_api::id::UserId::from_raw(7), &[Role::Admin]),
        NOW_MS,
        900,
    );
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let reply = client.send("POST", "/v1/admin/import", &headers, "{}".into()).await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn imports_at_the_same_time_make_one_store() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let body = file(&rows("noodles"));
    let (one, two) = tokio::join!(client.import(body.clone()), client.import(body));
    let created = [&one, &two].map(|reply| reply.json["stores"]["created"].as_u64().unwrap());
    assert_eq!(created.iter().sum::<u64>(), 1, "{} {}", one.json, two.json);
    assert_eq!(client.get("/v1/stores").await.json["stores"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_answer_holds_until_the_first_store_opens_or_closes() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let mut cafe = store_row("cafe");
    cafe.hours[0].to = "18:00".to_owned(); // 17:00Z, five hours from now
    client
        .import(file(&[Row::Store(Box::new(cafe)), Row::Store(Box::new(store_row("bar")))]))
        .await;
    let list = client.get("/v1/stores").await;
    assert_eq!(list.json["valid_until_ms"], NOW_MS + 5 * 3_600_000);
    let tomorrow = client.get(&format!("/v1/stores?at={}", NOW_MS + DAY_MS)).await;
    assert_eq!(tomorrow.json["valid_until_ms"], NOW_MS + DAY_MS + 5 * 3_600_000);
}
