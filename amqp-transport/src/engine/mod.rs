//! The AMQP 1.0 engine: connection, sessions, links and deliveries as one state machine, both roles.
//!
//! Sans-IO: it takes octets and instants, and gives octets, events and a deadline. It never opens a socket, reads a
//! clock, draws a random number, spawns, sleeps or logs. It knows nothing of hubs and brokers either.
//!
//! See [`Connection`] for the contract of its calls.

mod config;
mod connection;
mod delivery;
mod endpoint_state;
mod event;
#[cfg(any(fuzzing, feature = "__fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
mod kept;
mod leaving;
mod limits;
mod link;
mod output;
mod receiver;
mod receiver_resume;
mod resume;
mod resume_table;
mod retained;
mod sender;
mod session;
mod stats;
mod suspended;
mod tags;
mod telling;
mod terminus_record;
mod terminus_store;
mod timers;
mod transmit;
mod violation;
mod window;

pub use config::{
    AttachReply, ConnectionConfig, DetachKind, LinkConfig, ListStyle, Outgoing, Payload, Retention,
    SaslLayer, SessionConfig, Settlement, Settling, Side, WithoutSasl,
};
pub use connection::{Connection, InputStatus};
pub use event::{DetachCause, EndCause, Event, Events, IncomingDelivery, SettledRun};
pub use ids::{DeliveryId, LinkId, SessionId};
pub use kept::KeptAttach;
pub use limits::Limits;
pub use stats::{LinkStats, SessionStats, Stalls, Stats};
pub use suspended::{SuspendedLink, UnsettledDelivery};
pub use terminus_record::{RecordError, TerminusRecord};
pub use terminus_store::{
    LinkEnd, Loan, LossCause, LostTerminus, TerminusKey, TerminusLimits, TerminusPlace, TerminusStore,
};
pub use transmit::Transmit;
pub use violation::{EngineError, Scope, TrySendError, Violation};
