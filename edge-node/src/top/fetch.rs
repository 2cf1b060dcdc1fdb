//! Asks the admin port, within limits of time and size.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::model::Snapshot;
use super::now;
use super::openmetrics::Metrics;
use crate::limits;

/// Whom to ask.
pub(super) struct Fetcher {
    admin: SocketAddr,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Fetcher {
    pub(super) fn new(admin: SocketAddr) -> Self {
        Self { admin, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// What the node says now.
    ///
    /// # Errors
    /// What happened instead, in a few words.
    pub(super) async fn fetch(&self) -> Result<Snapshot, String> {
        let asked = timeout(limits::TOP_TIMEOUT, async {
            let readiness = self.get("/readyz").await?;
            Ok::<_, String>((readiness, self.get("/metrics").await?))
        });
        let late = |_| format!("nothing within {} s", limits::TOP_TIMEOUT.as_secs());
        let (readiness, metrics) = asked.await.map_err(late)??;
        let readiness = readiness.lines().next().unwrap_or_default().to_owned();
        Ok(Snapshot { at: now(), readiness, metrics: Metrics::parse(&metrics) })
    }

    async fn get(&self, path: &str) -> Result<String, String> {
        let uri = format!("http://{}{path}", self.admin);
        let uri = uri.parse().map_err(|_| "that is no address".to_owned())?;
        let response = self.client.get(uri).await.map_err(|error| explain(&error))?;
        let body = Limited::new(response.into_body(), limits::MAX_TOP_BYTES).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The innermost reason: the others only say that a request failed.
fn explain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), explain)
}
