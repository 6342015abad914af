//! Getting a lost connection back, the same way for every broker.
//!
//! Owns the back-off between attempts ([`Backoff`], pure) and, with the feature `tokio`, the one loop that connects,
//! watches and connects again: addresses to fail over to, sessions, links and their credit made anew, and the status of
//! it all. What a connection needs before it can be used (a token on `$cbs`, a redirect followed) and what keeps it usable
//! (a token renewed in time) is the layer's above, through [`Hooks`]. It never sends a message twice unless its caller
//! chose so, and never hides that a message's outcome is unknown.
//!
//! # What becomes of an operation when the connection is lost
//! | operation | ends as |
//! |---|---|
//! | a send that waits for credit or for a connection, `ready` | goes on with the next connection, up to the operation time-out |
//! | a message handed over of which no octet has left | sent again by `send`, `send_settled`, `send_all` and a sink; its [`Receipt`](crate::Receipt) says `Lost` |
//! | a small message sent settled | handed over for good when `send_settled` has returned: whether it left is not known |
//! | a message on its way | [`SendError::OutcomeUnknown`](crate::SendError::OutcomeUnknown), unless the sender [resends](Resend), in whatever form but a receipt, or [resumes](Unsettled::Resume) |
//! | `try_send` | says that there is no connection, until `ready` or another send has attached the next link |
//! | `recv`, `recv_many`, a stream | goes on with the next connection, with the credit that was granted; what came before the loss is given first |
//! | `try_recv` | gives what came before the loss |
//! | `drain`, `available` | asks the next peer |
//! | `stop` | is done: the lost link has no credit any more, and the next begins without |
//! | credit by hand | what is not used is granted to the next link |
//! | `stats` | begins anew with the next link |
//! | settling a delivery of the old link | [`SettleError::Lost`](crate::SettleError::Lost), and the peer delivers again, unless the receiver [resumes](RecoveringReceiver::unsettled) |
//!
//! Deliveries that are unsettled at a loss are not resumed, each link begins anew, unless its sender or receiver chose
//! [`Unsettled::Resume`]: then what both ends remember decides. Without it, links in mode second, too, take messages at
//! least once over a loss.
//!
//! The session that the hooks begin carries the links; when the peer ends it, the connection is replaced. Further sessions
//! ([`RecoveringConnection::session`]) are begun anew for themselves.
//!
//! # Examples
//! A broker at two addresses, without more than SASL:
//! ```no_run
//! use amqp_codec::Message;
//! use amqp_transport::{ConnectOptions, ReceiverOptions, SenderOptions};
//! use amqp_transport::recovery::{Direct, PeerAddress, RecoveringConnection, RecoveryOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let addresses = [PeerAddress::new("first.example", 5672), PeerAddress::new("second.example", 5672)];
//! let hooks = Direct::new(ConnectOptions::new("my-application"));
//! let connection = RecoveringConnection::open(addresses, RecoveryOptions::new(), hooks).await?;
//! let sender = connection.sender(SenderOptions::new("to-orders", "orders"));
//! sender.send(&Message::data("one")).await?;
//! let receiver = connection.receiver(ReceiverOptions::new("from-orders", "orders"));
//! let delivery = receiver.recv().await?;
//! delivery.accept()?;
//! connection.close().await;
//! # Ok(())
//! # }
//! ```
//! A peer that wants a token, renewed while the connection lives:
//! ```no_run
//! use std::time::Duration;
//! use amqp_transport::{ConnectOptions, Sasl, Secret, SessionOptions};
//! use amqp_transport::client::CbsClient;
//! use amqp_transport::recovery::{Attempt, Established, Hooks, Live, Parting, RecoveryError, Verdict};
//!
//! #[derive(Debug)]
//! struct WithToken;
//!
//! # async fn fresh_token() -> Secret { Secret::new("") }
//! impl Hooks for WithToken {
//!     type Context = CbsClient;
//!     type Error = RecoveryError;
//!
//!     async fn connect(&self, attempt: &Attempt<'_>) -> Result<Established<CbsClient>, RecoveryError> {
//!         let options = ConnectOptions::new("my-application").sasl(Sasl::Mssbcbs);
//!         let (connection, session) = attempt.open(options, SessionOptions::new()).await?;
//!         let cbs = CbsClient::open(&session).await.map_err(|error| RecoveryError::attach("$cbs", error))?;
//!         cbs.put_token("jwt", "amqp://broker.example/orders", &fresh_token().await).await?;
//!         Ok(Established::new(connection, session, cbs))
//!     }
//!
//!     async fn attend(&self, live: &Live<CbsClient>) -> Parting<RecoveryError> {
//!         loop {
//!             tokio::time::sleep(Duration::from_secs(45 * 60)).await;
//!             let token = fresh_token().await;
//!             if let Err(error) = live.context().put_token("jwt", "amqp://broker.example/orders", &token).await {
//!                 return Parting::Lost(error.into());
//!             }
//!         }
//!     }
//!
//!     fn verdict(&self, error: &RecoveryError) -> Verdict {
//!         error.verdict()
//!     }
//! }
//! ```

#[cfg(feature = "tokio")]
mod attaching;
mod backoff;
#[cfg(feature = "tokio")]
mod blueprint;
#[cfg(feature = "tokio")]
mod connection;
#[cfg(feature = "tokio")]
mod credit;
#[cfg(feature = "tokio")]
mod error;
#[cfg(feature = "tokio")]
mod hooks;
#[cfg(feature = "tokio")]
mod keeper;
#[cfg(feature = "tokio")]
mod link;
#[cfg(feature = "tokio")]
mod live;
#[cfg(feature = "tokio")]
mod options;
#[cfg(feature = "tokio")]
mod receiver;
#[cfg(feature = "tokio")]
mod receiving;
#[cfg(feature = "tokio")]
mod resuming;
#[cfg(feature = "tokio")]
mod sender;
#[cfg(feature = "tokio")]
mod sending;
#[cfg(feature = "tokio")]
mod session;
#[cfg(feature = "tokio")]
mod status;

pub use backoff::{Backoff, FirstRetry};
#[cfg(feature = "tokio")]
pub use {
    blueprint::{Blueprint, LinkOptions},
    connection::RecoveringConnection,
    error::{RecoveryError, SendFailure},
    hooks::{Attempt, Direct, Established, Hooks, LinkEnd, LinkVerdict, Parting, Verdict},
    live::{InFlight, Live},
    options::{PeerAddress, RecoveryOptions, WhileDown},
    receiver::{Received, RecoveringReceiver},
    sender::{RecoveringSender, Resend, Unsettled},
    session::RecoveringSession,
    status::RecoveryStatus,
};
