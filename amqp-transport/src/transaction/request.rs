//! What a controller asks of a coordinator: messages whose body is one value (AMQP 1.0 §4.1).

use amqp_codec::{Body, Declare, DecodeLimits, Discharge, Message, Value, from_bytes, to_bytes};
use bytes::Bytes;

use super::TransactionFault;

/// A request on a control link.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ControlRequest {
    /// Begin a transaction; with the id of the global one that it is a part of, if any.
    Declare {
        /// The global transaction.
        global_id: Option<Value>,
    },
    /// End a transaction.
    Discharge {
        /// Its id.
        txn_id: Bytes,
        /// Whether it is to be rolled back.
        fail: bool,
    },
}

impl ControlRequest {
    /// Begins a local transaction.
    #[must_use]
    pub const fn declare() -> Self {
        Self::Declare { global_id: None }
    }

    /// Ends a transaction so that all its work takes effect.
    #[must_use]
    pub const fn commit(txn_id: Bytes) -> Self {
        Self::Discharge { txn_id, fail: false }
    }

    /// Ends a transaction so that none of its work takes effect.
    #[must_use]
    pub const fn roll_back(txn_id: Bytes) -> Self {
        Self::Discharge { txn_id, fail: true }
    }

    /// The message that carries the request.
    //
    #[must_use]
    pub fn to_message(&self) -> Message {
        let value = match self {
            Self::Declare { global_id } => Value::of(&Declare { global_id: global_id.clone() }),
            Self::Discharge { txn_id, fail } => {
                Value::of(&Discharge { txn_id: txn_id.clone(), fail: Some(*fail) })
            }
        };
        Message::value(value.unwrap_or(Value::Null))
    }

    /// Reads a request; whether it came settled matters for a declare.
    ///
    /// # Errors
    /// [`TransactionFault::Malformed`], [`TransactionFault::SettledDeclare`].
    pub fn from_message(message: &Bytes, is_settled: bool) -> Result<Self, TransactionFault> {
        let limits = DecodeLimits::message();
        let message = Message::decode(message, &limits).map_err(|_| TransactionFault::Malformed)?;
        let Body::Value(value) = &message.body else { return Err(TransactionFault::Malformed) };
        let octets = to_bytes(value);
        if let Ok(declare) = from_bytes::<Declare>(&octets, &limits) {
            // the id could not be returned.
            if is_settled {
                return Err(TransactionFault::SettledDeclare);
            }
            return Ok(Self::Declare { global_id: declare.global_id });
        }
        let discharge = from_bytes::<Discharge>(&octets, &limits).map_err(|_| TransactionFault::Malformed)?;
        // absent is false.
        Ok(Self::Discharge { txn_id: discharge.txn_id, fail: discharge.fail.unwrap_or(false) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //
    #[test]
    fn requests_come_back_as_they_went() {
        let id = Bytes::from_static(b"txn");
        let requests = [
            ControlRequest::declare(),
            ControlRequest::Declare { global_id: Some(Value::from("global")) },
            ControlRequest::commit(id.clone()),
            ControlRequest::roll_back(id.clone()),
        ];
        for request in requests {
            let octets = to_bytes(&request.to_message());
            assert_eq!(ControlRequest::from_message(&octets, false), Ok(request.clone()));
            let settled = ControlRequest::from_message(&octets, true);
            match request {
                ControlRequest::Declare { .. } => assert_eq!(settled, Err(TransactionFault::SettledDeclare)),
                ControlRequest::Discharge { .. } => assert_eq!(settled, Ok(request)),
            }
        }
        let silent = Message::value(Value::of(&Discharge { txn_id: id.clone(), fail: None }).unwrap());
        let read = ControlRequest::from_message(&to_bytes(&silent), false);
        assert_eq!(read, Ok(ControlRequest::commit(id)));
    }

    #[test]
    fn other_messages_are_refused() {
        for message in [Message::data(&b"x"[..]), Message::value("declare")] {
            let read = ControlRequest::from_message(&to_bytes(&message), false);
            assert_eq!(read, Err(TransactionFault::Malformed));
        }
        let read = ControlRequest::from_message(&Bytes::from_static(b"\xff"), false);
        assert_eq!(read, Err(TransactionFault::Malformed));
    }
}
