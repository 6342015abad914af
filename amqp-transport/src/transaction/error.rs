//! What a coordinator has against a request or a piece of work.

use amqp_codec::{Error, ErrorCondition, Str};

/// Why a transaction could not be declared, joined or discharged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionFault {
    /// No such transaction of this control link, session or connection. The peer is at fault; repeating does not help.
    #[error("the transaction is not known here")]
    UnknownId,
    /// It was rolled back: its work could not all be done. Declaring anew may help.
    #[error("the transaction was rolled back")]
    RolledBack,
    /// It was not discharged in time, and rolled back. Declaring anew may help.
    #[error("the transaction was not discharged in time and rolled back")]
    TimedOut,
    /// Another transaction is under way on the session, and more at once are not offered.
    #[error("one transaction at a time on a session")]
    OneAtATime,
    /// Too many transactions are under way. Trying later may help.
    #[error("too many transactions are under way")]
    TooMany,
    /// The transaction holds as much work as is allowed. It can only be rolled back.
    #[error("too much work in one transaction")]
    TooMuchWork,
    /// Distributed transactions are not offered.
    #[error("transactions with a global id are not offered")]
    NotDistributed,
    /// The message asks for nothing that a coordinator does. The peer is at fault.
    #[error("neither a declare nor a discharge")]
    Malformed,
    /// A declare was sent settled, so that no id could be returned. The peer is at fault.
    #[error("a declare must not be sent settled")]
    SettledDeclare,
}

impl TransactionFault {
    /// The condition on the wire.
    //
    #[must_use]
    pub fn condition(self) -> ErrorCondition {
        match self {
            Self::UnknownId => ErrorCondition::TRANSACTION_UNKNOWN_ID,
            Self::RolledBack => ErrorCondition::TRANSACTION_ROLLBACK,
            Self::TimedOut => ErrorCondition::TRANSACTION_TIMEOUT,
            Self::OneAtATime | Self::SettledDeclare => ErrorCondition::NOT_ALLOWED,
            Self::TooMany | Self::TooMuchWork => ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
            Self::NotDistributed => ErrorCondition::NOT_IMPLEMENTED,
            Self::Malformed => ErrorCondition::INVALID_FIELD,
        }
    }

    /// The error as it goes on the wire.
    #[must_use]
    pub fn to_wire(self) -> Error {
        Error { condition: self.condition(), description: Some(Str::from(self.to_string())), info: None }
    }
}
