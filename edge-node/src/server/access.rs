//! One log line and one count per request, written when its answer has left or failed to.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, VARY};
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tiffin_process::log;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::canary::X_VERSION;
use crate::edition::Edition;
use crate::hop;
use crate::metrics::{ComponentLabel, Metrics, RequestLabels};
use crate::site::Answered;
use crate::trace::{Trace, TraceId, X_TRACE_ID};

/// What stands for a component or route when there is none.
static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("-"));

/// A request in progress. Its drop writes the line, also when the client went away.
pub(super) struct Access {
    start: Instant,
    trace: TraceId,
    method: Method,
    path: String,
    client: SocketAddr,
    metrics: Arc<Metrics>,
    /// Zero until there is an answer.
    status: u16,
    component: Option<Arc<str>>,
    route: Option<Arc<str>>,
    problem: Option<&'static str>,
    cache: Option<&'static str>,
    /// Of a component that has two.
    version: Option<Arc<str>>,
    sent_bytes: u64,
    /// What Content-Length says: hyper asks for no more once that much has left.
    promised_bytes: Option<u64>,
    is_complete: bool,
}

impl Access {
    pub(super) fn begin(
        method: &Method,
        uri: &Uri,
        client: SocketAddr,
        trace: &Trace,
        metrics: &Arc<Metrics>,
    ) -> Self {
        metrics.in_flight.inc();
        Self {
            start: Instant::now(),
            trace: trace.id,
            method: method.clone(),
            path: uri.path().to_owned(),
            client,
            metrics: Arc::clone(metrics),
            status: 0,
            component: None,
            route: None,
            problem: None,
            cache: None,
            version: None,
            sent_bytes: 0,
            promised_bytes: None,
            is_complete: false,
        }
    }

    /// Sends the answer on its way; the line follows its last byte.
    pub(super) fn finish(mut self, answered: Answered) -> Response<WasiBody> {
        let Answered { mut response, component, route, problem, cache, version } = answered;
        self.status = response.status().as_u16();
        self.component = component.map(|edition| Arc::clone(edition.component()));
        (self.route, self.cache) = (route, cache);
        self.problem = problem.map(|problem| problem.code().as_str());
        hop::strip(response.headers_mut());
        if let Some(version) = version.filter(|_| self.component.is_some()) {
            let value = HeaderValue::try_from(&*version).expect("its characters were checked");
            response.headers_mut().insert(X_VERSION, value);
            response.headers_mut().append(VARY, HeaderValue::from(X_VERSION));
            self.version = Some(version);
        }
        let trace = HeaderValue::try_from(self.trace.to_string());
        response.headers_mut().insert(X_TRACE_ID, trace.expect("hex digits are a header value"));
        let length = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        self.promised_bytes = length.and_then(|length| length.parse().ok());
        // The answer to HEAD has no body, and an empty one is never polled.
        self.is_complete = self.method == Method::HEAD || response.body().is_end_stream();
        response.map(|body| Logged { body, access: self }.boxed_unsync())
    }

    /// The answer is a hit that goes out as bytes.
    pub(super) fn hit(
        &mut self,
        component: Option<&Edition>,
        route: Option<Arc<str>>,
        cache: &'static str,
    ) {
        self.status = StatusCode::OK.as_u16();
        self.component = component.map(|edition| Arc::clone(edition.component()));
        (self.route, self.cache) = (route, Some(cache));
    }

    /// So many more bytes of the body have left.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent_bytes += bytes as u64;
    }

    /// The last byte has left.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// The fields of the line, as JSON.
    fn write_fields(
        &self,
        line: &mut String,
        labels: &RequestLabels,
        elapsed: Duration,
    ) -> fmt::Result {
        write!(line, ",\"trace_id\":\"{}\"", self.trace)?;
        write!(line, ",\"method\":{}", Json(self.method.as_str()))?;
        write!(line, ",\"path\":{}", Json(&self.path))?;
        write!(line, ",\"status\":{}", self.status)?;
        write!(line, ",\"component\":{}", Json(&labels.component))?;
        write!(line, ",\"route\":{}", Json(&labels.route))?;
        let words = [("problem", self.problem), ("cache", self.cache)];
        for (name, word) in words.into_iter().chain([("version", self.version.as_deref())]) {
            if let Some(word) = word {
                write!(line, ",\"{name}\":{}", Json(word))?;
            }
        }
        write!(line, ",\"duration_us\":{}", elapsed.as_micros())?;
        write!(line, ",\"bytes\":{}", self.sent_bytes)?;
        write!(line, ",\"complete\":{}", self.is_complete)?;
        write!(line, ",\"client\":\"{}\"", self.client)
    }

    fn labels(&self) -> RequestLabels {
        let or_none = |name: &Option<Arc<str>>| name.clone().unwrap_or_else(|| NONE.clone());
        let status = match self.status / 100 {
            0 => "gone",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "1xx",
        };
        RequestLabels { component: or_none(&self.component), route: or_none(&self.route), status }
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let elapsed = self.start.elapsed();
        let labels = self.labels();
        let metrics = &self.metrics;
        metrics.in_flight.dec();
        let component = ComponentLabel { component: labels.component.clone() };
        metrics.latency.get_or_create(&component).observe(elapsed.as_secs_f64());
        metrics.requests.get_or_create(&labels).inc();
        if let Some(version) = &self.version {
            let seconds = elapsed.as_secs_f64();
            metrics.versions.count(&labels.component, version, labels.status, seconds);
        }
        // A line for each request: tracing's own way to JSON would cost as much as all the rest of a hit.
        if tracing::enabled!(target: "access", tracing::Level::INFO) {
            log::info("access", "request", |line| self.write_fields(line, &labels, elapsed));
        }
    }
}

/// A text as JSON, quotes included.
struct Json<'a>(&'a str);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing in an address, a name or a method needs more than this, but a client may put anything into a path.
        if self.0.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b'"' && byte != b'\\')
        {
            return write!(f, "\"{}\"", self.0);
        }
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

/// Logs and counts what hyper refused to parse and answered with a bare 4xx.
pub(super) fn refused(client: SocketAddr, error: &hyper::Error, metrics: &Metrics) {
    let none = || NONE.clone();
    let labels = RequestLabels { component: none(), route: none(), status: "4xx" };
    metrics.requests.get_or_create(&labels).inc();
    tracing::info!(target: "access", %client, %error, "request refused unread");
}

/// The answer's body, counted.
struct Logged {
    body: WasiBody,
    access: Access,
}

impl Body for Logged {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.access.sent_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                let all_sent = self.access.promised_bytes == Some(self.access.sent_bytes);
                self.access.is_complete = all_sent || self.body.is_end_stream();
            }
            Some(Err(error)) => {
                let trace_id = self.access.trace;
                tracing::warn!(%trace_id, %error, "the answer's body failed on its way");
            }
            None => self.access.is_complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::Json;

    #[test]
    fn any_text_is_json() {
        for text in ["", "/v1/stores/7", "\"", "a\\b", "\n\u{7}\u{7f}", "/caf\u{e9}"] {
            let json: String = serde_json::from_str(&Json(text).to_string()).unwrap();
            assert_eq!(json, text);
        }
    }
}
