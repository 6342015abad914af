//! Bearer tokens: XOAUTH2 and OAUTHBEARER (RFC 7628).

use bytes::Bytes;

use super::mechanism::{ClientMechanism, Exposure};
use super::request::MalformedResponse;
use crate::error::SaslFailure;
use crate::secret::Secret;

/// XOAUTH2, as mail providers and brokers speak it: a user and a bearer token.
#[derive(Clone, Debug)]
pub struct Xoauth2 {
    user: String,
    token: Secret,
    refusal: Option<String>,
}

impl Xoauth2 {
    /// This user's token.
    pub fn new(user: impl Into<String>, token: Secret) -> Self {
        Self { user: user.into(), token, refusal: None }
    }
}

impl ClientMechanism for Xoauth2 {
    fn name(&self) -> &'static str {
        XOAUTH2
    }

    fn exposure(&self) -> Exposure {
        Exposure::Secret
    }

    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        separable(&[&self.user, self.token.expose()])?;
        let text = format!("user={}\u{1}auth=Bearer {}\u{1}\u{1}", self.user, self.token.expose());
        Ok(Some(Bytes::from(text)))
    }

    // The one challenge there is says why the token is not taken; nothing is left to say but an empty response.
    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        keep_refusal(&mut self.refusal, challenge, XOAUTH2)?;
        Ok(Bytes::new())
    }

    fn finish(&mut self, _: Option<&[u8]>) -> Result<(), SaslFailure> {
        not_refused(self.refusal.as_deref(), XOAUTH2)
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }
}

/// OAUTHBEARER (RFC 7628): a bearer token, and for whom and where it is meant.
#[derive(Clone, Debug)]
pub struct OauthBearer {
    token: Secret,
    authzid: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    refusal: Option<String>,
}

impl OauthBearer {
    /// This token, without further words.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self { token, authzid: None, host: None, port: None, refusal: None }
    }

    /// The identity to act as. Default the token's own.
    #[must_use]
    pub fn authzid(mut self, authzid: impl Into<String>) -> Self {
        self.authzid = Some(authzid.into());
        self
    }

    /// The host and port that are meant. Default untold.
    #[must_use]
    pub fn server(mut self, host: impl Into<String>, port: u16) -> Self {
        (self.host, self.port) = (Some(host.into()), Some(port));
        self
    }
}

impl ClientMechanism for OauthBearer {
    fn name(&self) -> &'static str {
        OAUTHBEARER
    }

    fn exposure(&self) -> Exposure {
        Exposure::Secret
    }

    // RFC 7628 §3.1: gs2-header, then key=value pairs between 0x01.
    fn initial_response(&mut self) -> Result<Option<Bytes>, SaslFailure> {
        separable(&[
            self.token.expose(),
            self.authzid.as_deref().unwrap_or_default(),
            self.host.as_deref().unwrap_or_default(),
        ])?;
        let mut text = String::from("n,");
        if let Some(authzid) = &self.authzid {
            text.push_str("a=");
            text.push_str(&saslname(authzid));
        }
        text.push_str(",\u{1}");
        if let Some(host) = &self.host {
            text.push_str(&format!("host={host}\u{1}"));
        }
        if let Some(port) = self.port {
            text.push_str(&format!("port={port}\u{1}"));
        }
        text.push_str(&format!("auth=Bearer {}\u{1}\u{1}", self.token.expose()));
        Ok(Some(Bytes::from(text)))
    }

    // RFC 7628 §3.2.3: an error is answered by a single 0x01, and the outcome follows.
    fn respond(&mut self, challenge: &[u8]) -> Result<Bytes, SaslFailure> {
        keep_refusal(&mut self.refusal, challenge, OAUTHBEARER)?;
        Ok(Bytes::from_static(ERROR_RESPONSE))
    }

    fn finish(&mut self, _: Option<&[u8]>) -> Result<(), SaslFailure> {
        not_refused(self.refusal.as_deref(), OAUTHBEARER)
    }

    fn refusal(&self) -> Option<String> {
        self.refusal.clone()
    }
}

