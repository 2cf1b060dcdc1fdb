//! Speaks HTTP to one program.

use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How long a program may take to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long any answer may take; a test that means less says so.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// An answer, read whole.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Vec<u8>,
    /// From the first byte sent to the last byte read.
    pub took: Duration,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// Asserts the status and returns the body.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Asserts a problem document with this status and code, and returns it.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        body
    }

    /// A header's value; empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A program's address.
#[derive(Debug, Clone)]
pub struct Client {
    /// The program's port on loopback.
    pub port: u16,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(port: u16) -> Self {
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).build();
        Self { port, http: http.expect("a client without TLS") }
    }

    /// A request to be completed and given to [`send`](Self::send).
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        self.http.request(method, format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let started = Instant::now();
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole body").to_vec();
        Reply { status, headers, bytes, took: started.elapsed() }
    }

    /// GET without a token.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request("GET", path)).await
    }

    /// POST of JSON with a token and an Idempotency-Key.
    pub async fn post(&self, path: &str, token: &str, key: &str, body: &Value) -> Reply {
        let request = self.request("POST", path).bearer_auth(token).json(body);
        self.send(request.header("idempotency-key", key)).await
    }

    /// A metric without labels; 0 if the program does not tell it yet.
    pub async fn metric(&self, name: &str) -> i64 {
        let metrics = String::from_utf8(self.get("/metrics").await.bytes).expect("text");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a whole number"))
    }

    /// Waits until a metric has grown to a value, and returns what it is then.
    pub async fn metric_at_least(&self, name: &str, least: i64) -> i64 {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let value = self.metric(name).await;
            if value >= least {
                return value;
            }
            assert!(Instant::now() < deadline, "{name} is {value} and not {least}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until an answer begins with a text.
    pub async fn until_says(&self, path: &str, text: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let said = self.get(path).await.bytes;
            if said.starts_with(text.as_bytes()) {
                return;
            }
            let said = String::from_utf8_lossy(&said);
            assert!(Instant::now() < deadline, "{path} never said {text:?} but {said:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn until_ready(&self, path: &str) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match self.request("GET", path).send().await {
                Ok(response) if response.status().is_success() => return,
                _ => assert!(Instant::now() < deadline, "port {} never got ready", self.port),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The text of a JSON string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}
