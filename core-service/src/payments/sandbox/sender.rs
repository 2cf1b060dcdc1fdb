//! Sends the sandbox's webhooks: a bounded number at once, each with its delay and its repeats.

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
use tokio_util::task::TaskTracker;

/// How long one webhook may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Posts signed webhooks to the core.
pub struct WebhookSender {
    url: String,
    client: reqwest::Client,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
    waiting: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl WebhookSender {
    /// Sends to the core at `core_url`, as long as `tasks` lives.
    pub fn new(core_url: &str, keys: Arc<Keys>, clock: Arc<dyn Clock>, tasks: TaskTracker) -> Self {
        Self {
            url: format!("{core_url}/v1/webhooks/payments/{NAME}"),
            client: reqwest::Client::new(),
            keys,
            clock,
            waiting: Arc::new(Semaphore::new(limits::SANDBOX_WAITING)),
            tasks,
        }
    }

    /// Sends the event `times` times after `delay`; false if too many are waiting already.
    pub fn send(&self, event: ProviderEvent, delay: Duration, times: u32) -> bool {
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else { return false };
        let (url, client) = (self.url.clone(), self.client.clone());
        let (keys, clock) = (Arc::clone(&self.keys), Arc::clone(&self.clock));
        self.tasks.spawn(async move {
            let _permit = permit;
            tokio::time::sleep(delay).await;
            let body = serde_json::to_vec(&event).expect("an event always serialises");
            for _ in 0..times {
                let signature = signature::sign(&keys, NAME, &body, clock.now_ms());
                let sent = client
                    .post(&url)
                    .timeout(SEND_TIMEOUT)
                    .header(CONTENT_TYPE, "application/json")
                    .header(signature::HEADER, signature)
                    .body(body.clone())
                    .send()
                    .await;
                match sent {
                    Ok(answer) if answer.status().is_success() => {}
                    Ok(answer) => {
                        tracing::warn!(status = %answer.status(), "a webhook was refused")
                    }
                    Err(error) => tracing::warn!(%error, "a webhook could not be sent"),
                }
            }
        });
        true
    }
}
