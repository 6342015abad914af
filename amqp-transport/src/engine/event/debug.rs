//! Events as they are shown: without secrets and without messages.

use std::fmt;

use super::{Event, IncomingDelivery};

impl fmt::Debug for Event {
    // A response of SASL is a secret, and may be one whose length tells something.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SaslInit { mechanism, initial_response, hostname } => f
                .debug_struct("SaslInit")
                .field("mechanism", mechanism)
                .field("initial_response", &initial_response.as_ref().map(|_| REDACTED))
                .field("hostname", hostname)
                .finish(),
            Self::SaslResponse { .. } => f.debug_struct("SaslResponse").field("response", &REDACTED).finish(),
            Self::Authenticated => f.write_str("Authenticated"),
            Self::Opened { remote } => f.debug_struct("Opened").field("remote", remote).finish(),
            Self::SessionRequested { session, begin } => {
                f.debug_struct("SessionRequested").field("session", session).field("begin", begin).finish()
            }
            Self::SessionBegun { session, begin } => {
                f.debug_struct("SessionBegun").field("session", session).field("begin", begin).finish()
            }
            Self::SessionEnded { session, cause, error } => f
                .debug_struct("SessionEnded")
                .field("session", session)
                .field("cause", cause)
                .field("error", error)
                .finish(),
            Self::AttachRequested { link, session, attach } => f
                .debug_struct("AttachRequested")
                .field("link", link)
                .field("session", session)
                .field("attach", attach)
                .finish(),
            Self::LinkAttached { link, attach } => {
                f.debug_struct("LinkAttached").field("link", link).field("attach", attach).finish()
            }
            Self::LinkDetached { link, kind, cause, error } => f
                .debug_struct("LinkDetached")
                .field("link", link)
                .field("kind", kind)
                .field("cause", cause)
                .field("error", error)
                .finish(),
            Self::LinkSuspended { link, state } => {
                f.debug_struct("LinkSuspended").field("link", link).field("state", state).finish()
            }
            Self::Unresolved { link, user } => {
                f.debug_struct("Unresolved").field("link", link).field("user", user).finish()
            }
            Self::DeliveryResumed { link, delivery, tag } => f
                .debug_struct("DeliveryResumed")
                .field("link", link)
                .field("delivery", delivery)
                .field("tag", tag)
                .finish(),
            Self::SettledBefore { link, tag, state } => f
                .debug_struct("SettledBefore")
                .field("link", link)
                .field("tag", tag)
                .field("state", state)
                .finish(),
            Self::Writable { link } => f.debug_struct("Writable").field("link", link).finish(),
            Self::Sent { link, user } => {
                f.debug_struct("Sent").field("link", link).field("user", user).finish()
            }
            Self::Aborted { link, user } => {
                f.debug_struct("Aborted").field("link", link).field("user", user).finish()
            }
            Self::DrainRequested { link } => f.debug_struct("DrainRequested").field("link", link).finish(),
            Self::Drained { link } => f.debug_struct("Drained").field("link", link).finish(),
            Self::FlowAnswered { link, number } => {
                f.debug_struct("FlowAnswered").field("link", link).field("number", number).finish()
            }
            Self::LinkFailed { link, role, cause, error } => f
                .debug_struct("LinkFailed")
                .field("link", link)
                .field("role", role)
                .field("cause", cause)
                .field("error", error)
                .finish(),
            Self::LinkState { link, properties } => {
                f.debug_struct("LinkState").field("link", link).field("properties", properties).finish()
            }
            Self::Delivery { link, delivery } => {
                f.debug_struct("Delivery").field("link", link).field("delivery", delivery).finish()
            }
            Self::Settled { link, user, state } => f
                .debug_struct("Settled")
                .field("link", link)
                .field("user", user)
                .field("state", state)
                .finish(),
            Self::OutcomeTold { link, delivery, user, state } => f
                .debug_struct("OutcomeTold")
                .field("link", link)
                .field("delivery", delivery)
                .field("user", user)
                .field("state", state)
                .finish(),
            Self::StateChanged { link, user, state } => f
                .debug_struct("StateChanged")
                .field("link", link)
                .field("user", user)
                .field("state", state)
                .finish(),
            Self::RemoteSettled { link, delivery, state } => f
                .debug_struct("RemoteSettled")
                .field("link", link)
                .field("delivery", delivery)
                .field("state", state)
                .finish(),
            Self::Closed { reason } => f.debug_struct("Closed").field("reason", reason).finish(),
        }
    }
}

impl fmt::Debug for IncomingDelivery {
    // The message may be a secret, such as a token: only its length is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingDelivery")
            .field("id", &self.id)
            .field("octets", &self.message.len())
            .field("message_format", &self.message_format)
            .field("is_settled", &self.is_settled)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Stands for what is not shown.
const REDACTED: &str = "<redacted>";
