//! Which proxy a connection goes through, if any: an address, or rules in the manner of `HTTPS_PROXY` and `NO_PROXY`.
//!
//! Owns reading and deciding, as pure functions; the environment is read by one function alone, and only when it is
//! called.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use percent_encoding::percent_decode_str;

use crate::handle::error::ProxyError;
use crate::secret::Secret;

/// An HTTP proxy that connects on by `CONNECT` (RFC 9110 §9.3.6), for TCP, TLS and WebSocket alike.
///
/// The way to the proxy itself is not encrypted: its credentials can be read there. What goes through it is as safe as
/// the connection's own TLS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Option<(String, Secret)>,
}

impl Proxy {
    /// The proxy at this host and port, without credentials.
    ///
    /// # Errors
    /// [`ProxyError::Address`] when the host is no host.
    pub fn new(host: impl Into<String>, port: u16) -> Result<Self, ProxyError> {
        let host = host.into();
        if host.is_empty()
            || !host.bytes().all(|octet| octet.is_ascii_alphanumeric() || b".-_:%".contains(&octet))
        {
            return Err(ProxyError::Address { what: "it has no valid host" });
        }
        Ok(Self { host, port, credentials: None })
    }

    /// Basic authentication (RFC 7617).
    ///
    /// # Errors
    /// [`ProxyError::Address`] when the user has a colon, or either has a control character.
    pub fn credentials(mut self, user: impl Into<String>, password: Secret) -> Result<Self, ProxyError> {
        let user = user.into();
        if user.contains(':') || user.chars().chain(password.expose().chars()).any(char::is_control) {
            return Err(ProxyError::Address {
                what: "its credentials cannot be sent by basic authentication",
            });
        }
        self.credentials = Some((user, password));
        Ok(self)
    }

    /// Reads `http://user:password@host:port`. Scheme and port may be left out (the port is then 80); user and password
    /// are percent-encoded where need be.
    ///
    /// # Errors
    /// [`ProxyError::Address`]: another scheme than `http`, or an address that cannot be read.
    pub fn parse(address: &str) -> Result<Self, ProxyError> {
        let wrong = |what| ProxyError::Address { what };
        let rest = match address.trim().split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return Err(wrong("only http:// proxies are supported")),
            None => address.trim(),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("it has a path"));
        }
        let (credentials, place) = match authority.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| wrong("its port is no port"))?;
        let proxy = Self::new(host, port.unwrap_or(DEFAULT_PROXY_PORT))?;
        let Some(credentials) = credentials else { return Ok(proxy) };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(wrong("its credentials are no text")),
        };
        proxy.credentials(decode(user)?, Secret::new(decode(password)?))
    }

    /// `host:port`, without the credentials.
    pub(crate) fn address(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// When to use which proxy, in the manner of the environment variables.
///
/// Every connection asks for `HTTPS_PROXY` (or `https_proxy`), else `ALL_PROXY` (or `all_proxy`), with or without TLS,
/// as all of them are tunnels. `HTTP_PROXY` plays no part: it is for plain HTTP requests.
///
/// `NO_PROXY` (or `no_proxy`) is a list, by commas, of where to connect directly: `*`; a host, which takes in the hosts
/// under it (`example.com` and `.example.com` alike take in `a.example.com`; only the former takes in `example.com`); an IP
/// address; a range of addresses such as `10.0.0.0/8`, for hosts given as addresses; each with `:port` where only that
/// port is meant. What cannot be read matches nothing.
#[derive(Clone, Default)]
pub struct ProxyRules {
    proxy: Option<Asked>,
    no_proxy: String,
}

/// The proxy that the rules ask for.
#[derive(Clone)]
enum Asked {
    At(Secret),
    /// What is set is no text: asked for all the same, and never passed by.
    Unreadable,
}

impl ProxyRules {
    /// Rules from variables, by name.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> Self {
        Self::from_system_variables(|name| lookup(name).map(OsString::from))
    }

    /// Rules from the environment, as it is now. A proxy that is set to what is no UTF-8 is one whose address cannot be
    /// used.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_system_variables(|name| std::env::var_os(name))
    }

    fn from_system_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |names: &[&str]| {
            let mut set = names.iter().filter_map(|name| lookup(name));
            set.find(|value| !value.to_string_lossy().trim().is_empty())
        };
        let proxy = first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
        let no_proxy = first(&["NO_PROXY", "no_proxy"]).unwrap_or_default();
        Self {
            proxy: proxy.map(|proxy| match proxy.into_string() {
                Ok(address) => Asked::At(Secret::new(address)),
                Err(_) => Asked::Unreadable,
            }),
            no_proxy: no_proxy.to_string_lossy().into_owned(),
        }
    }

    /// The proxy for a host and port; `None` to connect directly.
    ///
    /// # Errors
    /// [`ProxyError::Address`] when a proxy is asked for whose address cannot be used.
    pub fn proxy_for(&self, host: &str, port: u16) -> Result<Option<Proxy>, ProxyError> {
        match &self.proxy {
            Some(_) if self.is_direct(host, port) => Ok(None),
            Some(Asked::At(address)) => Proxy::parse(address.expose()).map(Some),
            Some(Asked::Unreadable) => Err(ProxyError::Address { what: "it is no UTF-8" }),
            None => Ok(None),
        }
    }

    fn is_direct(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse().ok();
        self.no_proxy
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .any(|entry| exempts(&entry.to_ascii_lowercase(), &host, address, port))
    }
}

