//! The Spin adapter.

use crate::auth::{self, Refusal};
use crate::budget::{Budget, Patience};
use crate::limits::BODY_MAX_BYTES;
use crate::route::{self, Access, Route};
use crate::{headers, logic};
use http::request::Parts;
use spin_sdk::http::{IncomingMessage, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http_compat::IncomingBody;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;
use tiffin_api::token::TokenError;
use tiffin_kit::answer::Answer;
use tiffin_kit::spin::core::{self, CoreRequest};
use tiffin_kit::spin::{HostResponse, fetch, now_ms, read_body, respond, traceparent, within};

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
    let mut budget = Budget::new();
    if access == Access::Token {
        authenticate(request, &mut budget).await?;
    }
    let body = read_body(body, BODY_MAX_BYTES)
        .await
        .map_err(|error| Box::new(error.into_answer(BODY_MAX_BYTES)))?;

    let unavailable = || logic::unavailable(&request.method, &request.headers);
    let Some(Patience { connect_ms, first_byte_ms, total_ms }) = budget.patience() else {
        return Ok(unavailable());
    };
    let outbound = CoreRequest {
        method: request.method.clone(),
        target,
        headers: headers::to_core(&request.headers),
        body,
        connect_timeout_ms: connect_ms,
        first_byte_timeout_ms: first_byte_ms,
        total_timeout_ms: total_ms,
    };
    let answer = match core::send(outbound).await {
        Ok(response) => logic::pass_back(response.status, &response.headers, response.body),
        Err(_) => None,
    };
    Ok(answer.unwrap_or_else(unavailable))
}

/// Checks the request's token as far as it can be checked here, and takes the time out of the budget.
async fn authenticate(request: &Parts, budget: &mut Budget) -> Result<(), Box<Answer>> {
    let token = auth::token(&request.headers)?;
    let wanted = auth::keys_wanted(traceparent(&request.headers));
    let Some(keys) = spending(budget, fetch::fetch(&auth::KEYS, wanted.clone())).await else {
        return Err(Box::new(Refusal::NoKeys.into_answer()));
    };
    let verified = match auth::verify(&keys.entry, token, now_ms()) {
        Err(Refusal::Token(TokenError::UnknownKey)) => {
            let keys = if take_refetch(now_ms()) {
                spending(budget, fetch::refetch(&auth::KEYS, &wanted)).await
            } else {
                None
            };
            auth::judge_unknown(keys.map(|keys| auth::verify(&keys.entry, token, now_ms())))
        }
        verified => verified,
    };
    verified.map_err(|refusal| Box::new(refusal.into_answer()))
}

/// Fetches within what is left of the budget. `None` if that did not do, whatever the reason.
async fn spending<T, E>(
    budget: &mut Budget,
    fetching: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    let Patience { total_ms, .. } = budget.patience()?;
    let started = Instant::now();
    let fetched = within(total_ms, fetching).await;
    budget.spend(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    fetched?.ok()
}

fn take_refetch(now_ms: i64) -> bool {
    let may = auth::may_refetch(REFETCHED_AT_MS.load(Ordering::Relaxed), now_ms);
    if may {
        REFETCHED_AT_MS.store(now_ms, Ordering::Relaxed);
    }
    may
}
