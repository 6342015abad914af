//! The listener's reading of an initial response.

use std::str;

use super::bearer::{self, BearerFields};
use crate::secret::Secret;

/// What a client asks by its `sasl-init`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SaslRequest {
    /// ANONYMOUS.
    Anonymous {
        /// The trace, if given.
        trace: Option<String>,
    },
    /// PLAIN.
    Plain {
        /// The authorization identity; empty when the client acts for itself.
        authzid: String,
        /// The user.
        authcid: String,
        /// The password.
        password: Secret,
    },
    /// EXTERNAL.
    External {
        /// The authorization identity; empty means the certificate's.
        authzid: String,
    },
    /// MSSBCBS: a token will come on `$cbs`.
    Mssbcbs,
    /// XOAUTH2 or OAUTHBEARER.
    Bearer {
        /// The user of XOAUTH2, or the identity to act as of OAUTHBEARER where one is asked for.
        user: Option<String>,
        /// The host that is meant, if told.
        host: Option<String>,
        /// The port that is meant, if told.
        port: Option<u16>,
        /// The token, without the word `Bearer`.
        token: Secret,
    },
    /// A mechanism this library knows nothing of.
    Other {
        /// Its name.
        mechanism: String,
    },
}

/// An initial response that is not what its mechanism says. Authentication fails; nothing of it is kept or printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("malformed initial response")]
pub struct MalformedResponse;

impl SaslRequest {
    /// Reads the initial response of a mechanism.
    ///
    /// # Errors
    /// When it is missing or has another form than the mechanism's.
    pub fn parse(mechanism: &str, initial_response: Option<&[u8]>) -> Result<Self, MalformedResponse> {
        if !KNOWN.contains(&mechanism) {
            return Ok(Self::Other { mechanism: mechanism.to_owned() });
        }
        let text = initial_response.map(text).transpose()?;
        Ok(match mechanism {
            "ANONYMOUS" => Self::Anonymous { trace: text.map(str::to_owned) },
            "EXTERNAL" => Self::External { authzid: text.unwrap_or_default().to_owned() },
            "MSSBCBS" => Self::Mssbcbs,
            "PLAIN" => plain(text.ok_or(MalformedResponse)?)?,
            bearer::XOAUTH2 => of_bearer(bearer::read_xoauth2(text.ok_or(MalformedResponse)?)?),
            bearer::OAUTHBEARER => of_bearer(bearer::read_oauthbearer(text.ok_or(MalformedResponse)?)?),
            other => Self::Other { mechanism: other.to_owned() },
        })
    }
}

fn of_bearer(fields: BearerFields) -> SaslRequest {
    let BearerFields { user, host, port, token } = fields;
    SaslRequest::Bearer { user, host, port, token }
}

fn text(response: &[u8]) -> Result<&str, MalformedResponse> {
    str::from_utf8(response).map_err(|_| MalformedResponse)
}

// exactly two NULs, user and password not empty.
fn plain(text: &str) -> Result<SaslRequest, MalformedResponse> {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(MalformedResponse);
    };
    if authcid.is_empty() || password.is_empty() {
        return Err(MalformedResponse);
    }
    Ok(SaslRequest::Plain {
        authzid: authzid.to_owned(),
        authcid: authcid.to_owned(),
        password: Secret::from(password),
    })
}

/// Mechanisms whose initial response is read here.
const KNOWN: [&str; 6] = ["ANONYMOUS", "EXTERNAL", "MSSBCBS", "PLAIN", bearer::XOAUTH2, bearer::OAUTHBEARER];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_read_by_the_letter() {
        let parsed = SaslRequest::parse("PLAIN", Some(b"\0user\0secret")).unwrap();
        let SaslRequest::Plain { authzid, authcid, password } = parsed else { panic!("not plain") };
        assert_eq!((authzid.as_str(), authcid.as_str(), password.expose()), ("", "user", "secret"));
        for wrong in [&b""[..], b"user\0secret", b"\0\0secret", b"\0user\0", b"\0u\0p\0x", b"\0\xff\0p"] {
            assert_eq!(SaslRequest::parse("PLAIN", Some(wrong)), Err(MalformedResponse));
        }
        assert_eq!(SaslRequest::parse("PLAIN", None), Err(MalformedResponse));
    }

    #[test]
    fn the_others_are_told_apart() {
        assert_eq!(SaslRequest::parse("ANONYMOUS", None), Ok(SaslRequest::Anonymous { trace: None }));
        assert_eq!(
            SaslRequest::parse("EXTERNAL", Some(b"")),
            Ok(SaslRequest::External { authzid: String::new() })
        );
        assert_eq!(SaslRequest::parse("MSSBCBS", None), Ok(SaslRequest::Mssbcbs));
        assert!(matches!(SaslRequest::parse("GSSAPI", None), Ok(SaslRequest::Other { .. })));
    }
}
