//! TLS for `tcp://` sockets: our certificate, and with `--tlsverify` the clients'.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::settings::Tls;

/// Why TLS cannot be spoken.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("could not load X509 key pair: read {path}: {source}")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("could not load X509 key pair: {path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("trust {path}: {reason}")]
    Trust { path: PathBuf, reason: String },
    #[error("set up TLS: {0}")]
    Setup(#[from] rustls::Error),
}

/// Prepares the server's side of TLS.
pub(crate) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = if tls.verify {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&tls.ca)? {
            roots.add(certificate)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| TlsError::Trust { path: tls.ca.clone(), reason: error.to_string() })?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|source| TlsError::Pem { path: tls.key.clone(), source })?;
    let mut config = builder.with_single_cert(certificates(&tls.cert)?, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}
