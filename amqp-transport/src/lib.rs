//! AMQP 1.0 over any stream: a sans-IO engine with SASL, and (feature `tokio`) a driver with client and server handles.
//!
//! Values, messages and their encoding are the crate [`amqp_codec`]'s.
//!
//! # Examples
//! A message to a queue and back:
//! ```no_run
//! use amqp_codec::Message;
//! use amqp_transport::{ConnectOptions, Connection, ReceiverOptions, SenderOptions, SessionOptions};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connection = Connection::connect(("127.0.0.1", 5672), ConnectOptions::new("my-application")).await?;
//! let session = connection.begin(SessionOptions::new()).await?;
//! let sender = session.attach_sender(SenderOptions::new("to-orders", "orders")).await?;
//! let outcome = sender.send(&Message::data("one")).await?; // what the broker made of it: accepted, rejected, …
//! let receiver = session.attach_receiver(ReceiverOptions::new("from-orders", "orders")).await?;
//! let delivery = receiver.recv().await?;
//! println!("{outcome:?}, {:?}", delivery.message()?.body_bytes());
//! delivery.accept()?; // or reject, release, modify; dropped, it is released
//! connection.close().await?;
//! # Ok(())
//! # }
//! ```
//! A whole broker is `examples/broker.rs`.
//!
//! # Where to find what
//! | to | begin at |
//! |---|---|
//! | connect: TCP, TLS, WebSocket, proxy, any other stream | [`Connection`], [`ConnectOptions`] |
//! | authenticate | [`Sasl`]; tokens on `$cbs`: [`client::CbsClient`] |
//! | send: one by one, with receipts, batches, as a `Sink` | [`Sender`], [`Receipt`], [`Sender::send_all`], [`client::MessageSink`] |
//! | receive: credit, drain, batches, as a `Stream` | [`Receiver`], [`CreditMode`], [`Receiver::recv_many`], [`client::Deliveries`] |
//! | settle: accept, reject, release, modify, at most, at least or exactly once | [`Delivery`], [`Settling`] |
//! | survive lost connections, with addresses to fail over to | [`recovery`] |
//! | go on with a link and what was unsettled on it | [`SuspendedSender`], [`SuspendedReceiver`]; listeners: [`server::Termini`] |
//! | make several sends and settlements take effect together | [`client::Transactions`]; listeners: [`server::ControlReceiver`] |
//! | ask a `$management` node, or be one | [`client::ManagementClient`], [`server::RequestNode`] with [`management`] |
//! | accept connections and decide about peers and links | [`server`] |
//! | bound what a peer can cost | [`Limits`] |
//! | look inside: frames, counts, stalls | `AMQP_TRACE_FRAMES`, [`LastFrames`], [`Connection::stats`] |
//! | run AMQP without tokio | [`engine`] and [`sasl`], which know no sockets and no clock |
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `tokio` (default) | [`client`], [`server`] and [`recovery`], over TCP and any `AsyncRead + AsyncWrite` |
//! | `tls` (default) | TLS by rustls with ring |
//! | `websocket` | AMQP over WebSocket, both sides |
//! | `scram` | SCRAM-SHA-1, -256 and -512, both sides |
//! | `futures` | `Stream` and `Sink` of the futures crates |
#![forbid(unsafe_code)]

pub mod cbs;
#[cfg(feature = "tokio")]
pub mod client;
#[cfg(feature = "tokio")]
mod driver;
pub mod engine;
mod error;
#[cfg(feature = "tokio")]
mod handle;
pub mod management;
pub mod recovery;
pub mod request_response;
pub mod sasl;
mod secret;
#[cfg(feature = "tokio")]
pub mod server;
pub mod transaction;

pub use error::{ConnectionError, Redirect, RemoteError, SaslFailure};
pub use secret::{Secret, SecretOctets};
#[cfg(feature = "tokio")]
pub use {
    client::{
        AttachError, Blocked, ConnectError, ConnectOptions, ConnectStage, Connection, ConnectionStats,
        CreditMode, Delivery, DetachReason, EndError, EndReason, LastFrames, LinkSource, LinkTarget, OnDrop,
        OpenError, Receipt, Receiver, ReceiverOptions, RecvError, ResumeError, Sasl, SendError, Sender,
        SenderOptions, Session, SessionOptions, SettleError, Spoken, SuspendedReceiver, SuspendedSender,
        TlsError, Undecided,
    },
    engine::{Limits, Settlement, Settling},
};

/// What fuzz targets and tests share; no part of the stable interface.
#[cfg(all(feature = "websocket", any(fuzzing, feature = "__fuzzing")))]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::driver::websocket::fuzzing::fuzz_websocket;
}
