//! The running application: from a request to the component or static answer behind its route.
//!
//! It knows nothing of connections. Clients come through `server`, other components through
//! `host::outbound`; both get the same answers, and the same `spin-*` headers that Spin would add.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use wasmtime_wasi_http::WasiBody;

use crate::body::full;
use crate::instances::Pool;
use crate::manifest::{StaticResponse, Target};
use crate::problem::Problem;
use crate::router::{Match, Router, WELL_KNOWN_PREFIX};
use crate::trace::Trace;

/// The client address that Spin gives to a component called by another.
const CHAINED_CLIENT: &str = "0.0.0.0:0";
/// The route that Spin gives to such a call.
const CHAINED_ROUTE: &str = "/...";

/// An application with its instances.
pub(crate) struct Site {
    router: Router,
    pools: BTreeMap<String, Pool>,
}

/// An answer and who gave it, for the log.
pub(crate) struct Answered {
    /// The answer.
    pub(crate) response: Response<WasiBody>,
    /// The component, if one was asked.
    pub(crate) component: Option<String>,
    /// The route as written, if one matched.
    pub(crate) route: Option<String>,
    /// What the node itself had to say, if it did.
    pub(crate) problem: Option<Problem>,
}

impl Site {
    /// Puts an application together.
    pub(crate) fn new(router: Router, pools: BTreeMap<String, Pool>) -> Arc<Self> {
        Arc::new(Self { router, pools })
    }

    /// Answers a client's request. Its URI is absolute, its headers are clean: no `spin-*`, none
    /// that are only meant for this hop.
    pub(crate) async fn answer(
        &self,
        request: Request<WasiBody>,
        client: SocketAddr,
        trace: &Trace,
    ) -> Answered {
        let path = request.uri().path();
        if path.strip_prefix(WELL_KNOWN_PREFIX) == Some("health") {
            let response = Response::new(full("OK"));
            return Answered { response, component: None, route: None, problem: None };
        }
        let is_reserved = path.starts_with(WELL_KNOWN_PREFIX);
        let Some(found) = self.router.find(path).filter(|_| !is_reserved) else {
            return Answered::problem(Problem::RouteNotFound, trace);
        };
        let route = Some(found.route.raw.clone());
        let answered = match &found.route.target {
            Target::Static(answer) => Answered {
                response: static_response(answer),
                component: None,
                route: None,
                problem: None,
            },
            Target::Component(id) => {
                let headers = SpinHeaders::of_match(&found, request.uri(), &client.to_string());
                self.call(id, request, headers, trace).await
            }
        };
        Answered { route, ..answered }
    }

    /// Answers a component that asks the application's own routes.
    pub(crate) async fn answer_self(&self, mut request: Request<WasiBody>) -> Response<WasiBody> {
        strip_spin_headers(request.headers_mut());
        let trace = Trace::from_headers(request.headers());
        let client = CHAINED_CLIENT.parse().expect("the constant is an address");
        self.answer(request, client, &trace).await.response
    }

    /// Answers a component that asks another, private or not; none if there is no such component.
    pub(crate) async fn answer_chained(
        &self,
        id: &str,
        mut request: Request<WasiBody>,
    ) -> Option<Response<WasiBody>> {
        if !self.pools.contains_key(id) {
            return None;
        }
        strip_spin_headers(request.headers_mut());
        let trace = Trace::from_headers(request.headers());
        let headers = SpinHeaders::of_chained(request.uri());
        Some(self.call(id, request, headers, &trace).await.response)
    }

    async fn call(
        &self,
        id: &str,
        mut request: Request<WasiBody>,
        spin_headers: SpinHeaders,
        trace: &Trace,
    ) -> Answered {
        let pool = self.pools.get(id).expect("the manifest was checked: each target has a pool");
        trace.mark(request.headers_mut());
        spin_headers.add_to(request.headers_mut());
        let answered = match pool.call(request, trace.id, trace.header()).await {
            Ok(response) => Answered { response, component: None, route: None, problem: None },
            Err(problem) => Answered::problem(problem, trace),
        };
        Answered { component: Some(id.to_owned()), ..answered }
    }
}

impl Answered {
    /// An answer of the node itself.
    pub(crate) fn problem(problem: Problem, trace: &Trace) -> Self {
        let response = problem.response(&trace.id).map(full);
        Self { response, component: None, route: None, problem: Some(problem) }
    }
}

fn static_response(answer: &StaticResponse) -> Response<WasiBody> {
    let mut response = Response::new(full(answer.body.clone()));
    *response.status_mut() = answer.status;
    response.headers_mut().clone_from(&answer.headers);
    response
}

/// Spin only appends its headers, so what a client calls so must go first.
pub(crate) fn strip_spin_headers(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("spin-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// What Spin tells a component about the way a request came to it.
struct SpinHeaders(Vec<(HeaderName, String)>);

impl SpinHeaders {
    fn of_match(found: &Match<'_>, uri: &Uri, client: &str) -> Self {
        let mut headers =
            Self::new(uri, &found.trailing, &found.route.based, &found.route.raw, client);
        for (name, value) in &found.parameters {
            let name = format!("spin-path-match-{}", name.to_ascii_lowercase());
            // A parameter whose name is no header name cannot be told, in Spin neither.
            if let Ok(name) = HeaderName::try_from(name) {
                headers.0.push((name, value.clone()));
            }
        }
        headers
    }

    fn of_chained(uri: &Uri) -> Self {
        Self::new(uri, uri.path(), CHAINED_ROUTE, CHAINED_ROUTE, CHAINED_CLIENT)
    }

    fn new(uri: &Uri, path_info: &str, based: &str, raw: &str, client: &str) -> Self {
        let scheme = uri.scheme().unwrap_or(&Scheme::HTTP);
        let host = uri.authority().map_or("localhost", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut headers = Vec::new();
        for (name, value) in [
            ("spin-path-info", path_info.to_owned()),
            ("spin-full-url", format!("{scheme}://{host}{target}")),
            ("spin-matched-route", based.to_owned()),
            ("spin-base-path", "/".to_owned()),
            ("spin-raw-component-route", raw.to_owned()),
            ("spin-component-route", raw.strip_suffix("/...").unwrap_or(raw).to_owned()),
            ("spin-client-addr", client.to_owned()),
        ] {
            headers.push((HeaderName::from_static(name), value));
        }
        Self(headers)
    }

    fn add_to(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            // What comes from a URI or an address is always a header value.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}
