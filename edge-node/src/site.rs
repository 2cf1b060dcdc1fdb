//! The running application: from a request to the component or static answer behind its route.
//!
//! It knows nothing of connections. Clients come through `server` and the cache, other components through
//! `host::outbound` and past it; both get the same answers, and the same `spin-*` headers that Spin would add.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};

use http::header::ALLOW;
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use serde::Serialize;
use wasmtime_wasi_http::WasiBody;

use crate::body::full;
use crate::cache::{Cache, WireHit};
use crate::canary::{Canaries, Choice};
use crate::edition::Edition;
use crate::instances::Pool;
use crate::manifest::{StaticResponse, Target, Trigger};
use crate::problem::{METHODS, Problem};
use crate::router::{Match, Router, WELL_KNOWN_PREFIX, is_health};
use crate::server::{SERVER, canonicalize};
use crate::trace::Trace;

/// The client address that Spin gives to a component called by another.
const CHAINED_CLIENT: &str = "0.0.0.0:0";
/// The route that Spin gives to such a call.
const CHAINED_ROUTE: &str = "/...";

/// The way from a component to the application it is part of; empty until that is put together.
pub(crate) type SiteLink = Arc<OnceLock<Weak<Site>>>;

/// A component as it runs.
#[derive(Clone)]
pub(crate) struct Running {
    /// Its instances.
    pub(crate) pool: Arc<Pool>,
    /// Which state of it they are of.
    pub(crate) edition: Arc<Edition>,
    /// What its code was made from.
    pub(crate) digest: Arc<str>,
}

/// An application with its instances. It never changes: a reload puts another in its place.
pub(crate) struct Site {
    /// What is told about it.
    pub(crate) identity: Identity,
    /// The triggers that the routes come from.
    pub(crate) triggers: Vec<Trigger>,
    /// The components, by id.
    pub(crate) running: BTreeMap<Arc<str>, Running>,
    /// Who has a second version.
    pub(crate) canaries: Canaries,
    router: Router,
    cache: Arc<Cache>,
}

/// Which application is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Identity {
    /// The name in the manifest.
    pub(crate) application: String,
    /// The version in the manifest; may be empty.
    pub(crate) version: String,
    /// Counted from 1, by one for each reload that changed something.
    pub(crate) generation: u64,
}

/// An answer and who gave it, for the log.
pub(crate) struct Answered {
    /// The answer.
    pub(crate) response: Response<WasiBody>,
    /// The component, if one was asked, now or when the answer was stored.
    pub(crate) component: Option<Arc<Edition>>,
    /// The route as written, if one matched.
    pub(crate) route: Option<Arc<str>>,
    /// What the node itself had to say, if it did.
    pub(crate) problem: Option<Problem>,
    /// What the cache did, in one word, if it was asked.
    pub(crate) cache: Option<&'static str>,
    /// The version that answered, of a component that has two.
    pub(crate) version: Option<Arc<str>>,
}

impl Site {
    /// Puts an application together.
    pub(crate) fn new(
        identity: Identity,
        triggers: Vec<Trigger>,
        canaries: Canaries,
        router: Router,
        running: BTreeMap<Arc<str>, Running>,
        cache: Arc<Cache>,
    ) -> Arc<Self> {
        Arc::new(Self { identity, triggers, running, canaries, router, cache })
    }

