//! Two ends of a connection, and the few words every test needs.

use std::cell::Cell;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use amqp_codec::{ErrorCondition, Message, Str};
use amqp_transport::client::{
    ConnectOptions, Connection, ReceiverOptions, Sasl, SenderOptions, Session, SessionOptions,
};
use amqp_transport::engine::Limits;
use amqp_transport::server::{AcceptOptions, Incoming, IncomingAttach, ListenerOptions, ServerConnection};
use amqp_transport::{Receiver, Sender};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

/// Octets an in-memory pipe holds in each direction.
pub(crate) const PIPE: usize = 64 * 1024;

/// Longer than any test that ends at all: on a paused clock, which comes to it at once when nothing else is due.
pub(crate) const PAUSED: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The same on a clock that runs.
pub(crate) const RUNNING: Duration = Duration::from_secs(120);

/// Fails this test's process where the test goes on for longer: a wake-up that is lost must not be waited for without end.
/// What a test has said first counts.
pub(crate) fn must_end_within(limit: Duration) {
    thread_local! {
        static WATCHING: Cell<Option<JoinHandle<()>>> = const { Cell::new(None) };
    }
    let before = WATCHING.take().filter(|watching| !watching.is_finished());
    let watching = before.unwrap_or_else(|| {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            // Not through the test's captured output, which is lost with the process.
            let _ = writeln!(std::io::stderr(), "{test} waits for what does not come");
            std::process::exit(101);
        })
    });
    WATCHING.set(Some(watching));
}

pub(crate) fn client_options() -> ConnectOptions {
    ConnectOptions::new("client")
}

pub(crate) fn server_options() -> ListenerOptions {
    ListenerOptions::new("server")
}

/// A client and a server joined by a pipe.
pub(crate) async fn pair() -> (Connection, ServerConnection) {
    pair_with(client_options(), server_options()).await
}

/// Such a pair with a session, where the server holds within these limits.
pub(crate) async fn limited_pair(limits: Limits) -> (Connection, ServerConnection, Session) {
    let (client, server) = pair_with(client_options(), server_options().limits(limits)).await;
    let session = session(&client).await;
    (client, server, session)
}

pub(crate) async fn pair_with(
    client: ConnectOptions,
    server: ListenerOptions,
) -> (Connection, ServerConnection) {
    let (near, far) = tokio::io::duplex(PIPE);
    pair_over(near, far, client, server).await
}

pub(crate) async fn pair_over(
    near: DuplexStream,
    far: DuplexStream,
    client: ConnectOptions,
    server: ListenerOptions,
) -> (Connection, ServerConnection) {
    must_end_within(PAUSED);
    let (client, server) = tokio::join!(Connection::over(near, client), ServerConnection::over(far, &server));
    (client.unwrap(), server.unwrap())
}

/// Two ends of a stream that can be cut: by aborting what passes its octets on.
pub(crate) fn breakable() -> (DuplexStream, DuplexStream, JoinHandle<()>) {
    let (near, mut relay_near) = tokio::io::duplex(PIPE);
    let (mut relay_far, far) = tokio::io::duplex(PIPE);
    let relay = tokio::spawn(async move {
        let _ = tokio::io::copy_bidirectional(&mut relay_near, &mut relay_far).await;
    });
    (near, far, relay)
}

pub(crate) async fn session(client: &Connection) -> Session {
    client.begin(SessionOptions::new()).await.unwrap()
}

/// The next link the peer attaches.
pub(crate) async fn next_attach(server: &ServerConnection) -> IncomingAttach {
    match server.next().await.unwrap() {
        Incoming::Attach(attach) => attach,
        other => panic!("not an attach: {other:?}"),
    }
}

/// A client's sender joined to a server's receiver.
pub(crate) async fn sending(
    session: &Session,
    server: &ServerConnection,
    options: SenderOptions,
    accept: AcceptOptions,
) -> (Sender, Receiver) {
    let accepting = async { next_attach(server).await.accept_receiver(accept).unwrap() };
    let (sender, receiver) = tokio::join!(session.attach_sender(options), accepting);
    (sender.unwrap(), receiver)
}

/// A client's receiver joined to a server's sender.
pub(crate) async fn receiving(
    session: &Session,
    server: &ServerConnection,
    options: ReceiverOptions,
    accept: AcceptOptions,
) -> (Receiver, Sender) {
    let accepting = async { next_attach(server).await.accept_sender(accept).unwrap() };
    let (receiver, sender) = tokio::join!(session.attach_receiver(options), accepting);
    (receiver.unwrap(), sender)
}

pub(crate) fn numbered(number: u32) -> Message {
    Message::data(number.to_be_bytes().to_vec())
}

pub(crate) fn number_of(message: &Message) -> u32 {
    let body = message.body_bytes().unwrap();
    u32::from_be_bytes(body[..].try_into().unwrap())
}

pub(crate) fn error(condition: ErrorCondition, description: &str) -> amqp_codec::Error {
    amqp_codec::Error { condition, description: Some(Str::from(description.to_owned())), info: None }
}

/// Whether a future is still waiting after everything else has had its turn. Needs a paused clock.
pub(crate) async fn is_stuck<F: Future + Unpin>(future: &mut F) -> bool {
    tokio::time::timeout(Duration::from_millis(50), future).await.is_err()
}

pub(crate) fn no_sasl() -> ConnectOptions {
    client_options().sasl(Sasl::None)
}
