//! Connecting through an HTTP proxy.
//!
//! Owns the `CONNECT` request and the reading of its answer. It never connects anywhere by itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;

use super::http_head::{Head, HeadError, read_head};
use super::stream::{BoxedStream, Prefixed};
use crate::client::proxy::{Proxy, authority};
use crate::handle::error::ProxyError;

/// Asks a proxy, over a stream to it, to connect to a host and port.
pub(crate) async fn connect(
    mut io: BoxedStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<BoxedStream, ProxyError> {
    let address = proxy.address();
    let lost =
        |error: std::io::Error| ProxyError::Lost { address: address.clone(), detail: error.to_string() };
    let malformed = |what| ProxyError::Malformed { address: address.clone(), what };
    let request = request(proxy, host, port)?;
    io.write_all(request.as_bytes()).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let mut buffer = BytesMut::new();
    let head = read_head(&mut io, &mut buffer).await.map_err(|error| match error {
        HeadError::TooLong => malformed("its answer is too long"),
        HeadError::NotHttp(_) => malformed("it speaks no HTTP"),
        HeadError::Malformed(what) => malformed(what),
        HeadError::Lost(error) => lost(error),
    })?;
    let status = Head::parse(&head).and_then(|head| head.status()).map_err(malformed)?;
    match status {
        200..=299 if buffer.is_empty() => Ok(io),
        // The peer spoke first, in the same segment.
        200..=299 => Ok(Box::new(Prefixed::new(buffer.freeze(), io))),
        407 => Err(ProxyError::Unauthorized { address, had_credentials: proxy.credentials.is_some() }),
        status => Err(ProxyError::Refused { address, status }),
    }
}

fn request(proxy: &Proxy, host: &str, port: u16) -> Result<String, ProxyError> {
    if host.is_empty() || host.bytes().any(|octet| octet <= b' ' || octet >= 0x7f || b"/?#@".contains(&octet))
    {
        return Err(ProxyError::Address { what: "the host to connect to is no host" });
    }
    let target = authority(host, port);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = &proxy.credentials {
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose()));
        request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn the_request_is_as_the_rfc_asks() {
        let proxy = Proxy::new("proxy", 3128).unwrap();
        let said = request(&proxy, "broker.example", 5671).unwrap();
        assert_eq!(said, "CONNECT broker.example:5671 HTTP/1.1\r\nHost: broker.example:5671\r\n\r\n");
        // RFC 7617 §2
        let proxy = proxy.credentials("Aladdin", Secret::from("open sesame")).unwrap();
        let said = request(&proxy, "::1", 443).unwrap();
        assert!(said.starts_with("CONNECT [::1]:443 HTTP/1.1\r\n"), "{said}");
        assert!(said.contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"), "{said}");
        assert!(request(&proxy, "a\r\nb", 1).is_err());
    }
}