impl fmt::Debug for ProxyRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyRules")
            .field("has_proxy", &self.proxy.is_some())
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

/// What a client's options say about proxies.
#[derive(Clone, Debug, Default)]
pub(crate) enum ProxyChoice {
    #[default]
    Direct,
    Via(Proxy),
    ByRules(ProxyRules),
}

impl ProxyChoice {
    pub(crate) fn proxy_for(&self, host: &str, port: u16) -> Result<Option<Proxy>, ProxyError> {
        match self {
            Self::Direct => Ok(None),
            Self::Via(proxy) => Ok(Some(proxy.clone())),
            Self::ByRules(rules) => rules.proxy_for(host, port),
        }
    }
}

/// Whether one entry of `NO_PROXY` means this host.
fn exempts(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        let network = (network.parse::<IpAddr>().ok(), bits.parse::<u32>().ok());
        return matches!((network, address), ((Some(network), Some(bits)), Some(address)) if is_within(address, network, bits));
    }
    if let Ok(meant) = entry.parse::<IpAddr>() {
        return address == Some(meant);
    }
    let Some((name, meant_port)) = split_port(entry) else { return false };
    if meant_port.is_some_and(|meant| meant != port) {
        return false;
    }
    if let Some(address) = address {
        return name.parse() == Ok(address);
    }
    match name.strip_prefix("*.").or_else(|| name.strip_prefix('.')) {
        Some(suffix) => is_under(host, suffix),
        None => host == name || is_under(host, name),
    }
}

fn is_under(host: &str, suffix: &str) -> bool {
    !suffix.is_empty() && host.strip_suffix(suffix).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(u32::from(address)), u128::from(u32::from(network)), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (u128::from(address), u128::from(network), 128_u32),
        _ => return false,
    };
    let Some(shift) = width.checked_sub(bits) else { return false };
    // A shift by all 128 bits leaves nothing, and nothing equals nothing.
    address.checked_shr(shift).unwrap_or_default() == network.checked_shr(shift).unwrap_or_default()
}

/// A host and its port, where one is given; brackets are taken off. `None` when the port is no port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Some((host, Some(port.parse().ok()?))),
        _ => Some((text, None)),
    }
}

