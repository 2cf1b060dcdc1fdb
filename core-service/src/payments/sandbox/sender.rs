//! Sends the sandbox's webhooks: a bounded number at once, each with its delay and its repeats, each tried
//! again for a while if the core does not take it.
//!
//! What is waiting is lost with the process, as it would be with a provider that fails: the core asks for
//! itself in the end.

use super::super::signature;
use super::NAME;
use crate::auth::keys::Keys;
use crate::clock::Clock;
use crate::limits;
use http::header::CONTENT_TYPE;
use std::sync::Arc;
use std::time::Duration;
use tiffin_api::payment::ProviderEvent;
use tokio::sync::Semaphore;

/// Posts signed webhooks to the core.
pub struct WebhookSender {
    route: Arc<Route>,
    waiting: Arc<Semaphore>,
}

/// Where webhooks go, and what they are signed with.
struct Route {
    url: String,
    client: reqwest::Client,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
}

impl WebhookSender {
    /// Sends to the core at `core_url`.
    pub fn new(core_url: &str, keys: Arc<Keys>, clock: Arc<dyn Clock>) -> reqwest::Result<Self> {
        // The core is on this machine: a proxy for the world outside is none for it.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("{core_url}/v1/webhooks/payments/{NAME}");
        let waiting = Arc::new(Semaphore::new(limits::SANDBOX_WAITING));
        Ok(Self { route: Arc::new(Route { url, client, keys, clock }), waiting })
    }

    /// Sends the event `times` times after `delay`; false if too many are waiting already.
    pub fn send(&self, event: ProviderEvent, delay: Duration, times: u32) -> bool {
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else { return false };
        let route = Arc::clone(&self.route);
        tokio::spawn(async move {
            let _permit = permit;
            tokio::time::sleep(delay).await;
            for _ in 0..times {
                route.deliver(&event).await;
            }
        });
        true
    }
}

impl Route {
    /// Tries until the core takes the event or the tries are used up.
    async fn deliver(&self, event: &ProviderEvent) {
        let body = serde_json::to_vec(event).expect("an event always serialises");
        let mut pause = limits::WEBHOOK_BACKOFF;
        for _ in 0..limits::WEBHOOK_TRIES {
            match self.post(&body).await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => tracing::warn!(status = %answer.status(), "a webhook was refused"),
                Err(error) => tracing::warn!(%error, "a webhook could not be sent"),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        tracing::warn!(payment_id = %event.payment_id, "a webhook was given up");
    }

    async fn post(&self, body: &[u8]) -> reqwest::Result<reqwest::Response> {
        let signature = signature::sign(&self.keys, NAME, body, self.clock.now_ms());
        self.client
            .post(&self.url)
            .timeout(limits::WEBHOOK_SEND_TIMEOUT)
            .header(CONTENT_TYPE, "application/json")
            .header(signature::HEADER, signature)
            .body(body.to_vec())
            .send()
            .await
    }
}
