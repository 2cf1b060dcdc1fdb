//! Requests under an Idempotency-Key: tried with the same key until a definitive answer, through restarts.
//!
//! Definitive is what a client may believe for good: any answer but those that say "later" (5xx, 429, a problem
//! with `retryable`) and those that never came.

use crate::limits;
use bytes::Bytes;
use core_service::idempotency::Keyed;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tiffin_api::id::UserId;
use tiffin_api::problem::{ErrorCode, Problem};
use tiffin_fixtures::random::Random;

/// A diner with a token.
#[derive(Debug, Clone)]
pub struct Diner {
    /// Who.
    pub id: UserId,
    /// The bearer token.
    pub token: Arc<str>,
}

/// A POST that can be repeated byte for byte.
#[derive(Debug, Clone)]
pub struct Call {
    /// Who sends it.
    pub diner: Diner,
    /// Where to.
    pub path: String,
    /// Its Idempotency-Key.
    pub key: String,
    /// Its JSON.
    pub body: Bytes,
}

impl Call {
    /// Under which scope the core records its answer.
    pub fn scope(&self) -> String {
        Keyed::new(self.diner.id, &self.path, &self.key, &self.body).scope
    }
}

/// An answer, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The problem's code, if it is one.
    pub fn code(&self) -> Option<ErrorCode> {
        self.problem().map(|problem| problem.code)
    }

    fn problem(&self) -> Option<Problem> {
        if self.status < 400 { None } else { serde_json::from_slice(&self.body).ok() }
    }

    /// SHA-256 of the body.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.body).into()
    }

    /// The status and the beginning of the body, for people.
    pub fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        format!("{} {}", self.status, text.chars().take(240).collect::<String>())
    }
}

/// Why an answer is not definitive; `None` if it is.
pub fn why_again(answer: &Answer) -> Option<&'static str> {
    match answer.status {
        429 => Some("429"),
        500 => Some("500"),
        503 => Some("503"),
        501.. => Some("other 5xx"),
        _ if answer.problem().is_some_and(|problem| problem.retryable) => Some("in flight"),
        _ => None,
    }
}

/// A definitive answer and how it came.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The answer.
    pub answer: Answer,
    /// When the try that brought it began.
    pub began: Instant,
}

/// Speaks to the core; cheap to clone.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    base: Arc<str>,
    retries: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    defects: Arc<Mutex<Vec<String>>>,
}

impl Http {
    /// Speaks to the core at that address.
    pub fn new(address: SocketAddr) -> reqwest::Result<Self> {
        let client =
            reqwest::Client::builder().no_proxy().timeout(limits::ANSWER_WITHIN).build()?;
        let base = format!("http://{address}").into();
        Ok(Self { client, base, retries: Arc::default(), defects: Arc::default() })
    }

    /// GET with a token.
    pub async fn get(&self, path: &str, token: &str) -> reqwest::Result<Answer> {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(token);
        read(request).await
    }

    /// Sends a call once, and hangs up after `patience`.
    pub async fn once(&self, call: &Call, patience: Duration) -> reqwest::Result<Answer> {
        let request = self.client.post(format!("{}{}", self.base, call.path)).timeout(patience);
        let request = request.bearer_auth(&call.diner.token).header("idempotency-key", &call.key);
        read(request.header("content-type", "application/json").body(call.body.clone())).await
    }

    /// Sends a call until there is a definitive answer; `None` if there is none in time.
    pub async fn settle(&self, call: &Call, random: &mut Random) -> Option<Settled> {
        let deadline = Instant::now() + limits::RETRY_WITHIN;
        while Instant::now() < deadline {
            let began = Instant::now();
            let why = match self.once(call, limits::ANSWER_WITHIN).await {
                Ok(answer) => match why_again(&answer) {
                    None => return Some(Settled { answer, began }),
                    Some(why) => {
                        self.note_defect(call, &answer);
                        why
                    }
                },
                Err(error) if error.is_timeout() => "time-out",
                Err(error) if error.is_connect() => "no connection",
                Err(_) => "connection lost",
            };
            *self.locked_retries().entry(why).or_default() += 1;
            let pause_ms = random.within(limits::RETRY_PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        None
    }

    /// A 500 says "defect", and a program does not retry it. We do, and remember.
    fn note_defect(&self, call: &Call, answer: &Answer) {
        if answer.status == 500 {
            let mut defects = self.defects.lock().unwrap_or_else(PoisonError::into_inner);
            defects.push(format!("POST {} answered {}", call.path, answer.shown()));
        }
    }

    /// Answers that blamed a defect.
    pub fn defects(&self) -> Vec<String> {
        self.defects.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tries that were not the last of their call, by reason.
    pub fn retries(&self) -> BTreeMap<&'static str, u64> {
        self.locked_retries().clone()
    }

    fn locked_retries(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    Ok(Answer { status, body: response.bytes().await? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: ErrorCode) -> Answer {
        let body = serde_json::to_vec(&Problem::new(code, "")).unwrap().into();
        Answer { status: code.status(), body }
    }

    #[test]
    fn only_what_says_later_is_asked_again() {
        for (answer, why) in [
            (Answer { status: 201, body: "{}".into() }, None),
            (refusal(ErrorCode::OutOfStock), None),
            (refusal(ErrorCode::OrderNotFound), None),
            (refusal(ErrorCode::IdempotencyInFlight), Some("in flight")),
            (refusal(ErrorCode::Unavailable), Some("503")),
            (refusal(ErrorCode::Internal), Some("500")),
            (Answer { status: 429, body: Bytes::new() }, Some("429")),
            (Answer { status: 502, body: "no JSON".into() }, Some("other 5xx")),
        ] {
            assert_eq!(why_again(&answer), why, "{}", answer.shown());
        }
    }
}
