//! The opening handshake's words (RFC 6455 §4, WS-001). Pure.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use super::super::http_head::Head;
use crate::handle::error::WebSocketError;
use crate::server::WebSocketAccept;

/// How AMQP is named on a WebSocket.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Subprotocol {
    /// `amqp`, the standard's name (WS-001).
    Amqp,
    /// `AMQPWSB10`, an earlier draft's name, which large cloud services still ask for (WS-002).
    AmqpWsb10,
}

impl Subprotocol {
    /// Its name in `Sec-WebSocket-Protocol`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::AmqpWsb10 => "AMQPWSB10",
        }
    }
}

/// A client's request.
pub(super) fn request(
    host: &str,
    path: &str,
    key: &str,
    subprotocols: &[Subprotocol],
) -> Result<String, WebSocketError> {
    let is_printable = |text: &str| text.bytes().all(|octet| matches!(octet, b'!'..=b'~'));
    if !path.starts_with('/') || !is_printable(path) || path.contains('#') {
        return Err(WebSocketError::Settings { what: "the path does not begin with / or has blanks" });
    }
    if host.is_empty() || !is_printable(host) {
        return Err(WebSocketError::Settings { what: "the host is no host" });
    }
    let names: Vec<&str> = subprotocols.iter().map(|protocol| protocol.name()).collect();
    if names.is_empty() {
        return Err(WebSocketError::Settings { what: "there is no subprotocol" });
    }
    Ok(format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        names.join(", ")
    ))
}

/// Whether a server's response grants what was asked for.
pub(super) fn check_response(
    head: &Head<'_>,
    key: &str,
    subprotocols: &[Subprotocol],
) -> Result<Subprotocol, WebSocketError> {
    let malformed = |what| WebSocketError::Malformed { what };
    let status = head.status().map_err(malformed)?;
    if status != 101 {
        return Err(WebSocketError::Refused { status });
    }
    if !head.has_token("upgrade", "websocket") || !head.has_token("connection", "upgrade") {
        return Err(malformed("it upgrades to something else"));
    }
    if head.field("sec-websocket-accept").map_err(malformed)? != Some(accept_key(key).as_str()) {
        return Err(malformed("it does not answer the key"));
    }
    // None was asked for.
    if head.list("sec-websocket-extensions").next().is_some() {
        return Err(malformed("it uses an extension"));
    }
    let chosen = head.field("sec-websocket-protocol").map_err(malformed)?;
    let known = subprotocols.iter().find(|protocol| chosen == Some(protocol.name()));
    known.copied().ok_or_else(|| WebSocketError::Subprotocol { offered: chosen.map(shown) })
}

/// What a listener says to a request, and why it refuses, if it does.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) text: String,
    pub(super) refused: Option<WebSocketError>,
}

impl Answer {
    pub(super) fn bad_request(reason: WebSocketError) -> Self {
        Self::refuse("400 Bad Request", "", reason)
    }

    fn refuse(status: &str, fields: &str, reason: WebSocketError) -> Self {
        let text = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n");
        Self { text, refused: Some(reason) }
    }
}

/// A listener's answer: 101 with the first of its own subprotocols that the client offers, or a refusal.
pub(super) fn respond(head: &Head<'_>, options: &WebSocketAccept) -> Answer {
    match read_request(head, options) {
        Ok((key, subprotocol)) => Answer {
            text: format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
                accept_key(key),
                subprotocol.name()
            ),
            refused: None,
        },
        Err(reason @ WebSocketError::Path) => Answer::refuse("404 Not Found", "", reason),
        Err(reason @ WebSocketError::Origin) => Answer::refuse("403 Forbidden", "", reason),
        Err(reason @ WebSocketError::Malformed { what: OTHER_VERSION }) => {
            Answer::refuse("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n", reason)
        }
        Err(reason) => Answer::bad_request(reason),
    }
}

