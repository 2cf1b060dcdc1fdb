//! A retry gets the first answer, and one effect is all there ever is.

use crate::support::{Core, DINER};
use serde_json::json;
use tiffin_api::token::Role;

#[tokio::test]
async fn a_retry_gets_the_same_bytes_and_makes_no_second_order() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let post = || core.order_under("k", &basket);
    let first = post().await;
    first.expect(201);
    assert!(!first.headers.contains_key("idempotent-replayed"));
    let second = post().await;
    assert_eq!((second.status, &second.bytes), (201, &first.bytes));
    assert_eq!(second.headers["idempotent-replayed"], "true");
    assert_eq!(core.count("SELECT COUNT(*) FROM orders").await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let core = Core::start().await;
    let (one, two) = (core.basket("Tea", 1, &[]).await, core.basket("Tea", 2, &[]).await);
    core.order_under("k", &one).await.expect(201);
    let reused = core.order_under("k", &two).await;
    reused.problem(422, "idempotency-key-reused");
    assert_eq!(core.count("SELECT COUNT(*) FROM orders").await, 1);
}

#[tokio::test]
async fn the_body_of_a_move_belongs_to_its_key() {
    let core = Core::start().await;
    let order = core.tea_order().await;
    let path = format!("/v1/orders/{}/cancel", order["id"].as_str().unwrap());
    let post = |body| {
        let (core, path) = (&core, &path);
        async move { core.post_as(DINER, &[Role::Diner], path, "k", &body).await }
    };
    post(json!({})).await.expect(200);
    post(json!({})).await.expect(200);
    post(json!({"a": 1})).await.problem(422, "idempotency-key-reused");
}

#[tokio::test]
async fn a_key_belongs_to_one_user_and_one_route() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let post = |user| core.post_as(user, &[Role::Diner], "/v1/orders", "k", &basket);
    let (mine, theirs) = (post(DINER).await.expect(201), post(2002).await.expect(201));
    assert_ne!(mine["id"], theirs["id"]);
    let path = format!("/v1/orders/{}/cancel", mine["id"].as_str().unwrap());
    let closed = core.post_as(DINER, &[Role::Diner], &path, "k", &json!({})).await.expect(200);
    assert_eq!(closed["state"], "CLOSED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_make_one_order() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let posts = (0..50).map(|_| core.order_under("k", &basket));
    let replies = futures::future::join_all(posts).await;
    let placed: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert!(!placed.is_empty());
    assert!(placed.iter().all(|reply| reply.bytes == placed[0].bytes));
    for waiting in replies.iter().filter(|reply| reply.status != 201) {
        waiting.problem(409, "idempotency-in-flight");
        assert!(waiting.headers.contains_key("retry-after"));
    }
    assert_eq!(core.count("SELECT COUNT(*) FROM orders").await, 1);
    let again = core.order_under("k", &basket).await;
    assert_eq!(again.bytes, placed[0].bytes);
}

#[tokio::test]
async fn keys_are_required_and_bounded() {
    let core = Core::start().await;
    let basket = core.basket("Tea", 1, &[]).await;
    let bare = core
        .request("POST", "/v1/orders")
        .bearer_auth(core.token(DINER, &[Role::Diner]))
        .json(&basket);
    crate::support::reply(bare).await.problem(400, "idempotency-key-missing");
    let long = "k".repeat(256);
    for key in ["", "two words", &long] {
        let reply = core.order_under(key, &basket).await;
        reply.problem(400, "idempotency-key-invalid");
    }
    core.order_under(&long[..255], &basket).await.expect(201);
}

#[tokio::test]
async fn a_conflict_is_remembered_and_a_validation_error_is_not() {
    let core = Core::start().await;
    let two_buns = core.basket("Last bun", 2, &[]).await;
    let first = core.order_under("k", &two_buns).await;
    first.problem(409, "out-of-stock");
    let replayed = core.order_under("k", &two_buns).await;
    assert_eq!(replayed.bytes, first.bytes);
    assert_eq!(replayed.headers["idempotent-replayed"], "true");

    let wrong = core.basket("Ramen", 1, &[]).await;
    core.order_under("other", &wrong).await.problem(422, "modifier-invalid");
    let mended = core.basket("Ramen", 1, &["large"]).await;
    core.order_under("other", &mended).await.expect(201);
}
