//! TLS towards upstreams: rustls on ring, with the system's certificate authorities.
//!
//! They are read at the first https request, or at the start if a bundle was named. Without any there is
//! no https: nothing is trusted by default.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use super::failure::Failure;
use super::options::UpstreamProtocol;
use crate::limits;

/// Where the system keeps its bundle: Debian and Alpine, Fedora, SUSE, BSD and macOS.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// The names of the protocols in ALPN. Source: RFC 7301, RFC 9113.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The configurations that differ by what they offer.
#[derive(Debug, Clone)]
pub(super) struct Configurations {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Configurations {
    /// The one for a protocol.
    pub(super) fn of(&self, protocol: UpstreamProtocol) -> Arc<ClientConfig> {
        Arc::clone(match protocol {
            UpstreamProtocol::Auto => &self.any,
            UpstreamProtocol::Http1 => &self.http1,
            UpstreamProtocol::Http2 => &self.http2,
        })
    }
}

/// The node's side of TLS.
#[derive(Debug, Default)]
pub(super) struct Tls {
    /// A bundle that was named; else the system's.
    bundle: Option<PathBuf>,
    configurations: OnceCell<Configurations>,
}

impl Tls {
    /// Reads the bundle if one is named, so that a bad one is told at the start.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(bundle: Option<PathBuf>) -> Result<Self, String> {
        let configurations = match &bundle {
            Some(path) => OnceCell::new_with(Some(load(&[path])?)),
            None => OnceCell::new(),
        };
        Ok(Self { bundle, configurations })
    }

    /// The configurations, read now if they were not yet. A failure is not remembered.
    ///
    /// # Errors
    /// There are no certificate authorities.
    pub(super) async fn configurations(&self) -> Result<&Configurations, Failure> {
        let read = async || {
            let paths: Vec<PathBuf> = match &self.bundle {
                Some(path) => vec![path.clone()],
                None => BUNDLES.iter().map(PathBuf::from).collect(),
            };
            let paths = move || load(&paths.iter().map(PathBuf::as_path).collect::<Vec<_>>());
            let loaded = tokio::task::spawn_blocking(paths).await;
            loaded.unwrap_or_else(|error| Err(error.to_string()))
        };
        let loaded = self.configurations.get_or_try_init(read).await;
        loaded.map_err(|reason| Failure::Unsupported(reason.into()))
    }
}

/// Reads the first of `paths` that is there.
fn load(paths: &[impl AsRef<Path>]) -> Result<Configurations, String> {
    let Some(path) = paths.iter().map(AsRef::as_ref).find(|path| path.exists()) else {
        let paths: Vec<_> = paths.iter().map(|path| path.as_ref().display().to_string()).collect();
        return Err(format!(
            "https upstreams need certificate authorities, and there is no bundle at {}; \
             name one (PEM) with --upstream-ca or SSL_CERT_FILE",
            paths.join(", ")
        ));
    };
    let wrong = |reason: String| {
        format!("the certificate authorities in {} cannot be used: {reason}", path.display())
    };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let read = file.take(limits::MAX_CA_BUNDLE_BYTES).read_to_end(&mut pem);
    read.map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        // A system's bundle may hold one that rustls does not take; the others still count.
        if let Err(error) = roots.add(certificate) {
            tracing::debug!(path = %path.display(), %error, "a certificate authority is left out");
        }
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate that can be used".to_owned()));
    }
    let roots = Arc::new(roots);
    let configuration = |protocols: &[&[u8]]| {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?;
        let mut config = builder.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok::<_, String>(Arc::new(config))
    };
    Ok(Configurations {
        any: configuration(&[HTTP2, HTTP1])?,
        http1: configuration(&[HTTP1])?,
        http2: configuration(&[HTTP2])?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Tls, load};

    #[test]
    fn a_bad_bundle_is_told_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing.pem");
        let said = load(&[&missing]).unwrap_err();
        assert!(said.contains("missing.pem") && said.contains("SSL_CERT_FILE"), "{said}");
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        let said = Tls::new(Some(empty)).unwrap_err();
        assert!(said.contains("empty.pem") && said.contains("no certificate that"), "{said}");
    }
}
