//! Pages of other origins.

use edge_node::{CorsOptions, limits};
use http::{HeaderMap, Request, StatusCode};

use crate::common::{guests, start, start_as};

fn names(headers: &HeaderMap) -> Vec<&str> {
    let names = headers.keys().map(http::HeaderName::as_str);
    names.filter(|name| name.starts_with("access-control-")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_configured_origins_no_page_is_told_anything() {
    let node = start(&guests(&[("a", "")])).await;
    for method in ["GET", "OPTIONS"] {
        let request = Request::builder().method(method).uri(node.url("/a/ok"));
        let request = request.header("origin", "https://shop.example");
        let answer = node.send(request.header("access-control-request-method", "PUT"), "").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(names(&answer.headers).is_empty(), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_origins_may_ask_and_read_and_others_may_not() {
    let origins = vec!["https://shop.example".to_owned(), "http://localhost:5173".to_owned()];
    let node =
        start_as(&guests(&[("a", "")]), |options| options.cors = CorsOptions { origins }).await;
    for (origin, allowed) in [
        ("https://shop.example", true),
        ("http://localhost:5173", true),
        ("https://shop.example:8443", false),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let told = allowed.then_some(origin);
        let answer = node.send(Request::get(node.url("/a/ok")).header("origin", origin), "").await;
        let says = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(says("access-control-allow-origin"), told, "{origin}");
        assert_eq!(says("access-control-expose-headers").is_some(), allowed, "{origin}");
        assert_eq!(says("access-control-allow-credentials"), None);
        assert!(says("vary").unwrap().contains("Origin"), "{origin}");
        assert_eq!(answer.body, "ok");

        let preflight = Request::options(node.url("/a/ok")).header("origin", origin);
        let preflight = preflight.header("access-control-request-method", "PUT");
        let preflight = preflight.header("access-control-request-headers", "x-evil, authorization");
        let answer = node.send(preflight, "").await;
        let says = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(says("access-control-allow-origin"), told, "{origin}");
        let methods = says("access-control-allow-methods");
        assert_eq!(methods, allowed.then_some("PUT"), "{origin}");
        let headers = says("access-control-allow-headers");
        assert_eq!(headers, allowed.then_some("authorization"), "{origin}");
        let max_age_s = limits::CORS_MAX_AGE.as_secs().to_string();
        assert_eq!(says("access-control-max-age"), allowed.then_some(&*max_age_s), "{origin}");
        if allowed {
            assert_eq!((answer.status, &*answer.body), (StatusCode::NO_CONTENT, ""));
        }
    }
    let answer = node.get("/a/ok").await;
    assert!(names(&answer.headers).is_empty(), "{answer:?}");
    let preflight = Request::options(node.url("/nowhere")).header("origin", "https://shop.example");
    let preflight = preflight.header("access-control-request-method", "PUT");
    assert_eq!(node.send(preflight, "").await.code(), "route-not-found");
}
