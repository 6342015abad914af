//! TLS 1.3 for both ends of a case, with one certificate for the whole run.

use std::sync::{Arc, OnceLock};

use amqp_transport::client::TlsOptions;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::run::BoxError;

struct Identity {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// What the listener shows.
pub(crate) fn server() -> Result<Arc<ServerConfig>, BoxError> {
    Ok(Arc::clone(&identity()?.server))
}

/// The client's options; the name in the certificate is `localhost`.
pub(crate) fn client() -> Result<TlsOptions, BoxError> {
    Ok(TlsOptions::new(client_config()?).server_name("localhost"))
}

/// The client's configuration, for sockets without the protocol.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, BoxError> {
    Ok(Arc::clone(&identity()?.client))
}

/// The name that the client expects.
pub(crate) fn server_name() -> Result<ServerName<'static>, BoxError> {
    Ok(ServerName::try_from("localhost")?)
}

fn identity() -> Result<&'static Identity, BoxError> {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    if let Some(identity) = IDENTITY.get() {
        return Ok(identity);
    }
    let made = make()?;
    Ok(IDENTITY.get_or_init(|| made))
}

fn make() -> Result<Identity, BoxError> {
    let key = rcgen::KeyPair::generate()?;
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?.self_signed(&key)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = &[&rustls::version::TLS13];
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone())?;
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Identity { server: Arc::new(server), client: Arc::new(client) })
}
