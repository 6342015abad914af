//! Error conditions and the error composite (AMQP 1.0 §2.8.14 to §2.8.18).

use core::fmt;

use crate::{
    collection::Fields,
    composite::composite,
    cursor::{Cursor, Decode},
    definitions::Choice,
    error::DecodeError,
    sink::{Encode, Sink},
    text::{NotAscii, Str, Symbol},
};

/// The name of an error. Any symbol is a condition (T-018); the known ones have constants.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCondition(pub Symbol);

composite! {
    /// Why a link, session or connection ended or a message was rejected.
    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    Error = 0x1d, "amqp:error:list", "error" {
        /// The name of the error.
        condition: required ErrorCondition, "condition" "symbol";
        /// Words for people.
        description: optional Str, "description" "string";
        /// Facts for programs.
        info: optional Fields, "info" "fields";
    }
}

impl From<ErrorCondition> for Error {
    /// An error with a condition only.
    fn from(condition: ErrorCondition) -> Self {
        Self::new(condition)
    }
}

impl Error {
    /// An error with a condition only.
    pub const fn new(condition: ErrorCondition) -> Self {
        Self { condition, description: None, info: None }
    }

    /// The error with words for people.
    #[must_use]
    pub fn with_description(self, description: impl Into<Str>) -> Self {
        Self { description: Some(description.into()), ..self }
    }

    /// The error with facts for programs.
    #[must_use]
    pub fn with_info(self, info: Fields) -> Self {
        Self { info: Some(info), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)?;
        match &self.description {
            Some(description) if !description.is_empty() => write!(f, " ({description})"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

macro_rules! conditions {
    ($(
        $(#[$group_meta:meta])*
        $group:ident { $($(#[$meta:meta])* $name:ident = $text:literal, $spec_name:literal;)* }
    )*) => {
        impl ErrorCondition {
            $($($(#[$meta])* pub const $name: Self = Self(Symbol::from_static($text));)*)*

            $($(#[$group_meta])* pub const $group: &'static [Choice] = &[$(($spec_name, $text)),*];)*

            /// The conditions of the specification, all of which have constants.
            pub const KNOWN: &'static [&'static str] = &[$($($text),*),*];
        }
    };
}

// C-038, C-040, S-032, L-043, X-014: the names that the standard gives, whatever its own names for them are.
conditions! {
    /// Of any layer (`amqp-error`): name and symbol.
    AMQP_ERRORS {
        /// An internal error; the operation may succeed later.
        INTERNAL_ERROR = "amqp:internal-error", "internal-error";
        /// The peer asked for something that does not exist.
        NOT_FOUND = "amqp:not-found", "not-found";
        /// The peer may not do this.
        UNAUTHORIZED_ACCESS = "amqp:unauthorized-access", "unauthorized-access";
        /// Octets could not be decoded.
        DECODE_ERROR = "amqp:decode-error", "decode-error";
        /// A limit of the container was passed.
        RESOURCE_LIMIT_EXCEEDED = "amqp:resource-limit-exceeded", "resource-limit-exceeded";
        /// The peer tried something the protocol does not allow here.
        NOT_ALLOWED = "amqp:not-allowed", "not-allowed";
        /// A field has an invalid value.
        INVALID_FIELD = "amqp:invalid-field", "invalid-field";
        /// The peer asked for something that is not implemented.
        NOT_IMPLEMENTED = "amqp:not-implemented", "not-implemented";
        /// Something else holds the resource.
        RESOURCE_LOCKED = "amqp:resource-locked", "resource-locked";
        /// A precondition does not hold.
        PRECONDITION_FAILED = "amqp:precondition-failed", "precondition-failed";
        /// The resource was deleted.
        RESOURCE_DELETED = "amqp:resource-deleted", "resource-deleted";
        /// The peer sent a frame that its state does not permit.
        ILLEGAL_STATE = "amqp:illegal-state", "illegal-state";
        /// A frame would not fit the agreed size.
        FRAME_SIZE_TOO_SMALL = "amqp:frame-size-too-small", "frame-size-too-small";
    }
    /// Of connections (`connection-error`): name and symbol.
    CONNECTION_ERRORS {
        /// An operator closed the connection.
        CONNECTION_FORCED = "amqp:connection:forced", "connection-forced";
        /// A valid frame could not be formed from the octets.
        FRAMING_ERROR = "amqp:connection:framing-error", "framing-error";
        /// The container is to be found elsewhere.
        CONNECTION_REDIRECT = "amqp:connection:redirect", "redirect";
    }
    /// Of sessions (`session-error`): name and symbol.
    SESSION_ERRORS {
        /// The peer violated the session's incoming window.
        WINDOW_VIOLATION = "amqp:session:window-violation", "window-violation";
        /// Input was received for a link that was detached with an error.
        ERRANT_LINK = "amqp:session:errant-link", "errant-link";
        /// An attach used a handle that is in use.
        HANDLE_IN_USE = "amqp:session:handle-in-use", "handle-in-use";
        /// A frame other than attach used a handle that is not attached.
        UNATTACHED_HANDLE = "amqp:session:unattached-handle", "unattached-handle";
    }
    /// Of links (`link-error`): name and symbol.
    LINK_ERRORS {
        /// An operator detached the link.
        DETACH_FORCED = "amqp:link:detach-forced", "detach-forced";
        /// The peer sent more deliveries than it had credit for.
        TRANSFER_LIMIT_EXCEEDED = "amqp:link:transfer-limit-exceeded", "transfer-limit-exceeded";
        /// A message is larger than the link takes.
        MESSAGE_SIZE_EXCEEDED = "amqp:link:message-size-exceeded", "message-size-exceeded";
        /// The address is to be found elsewhere.
        LINK_REDIRECT = "amqp:link:redirect", "redirect";
        /// The link was attached elsewhere.
        STOLEN = "amqp:link:stolen", "stolen";
    }
    /// Of transactions (`transaction-error`): name and symbol.
    TRANSACTION_ERRORS {
        /// The transaction id is unknown.
        TRANSACTION_UNKNOWN_ID = "amqp:transaction:unknown-id", "unknown-id";
        /// The transaction was rolled back.
        TRANSACTION_ROLLBACK = "amqp:transaction:rollback", "transaction-rollback";
        /// The transaction took too long.
        TRANSACTION_TIMEOUT = "amqp:transaction:timeout", "transaction-timeout";
    }
}

impl ErrorCondition {
    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// A condition from text that is only known at run time.
    ///
    /// # Errors
    /// [`NotAscii`] if it has other characters.
    pub fn new(text: impl Into<alloc::string::String>) -> Result<Self, NotAscii> {
        Symbol::new(text).map(Self)
    }
}

impl Default for ErrorCondition {
    /// `amqp:internal-error`.
    fn default() -> Self {
        Self::INTERNAL_ERROR
    }
}

impl fmt::Debug for ErrorCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ErrorCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<Symbol> for ErrorCondition {
    fn from(symbol: Symbol) -> Self {
        Self(symbol)
    }
}

impl From<&'static str> for ErrorCondition {
    fn from(text: &'static str) -> Self {
        Self(Symbol::from_static(text))
    }
}

impl PartialEq<str> for ErrorCondition {
    fn eq(&self, other: &str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<&str> for ErrorCondition {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl Decode for ErrorCondition {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Symbol::decode(cursor).map(Self)
    }
}

impl Encode for ErrorCondition {
    fn encode(&self, out: &mut impl Sink) {
        self.0.encode(out);
    }
}
