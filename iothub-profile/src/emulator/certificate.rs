//! The emulator's TLS identity: a certificate authority made on the spot, or a certificate that was given.

use std::{fmt, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::error::EmulatorError;

/// What the listener shows and what a client needs to trust it.
pub(crate) struct Certificate {
    /// PEM text a client trusts: the authority made on the spot, or the given chain.
    pub(crate) trust_pem: String,
    pub(crate) server_config: Arc<ServerConfig>,
}

impl Certificate {
    /// Makes an authority and a server certificate for `names` (host names or IP addresses).
    pub(crate) fn make(names: &[String]) -> Result<Self, EmulatorError> {
        let (authority_pem, chain_pem, key_pem) = issue(names).map_err(|error| unusable(&error))?;
        Self::configure(authority_pem, &chain_pem, &key_pem)
    }

    /// Uses a chain (leaf first) and a private key, both PEM.
    pub(crate) fn given(chain_pem: &str, key_pem: &str) -> Result<Self, EmulatorError> {
        Self::configure(chain_pem.to_owned(), chain_pem, key_pem)
    }

    fn configure(trust_pem: String, chain_pem: &str, key_pem: &str) -> Result<Self, EmulatorError> {
        let chain = CertificateDer::pem_slice_iter(chain_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unusable(&error))?;
        if chain.is_empty() {
            return Err(unusable(&"the PEM text holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| unusable(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| unusable(&error))?;
        Ok(Self { trust_pem, server_config: Arc::new(config) })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Authority, chain and key of the chain's leaf, each as PEM text.
fn issue(names: &[String]) -> Result<(String, String, String), rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name.push(DnType::CommonName, "IoT Hub emulator authority");
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);

    let mut server = CertificateParams::new(names.to_vec())?;
    if let Some(name) = names.first() {
        server.distinguished_name.push(DnType::CommonName, name.as_str());
    }
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let server_certificate = server.signed_by(&server_key, &issuer)?;
    Ok((authority_certificate.pem(), server_certificate.pem(), server_key.serialize_pem()))
}

fn unusable(reason: &dyn fmt::Display) -> EmulatorError {
    EmulatorError::Certificate { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_made_on_the_spot() {
        let names = ["my-hub.azure-devices.net", "localhost", "127.0.0.1"].map(str::to_owned);
        let certificate = Certificate::make(&names).unwrap();
        assert!(certificate.trust_pem.starts_with("-----BEGIN CERTIFICATE-----"));
        assert!(!certificate.trust_pem.contains("PRIVATE"));
    }

    #[test]
    fn a_text_that_is_no_certificate_is_refused() {
        let error = Certificate::given("hello", "hello").unwrap_err();
        assert!(matches!(error, EmulatorError::Certificate { .. }), "{error}");
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let names = ["localhost".to_owned()];
        let (_, chain, _) = issue(&names).unwrap();
        let (_, _, other_key) = issue(&names).unwrap();
        assert!(matches!(Certificate::given(&chain, &other_key), Err(EmulatorError::Certificate { .. })));
    }
}
