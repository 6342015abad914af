//! Transactions: work that takes effect together or not at all (AMQP 1.0 §4).
//!
//! Owns the requests of a controller ([`ControlRequest`]), the states that tie work to a transaction, and the machine by
//! which a resource keeps work until it is discharged ([`Coordinator`]). Sans-IO: time is passed in, and what the work is
//! only its owner knows. It never applies any work by itself.

mod coordinator;
mod error;
mod request;

use amqp_codec::{DeliveryState, Outcome, TransactionalState};
use bytes::Bytes;

pub use coordinator::{ControlLink, Coordinator, CoordinatorLimits, Discharged, WorkPlace};
pub use error::TransactionFault;
pub use request::ControlRequest;

/// The state of a transfer that belongs to a transaction (AMQP 1.0 §4.4.1): no outcome yet.
//
#[must_use]
pub fn posted_in(txn_id: Bytes) -> DeliveryState {
    DeliveryState::TransactionalState(TransactionalState { txn_id, outcome: None })
}

/// An outcome that is final only when the transaction is discharged successfully (AMQP 1.0 §4.4.2).
//
#[must_use]
pub fn outcome_in(txn_id: Bytes, outcome: Outcome) -> DeliveryState {
    DeliveryState::TransactionalState(TransactionalState { txn_id, outcome: Some(Box::new(outcome)) })
}

/// The transaction that a state belongs to.
#[must_use]
pub fn transaction_of(state: &DeliveryState) -> Option<&Bytes> {
    match state {
        DeliveryState::TransactionalState(state) => Some(&state.txn_id),
        _ => None,
    }
}

/// Most octets of a transaction's id.
//
pub const MAX_ID: usize = 32;
