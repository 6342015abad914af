//! The end performative (AMQP 1.0 §2.7.8).

use crate::{composite::composite, condition::Error};

composite! {
    /// Ends the session.
    // S-037: an error says why; none is a clean end.
    #[derive(Clone, Debug, PartialEq, Eq)]
    End = 0x17, "amqp:end:list", "end" {
        /// Why.
        error: optional Error, "error" "error";
    }
}
