//! The nine performatives (AMQP 1.0 §2.7).
//!
//! Owns their tables, one a file, and the dispatch on their descriptors. What they mean is the engine's business.

mod attach;
mod begin;
mod close;
mod detach;
mod disposition;
mod end;
mod flow;
mod open;
pub(crate) mod transfer;

use alloc::boxed::Box;

pub use attach::{Attach, ReceiverSettleMode, Role, SenderSettleMode};
pub use begin::Begin;
pub use close::Close;
pub use detach::Detach;
pub use disposition::Disposition;
pub use end::End;
pub use flow::Flow;
pub use open::Open;
pub use transfer::{DeliveryTag, Transfer};

use crate::{
    composite::Composite,
    cursor::{Cursor, Decode},
    described::read_code,
    error::{DecodeError, DecodeErrorKind},
    sink::{Encode, Sink},
};

/// The performative of an AMQP frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Performative {
    /// Opens the connection.
    Open(Box<Open>),
    /// Begins a session.
    Begin(Box<Begin>),
    /// Attaches a link.
    Attach(Box<Attach>),
    /// Updates flow state.
    Flow(Flow),
    /// Carries a delivery, or a part of it.
    Transfer(Transfer),
    /// Tells of delivery states.
    Disposition(Disposition),
    /// Detaches a link.
    Detach(Detach),
    /// Ends the session.
    End(End),
    /// Closes the connection.
    Close(Close),
}

impl Performative {
    /// The numeric descriptor.
    pub const fn code(&self) -> u64 {
        match self {
            Self::Open(_) => Open::CODE,
            Self::Begin(_) => Begin::CODE,
            Self::Attach(_) => Attach::CODE,
            Self::Flow(_) => Flow::CODE,
            Self::Transfer(_) => Transfer::CODE,
            Self::Disposition(_) => Disposition::CODE,
            Self::Detach(_) => Detach::CODE,
            Self::End(_) => End::CODE,
            Self::Close(_) => Close::CODE,
        }
    }

    /// The specification's name, such as `open`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Begin(_) => "begin",
            Self::Attach(_) => "attach",
            Self::Flow(_) => "flow",
            Self::Transfer(_) => "transfer",
            Self::Disposition(_) => "disposition",
            Self::Detach(_) => "detach",
            Self::End(_) => "end",
            Self::Close(_) => "close",
        }
    }
}

impl Decode for Performative {
    // F-016: the nine codes and nothing else.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        if cursor.limits().max_depth > 0
            && let Some((transfer, rest)) = transfer::read_usual(cursor.peek_all())
        {
            cursor.advance_to(rest);
            return Ok(Self::Transfer(transfer));
        }
        Ok(match read_code(cursor, "performative")? {
            Transfer::CODE => Self::Transfer(Transfer::decode_list(cursor)?),
            Disposition::CODE => Self::Disposition(Disposition::decode_list(cursor)?),
            Flow::CODE => Self::Flow(flow::decode_checked(cursor)?),
            Open::CODE => Self::Open(Box::new(Open::decode_list(cursor)?)),
            Begin::CODE => Self::Begin(Box::new(Begin::decode_list(cursor)?)),
            Attach::CODE => Self::Attach(Box::new(Attach::decode_list(cursor)?)),
            Detach::CODE => Self::Detach(Detach::decode_list(cursor)?),
            End::CODE => Self::End(End::decode_list(cursor)?),
            Close::CODE => Self::Close(Close::decode_list(cursor)?),
            _ => return Err(cursor.error(DecodeErrorKind::UnknownDescriptor, "performative")),
        })
    }
}

impl Encode for Performative {
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Open(open) => open.encode(out),
            Self::Begin(begin) => begin.encode(out),
            Self::Attach(attach) => attach.encode(out),
            Self::Flow(flow) => flow.encode(out),
            Self::Transfer(transfer) => transfer.encode(out),
            Self::Disposition(disposition) => disposition.encode(out),
            Self::Detach(detach) => detach.encode(out),
            Self::End(end) => end.encode(out),
            Self::Close(close) => close.encode(out),
        }
    }
}

macro_rules! from_performatives {
    ($($name:ident $(in $wrapper:ident)?),*) => {$(
        impl From<$name> for Performative {
            fn from(performative: $name) -> Self {
                Self::$name($($wrapper::new)? (performative))
            }
        }
    )*};
}

from_performatives!(Open in Box, Begin in Box, Attach in Box, Flow, Transfer, Disposition, Detach, End, Close);

#[cfg(test)]
mod tests;