/// What a listener finds in the initial response of either mechanism.
#[derive(Debug, Default)]
pub(super) struct BearerFields {
    pub(super) user: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) token: Secret,
}

/// Reads XOAUTH2: `user=…` 0x01 `auth=Bearer …` 0x01 0x01.
pub(super) fn read_xoauth2(text: &str) -> Result<BearerFields, MalformedResponse> {
    let fields = read_pairs(text)?;
    if fields.user.as_deref().unwrap_or_default().is_empty() {
        return Err(MalformedResponse);
    }
    Ok(fields)
}

/// Reads OAUTHBEARER: a gs2-header without channel binding, 0x01, then pairs as XOAUTH2 has them.
pub(super) fn read_oauthbearer(text: &str) -> Result<BearerFields, MalformedResponse> {
    let (header, pairs) = text.split_once('\u{1}').ok_or(MalformedResponse)?;
    let authzid = match header.strip_prefix("n,").or_else(|| header.strip_prefix("y,")) {
        Some(",") => None,
        Some(rest) => {
            let name = rest.strip_prefix("a=").and_then(|name| name.strip_suffix(','));
            Some(read_saslname(name.ok_or(MalformedResponse)?)?)
        }
        None => return Err(MalformedResponse),
    };
    Ok(BearerFields { user: authzid, ..read_pairs(pairs)? })
}

// Keys nobody knows are ignored (RFC 7628 §3.1); none comes twice.
fn read_pairs(text: &str) -> Result<BearerFields, MalformedResponse> {
    let pairs = text.strip_suffix("\u{1}\u{1}").ok_or(MalformedResponse)?;
    let mut fields = BearerFields::default();
    for pair in pairs.split('\u{1}') {
        let (key, value) = pair.split_once('=').ok_or(MalformedResponse)?;
        let value = value.to_owned();
        let earlier = match key {
            "user" => fields.user.replace(value).is_some(),
            "host" => fields.host.replace(value).is_some(),
            "port" => {
                let port = value.parse().map_err(|_| MalformedResponse)?;
                fields.port.replace(port).is_some()
            }
            "auth" => {
                let (scheme, token) = value.split_once(' ').ok_or(MalformedResponse)?;
                if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
                    return Err(MalformedResponse);
                }
                let token = Secret::from(token.trim());
                !std::mem::replace(&mut fields.token, token).is_empty()
            }
            _ => false,
        };
        if earlier {
            return Err(MalformedResponse);
        }
    }
    if fields.token.is_empty() { Err(MalformedResponse) } else { Ok(fields) }
}

/// A name within a gs2-header or a SCRAM message: `,` and `=` written as `=2C` and `=3D` (RFC 5801 §4).
pub(super) fn saslname(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// The name behind its escapes.
pub(super) fn read_saslname(text: &str) -> Result<String, MalformedResponse> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        name.push_str(before);
        rest = if let Some(rest) = after.strip_prefix("2C") {
            name.push(',');
            rest
        } else {
            name.push('=');
            after.strip_prefix("3D").ok_or(MalformedResponse)?
        };
    }
    name.push_str(rest);
    // A bare comma ends a field: it is no part of a name.
    if name.is_empty() || text.contains([',', '\0']) { Err(MalformedResponse) } else { Ok(name) }
}

fn separable(parts: &[&str]) -> Result<(), SaslFailure> {
    if parts.iter().any(|part| part.contains(['\0', '\u{1}'])) {
        let detail = "a user, token or host holds a control character that separates fields".to_owned();
        return Err(SaslFailure::Mechanism { detail });
    }
    Ok(())
}

fn keep_refusal(refusal: &mut Option<String>, challenge: &[u8], name: &str) -> Result<(), SaslFailure> {
    if refusal.is_some() {
        return Err(SaslFailure::Mechanism { detail: format!("{name} knows one challenge only") });
    }
    let text = String::from_utf8_lossy(challenge);
    *refusal = Some(text.chars().take(MAX_REFUSAL).flat_map(char::escape_debug).collect());
    Ok(())
}

