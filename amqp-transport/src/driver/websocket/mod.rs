//! AMQP over WebSocket (OASIS amqp-wsb v1.0, RFC 6455): the upgrade, and the stream of octets inside.
//!
//! Owns the two handshakes, the frames and the mapping of a stream onto binary messages. It never logs what a frame
//! carries, which is why its frames are its own. It knows nothing of AMQP's own frames: they and messages have no common boundaries
//! (WS-004), and AMQP's headers are exchanged inside as on any stream (WS-005).

mod frame;
#[cfg(any(fuzzing, feature = "__fuzzing"))]
pub(crate) mod fuzzing;
mod incoming;
mod io;
mod upgrade;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http_head::{Head, HeadError, MAX_HEAD, read_head};
use super::random;
use super::stream::{BoxedStream, Prefixed};
use crate::client::WebSocketOptions;
use crate::engine::Side;
use crate::handle::error::WebSocketError;
use crate::server::WebSocketAccept;

pub(crate) use io::WebSocketIo;
pub use upgrade::Subprotocol;

/// What a peer of a listener turned out to speak.
pub(crate) enum Accepted {
    WebSocket(Box<WebSocketIo>),
    /// AMQP without a WebSocket, as far as its first octets tell.
    Plain(Prefixed),
}

/// Asks a server for a WebSocket to `host`, and checks its answer (WS-001).
pub(crate) async fn connect(
    mut io: BoxedStream,
    options: &WebSocketOptions,
    host: &str,
) -> Result<WebSocketIo, WebSocketError> {
    let key = random::text::<16>().ok_or(WebSocketError::Settings { what: "there are no random numbers" })?;
    let request = upgrade::request(host, &options.path, &key, &options.subprotocols)?;
    io.write_all(request.as_bytes()).await.map_err(|error| lost(&error))?;
    io.flush().await.map_err(|error| lost(&error))?;
    let mut buffer = BytesMut::new();
    let head = read_head(&mut io, &mut buffer).await.map_err(unread)?;
    let head = Head::parse(&head).map_err(|what| WebSocketError::Malformed { what })?;
    upgrade::check_response(&head, &key, &options.subprotocols)?;
    Ok(WebSocketIo::new(io, &buffer, Side::Client, options.max_message_size))
}

/// Answers a client's upgrade, or goes on without one where that is allowed.
pub(crate) async fn accept(
    mut io: BoxedStream,
    options: &WebSocketAccept,
) -> Result<Accepted, WebSocketError> {
    let mut buffer = BytesMut::new();
    while buffer.len() < HTTP_GET.len() && HTTP_GET.starts_with(&buffer) {
        if io.read_buf(&mut buffer).await.map_err(|error| lost(&error))? == 0 {
            break;
        }
    }
    let is_http = buffer.starts_with(HTTP_GET);
    if !is_http && options.takes_plain {
        return Ok(Accepted::Plain(Prefixed::new(buffer.freeze(), io)));
    }
    let answer = if is_http {
        answer(&mut io, &mut buffer, options).await
    } else {
        upgrade::Answer::bad_request(WebSocketError::Malformed { what: "it is no GET of HTTP/1.1" })
    };
    io.write_all(answer.text.as_bytes()).await.map_err(|error| lost(&error))?;
    io.flush().await.map_err(|error| lost(&error))?;
    if let Some(reason) = answer.refused {
        // The peer reads the answer or not: it is refused either way.
        let _ = io.shutdown().await;
        return Err(reason);
    }
    let stream = WebSocketIo::new(io, &buffer, Side::Listener, options.max_message_size);
    Ok(Accepted::WebSocket(Box::new(stream)))
}

async fn answer(io: &mut BoxedStream, buffer: &mut BytesMut, options: &WebSocketAccept) -> upgrade::Answer {
    match read_head(io, buffer).await {
        Ok(head) => match Head::parse(&head) {
            Ok(head) => upgrade::respond(&head, options),
            Err(what) => upgrade::Answer::bad_request(WebSocketError::Malformed { what }),
        },
        Err(error) => upgrade::Answer::bad_request(unread(error)),
    }
}

fn unread(error: HeadError) -> WebSocketError {
    match error {
        HeadError::TooLong => WebSocketError::TooLong { limit: MAX_HEAD },
        HeadError::NotHttp(spoken) => WebSocketError::NotHttp(spoken),
        HeadError::Malformed(what) => WebSocketError::Malformed { what },
        HeadError::Lost(error) => lost(&error),
    }
}

fn lost(error: &std::io::Error) -> WebSocketError {
    WebSocketError::Lost { detail: error.to_string() }
}

/// What tells an upgrade from an AMQP protocol header.
const HTTP_GET: &[u8] = b"GET ";

/// Octets of the longest message taken by default.
pub(crate) const DEFAULT_MAX_MESSAGE: usize = 4 * 1024 * 1024;
