//! The disposition performative (AMQP 1.0 §2.7.6).

use crate::{composite::composite, delivery_state::DeliveryState, performative::Role};

composite! {
    /// Tells the peer of the state of deliveries.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Disposition = 0x15, "amqp:disposition:list", "disposition" {
        /// The end of the links that the sender of this disposition is.
        role: required Role, "role" "role";
        /// The first delivery.
        first: required u32, "first" "delivery-number";
        /// The last delivery, inclusive; `None`: only the first.
        last: optional u32, "last" "delivery-number";
        /// Whether the sender has settled them. Default false.
        settled: defaulted bool = false, "settled" "boolean" "false";
        /// Their state at the sender.
        state: optional DeliveryState, "state" "*";
        /// Whether the peer may take its time with an answer. Default false.
        batchable: defaulted bool = false, "batchable" "boolean" "false";
    }
}
