//! What can be wrong with a connection string.

use super::MAX_LENGTH;
use crate::{host::HostNameError, sas::SasError};

/// Why a text is not a connection string. Names keys, never values.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionStringError {
    /// There is no text.
    #[error("the connection string is empty")]
    Empty,
    /// It is longer than any connection string.
    #[error("the connection string is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A part between semicolons is not `Key=Value`.
    #[error("part {position} of the connection string is not of the form Key=Value")]
    NotAPair {
        /// The part's number, from one.
        position: usize,
    },
    /// A key that no connection string has.
    #[error("the connection string has the unknown key {0}")]
    UnknownKey(String),
    /// A key stands there twice.
    #[error("the connection string has the key {0} twice")]
    DuplicateKey(&'static str),
    /// A key that this kind of connection string needs.
    #[error("the connection string has no {0}")]
    MissingKey(&'static str),
    /// A key without a value.
    #[error("{0} in the connection string is empty")]
    EmptyValue(&'static str),
    /// Two keys that exclude each other.
    #[error("the connection string has both {0} and {1}")]
    Conflict(&'static str, &'static str),
    /// The host is none.
    #[error("{key} in the connection string is no host name: {error}")]
    Host {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with its value.
        error: HostNameError,
    },
    /// A key's text is not base64.
    #[error("{0} in the connection string is not valid base64")]
    NotBase64(&'static str),
    /// The ready-made token is malformed.
    #[error("SharedAccessSignature in the connection string is malformed: {0}")]
    Token(SasError),
    /// Another value that cannot be.
    #[error("{key} in the connection string {problem}")]
    Value {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with its value.
        problem: &'static str,
    },
}
