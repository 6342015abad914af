//! The specification's restricted types and constants, as facts.
//!
//! Owns the table of types that are another type by a narrower name. What they mean in Rust is elsewhere: those with closed
//! choices are enums, those with open ones have constants, and the others are the type they narrow.

use crate::{
    DistributionMode, ErrorCondition, ReceiverSettleMode, Role, SaslCode, SenderSettleMode,
    TerminusDurability, TerminusExpiryPolicy, TxnCapability,
};

/// The port of AMQP over TCP (AMQP 1.0 §2.8.19).
pub const PORT: u16 = 5672;

/// The port of AMQP over TLS over TCP (AMQP 1.0 §2.8.19).
pub const SECURE_PORT: u16 = 5671;

/// The message format of messages as the specification defines them (AMQP 1.0 §3.2.16).
pub const MESSAGE_FORMAT: u32 = 0;

/// A name and a value as the specification writes them.
pub type Choice = (&'static str, &'static str);

/// A restricted type, in the specification's words (AMQP 1.0 §1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestrictedSpec {
    /// The type's name, such as `delivery-number`.
    pub name: &'static str,
    /// The type it narrows, which may be a restricted one itself; `*` for any.
    pub source: &'static str,
    /// What it may stand for, such as `message-id`.
    pub provides: &'static [&'static str],
    /// The numeric and the symbolic descriptor, for the sections of a message.
    pub descriptor: Option<(u64, &'static str)>,
    /// The values that have names; none where every value of the source will do.
    pub choices: &'static [Choice],
}

/// Every restricted type of the specification, in its order.
pub const RESTRICTED: &[RestrictedSpec] = &[
    choice("role", "boolean", &[], Role::CHOICES),
    choice("sender-settle-mode", "ubyte", &[], SenderSettleMode::CHOICES),
    choice("receiver-settle-mode", "ubyte", &[], ReceiverSettleMode::CHOICES),
    plain("handle", "uint", &[]),
    plain("seconds", "uint", &[]),
    plain("milliseconds", "uint", &[]),
    plain("delivery-tag", "binary", &[]),
    plain("delivery-number", "sequence-no", &[]),
    plain("transfer-number", "sequence-no", &[]),
    plain("sequence-no", "uint", &[]),
    plain("message-format", "uint", &[]),
    plain("ietf-language-tag", "symbol", &[]),
    plain("fields", "map", &[]),
    choice("amqp-error", "symbol", ERROR_CONDITION, ErrorCondition::AMQP_ERRORS),
    choice("connection-error", "symbol", ERROR_CONDITION, ErrorCondition::CONNECTION_ERRORS),
    choice("session-error", "symbol", ERROR_CONDITION, ErrorCondition::SESSION_ERRORS),
    choice("link-error", "symbol", ERROR_CONDITION, ErrorCondition::LINK_ERRORS),
    section("delivery-annotations", "annotations", 0x71, "amqp:delivery-annotations:map"),
    section("message-annotations", "annotations", 0x72, "amqp:message-annotations:map"),
    section("application-properties", "map", 0x74, "amqp:application-properties:map"),
    section("data", "binary", 0x75, "amqp:data:binary"),
    section("amqp-sequence", "list", 0x76, "amqp:amqp-sequence:list"),
    section("amqp-value", "*", 0x77, "amqp:amqp-value:*"),
    section("footer", "annotations", 0x78, "amqp:footer:map"),
    plain("annotations", "map", &[]),
    plain("message-id-ulong", "ulong", MESSAGE_ID),
    plain("message-id-uuid", "uuid", MESSAGE_ID),
    plain("message-id-binary", "binary", MESSAGE_ID),
    plain("message-id-string", "string", MESSAGE_ID),
    plain("address-string", "string", &["address"]),
    choice("terminus-durability", "uint", &[], TerminusDurability::CHOICES),
    choice("terminus-expiry-policy", "symbol", &[], TerminusExpiryPolicy::CHOICES),
    choice("std-dist-mode", "symbol", &["distribution-mode"], DistributionMode::CHOICES),
    plain("filter-set", "map", &[]),
    plain("node-properties", "fields", &[]),
    plain("transaction-id", "binary", &["txn-id"]),
    choice("txn-capability", "symbol", &["txn-capability"], TxnCapability::CHOICES),
    choice("transaction-error", "symbol", ERROR_CONDITION, ErrorCondition::TRANSACTION_ERRORS),
    choice("sasl-code", "ubyte", &[], SaslCode::CHOICES),
];

const ERROR_CONDITION: &[&str] = &["error-condition"];
const MESSAGE_ID: &[&str] = &["message-id"];

const fn choice(
    name: &'static str,
    source: &'static str,
    provides: &'static [&'static str],
    choices: &'static [Choice],
) -> RestrictedSpec {
    RestrictedSpec { name, source, provides, descriptor: None, choices }
}

const fn plain(
    name: &'static str,
    source: &'static str,
    provides: &'static [&'static str],
) -> RestrictedSpec {
    choice(name, source, provides, &[])
}

const fn section(
    name: &'static str,
    source: &'static str,
    code: u64,
    symbol: &'static str,
) -> RestrictedSpec {
    RestrictedSpec { descriptor: Some((code, symbol)), ..plain(name, source, &["section"]) }
}
