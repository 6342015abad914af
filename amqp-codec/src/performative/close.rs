//! The close performative (AMQP 1.0 §2.7.9).

use crate::{composite::composite, condition::Error};

composite! {
    /// Closes the connection.
    // C-037: an error says why; none is a clean close.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Close = 0x18, "amqp:close:list", "close" {
        /// Why.
        error: optional Error, "error" "error";
    }
}