    /// Answers a client's request, from the cache if it can. Its URI is absolute, its headers are
    /// clean: no `spin-*`, none that are only meant for this hop. `owner` is whom the request is from; the one at the
    /// other end of the connection, `client`, may be a proxy.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        client: SocketAddr,
        owner: IpAddr,
        trace: &Trace,
    ) -> Answered {
        let (mut head, body) = request.into_parts();
        let choice = self.choose(&head, Some(owner));
        let version = choice.as_ref().map(|choice| Arc::clone(&choice.version));
        // It goes with the request, also into the cache and back: both must speak of the same version.
        if let Some(choice) = choice {
            head.extensions.insert(choice);
        }
        let answered = self.answer_chosen(head, body, client, trace).await;
        Answered { version, ..answered }
    }

    async fn answer_chosen(
        self: &Arc<Self>,
        head: Parts,
        body: WasiBody,
        client: SocketAddr,
        trace: &Trace,
    ) -> Answered {
        let refresh = {
            let (site, trace) = (Arc::clone(self), trace.clone());
            move |request| async move { site.answer_uncached(request, client, &trace).await }
        };
        let has_body = !body.is_end_stream();
        if let Some(answered) = self.cache.hit(&head, has_body, trace, refresh).await {
            return answered;
        }
        match self.route(&head.uri, head.extensions.get(), client, trace) {
            Routed::Answered(answered) => *answered,
            Routed::Component(visit) if !visit.to.pool.component().hints.cache => {
                let request = Request::from_parts(head, body);
                self.cache.bypassed(self.visit(visit, request, trace).await)
            }
            Routed::Component(visit) => {
                let (site, own_trace) = (Arc::clone(self), trace.clone());
                let fetch =
                    move |request| async move { site.visit(visit, request, &own_trace).await };
                self.cache.fill(head, body, trace, fetch).await
            }
        }
    }

    /// Answers a client's request at once, if the cache can. As for [`Site::answer`]; no body comes after the head.
    pub(crate) fn wire_hit(&self, head: &Parts, trace: &Trace) -> Option<WireHit> {
        // A choice between versions is part of the key, and is counted: that is the long way.
        let is_plain = self.canaries.is_empty() || self.choose(head, None).is_none();
        is_plain.then(|| self.cache.wire_hit(head, trace)).flatten()
    }

    /// Counts a hit that is sent. Returns what it is, in one word.
    pub(crate) fn count_wire_hit(&self, hit: &WireHit) -> &'static str {
        self.cache.count_wire_hit(hit)
    }

    /// The same past the cache.
    async fn answer_uncached(
        &self,
        request: Request<WasiBody>,
        client: SocketAddr,
        trace: &Trace,
    ) -> Answered {
        match self.route(request.uri(), request.extensions().get(), client, trace) {
            Routed::Answered(answered) => *answered,
            Routed::Component(visit) => self.visit(visit, request, trace).await,
        }
    }

    /// The version that answers, if the component behind the route has two.
    fn choose(&self, head: &Parts, owner: Option<IpAddr>) -> Option<Choice> {
        if self.canaries.is_empty() {
            return None;
        }
        match &self.router.find(head.uri.path())?.route.target {
            Target::Component(id) => self.canaries.choose(id, &head.headers, owner),
            Target::Static(_) => None,
        }
    }

    /// Who answers.
    fn route(
        &self,
        uri: &Uri,
        choice: Option<&Choice>,
        client: SocketAddr,
        trace: &Trace,
    ) -> Routed {
        let path = uri.path();
        if is_health(path) {
            let answered = Answered::of(Response::new(full("OK")), None, None);
            return Routed::Answered(Box::new(answered));
        }
        if path == SERVER {
            let mut response = Response::new(full(""));
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(METHODS));
            return Routed::Answered(Box::new(Answered::of(response, None, None)));
        }
        let is_reserved = path.starts_with(WELL_KNOWN_PREFIX);
        let Some(found) = self.router.find(path).filter(|_| !is_reserved) else {
            let answered = Answered::problem(Problem::RouteNotFound, trace);
            return Routed::Answered(Box::new(answered));
        };
        let route = Arc::clone(&found.route.raw);
        match &found.route.target {
            Target::Static(answer) => {
                let answered = Answered::of(static_response(answer), None, Some(route));
                Routed::Answered(Box::new(answered))
            }
            Target::Component(id) => {
                let headers = SpinHeaders::of_match(&found, uri, &client.to_string());
                let canary = choice.and_then(|choice| choice.canary.as_deref());
                let to = self.running.get(canary.unwrap_or(id)).cloned();
                let to = to.expect("the manifest was checked: each target is there");
                Routed::Component(Visit { to, route: Some(route), headers })
            }
        }
    }

    /// Answers a component that asks the application's own routes.
    pub(crate) async fn answer_self(&self, request: Request<WasiBody>) -> Response<WasiBody> {
        let (mut head, body) = request.into_parts();
        strip_spin_headers(&mut head.headers);
        let trace = Trace::from_headers(&head.headers);
        if let Err(problem) = canonicalize(&mut head.uri) {
            return Answered::problem(problem, &trace).response;
        }
        if let Some(choice) = self.choose(&head, None) {
            head.extensions.insert(choice);
        }
        let request = Request::from_parts(head, body);
        let client = CHAINED_CLIENT.parse().expect("the constant is an address");
        self.answer_uncached(request, client, &trace).await.response
    }

    /// Answers a component that asks another, private or not; none if there is no such component.
    pub(crate) async fn answer_chained(
        &self,
        id: &str,
        mut request: Request<WasiBody>,
    ) -> Option<Response<WasiBody>> {
        let choice = self.canaries.choose(id, request.headers(), None);
        let canary = choice.as_ref().and_then(|choice| choice.canary.as_deref());
        let to = self.running.get(canary.unwrap_or(id))?.clone();
        strip_spin_headers(request.headers_mut());
        let trace = Trace::from_headers(request.headers());
        let headers = SpinHeaders::of_chained(request.uri());
        let visit = Visit { to, route: None, headers };
        Some(self.visit(visit, request, &trace).await.response)
    }

    async fn visit(&self, visit: Visit, mut request: Request<WasiBody>, trace: &Trace) -> Answered {
        let Visit { to, route, headers } = visit;
        trace.mark(request.headers_mut());
        headers.add_to(request.headers_mut());
        let answered = match to.pool.call(request, trace.id, trace.header()).await {
            Ok(response) => Answered::of(response, None, None),
            Err(problem) => Answered::problem(problem, trace),
        };
        Answered { component: Some(to.edition), route, ..answered }
    }
}

/// What a path leads to.
enum Routed {
    /// The node answers by itself.
    Answered(Box<Answered>),
    /// A component is to be asked.
    Component(Visit),
}

/// A request's way to a component.
struct Visit {
    to: Running,
    /// The route as written, if it came by one.
    route: Option<Arc<str>>,
    headers: SpinHeaders,
}

impl Answered {
    /// An answer that is none of the node's own words.
    pub(crate) fn of(
        response: Response<WasiBody>,
        component: Option<Arc<Edition>>,
        route: Option<Arc<str>>,
    ) -> Self {
        Self { response, component, route, problem: None, cache: None, version: None }
    }

    /// An answer of the node itself.
    pub(crate) fn problem(problem: Problem, trace: &Trace) -> Self {
        let response = problem.response(&trace.id).map(full);
        Self { problem: Some(problem), ..Self::of(response, None, None) }
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