fn read_request<'a>(
    head: &Head<'a>,
    options: &WebSocketAccept,
) -> Result<(&'a str, Subprotocol), WebSocketError> {
    let malformed = |what| WebSocketError::Malformed { what };
    let mut parts = head.first.split(' ');
    let (Some("GET"), Some(target), Some("HTTP/1.1"), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it is no GET of HTTP/1.1"));
    };
    if head.field("host").map_err(malformed)?.is_none() {
        return Err(malformed("it names no host"));
    }
    if !head.has_token("upgrade", "websocket") || !head.has_token("connection", "upgrade") {
        return Err(malformed("it asks for no WebSocket"));
    }
    if head.field("sec-websocket-version").map_err(malformed)? != Some("13") {
        return Err(malformed(OTHER_VERSION));
    }
    let key = head.field("sec-websocket-key").map_err(malformed)?.unwrap_or_default();
    if key.len() != KEY_LENGTH || STANDARD.decode(key).map(|octets| octets.len()) != Ok(16) {
        return Err(malformed("it has no valid key"));
    }
    // What follows the head is read as frames: a body's octets would be taken for some.
    let length = head.field("content-length").map_err(malformed)?;
    if length.is_some_and(|length| length != "0") || head.list("transfer-encoding").next().is_some() {
        return Err(malformed("it has a body"));
    }
    let origin = head.field("origin").map_err(malformed)?;
    if let (Some(origin), Some(served)) = (origin, &options.origins)
        && !served.iter().any(|served| served.eq_ignore_ascii_case(origin))
    {
        return Err(WebSocketError::Origin);
    }
    let path = target.split('?').next().unwrap_or_default();
    if options.paths.as_ref().is_some_and(|paths| !paths.iter().any(|served| served == path)) {
        return Err(WebSocketError::Path);
    }
    let offers = |protocol: &Subprotocol| {
        head.list("sec-websocket-protocol").any(|offered| offered == protocol.name())
    };
    match options.subprotocols.iter().copied().find(offers) {
        Some(protocol) => Ok((key, protocol)),
        None => {
            let offered: Vec<&str> = head.list("sec-websocket-protocol").collect();
            let offered = (!offered.is_empty()).then(|| shown(&offered.join(", ")));
            Err(WebSocketError::Subprotocol { offered })
        }
    }
}

/// RFC 6455 §4.2.2: what shows that a server understood the request.
fn accept_key(key: &str) -> String {
    let joined = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, joined.as_bytes()))
}

/// A peer's words, as far as they fit into an error.
fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

