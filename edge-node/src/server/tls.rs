//! TLS at the door: one certificate, which may be replaced while connections go on.
//!
//! A connection keeps the certificate that it began with. What is bad leaves the one in use where it is. Sessions are
//! resumed only under the certificate that they were begun with.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::{Accept, TlsAcceptor};

use super::stall::StallGuard;
use crate::limits;

/// What is offered by ALPN, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, in PEM, its own first.
    pub cert: PathBuf,
    /// Its private key, in PEM: PKCS#8, SEC1 or RSA.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read ({error})")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no usable {what} in PEM: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The two files are not a pair, or of a kind that is not supported.
    #[error("{} and {} cannot be used together: {reason}", files.cert.display(), files.key.display())]
    Unusable {
        /// The files.
        files: TlsFiles,
        /// What is wrong.
        reason: String,
    },
}

/// The certificate in use.
pub(crate) struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
    /// The bytes of both files as they were read last; held while they are read.
    read: Mutex<[Vec<u8>; 2]>,
}

impl Tls {
    /// Reads the first certificate.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let bytes = read(&files)?;
        let config = ArcSwap::from(configure(&files, &bytes)?);
        Ok(Self { files, config, read: Mutex::new(bytes) })
    }

    /// The files that it is in.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        vec![self.files.cert.clone(), self.files.key.clone()]
    }

    /// Uses what is in the files now, for new connections. Returns whether that is anything new.
    ///
    /// # Errors
    /// What is wrong with it; the old one stays in use.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = read(&self.files)?;
        if *known == bytes {
            return Ok(false);
        }
        self.config.store(configure(&self.files, &bytes)?);
        *known = bytes;
        Ok(true)
    }

    /// Begins a handshake.
    pub(super) fn accept(&self, stream: StallGuard) -> Accept<StallGuard> {
        TlsAcceptor::from(self.config.load_full()).accept(stream)
    }
}

fn read(files: &TlsFiles) -> Result<[Vec<u8>; 2], TlsError> {
    Ok([read_file(&files.cert)?, read_file(&files.key)?])
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path);
    let read = file.and_then(|file| file.take(limits::MAX_PEM_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| TlsError::Unreadable { path: path.to_owned(), error })?;
    Ok(bytes)
}

fn configure(files: &TlsFiles, [cert, key]: &[Vec<u8>; 2]) -> Result<Arc<ServerConfig>, TlsError> {
    let malformed = |path: &Path, what, reason: String| TlsError::Malformed {
        path: path.to_owned(),
        what,
        reason,
    };
    let unusable = |error: rustls::Error| {
        let (files, reason) = (files.clone(), error.to_string());
        TlsError::Unusable { files, reason }
    };
    let chain = CertificateDer::pem_slice_iter(cert).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| malformed(&files.cert, "certificate", e.to_string()))?;
    if chain.is_empty() {
        let reason = "no certificate is in it".to_owned();
        return Err(malformed(&files.cert, "certificate", reason));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| malformed(&files.key, "private key", error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Arc::new(config))
}
