//! The two routes, for a host of `wasi:http` 0.3.

use crate::MENU;
use crate::render::render;
use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{EmptyBody, FullBody, Request, Response, Result, StatusCode};
use spin_sdk::http_service;

type Answer = Response<FullBody<Bytes>>;

#[http_service]
async fn handle(request: Request) -> Result<Answer> {
    match request.uri().path() {
        "/render" => {
            let language = if request.uri().query() == Some("lang=zh") { "zh" } else { "en" };
            let html = render(MENU, language).map_err(|error| error.to_string())?;
            // A length, so that no host has to send it in chunks.
            Ok(Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .header("content-length", html.len())
                .body(FullBody::new(Bytes::from(html)))?)
        }
        path if path.starts_with("/origin/") => pass_on(&request).await,
        path => {
            let body = format!("nothing is served at {path}");
            let mut answer = Response::new(FullBody::new(Bytes::from(body)));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            Ok(answer)
        }
    }
}

/// Asks the origin for the same target and passes its answer on.
async fn pass_on(request: &Request) -> Result<Answer> {
    let origin = std::env::var("ORIGIN").map_err(|error| error.to_string())?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut outbound = Request::new(EmptyBody::new());
    *outbound.uri_mut() = format!("{origin}{target}").parse().map_err(|_| "ORIGIN is no URL")?;
    // So that a cache in front can have what it holds confirmed.
    if let Some(held) = request.headers().get("if-none-match") {
        outbound.headers_mut().insert("if-none-match", held.clone());
    }
    let (head, body) = spin_sdk::http::send(outbound).await?.into_parts();
    let mut answer = Response::new(FullBody::new(body.bytes().await?));
    *answer.status_mut() = head.status;
    for name in ["cache-control", "content-length", "content-type", "etag", "surrogate-key"] {
        if let Some(value) = head.headers.get(name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    Ok(answer)
}