/// The port of a proxy that names none.
const DEFAULT_PROXY_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(proxy: &str, no_proxy: &str) -> ProxyRules {
        ProxyRules::from_variables(|name| match name {
            "HTTPS_PROXY" => Some(proxy.to_owned()),
            "no_proxy" => Some(no_proxy.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn addresses_are_read() {
        let proxy = Proxy::parse("http://me:p%40ss%3A@proxy.example:3128/").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        assert_eq!(proxy.credentials, Some(("me".to_owned(), Secret::from("p@ss:"))));
        assert!(!format!("{proxy:?}").contains("p@ss"));
        assert_eq!(Proxy::parse("proxy").unwrap().address(), "proxy:80");
        assert_eq!(Proxy::parse("HTTP://[::1]:8080").unwrap().address(), "[::1]:8080");
        for wrong in [
            "",
            "http://",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy:99999",
            "http://proxy:x",
            "http://proxy/path",
            "http://pro xy",
            "http://a\r\nb:1",
            "http://u%0d:p@proxy",
        ] {
            let error = Proxy::parse(wrong).unwrap_err();
            assert!(matches!(error, ProxyError::Address { .. }), "{wrong}: {error}");
        }
    }

    #[test]
    fn no_proxy_exempts_what_it_names() {
        let is_direct = |no_proxy: &str, host: &str, port: u16| {
            rules("http://p:1", no_proxy).proxy_for(host, port).unwrap().is_none()
        };
        for (no_proxy, host, port) in [
            ("*", "anything", 1),
            ("example.com", "example.com", 1),
            ("example.com", "a.b.EXAMPLE.com.", 1),
            (" x , .example.com", "a.example.com", 1),
            ("*.example.com", "a.example.com", 1),
            ("localhost:5671", "localhost", 5671),
            ("10.0.0.0/8", "10.1.2.3", 1),
            ("0.0.0.0/0", "10.1.2.3", 1),
            ("192.168.1.7", "192.168.1.7", 1),
            ("192.168.1.7:443", "192.168.1.7", 443),
            ("::1", "::1", 1),
            ("fd00::/8", "fd12::1", 1),
            ("::/0", "fd12::1", 1),
            ("[::1]:443", "::1", 443),
        ] {
            assert!(is_direct(no_proxy, host, port), "{no_proxy} {host} {port}");
        }
        for (no_proxy, host, port) in [
            ("", "example.com", 1),
            ("example.com", "badexample.com", 1),
            ("example.com", "example.com.evil.net", 1),
            (".example.com", "example.com", 1),
            ("localhost:5671", "localhost", 5672),
            ("10.0.0.0/8", "11.0.0.1", 1),
            ("10.0.0.0/33", "10.0.0.1", 1),
            ("10.0.0.0/8", "ten.example", 1),
            ("0.0.0.0/0", "::1", 1),
            ("10.0.0.0/", "10.0.0.0", 1),
            (".", "a", 1),
            ("a:b", "a", 1),
        ] {
            assert!(!is_direct(no_proxy, host, port), "{no_proxy} {host} {port}");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_and_no_direct_connection() {
        assert!(rules("socks5://p:1", "").proxy_for("h", 1).is_err());
        assert!(rules("socks5://p:1", "h").proxy_for("h", 1).unwrap().is_none());
        assert!(ProxyRules::default().proxy_for("h", 1).unwrap().is_none());
        assert!(rules(" ", "").proxy_for("h", 1).unwrap().is_none());
        let printed = format!("{:?}", rules("http://u:hunter2@p:1", ""));
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    #[cfg(unix)]
    #[test]
    fn a_proxy_that_is_no_text_is_not_passed_by() {
        use std::os::unix::ffi::OsStringExt;
        let rules = ProxyRules::from_system_variables(|name| match name {
            "HTTPS_PROXY" => Some(OsString::from_vec(b"http://us\xffer:p@proxy:3128".to_vec())),
            "NO_PROXY" => Some(OsString::from_vec(b"\xff,direct".to_vec())),
            _ => None,
        });
        assert!(matches!(rules.proxy_for("h", 1), Err(ProxyError::Address { .. })));
        assert!(rules.proxy_for("direct", 1).unwrap().is_none());
    }

    #[test]
    fn variables_have_an_order() {
        let of = |set: &'static [(&'static str, &'static str)]| {
            let lookup =
                |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            ProxyRules::from_variables(lookup).proxy_for("h", 1).unwrap().map(|proxy| proxy.host)
        };
        assert_eq!(of(&[("ALL_PROXY", "all"), ("https_proxy", "lower")]).as_deref(), Some("lower"));
        assert_eq!(of(&[("ALL_PROXY", "all"), ("HTTPS_PROXY", "")]).as_deref(), Some("all"));
        assert_eq!(of(&[("HTTP_PROXY", "plain")]), None);
    }
}
