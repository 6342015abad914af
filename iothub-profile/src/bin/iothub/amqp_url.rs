//! Addresses of brokers on the command line: `amqp://user:password@host:port/address`, with `amqps` for TLS, and with `ws`
//! and `wss` for WebSocket.
//!
//! Pure: text in, parts or a complaint out. A complaint never repeats the text, which may hold a password.

use std::fmt;

use amqp_transport::Secret;
use percent_encoding::percent_decode_str;

/// Where to connect to, as whom, and the node that is meant.
#[derive(Clone, Debug)]
pub(crate) struct BrokerUrl {
    pub(crate) scheme: Scheme,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What follows the slash after the host: a node's address, or a WebSocket's path without its first slash. Empty where
    /// there is nothing.
    pub(crate) path: String,
}

/// How the connection is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// TCP.
    Amqp,
    /// TLS.
    Amqps,
    /// WebSocket over TCP.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Scheme {
    /// The port where none is given, as registered (EX-011).
    fn port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_secure(self) -> bool {
        matches!(self, Self::Amqps | Self::Wss)
    }

    /// Whether a WebSocket carries the connection.
    pub(crate) fn is_websocket(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadUrl {
    Scheme,
    Host,
    Port,
    User,
    Encoding,
    Rest,
}

impl fmt::Display for BadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "it does not begin with amqp://, amqps://, ws:// or wss://",
            Self::Host => "it names no host",
            Self::Port => "its port is not a number from 1 to 65535",
            Self::User => "it has a password and no user",
            Self::Encoding => {
                "a percent sign in it is not followed by two hexadecimal digits, or they are not UTF-8"
            }
            Self::Rest => "it has a query or a fragment; in an address, write ? as %3F and # as %23",
        })
    }
}

impl BrokerUrl {
    /// Reads an address. User, password and the node's address are percent-decoded; the latter is everything after the
    /// slash that ends the host, further slashes included.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn parse(text: &str) -> Result<Self, BadUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadUrl::Scheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => Scheme::Amqp,
            "amqps" => Scheme::Amqps,
            "ws" => Scheme::Ws,
            "wss" => Scheme::Wss,
            _ => return Err(BadUrl::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(BadUrl::Rest);
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host_and_port) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            None => (None, None),
            Some(("", _)) => return Err(BadUrl::User),
            Some((user, "")) => (Some(decoded(user)?), None),
            Some((user, password)) => (Some(decoded(user)?), Some(Secret::new(decoded(password)?))),
        };
        let (host, port) = host_and_port_of(host_and_port)?;
        let port = port.unwrap_or_else(|| scheme.port());
        // A WebSocket's path is sent as it is written.
        let path = if scheme.is_websocket() { path.to_owned() } else { decoded(path)? };
        Ok(Self { scheme, user, password, host, port, path })
    }
}

/// A host, perhaps an IPv6 address in brackets, and its port where one is given.
fn host_and_port_of(text: &str) -> Result<(String, Option<u16>), BadUrl> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(BadUrl::Host)?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or(BadUrl::Port)?) })
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(BadUrl::Host);
    }
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) if port > 0 => Some(port),
        Some(_) => return Err(BadUrl::Port),
    };
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, BadUrl> {
    // The decoder leaves a percent sign alone that begins no escape; here it is a mistake.
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits = after.bytes().take_while(u8::is_ascii_hexdigit).take(2).count();
        if digits < 2 {
            return Err(BadUrl::Encoding);
        }
        rest = after;
    }
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| BadUrl::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    // EX-011
    #[test]
    fn every_part_is_read_and_decoded() {
        let url = BrokerUrl::parse("amqps://us%40er:pa%3ass@broker.example:5999//queue/a%20b").unwrap();
        assert_eq!((url.scheme, url.host.as_str(), url.port), (Scheme::Amqps, "broker.example", 5999));
        assert_eq!(url.user.as_deref(), Some("us@er"));
        assert_eq!(url.password.as_ref().map(Secret::expose), Some("pa:ss"));
        assert_eq!(url.path, "/queue/a b", "a second slash belongs to the address");
        let url = BrokerUrl::parse("amqp://[::1]/q").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("::1", 5672, "q"));
        assert!(url.user.is_none() && url.password.is_none());
        assert_eq!(BrokerUrl::parse("AMQPS://h").unwrap().port, 5671);
        let url = BrokerUrl::parse("wss://h/a%20b").unwrap();
        assert_eq!((url.scheme, url.port, url.path.as_str()), (Scheme::Wss, 443, "a%20b"));
        assert_eq!(BrokerUrl::parse("ws://h").unwrap().port, 80);
        assert_eq!(BrokerUrl::parse("amqp://user@h:1").unwrap().user.as_deref(), Some("user"));
    }

    #[test]
    fn what_is_wrong_is_named_and_the_password_is_not() {
        for (text, fault) in [
            ("", BadUrl::Scheme),
            ("broker.example", BadUrl::Scheme),
            ("http://h/q", BadUrl::Scheme),
            ("amqp://", BadUrl::Host),
            ("amqp:///q", BadUrl::Host),
            ("amqp://u:secret@/q", BadUrl::Host),
            ("amqp://[::1/q", BadUrl::Host),
            ("amqp://h:0/q", BadUrl::Port),
            ("amqp://h:65536/q", BadUrl::Port),
            ("amqp://u:secret@h:port/q", BadUrl::Port),
            ("amqp://:secret@h/q", BadUrl::User),
            ("amqp://u:se%cret@h/q", BadUrl::Encoding),
            ("amqp://h/%ff", BadUrl::Encoding),
            ("amqp://h/%e", BadUrl::Encoding),
            ("amqp://h/q?x=secret", BadUrl::Rest),
        ] {
            let error = BrokerUrl::parse(text).unwrap_err();
            assert_eq!(error, fault, "{text}");
            assert!(!error.to_string().contains("secret"));
        }
        let url = BrokerUrl::parse("amqp://u:hunter2@h/q").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }
}
