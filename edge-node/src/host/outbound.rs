//! wasi:http's client: where a guest's requests go, after the allow-list has let them.
//!
//! Three ways out: another component of this application (`http://<id>.spin.internal`, private ones
//! too) and this application's own routes (`http://self.alt`), both answered in process without a
//! network; everything else goes upstream, collapsed with what is already on its way.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::header::HOST;
use http::{HeaderName, Request, Response};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use super::collapse::Collapser;
use super::upstream::{Client, Patience, UpstreamOptions};
use crate::body::guarded;
use crate::cache::Cache;
use crate::instances::{Active, Shared};
use crate::limits;
use crate::manifest::{chained_component, is_to_self};
use crate::metrics::{ComponentLabel, Metrics, OutboundLabels};
use crate::trace::TRACEPARENT;

type IoResult = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, IoResult), Error>;

/// The ways out, shared by all components.
pub(crate) struct Network {
    upstream: Client,
    collapser: Arc<Collapser>,
}

impl Network {
    /// Without connections.
    ///
    /// # Errors
    /// What is wrong with `upstreams`, or with the bundle of certificate authorities.
    pub(crate) fn new(
        upstreams: &[UpstreamOptions],
        ca_bundle: Option<PathBuf>,
        cache: Arc<Cache>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, String> {
        let upstream = Client::new(upstreams, ca_bundle, Arc::clone(metrics))?;
        let collapser = Arc::new(Collapser::new(cache, Arc::clone(metrics)));
        Ok(Self { upstream, collapser })
    }

    async fn send(
        &self,
        shared: &Shared,
        mut request: Request<WasiBody>,
        patience: Patience,
        longest: Patience,
    ) -> Result<Response<WasiBody>, (Error, &'static str)> {
        if !shared.component.allowed_hosts.allows(request.uri()) {
            let component = &shared.component.id;
            let host = request.uri().authority().map(ToString::to_string);
            tracing::warn!(component, host, "the host is not in allowed_outbound_hosts");
            return Err((Error::HttpRequestDenied, "denied"));
        }
        let authority = request.uri().authority();
        let chained = authority.and_then(chained_component).map(str::to_owned);
        if chained.is_some() || is_to_self(request.uri()) {
            let site = shared.site.get().and_then(Weak::upgrade);
            let site = site.ok_or((Error::DestinationUnavailable, "unavailable"))?;
            return match chained {
                Some(id) => {
                    let answer = site.answer_chained(&id, request).await;
                    answer.ok_or((Error::DestinationNotFound, "name-not-found"))
                }
                None => Ok(site.answer_self(request).await),
            };
        }
        request.headers_mut().remove(HOST);
        let answer = self.collapser.fetch(&self.upstream, request, patience, longest).await;
        answer.map_err(|failure| {
            let outcome = failure.outcome();
            (failure.into(), outcome)
        })
    }
}

/// One of its component's outbound requests in progress, to the end of the answer's body.
struct OutboundPlace {
    _share: OwnedSemaphorePermit,
    in_flight: Gauge,
}

impl OutboundPlace {
    /// None if the component has as many as it may.
    fn take(shared: &Shared) -> Option<Self> {
        let share = shared.shares.outbound.try_acquire(1)?;
        let label = ComponentLabel { component: shared.component.id.as_str().into() };
        let in_flight = shared.metrics.outbound_in_flight.get_or_create_owned(&label);
        in_flight.inc();
        Some(Self { _share: share, in_flight })
    }
}

impl Drop for OutboundPlace {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    *name != HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// The hooks of one instance.
pub(crate) struct Outbound {
    shared: Arc<Shared>,
    active: Active,
}

impl Outbound {
    pub(crate) fn new(shared: Arc<Shared>, active: Active) -> Self {
        Self { shared, active }
    }

    /// What the component's hint allows, or less if the guest asks for less.
    fn patience(&self, options: Option<RequestOptions>) -> Patience {
        let hints = &self.shared.component.hints;
        let longest = Duration::from_millis(hints.upstream_timeout_ms);
        let options = options.unwrap_or_default();
        Patience {
            connect: options
                .connect_timeout
                .unwrap_or(limits::CONNECT_TIMEOUT)
                .min(limits::CONNECT_TIMEOUT),
            first_byte: options.first_byte_timeout.unwrap_or(longest).min(longest),
            between_bytes: options
                .between_bytes_timeout
                .unwrap_or(limits::UPSTREAM_BODY_IDLE)
                .min(limits::UPSTREAM_BODY_IDLE),
            // The interface has no word for it.
            total: Duration::from_millis(hints.upstream_total_timeout_ms),
        }
    }
}

impl WasiHttpHooks for Outbound {
    /// A function sees the `Host` it was asked by, as under Spin. On its own requests it is set from their URI.
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _response_processed: IoResult,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        // The guest's own header wins: it knows which of its requests this one is for.
        if !request.headers().contains_key(TRACEPARENT)
            && let Some(traceparent) = self.active.only()
        {
            request.headers_mut().insert(TRACEPARENT, traceparent);
        }
        let (patience, longest) = (self.patience(options), self.patience(None));
        let shared = Arc::clone(&self.shared);
        Box::new(async move {
            let component = shared.component.id.clone();
            let place = OutboundPlace::take(&shared);
            let answer = match place {
                Some(_) => shared.network.send(&shared, request, patience, longest).await,
                None => Err((Error::ConnectionLimitReached, "too-many")),
            };
            let outcome = answer.as_ref().map_or_else(|(_, outcome)| *outcome, |_| "ok");
            let labels = OutboundLabels { component, outcome };
            shared.metrics.outbound.get_or_create(&labels).inc();
            let response = answer.map_err(|(error, _)| error)?;
            let response = response.map(|body| guarded(body, place));
            Ok((response, Box::new(async { Ok(()) }) as IoResult))
        })
    }
}
