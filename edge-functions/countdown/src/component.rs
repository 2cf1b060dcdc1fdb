//! The Spin adapter.

use crate::clock::{CoreClock, Instant, Need, Reading, Sample};
use crate::logic::{self, Plan};
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use spin_sdk::http::Request;
use spin_sdk::http_service;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use tiffin_api::time::TimeAnswer;
use tiffin_kit::answer::Answer;
use tiffin_kit::limits::{
    CORE_CONNECT_TIMEOUT_MS, READ_FIRST_BYTE_TIMEOUT_MS, READ_TOTAL_TIMEOUT_MS,
};
use tiffin_kit::spin::core::{self, CoreRequest};
use tiffin_kit::spin::{HostResponse, fetch, now_ms, respond, store, traceparent};

/// The key under which the best sample waits for the next instance.
const SAMPLE_KEY: &str = "tiffin-countdown:clock";

static CLOCK: Mutex<CoreClock> = Mutex::new(CoreClock::new());
static STARTED: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

#[http_service]
async fn handle(request: Request) -> HostResponse {
    let (request, _body) = request.into_parts();
    let answer = answer(&request).await.unwrap_or_else(|refusal| *refusal);
    respond(&request, answer)
}

async fn answer(request: &Parts) -> Result<Answer, Box<Answer>> {
    let plan = logic::plan(request)?;
    let fetched = match plan.wanted(traceparent(&request.headers)) {
        Some(wanted) => Some(fetch::fetch(&logic::POLICY, wanted).await?),
        None => None,
    };
    Ok(match (plan, fetched) {
        (Plan::Definitions(definitions), Some(fetched)) => definitions.answer(fetched, now_ms()),
        (Plan::Countdown(_), Some(fetched)) => {
            let reading = read_clock().await;
            logic::countdown(&fetched, reading, now_ms())
        }
        (Plan::Time | Plan::Definitions(_) | Plan::Countdown(_), _) => {
            logic::time(read_clock().await)
        }
    })
}

fn look() -> Instant {
    let monotonic_ms = i64::try_from(STARTED.elapsed().as_millis()).unwrap_or(i64::MAX);
    Instant { wall_ms: now_ms(), monotonic_ms }
}

fn clock() -> MutexGuard<'static, CoreClock> {
    // A panic ends the instance, and its statics with it: nobody ever meets a poisoned lock.
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What time it is now, as late as possible: whatever has to be fetched for an answer comes first.
async fn read_clock() -> Reading {
    if !clock().is_set()
        && let Some(stored) = store::get(SAMPLE_KEY).await
        && let Ok(sample) = serde_json::from_slice::<Sample>(&stored)
    {
        clock().restore(sample, look());
    }
    let need = clock().need(look());
    match need {
        Need::Nothing => {}
        Need::Background => spin_sdk::wasip3::spawn(measure()),
        Need::Now => measure().await,
    }
    clock().read(look())
}

/// Compares clocks with the core once. A core that does not answer leaves what is known as it is.
async fn measure() {
    let Some((sample, received)) = exchange().await else {
        clock().fail(look());
        return;
    };
    let best = {
        let (mut clock, at) = (clock(), look());
        clock.add(sample, received, at);
        clock.best(at.wall_ms)
    };
    if let Some(Ok(value)) = best.map(|best| serde_json::to_vec(&best)) {
        store::set(SAMPLE_KEY, &value).await;
    }
}

/// One comparison, and when it ended.
async fn exchange() -> Option<(Sample, Instant)> {
    // A shared or remembered answer would tell the time of another moment.
    let no_store = (CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let request = CoreRequest {
        method: Method::GET,
        target: "/v1/time".to_owned(),
        headers: HeaderMap::from_iter([no_store]),
        body: bytes::Bytes::new(),
        connect_timeout_ms: CORE_CONNECT_TIMEOUT_MS,
        first_byte_timeout_ms: READ_FIRST_BYTE_TIMEOUT_MS,
        total_timeout_ms: READ_TOTAL_TIMEOUT_MS,
    };
    let sent = look();
    let response = core::send(request).await.ok()?;
    let received = look();
    if response.status != StatusCode::OK {
        return None;
    }
    let time: TimeAnswer = serde_json::from_slice(&response.body).ok()?;
    let uncertainty_ms = time.uncertainty_ms.unwrap_or_default();
    Some((Sample::new(sent, received, time.now_ms, uncertainty_ms)?, received))
}
