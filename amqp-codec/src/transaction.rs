//! The types of transactions (AMQP 1.0 §4.5), but for the two delivery states, which are in `delivery_state`.

use bytes::Bytes;

use crate::{composite::composite, definitions::Choice, text::Symbol, value::Value};

composite! {
    /// The target of a link that controls transactions (AMQP 1.0 §4.5.1).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Coordinator = 0x30, "amqp:coordinator:list", "coordinator" {
        /// What the coordinator can do; see [`TxnCapability`].
        capabilities: multiple Symbol, "capabilities" "symbol";
    }
}

composite! {
    /// Asks for a new transaction (AMQP 1.0 §4.5.2).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Declare = 0x31, "amqp:declare:list", "declare" {
        /// The global transaction this is a part of.
        global_id: optional Value, "global-id" "*";
    }
}

composite! {
    /// Ends a transaction (AMQP 1.0 §4.5.3).
    #[derive(Clone, Debug, PartialEq, Eq)]
    Discharge = 0x32, "amqp:discharge:list", "discharge" {
        /// The transaction's id.
        txn_id: required Bytes, "txn-id" "*";
        /// Whether it is to be rolled back.
        fail: optional bool, "fail" "boolean";
    }
}

/// The names of what a coordinator can do (AMQP 1.0 §4.5.7).
#[derive(Clone, Copy, Debug)]
pub struct TxnCapability;

impl TxnCapability {
    /// Transactions of this container.
    pub const LOCAL_TRANSACTIONS: Symbol = Symbol::from_static("amqp:local-transactions");
    /// Two-phase transactions.
    pub const DISTRIBUTED_TRANSACTIONS: Symbol = Symbol::from_static("amqp:distributed-transactions");
    /// Local transactions that can become distributed.
    pub const PROMOTABLE_TRANSACTIONS: Symbol = Symbol::from_static("amqp:promotable-transactions");
    /// Several transactions at once on a session.
    pub const MULTI_TXNS_PER_SSN: Symbol = Symbol::from_static("amqp:multi-txns-per-ssn");
    /// One transaction over several sessions.
    pub const MULTI_SSNS_PER_TXN: Symbol = Symbol::from_static("amqp:multi-ssns-per-txn");

    /// All of them: name and symbol.
    pub const CHOICES: &'static [Choice] = &[
        ("local-transactions", "amqp:local-transactions"),
        ("distributed-transactions", "amqp:distributed-transactions"),
        ("promotable-transactions", "amqp:promotable-transactions"),
        ("multi-txns-per-ssn", "amqp:multi-txns-per-ssn"),
        ("multi-ssns-per-txn", "amqp:multi-ssns-per-txn"),
    ];
}