const OTHER_VERSION: &str = "it speaks another version of the WebSocket protocol";
/// Characters of 16 octets in base64.
const KEY_LENGTH: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const BOTH: [Subprotocol; 2] = [Subprotocol::Amqp, Subprotocol::AmqpWsb10];

    // RFC 6455 §1.3
    #[test]
    fn the_key_is_answered_as_in_the_rfc() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    fn answer(change: impl Fn(String) -> String, subprotocols: &[Subprotocol]) -> Answer {
        let text = change(request("h:1", "/amqp?x", KEY, &BOTH).unwrap());
        let head = text.strip_suffix("\r\n\r\n").unwrap();
        let options = WebSocketAccept::new().subprotocols(subprotocols.iter().copied()).paths(["/amqp"]);
        respond(&Head::parse(head.as_bytes()).unwrap(), &options)
    }

    // WS-001, WS-002
    #[test]
    fn both_sides_agree_on_a_subprotocol() {
        for (served, chosen) in [(&BOTH[..], Subprotocol::Amqp), (&BOTH[1..], Subprotocol::AmqpWsb10)] {
            let answer = answer(|text| text, served);
            assert_eq!(answer.refused, None);
            let head = answer.text.strip_suffix("\r\n\r\n").unwrap();
            let head = Head::parse(head.as_bytes()).unwrap();
            assert_eq!(check_response(&head, KEY, &BOTH), Ok(chosen));
            assert!(check_response(&head, "AAAAAAAAAAAAAAAAAAAAAA==", &BOTH).is_err());
        }
    }

    // WS-001: a server without the subprotocol is left.
    #[test]
    fn a_client_takes_no_other_answer() {
        let granted = format!(
            "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Protocol: amqp",
            accept_key(KEY)
        );
        let check = |text: &str| check_response(&Head::parse(text.as_bytes()).unwrap(), KEY, &BOTH[..1]);
        assert_eq!(check(&granted), Ok(Subprotocol::Amqp));
        for (from, to) in [
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Connection: Upgrade", "Connection: close"),
            ("Sec-WebSocket-Accept", "X"),
            ("amqp", "amqp\r\nSec-WebSocket-Extensions: permessage-deflate"),
            ("amqp", "amqp\r\nSec-WebSocket-Protocol: amqp"),
        ] {
            let changed = check(&granted.replace(from, to));
            assert!(matches!(changed, Err(WebSocketError::Malformed { .. })), "{to}: {changed:?}");
        }
        for (to, offered) in [("AMQPWSB10", Some("AMQPWSB10".to_owned())), ("mqtt", Some("mqtt".to_owned()))]
        {
            let changed = check(&granted.replace("amqp", to));
            assert_eq!(changed, Err(WebSocketError::Subprotocol { offered }));
        }
        let without = check(&granted.replace("Sec-WebSocket-Protocol", "X-Other"));
        assert_eq!(without, Err(WebSocketError::Subprotocol { offered: None }));
        assert_eq!(check("HTTP/1.1 403 Forbidden"), Err(WebSocketError::Refused { status: 403 }));
    }

    #[test]
    fn a_listener_refuses_other_requests() {
        let cases: [(&str, &str, &str); 9] = [
            ("amqp, AMQPWSB10", "mqtt", "400"),
            ("Sec-WebSocket-Protocol", "X", "400"),
            ("Version: 13", "Version: 8", "426"),
            ("/amqp", "/other", "404"),
            ("GET", "POST", "400"),
            ("HTTP/1.1", "HTTP/1.0", "400"),
            ("Upgrade: websocket\r\n", "", "400"),
            ("Host: h:1\r\n", "", "400"),
            (KEY, "c2hvcnQ=", "400"),
        ];
        for (from, to, status) in cases {
            let refused = answer(|text| text.replace(from, to), &BOTH);
            assert!(refused.text.starts_with(&format!("HTTP/1.1 {status} ")), "{to}: {}", refused.text);
            assert!(refused.refused.is_some());
        }
    }

    fn with_field(field: &str, options: &WebSocketAccept) -> String {
        let text = request("h:1", "/", KEY, &BOTH).unwrap();
        let head = format!("{}\r\n{field}", text.strip_suffix("\r\n\r\n").unwrap());
        respond(&Head::parse(head.as_bytes()).unwrap(), options).text
    }

    // RFC 6455 §10.2
    #[test]
    fn a_web_page_of_another_origin_gets_no_websocket() {
        let served = WebSocketAccept::new().origins(["https://app.example"]);
        let none = WebSocketAccept::new().origins(Vec::<String>::new());
        for (field, options, status) in [
            ("Origin: https://app.example", &served, "101"),
            ("Origin: https://evil.example", &served, "403"),
            ("Origin: https://app.example.evil", &served, "403"),
            ("Origin: null", &served, "403"),
            ("Origin: https://app.example", &none, "403"),
            ("Origin: https://app.example\r\nOrigin: https://evil.example", &served, "400"),
            ("X: y", &none, "101"),
            ("Origin: https://any.example", &WebSocketAccept::new(), "101"),
        ] {
            let answer = with_field(field, options);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{field}: {answer}");
        }
    }

    #[test]
    fn a_request_with_a_body_gets_no_websocket() {
        let any = WebSocketAccept::new();
        for (field, status) in [
            ("Content-Length: 5", "400"),
            ("Transfer-Encoding: chunked", "400"),
            ("Content-Length: 0", "101"),
        ] {
            assert!(with_field(field, &any).starts_with(&format!("HTTP/1.1 {status} ")), "{field}");
        }
    }

    #[test]
    fn settings_cannot_smuggle_fields_in() {
        for (host, path) in [("h", "amqp"), ("h", "/a b"), ("h", "/a\r\nX: y"), ("h\r\nX: y", "/"), ("", "/")]
        {
            assert!(matches!(request(host, path, KEY, &BOTH), Err(WebSocketError::Settings { .. })));
        }
        assert!(request("h", "/", KEY, &[]).is_err());
    }
}
