//! How a client speaks TLS.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::handle::error::TlsError;

/// TLS settings of a client: whom to trust, and by what name.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: Option<String>,
}

impl TlsOptions {
    /// With the caller's own settings, whatever they are.
    #[must_use]
    pub fn new(config: Arc<ClientConfig>) -> Self {
        Self { config, server_name: None }
    }

    /// Trusts exactly the authorities in this PEM text and presents no certificate. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsError::Settings`] when the text holds no certificate that parses.
    pub fn trusting_pem(authorities: &[u8]) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities) {
            let certificate = certificate.map_err(|error| TlsError::Settings(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsError::Settings(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Settings("no certificate in the text given as authorities".to_owned()));
        }
        Self::trusting(roots)
    }

    /// Trusts these authorities and presents no certificate. TLS 1.2 and 1.3.
    ///
    /// # Errors
    /// [`TlsError::Settings`] when the TLS library refuses its own defaults.
    pub fn trusting(roots: RootCertStore) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self::new(Arc::new(config)))
    }

    /// The name the peer's certificate must carry and that goes into SNI. Default the host that is connected to.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}
