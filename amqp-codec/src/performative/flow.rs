//! The flow performative (AMQP 1.0 §2.7.4).

use crate::{
    collection::Fields,
    composite::{Composite, composite},
    cursor::{Cursor, Result},
    error::DecodeErrorKind,
};

composite! {
    /// Updates the flow state of a session and, with a handle, of a link.
    #[derive(Clone, Debug, PartialEq, Eq)]
    Flow = 0x13, "amqp:flow:list", "flow" {
        /// The transfer id the sender expects next; `None` until it has seen the peer's begin.
        next_incoming_id: optional u32, "next-incoming-id" "transfer-number";
        /// How many transfer frames the sender takes at once.
        incoming_window: required u32, "incoming-window" "uint";
        /// The transfer id of the sender's next transfer.
        next_outgoing_id: required u32, "next-outgoing-id" "transfer-number";
        /// How many transfer frames the sender would send at once.
        outgoing_window: required u32, "outgoing-window" "uint";
        /// The link this is about; `None`: only the session.
        handle: optional u32, "handle" "handle";
        /// The link's delivery count as the sender of this flow knows it.
        delivery_count: optional u32, "delivery-count" "sequence-no";
        /// How many deliveries the receiving end takes beyond `delivery_count`.
        link_credit: optional u32, "link-credit" "uint";
        /// How many deliveries wait at the sending end.
        available: optional u32, "available" "uint";
        /// Whether the sending end is to use up its credit or give it back. Default false.
        drain: defaulted bool = false, "drain" "boolean" "false";
        /// Whether the peer is to answer with its own flow state. Default false.
        echo: defaulted bool = false, "echo" "boolean" "false";
        /// What else is to be said of the link.
        properties: optional Fields, "properties" "fields";
    }
}

/// A flow whose link fields are only there beside a handle; see [`Strictness`](crate::Strictness).
pub(super) fn decode_checked(cursor: &mut Cursor<'_>) -> Result<Flow> {
    let mut flow = Flow::decode_list(cursor)?;
    let has_link_fields =
        flow.delivery_count.is_some() || flow.link_credit.is_some() || flow.available.is_some() || flow.drain;
    if flow.handle.is_none() && has_link_fields {
        if cursor.limits().is_strict() {
            return Err(cursor.error(DecodeErrorKind::ForbiddenField, "flow"));
        }
        (flow.delivery_count, flow.link_credit, flow.available, flow.drain) = (None, None, None, false);
    }
    Ok(flow)
}
