//! Taking up what has changed on disk while requests go on: on SIGHUP, on `POST /reload`, and by watching.
//!
//! Files are watched by looking at them each second: that works on every file system, also where names are moved
//! over each other. A change counts when it has stood still from one look to the next, so that a file is not read
//! while it is written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use crate::deployment::Deployment;
use crate::host::key_value::Store;
use crate::limits;
use crate::metrics::Metrics;
use crate::node::StartError;
use crate::server::{Tls, TlsError};
use crate::site::Identity;

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// The application's name.
    pub application: String,
    /// Its version; may be empty.
    pub version: String,
    /// Counted from 1, by one for each reload that changed something.
    pub generation: u64,
    /// The components that run anew.
    pub renewed: Vec<String>,
    /// Whether another certificate is in use; none without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_certificate_new: Option<bool>,
}

/// What a reload could not take up. The rest it has.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The application.
    #[error("the old application serves on: {0}")]
    Application(#[from] StartError),
    /// The certificate.
    #[error("the old certificate stays in use: {0}")]
    Certificate(#[from] TlsError),
    /// Both.
    #[error("the old application serves on: {0}; the old certificate stays in use: {1}")]
    Both(StartError, TlsError),
}

/// Everything that can be taken up anew.
pub(crate) struct Reloader {
    deployment: Deployment,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
}

impl Reloader {
    pub(crate) fn new(
        deployment: Deployment,
        tls: Option<Arc<Tls>>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self { deployment, tls, metrics })
    }

    /// What is served.
    pub(crate) fn identity(&self) -> Identity {
        self.deployment.identity()
    }

    /// The store of this label, if a component lists it.
    pub(crate) fn store(&self, label: &str) -> Option<Store> {
        self.deployment.store(label)
    }

    /// Takes up what has changed. It goes on to its end also when nobody waits for it any longer.
    ///
    /// # Errors
    /// What is wrong, in one sentence: that much stays as it was.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<Reloaded, ReloadError> {
        let reloader = Arc::clone(self);
        let task = tokio::spawn(async move {
            (reloader.deployment.reload().await, reloader.reload_certificate().await)
        });
        let (deployed, certificate) = task.await.expect("a reload does not panic");
        let (deployed, is_certificate_new) = match (deployed, certificate) {
            (Ok(deployed), Ok(is_new)) => (deployed, is_new),
            (Err(error), Ok(_)) => return Err(ReloadError::Application(error)),
            (Ok(_), Err(error)) => return Err(ReloadError::Certificate(error)),
            (Err(error), Err(other)) => return Err(ReloadError::Both(error, other)),
        };
        let Identity { application, version, generation } = deployed.identity;
        let renewed = deployed.renewed;
        Ok(Reloaded { application, version, generation, renewed, is_certificate_new })
    }

    /// Uses the certificate that is in its files, if there is one. Returns whether it is another.
    async fn reload_certificate(&self) -> Result<Option<bool>, TlsError> {
        let Some(tls) = self.tls.clone() else { return Ok(None) };
        let files = tls.files();
        let reloaded = tokio::task::spawn_blocking(move || tls.reload()).await;
        let reloaded = reloaded.expect("reading a certificate does not panic");
        let outcome = match &reloaded {
            Ok(true) => "reloaded",
            Ok(false) => "unchanged",
            Err(_) => "failed",
        };
        self.metrics.application.count_reload("certificate", outcome);
        match &reloaded {
            Ok(_) => tracing::info!(?files, outcome, "certificate reload"),
            Err(error) => {
                tracing::error!(%error, "certificate reload failed; the old one stays in use");
            }
        }
        reloaded.map(Some)
    }

    /// Reloads the application whenever its files have changed, without end.
    pub(crate) async fn watch_application(self: Arc<Self>) {
        let mut watch = Watch::new(look(self.deployment.files()).await);
        loop {
            tokio::time::sleep(limits::WATCH_INTERVAL).await;
            if watch.has_settled(look(self.deployment.files()).await) {
                // Whatever comes of it is in the log.
                let _ = self.deployment.reload().await;
            }
        }
    }

    /// Reloads the certificate whenever its files have changed, without end.
    pub(crate) async fn watch_certificate(self: Arc<Self>) {
        let Some(tls) = &self.tls else { return };
        let mut watch = Watch::new(look(tls.files()).await);
        loop {
            tokio::time::sleep(limits::WATCH_INTERVAL).await;
            if watch.has_settled(look(tls.files()).await) {
                let _ = self.reload_certificate().await;
            }
        }
    }
}

/// What tells a file from what it was: whatever is written to it or put in its place changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
    inode: u64,
}

type Stamps = BTreeMap<PathBuf, Option<Stamp>>;

/// The files as they are; none for what is not there.
async fn look(files: Vec<PathBuf>) -> Stamps {
    let stamp = |path: PathBuf| {
        let stamp = fs::metadata(&path).ok().map(|it| Stamp {
            bytes: it.len(),
            modified_ns: (it.mtime(), it.mtime_nsec()),
            changed_ns: (it.ctime(), it.ctime_nsec()),
            inode: it.ino(),
        });
        (path, stamp)
    };
    let looked = tokio::task::spawn_blocking(move || files.into_iter().map(stamp).collect());
    looked.await.expect("looking at files does not panic")
}

/// Files whose changes are waited for.
struct Watch {
    /// As they were when they were last taken up.
    known: Stamps,
    /// As they were last seen.
    seen: Stamps,
}

impl Watch {
    fn new(stamps: Stamps) -> Self {
        Self { known: stamps.clone(), seen: stamps }
    }

    /// Whether they have changed, and not since the last look. They are then known.
    fn has_settled(&mut self, now: Stamps) -> bool {
        let is_still = self.seen == now;
        self.seen = now;
        if !is_still || self.seen == self.known {
            return false;
        }
        self.known.clone_from(&self.seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Stamp, Stamps, Watch};

    fn stamps(files: &[(&str, Option<u64>)]) -> Stamps {
        let stamp = |bytes| Stamp { bytes, modified_ns: (0, 0), changed_ns: (0, 0), inode: 0 };
        files.iter().map(|(path, bytes)| (PathBuf::from(path), bytes.map(stamp))).collect()
    }

    #[test]
    fn a_change_counts_once_when_it_stands_still() {
        let (old, half) = (stamps(&[("a", Some(1))]), stamps(&[("a", Some(2))]));
        let (new, gone) = (stamps(&[("a", Some(3))]), stamps(&[("a", None)]));
        let mut watch = Watch::new(old.clone());
        for (step, (now, settled)) in [
            (&old, false),
            (&half, false),
            (&new, false),
            (&new, true),
            (&new, false),
            (&gone, false),
            (&new, false),
            (&new, false),
            (&gone, false),
            (&gone, true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(watch.has_settled(now.clone()), settled, "step {step}");
        }
    }
}
