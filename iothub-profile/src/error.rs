//! The one error of this crate's clients: what failed, whose fault it is, whether a retry helps and what to do.

use std::{error::Error as StdError, fmt, sync::Arc};

use crate::{connection_string::ConnectionStringError, credential::CredentialError};

/// What class of failure an [`Error`] is. The command's exit codes go by it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input cannot be: a malformed connection string, an impossible option.
    Usage,
    /// The hub does not believe the credential, or the credential cannot be used here.
    Credential,
    /// The TLS handshake failed: unknown authority, other host name, no TLS at the other end.
    Tls,
    /// The host cannot be reached, or the connection was lost and has not come back.
    Unreachable,
    /// The hub refused the operation: not found, not allowed, rejected.
    Refused,
    /// A message is larger than the hub takes.
    TooLarge,
    /// A limit of the hub is reached: queue depth, throttling, daily quota.
    Quota,
    /// The connection died between handing over a message and its outcome.
    OutcomeUnknown,
    /// The peer does not keep to the protocol, or answered something that cannot be understood.
    Protocol,
    /// The client was closed by its owner.
    Closed,
}

/// An error of a device, service or telemetry client. Cheap to clone; `Display` is one line without secrets.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    condition: Option<String>,
    hint: Option<&'static str>,
    fate: Option<Fate>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What is proven about a message whose sending ended with an [`Error`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// It has not reached the hub: sending it again cannot deliver it twice.
    NotSent,
    /// The hub, or the size limit it announced, refused it.
    Refused,
    /// It was on its way, and the hub may or may not have taken it.
    Unknown,
}

/// Whether doing the same again may help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// It may: the failure passes.
    Helps,
    /// It does not: something must be changed first.
    Useless,
}

impl Error {
    /// An error of a kind with a message in one lowercase fragment.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let retry = if kind == ErrorKind::Unreachable { Retry::Helps } else { Retry::Useless };
        Self::from_inner(Inner {
            kind,
            retry,
            message: message.into(),
            condition: None,
            hint: None,
            fate: None,
            source: None,
        })
    }

    /// What class of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// True where doing the same again later may succeed.
    pub fn is_retryable(&self) -> bool {
        self.inner.retry == Retry::Helps
    }

    /// The AMQP error condition the peer gave, such as `amqp:not-found`.
    pub fn condition(&self) -> Option<&str> {
        self.inner.condition.as_deref()
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.inner.hint
    }

    /// What is proven about the message that was being sent; `None` where it was not about sending one.
    pub fn fate(&self) -> Option<Fate> {
        self.inner.fate
    }

    /// The same error as the end of a message of which this is proven.
    #[must_use]
    pub fn with_fate(self, fate: Fate) -> Self {
        self.change(|inner| inner.fate = Some(fate))
    }

    /// The same error with a source.
    #[must_use]
    pub fn with_source(self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.change(|inner| inner.source = Some(Box::new(source)))
    }

    /// The same error with what to do about it.
    #[must_use]
    pub fn with_hint(self, hint: &'static str) -> Self {
        self.change(|inner| inner.hint = Some(hint))
    }

    /// The same error with the peer's error condition.
    #[must_use]
    pub fn with_condition(self, condition: impl Into<String>) -> Self {
        let condition = condition.into();
        self.change(|inner| inner.condition = Some(condition))
    }

    /// The same error, retryable or not.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        self.change(|inner| inner.retry = retry)
    }

    /// The same error with words in front of its message: what was being done.
    #[must_use]
    pub fn during(self, doing: &str) -> Self {
        self.change(|inner| inner.message = format!("{doing}: {}", inner.message))
    }

    fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Applies a change to an error that is not shared yet; a shared one is copied without its source.
    fn change(self, apply: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Arc::try_unwrap(self.inner).unwrap_or_else(|shared| Inner {
            kind: shared.kind,
            retry: shared.retry,
            message: shared.message.clone(),
            condition: shared.condition.clone(),
            hint: shared.hint,
            fate: shared.fate,
            source: Some(Box::new(Self { inner: Arc::clone(&shared) })),
        });
        apply(&mut inner);
        Self::from_inner(inner)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("condition", &self.inner.condition)
            .field("retry", &self.inner.retry)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.inner.source.as_deref()?;
        Some(source)
    }
}

impl From<ConnectionStringError> for Error {
    fn from(error: ConnectionStringError) -> Self {
        Self::new(ErrorKind::Usage, error.to_string())
            .with_hint("copy the connection string again from the hub; it reads HostName=…;DeviceId=…;SharedAccessKey=… or HostName=…;SharedAccessKeyName=…;SharedAccessKey=…")
    }
}

impl From<CredentialError> for Error {
    fn from(error: CredentialError) -> Self {
        Self::new(ErrorKind::Credential, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_class_while_words_are_added() {
        let error = Error::new(ErrorKind::Refused, "the hub refused").with_condition("amqp:not-found");
        let shared = error.clone();
        let told = error.during("sending").with_hint("create the device first");
        assert_eq!(
            (told.kind(), told.condition(), told.hint()),
            (ErrorKind::Refused, Some("amqp:not-found"), Some("create the device first"))
        );
        assert_eq!(told.to_string(), "sending: the hub refused");
        assert_eq!(shared.to_string(), "the hub refused");
        assert!(!told.is_retryable() && Error::new(ErrorKind::Unreachable, "").is_retryable());
    }
}
