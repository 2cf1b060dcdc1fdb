//! What each path does. Paths are matched by their last segment, so that any mount point works.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{FullBody, IntoResponse as _, Request, Response, Result, StatusCode};
use spin_sdk::wasip3::http::types;
use spin_sdk::{http_service, key_value, variables};

use super::{hostile, proxy};

type Answer = Response<FullBody<Bytes>>;

/// Outlives a request: shows that instances are reused.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// What the previous request of `/leak` carried, kept as a careless guest would keep it.
static LAST_SEEN: Mutex<Option<String>> = Mutex::new(None);

#[http_service]
async fn handle(request: Request) -> Result<types::Response> {
    if let Ok(origin) = variables::get("origin").await {
        return Ok(proxy::pass(request, &origin).await?.into_response()?);
    }
    let path = request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "loop" => hostile::spin_forever(),
        "hog" => hostile::hog(),
        "headers" => hostile::headers(),
        "hoard" => hostile::hoard(),
        "drip" => hostile::drip(),
        "linger" => hostile::linger(),
        _ => Ok(answer(request, &path).await?.into_response()?),
    }
}

async fn answer(request: Request, path: &str) -> Result<Answer> {
    match path.rsplit('/').next().unwrap_or_default() {
        "ok" => text(StatusCode::OK, "ok"),
        "count" => text(StatusCode::OK, COUNT.fetch_add(1, Ordering::Relaxed).to_string()),
        "burn" => burn(&request),
        "trap" => panic!("asked to trap"),
        "fail" => Err("asked to fail".into()),
        "talk" => talk(&request),
        "slow" => slow(&request).await,
        "block" => block(&request),
        "late-trap" => late_trap(&request).await,
        "echo" => echo(request).await,
        "drop-body" => text(StatusCode::OK, "did not read the body"),
        "leak" => leak(&request),
        "fetch" => fetch(&request).await,
        "relay" => relay(&request).await,
        "kv" => kv(&request).await,
        "var" => var(&request).await,
        "env" => text(StatusCode::OK, env_lines()),
        _ => text(StatusCode::NOT_FOUND, format!("the guest knows no {path}")),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Result<Answer> {
    Ok(Response::builder()
        .status(status)
        .header("content-type", "text/plain; charset=utf-8")
        .body(FullBody::new(body.into()))?)
}

/// The value of `name` in the query, percent-decoding only `%XX`.
fn query(request: &Request, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    let raw = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                let hex = [*high, *low];
                let hex = std::str::from_utf8(&hex).ok()?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn millis(request: &Request) -> u64 {
    query(request, "ms").and_then(|ms| ms.parse().ok()).unwrap_or(200)
}

/// Works for a while, as an honest guest may.
fn burn(request: &Request) -> Result<Answer> {
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(millis(request)) {
        std::hint::spin_loop();
    }
    text(StatusCode::OK, "burned")
}

/// Writes to both output streams: `lines` lines, and one without an end.
fn talk(request: &Request) -> Result<Answer> {
    let word = query(request, "word").unwrap_or_else(|| "hello".to_owned());
    println!("{word} from stdout");
    eprintln!("{word} from stderr");
    print!("{}", "x".repeat(100_000));
    text(StatusCode::OK, "talked")
}

/// Waits without holding the instance: other requests go on.
async fn slow(request: &Request) -> Result<Answer> {
    let nanoseconds = millis(request) * 1_000_000;
    spin_sdk::wasip3::clocks::monotonic_clock::wait_for(nanoseconds).await;
    text(StatusCode::OK, "slow")
}

/// Waits and holds the whole instance, as blocking code in a guest does.
fn block(request: &Request) -> Result<Answer> {
    std::thread::sleep(Duration::from_millis(millis(request)));
    text(StatusCode::OK, "blocked")
}

/// Lets others in by waiting first, then takes them all down.
async fn late_trap(request: &Request) -> Result<Answer> {
    let nanoseconds = millis(request) * 1_000_000;
    spin_sdk::wasip3::clocks::monotonic_clock::wait_for(nanoseconds).await;
    panic!("asked to trap, late")
}

/// The request line and headers, one per line, an empty line, the body.
async fn echo(request: Request) -> Result<Answer> {
    let mut out = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        let _ = writeln!(out, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    out.push('\n');
    let body = request.into_body().bytes().await?;
    let mut out = out.into_bytes();
    out.extend_from_slice(&body);
    text(StatusCode::OK, out)
}

/// Answers with what the request before it left behind in this instance.
fn leak(request: &Request) -> Result<Answer> {
    let mine = query(request, "secret");
    let Ok(mut last) = LAST_SEEN.lock() else { return text(StatusCode::OK, "poisoned") };
    let before = std::mem::replace(&mut *last, mine);
    text(StatusCode::OK, before.unwrap_or_default())
}

/// Fetches `url` and passes on its status and body; a failure is 502 and its error code.
async fn fetch(request: &Request) -> Result<Answer> {
    let url = query(request, "url").unwrap_or_default();
    let mut outbound = http_request(&url)?;
    for name in ["authorization", "accept-language", "traceparent"] {
        if let Some(value) = request.headers().get(name) {
            outbound.headers_mut().insert(name, value.clone());
        }
    }
    match spin_sdk::http::send(outbound).await {
        Ok(response) => {
            let status = response.status();
            match response.into_body().bytes().await {
                Ok(body) => text(status, body),
                Err(code) => text(StatusCode::BAD_GATEWAY, format!("body: {code:?}")),
            }
        }
        Err(code) => text(StatusCode::BAD_GATEWAY, format!("{code:?}")),
    }
}

/// Asks `url` what to answer: each call reaches it, and its status, headers and body are the answer. It may ask
/// for a trap instead.
async fn relay(request: &Request) -> Result<Answer> {
    let mut outbound = http_request(&query(request, "url").unwrap_or_default())?;
    *outbound.headers_mut() = request.headers().clone();
    outbound.headers_mut().remove("host");
    // The host's single flight is not what is tested with this.
    outbound.headers_mut().insert("cache-control", "no-store".parse().map_err(|_| "no header")?);
    let response = spin_sdk::http::send(outbound).await.map_err(|code| format!("{code:?}"))?;
    let (head, body) = response.into_parts();
    if head.headers.contains_key("x-trap") {
        panic!("asked to trap");
    }
    let mut answer = Response::new(FullBody::new(body.bytes().await?));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    for name in ["connection", "content-length", "date", "transfer-encoding"] {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

fn http_request(url: &str) -> Result<Request<spin_sdk::http::EmptyBody>> {
    let mut outbound = Request::new(spin_sdk::http::EmptyBody::new());
    *outbound.uri_mut() = url.parse().map_err(|_| "bad url")?;
    Ok(outbound)
}

/// `store`, `op` (get, set, delete, exists, keys), `key`, `value` from the query.
async fn kv(request: &Request) -> Result<Answer> {
    let part = |name| query(request, name).unwrap_or_default();
    let done = kv_operation(&part("store"), &part("op"), &part("key"), &part("value")).await;
    match done {
        Ok(answer) => text(StatusCode::OK, answer),
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error:?}")),
    }
}

async fn kv_operation(
    label: &str,
    operation: &str,
    key: &str,
    value: &str,
) -> Result<Vec<u8>, key_value::Error> {
    let store = key_value::Store::open(label).await?;
    match operation {
        "set" => store.set(key, value).await.map(|()| Vec::new()),
        "set-long" => {
            let length = value.parse().unwrap_or(0);
            store.set(key, vec![b'v'; length]).await.map(|()| Vec::new())
        }
        "delete" => store.delete(key).await.map(|()| Vec::new()),
        "exists" => store.exists(key).await.map(|there| there.to_string().into_bytes()),
        "keys" => {
            let mut keys = store.get_keys().await.collect().await?;
            keys.sort();
            Ok(keys.join(",").into_bytes())
        }
        _ => Ok(store.get(key).await?.unwrap_or_else(|| b"(none)".to_vec())),
    }
}

/// The value of a variable; with `max_age` in the query, for so many seconds.
async fn var(request: &Request) -> Result<Answer> {
    match variables::get(query(request, "name").unwrap_or_default()).await {
        Ok(value) => {
            let mut answer = text(StatusCode::OK, value)?;
            if let Some(max_age) = query(request, "max_age") {
                let value = format!("max-age={max_age}").parse().map_err(|_| "no header")?;
                answer.headers_mut().insert("cache-control", value);
            }
            Ok(answer)
        }
        Err(error) => text(StatusCode::BAD_REQUEST, format!("{error:?}")),
    }
}

fn env_lines() -> String {
    let mut lines: Vec<String> =
        std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    lines.sort();
    lines.join("\n")
}
