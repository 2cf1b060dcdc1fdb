//! The Spin adapter.

use crate::auth::{self, Refusal};
use crate::limits::{BODY_MAX_BYTES, CONNECT_TIMEOUT_MS, FIRST_BYTE_TIMEOUT_MS};
use crate::route::{self, Access, Route};
use crate::{headers, logic};
use http::request::Parts;
use spin_sdk::http::{IncomingMessage, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http_compat::IncomingBody;
use std::sync::atomic::{AtomicI64, Ordering};
use tiffin_api::token::TokenError;
use tiffin_kit::answer::Answer;
use tiffin_kit::spin::core::{self, CoreRequest};
use tiffin_kit::spin::{HostResponse, fetch, now_ms, read_body, respond, traceparent};

/// When the key set was last fetched for the sake of an unknown key, ms since the epoch.
static REFETCHED_AT_MS: AtomicI64 = AtomicI64::new(0);

#[http_service]
async fn handle(request: Request) -> HostResponse {
    let (request, body) = request.into_parts();
    let answer = answer(&request, body).await.unwrap_or_else(|refusal| *refusal);
    respond(&request, answer)
}

async fn answer<M: IncomingMessage>(
    request: &Parts,
    body: IncomingBody<M>,
) -> Result<Answer, Box<Answer>> {
    let Route { target, access } = route::route(&request.method, &request.uri)?;
    headers::check(&request.headers)?;
    if access == Access::Token {
        authenticate(request).await?;
    }
    let body = read_body(body, BODY_MAX_BYTES)
        .await
        .map_err(|error| Box::new(error.into_answer(BODY_MAX_BYTES)))?;

    let outbound = CoreRequest {
        method: request.method.clone(),
        target,
        headers: headers::to_core(&request.headers),
        body,
        connect_timeout_ms: CONNECT_TIMEOUT_MS,
        first_byte_timeout_ms: FIRST_BYTE_TIMEOUT_MS,
    };
    let answer = match core::send(outbound).await {
        Ok(response) => logic::pass_back(response.status, &response.headers, response.body),
        Err(_) => None,
    };
    Ok(answer.unwrap_or_else(|| logic::unavailable(&request.method, &request.headers)))
}

async fn authenticate(request: &Parts) -> Result<(), Box<Answer>> {
    let token = auth::token(&request.headers)?;
    let wanted = auth::keys_wanted(traceparent(&request.headers));
    let keys = fetch::fetch(&auth::KEYS, wanted.clone()).await.map_err(no_keys)?;
    let verified = match auth::verify(&keys.entry, token, now_ms()) {
        Err(Refusal::Token(TokenError::UnknownKey)) if take_refetch(now_ms()) => {
            let keys = fetch::refetch(&auth::KEYS, &wanted).await.map_err(no_keys)?;
            auth::verify(&keys.entry, token, now_ms())
        }
        verified => verified,
    };
    verified.map_err(|refusal| Box::new(refusal.into_answer()))
}

fn no_keys(_: Box<Answer>) -> Box<Answer> {
    Box::new(Refusal::NoKeys.into_answer())
}

fn take_refetch(now_ms: i64) -> bool {
    let may = auth::may_refetch(REFETCHED_AT_MS.load(Ordering::Relaxed), now_ms);
    if may {
        REFETCHED_AT_MS.store(now_ms, Ordering::Relaxed);
    }
    may
}
