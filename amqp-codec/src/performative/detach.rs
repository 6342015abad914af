//! The detach performative (AMQP 1.0 §2.7.7).

use crate::{composite::composite, condition::Error};

composite! {
    /// Detaches a link.
    // L-042: a handle must be there; closed is false unless it says otherwise.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Detach = 0x16, "amqp:detach:list", "detach" {
        /// The link.
        handle: required u32, "handle" "handle";
        /// Whether the link is closed for good, and not only suspended. Default false.
        closed: defaulted bool = false, "closed" "boolean" "false";
        /// Why.
        error: optional Error, "error" "error";
    }
}
