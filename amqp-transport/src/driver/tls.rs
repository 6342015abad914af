//! TLS handshakes, and what their failures mean to a person.
//!
//! Owns the mapping from rustls' errors to [`TlsError`]; it never weakens a check.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::first_bytes::FirstBytes;
use super::read_ahead::ReadAhead;
use crate::handle::error::TlsError;
use crate::handle::stream::Spoken;

/// What TLS reads from.
type Beneath<IO> = FirstBytes<ReadAhead<IO>>;

/// A client's TLS stream over any transport.
pub(crate) type ClientStream<IO> = tokio_rustls::client::TlsStream<Beneath<IO>>;

/// A server's TLS stream over any transport.
pub(crate) type ServerStream<IO> = tokio_rustls::server::TlsStream<Beneath<IO>>;

/// Runs the client's handshake.
pub(crate) async fn connect<IO>(
    io: IO,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<ClientStream<IO>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let server_name =
        ServerName::try_from(name.to_owned()).map_err(|_| TlsError::InvalidServerName(name.to_owned()))?;
    TlsConnector::from(config)
        .connect_with(server_name, beneath(io), |session| session.set_buffer_limit(Some(ENCRYPTED)))
        .into_fallible()
        .await
        .map_err(|(error, io)| classify(&error, io.spoken(), name))
}

/// Runs the server's handshake.
pub(crate) async fn accept<IO>(io: IO, config: Arc<ServerConfig>) -> Result<ServerStream<IO>, TlsError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    TlsAcceptor::from(config)
        .accept_with(beneath(io), |session| session.set_buffer_limit(Some(ENCRYPTED)))
        .into_fallible()
        .await
        .map_err(|(error, io)| classify(&error, io.spoken(), ""))
}

/// The certificates the peer presented, its own first, as DER.
pub(crate) fn peer_certificates<IO>(stream: &ServerStream<IO>) -> Vec<Bytes> {
    let (_, session) = stream.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    certificates.iter().map(|certificate| Bytes::copy_from_slice(certificate)).collect()
}

fn beneath<IO>(io: IO) -> Beneath<IO> {
    FirstBytes::new(ReadAhead::new(io))
}

fn classify(error: &io::Error, spoken: Spoken, expected: &str) -> TlsError {
    if !matches!(spoken, Spoken::Tls)
        && (spoken != Spoken::Nothing || error.kind() == io::ErrorKind::UnexpectedEof)
    {
        return TlsError::NotTls(spoken);
    }
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return TlsError::Other(error.to_string());
    };
    match error {
        rustls::Error::InvalidCertificate(fault) => certificate(fault, expected),
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => TlsError::UnknownAuthority,
        rustls::Error::AlertReceived(alert) => TlsError::Alert(format!("{alert:?}")),
        other => TlsError::Other(other.to_string()),
    }
}

fn certificate(fault: &CertificateError, expected: &str) -> TlsError {
    match fault {
        // An authority of the same name with another key is another authority.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsError::UnknownAuthority,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsError::NameMismatch { expected: expected.to_owned() }
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsError::OutsideValidity,
        other => TlsError::Certificate(other.to_string()),
    }
}

/// Octets that wait encrypted at most: a burst of the driver's and what goes beyond it leave in one write.
const ENCRYPTED: usize = 128 * 1024;