// A server that objects and then lets in has answered something else than was asked.
fn not_refused(refusal: Option<&str>, name: &str) -> Result<(), SaslFailure> {
    match refusal {
        Some(_) => Err(SaslFailure::Mechanism {
            detail: format!("the server refused by {name} and accepted in the same exchange"),
        }),
        None => Ok(()),
    }
}

pub(super) const XOAUTH2: &str = "XOAUTH2";
pub(super) const OAUTHBEARER: &str = "OAUTHBEARER";
/// What a client answers an error with.
const ERROR_RESPONSE: &[u8] = b"\x01";
/// Characters of a server's objection that are kept.
const MAX_REFUSAL: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer() -> OauthBearer {
        OauthBearer::new(Secret::from("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))
            .authzid("user@example.com")
            .server("server.example.com", 143)
    }

    // RFC 7628 §4.1
    #[test]
    fn oauthbearer_speaks_as_the_rfcs_example() {
        let said = bearer().initial_response().unwrap().unwrap();
        assert_eq!(
            said,
            &b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer \
              vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"[..]
        );
        let read = read_oauthbearer(std::str::from_utf8(&said).unwrap()).unwrap();
        assert_eq!(read.user.as_deref(), Some("user@example.com"));
        assert_eq!((read.host.as_deref(), read.port), (Some("server.example.com"), Some(143)));
        assert_eq!(read.token.expose(), "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    }

    #[test]
    fn xoauth2_reads_back() {
        let said = Xoauth2::new("me@x", Secret::from("tok")).initial_response().unwrap().unwrap();
        assert_eq!(said, &b"user=me@x\x01auth=Bearer tok\x01\x01"[..]);
        let read = read_xoauth2(std::str::from_utf8(&said).unwrap()).unwrap();
        assert_eq!((read.user.as_deref(), read.token.expose()), (Some("me@x"), "tok"));
    }

    // RFC 7628 §3.2.3, scenario 17
    #[test]
    fn an_error_is_answered_by_one_octet_and_told() {
        let mut mechanism = bearer();
        assert_eq!(mechanism.respond(b"{\"status\":\"invalid_token\"}").unwrap(), &b"\x01"[..]);
        assert!(mechanism.refusal().unwrap().contains("invalid_token"));
        assert!(mechanism.respond(b"again").is_err());
        assert!(mechanism.finish(None).is_err());

        let mut mechanism = Xoauth2::new("u", Secret::from("t"));
        assert_eq!(mechanism.respond(b"{}").unwrap(), Bytes::new());
    }

    #[test]
    fn fields_cannot_be_smuggled_in() {
        assert!(Xoauth2::new("u\u{1}auth=Bearer x", Secret::from("t")).initial_response().is_err());
        assert!(OauthBearer::new(Secret::from("a\u{1}host=b")).initial_response().is_err());
        let comma = OauthBearer::new(Secret::from("t")).authzid("a,b=c").initial_response().unwrap().unwrap();
        assert!(comma.starts_with(b"n,a=a=2Cb=3Dc,\x01"), "{comma:?}");
        let read = read_oauthbearer(std::str::from_utf8(&comma).unwrap()).unwrap();
        assert_eq!(read.user.as_deref(), Some("a,b=c"));
    }

    #[test]
    fn malformed_responses_are_refused() {
        for wrong in [
            "",
            "\u{1}",
            "user=u\u{1}\u{1}",
            "auth=Bearer t\u{1}\u{1}",
            "user=u\u{1}auth=Basic t\u{1}\u{1}",
            "user=u\u{1}auth=Bearer \u{1}\u{1}",
            "user=u\u{1}auth=Bearer t\u{1}auth=Bearer t\u{1}\u{1}",
            "user=u\u{1}auth=Bearer t\u{1}",
        ] {
            assert!(read_xoauth2(wrong).is_err(), "{wrong:?}");
        }
        for wrong in [
            "p=tls-unique,,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,b=u,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,a=u=,\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,\u{1}port=99999\u{1}auth=Bearer t\u{1}\u{1}",
            "n,,",
        ] {
            assert!(read_oauthbearer(wrong).is_err(), "{wrong:?}");
        }
        assert!(read_oauthbearer("n,,\u{1}auth=Bearer t\u{1}\u{1}").unwrap().user.is_none());
    }
}
