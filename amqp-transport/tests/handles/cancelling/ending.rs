//! Attaching, beginning, opening, and their ends.

use std::time::Duration;

use amqp_codec::ErrorCondition;
use amqp_transport::server::{AcceptOptions, Incoming, ServerConnection};
use amqp_transport::{Connection, ConnectionError, ReceiverOptions, SenderOptions, SessionOptions};
use tokio::time::{sleep, timeout};

use super::{at_every_await_point, dropped_after, settle_down};
use crate::support::*;

/// Accepts whatever is attached, a moment later, and keeps it.
async fn accept_all(server: ServerConnection) {
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    while let Ok(Incoming::Attach(attach)) = server.next().await {
        sleep(Duration::from_millis(1)).await;
        // A link that was given up meanwhile cannot be accepted.
        match attach.attach().role {
            amqp_codec::Role::Sender => receivers.extend(attach.accept_receiver(AcceptOptions::new())),
            amqp_codec::Role::Receiver => senders.extend(attach.accept_sender(AcceptOptions::new())),
        }
    }
}

// cancels handle::session: attach_sender, attach_receiver
#[tokio::test(start_paused = true)]
async fn a_dropped_attach_leaves_no_link() {
    for is_sender in [true, false] {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let peer = server.connection().clone();
            tokio::spawn(accept_all(server));
            let session = session(&client).await;
            let (sender, receiver) = match is_sender {
                true => {
                    (dropped_after(polls, session.attach_sender(SenderOptions::new("s", "q"))).await, None)
                }
                false => {
                    let attaching = session.attach_receiver(ReceiverOptions::new("r", "q"));
                    (None, dropped_after(polls, attaching).await)
                }
            };
            settle_down().await;
            let is_ready = sender.is_some() || receiver.is_some();
            assert_eq!(client.stats().engine.links, usize::from(is_ready), "dropped after {polls}");
            assert_eq!(peer.stats().engine.links, usize::from(is_ready), "dropped after {polls}");
            // The name is free again.
            if !is_ready {
                drop(session.attach_sender(SenderOptions::new("s", "q")).await.unwrap());
            }
            is_ready
        })
        .await;
    }
}

// cancels handle::connection: begin
#[tokio::test(start_paused = true)]
async fn a_dropped_begin_leaves_no_session() {
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        let begun = dropped_after(polls, client.begin(SessionOptions::new())).await;
        settle_down().await;
        for connection in [&client, server.connection()] {
            assert_eq!(connection.stats().engine.sessions, usize::from(begun.is_some()));
        }
        begun.is_some()
    })
    .await;
}

// cancels handle::sender: detach, detach_with_error, detached
// cancels handle::receiver: detach, detach_with_error, detached
#[tokio::test(start_paused = true)]
async fn a_dropped_detach_goes_on() {
    for (is_sender, with_error) in [(true, true), (true, false), (false, true), (false, false)] {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            let (sender, taking) =
                sending(&session, &server, SenderOptions::new("s", "q"), AcceptOptions::new()).await;
            let (receiver, giving) =
                receiving(&session, &server, ReceiverOptions::new("r", "q"), AcceptOptions::new()).await;
            let gone = || error(ErrorCondition::RESOURCE_DELETED, "gone");
            assert!(dropped_after(polls.min(1), sender.detached()).await.is_none());
            assert!(dropped_after(polls.min(1), receiver.detached()).await.is_none());
            let detached = match (is_sender, with_error) {
                (true, true) => dropped_after(polls, sender.detach_with_error(gone())).await,
                (true, false) => dropped_after(polls, sender.detach()).await,
                (false, true) => dropped_after(polls, receiver.detach_with_error(gone())).await,
                (false, false) => dropped_after(polls, receiver.detach()).await,
            };
            settle_down().await;
            let (there, here) = match is_sender {
                true => (taking.is_attached(), sender.is_attached()),
                false => (giving.is_attached(), receiver.is_attached()),
            };
            assert_eq!((there, here), (polls == 0, polls == 0), "once polled it goes on");
            if polls > 0 {
                match is_sender {
                    true => drop(sender.detached().await),
                    false => drop(receiver.detached().await),
                }
            }
            detached.map(|detached| detached.unwrap()).is_some()
        })
        .await;
    }
}

// cancels handle::session: end, end_with_error, ended
#[tokio::test(start_paused = true)]
async fn a_dropped_end_goes_on() {
    for with_error in [true, false] {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            let session = session(&client).await;
            assert!(dropped_after(polls.min(1), session.ended()).await.is_none());
            let ended = match with_error {
                true => {
                    let error = error(ErrorCondition::INTERNAL_ERROR, "done");
                    dropped_after(polls, session.end_with_error(error)).await
                }
                false => dropped_after(polls, session.end()).await,
            };
            settle_down().await;
            assert_eq!(server.connection().stats().engine.sessions, usize::from(polls == 0));
            ended.map(|ended| ended.unwrap()).is_some()
        })
        .await;
    }
}

// cancels handle::connection: close, close_with_error, closed
// cancels server::connection: close
#[tokio::test(start_paused = true)]
async fn a_dropped_close_goes_on() {
    for way in 0..3 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            assert!(dropped_after(polls.min(1), client.closed()).await.is_none());
            let error = || error(ErrorCondition::INTERNAL_ERROR, "done");
            let closed = match way {
                0 => dropped_after(polls, client.close()).await,
                1 => dropped_after(polls, client.close_with_error(error())).await,
                _ => dropped_after(polls, server.close(Some(error()))).await,
            };
            settle_down().await;
            let ends = (client.is_open(), server.connection().is_open());
            assert_eq!(ends, (polls == 0, polls == 0), "once polled it goes on");
            if polls > 0 {
                client.closed().await;
            }
            closed.map(|closed| closed.unwrap()).is_some()
        })
        .await;
    }
}

// cancels client::connect: over
// cancels server::connection: over
#[tokio::test(start_paused = true)]
async fn a_dropped_opening_closes_its_stream() {
    must_end_within(PAUSED);
    for drops_client in [true, false] {
        at_every_await_point(async |polls| {
            let (near, far) = tokio::io::duplex(PIPE);
            let listener = server_options();
            let (client, server) =
                (Connection::over(near, client_options()), ServerConnection::over(far, &listener));
            let limit = Duration::from_secs(5);
            if drops_client {
                let (client, server) = tokio::join!(dropped_after(polls, client), timeout(limit, server));
                let is_ready = client.map(|client| client.unwrap());
                // A peer that was let in before the client gave up is told by the end of the stream.
                if is_ready.is_none()
                    && let Ok(server) = server.expect("the stream is closed")
                {
                    timeout(limit, server.connection().closed()).await.expect("the stream is closed");
                }
                return is_ready.is_some();
            }
            let (client, server) = tokio::join!(timeout(limit, client), dropped_after(polls, server));
            let is_ready = server.map(|server| server.unwrap());
            if is_ready.is_none()
                && let Ok(client) = client.expect("the stream is closed")
            {
                timeout(limit, client.closed()).await.expect("the stream is closed");
            }
            is_ready.is_some()
        })
        .await;
    }
}

// cancels server::connection: next
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_an_attach_loses_none() {
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let attaching = async {
            sleep(Duration::from_millis(1)).await;
            session.attach_sender(SenderOptions::new("s", "q")).await
        };
        let serving = async {
            let next = dropped_after(polls, server.next()).await;
            let is_ready = next.is_some();
            settle_down().await;
            let next = match next {
                Some(next) => next,
                None => timeout(Duration::from_secs(1), server.next()).await.expect("it is there"),
            };
            let Incoming::Attach(attach) = next.unwrap() else { panic!("no attach") };
            (attach.accept_receiver(AcceptOptions::new()).unwrap(), is_ready)
        };
        let (sender, (_receiver, is_ready)) = tokio::join!(attaching, serving);
        assert_eq!(sender.unwrap().name(), "s");
        is_ready
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_answers_a_close_is_waited_for_in_bounds() {
    must_end_within(PAUSED);
    use tokio::io::AsyncWriteExt;
    let (near, mut far) = tokio::io::duplex(PIPE);
    let mut frames = bytes::BytesMut::from(&b"AMQP\x00\x01\x00\x00"[..]);
    amqp_codec::encode_frame(&mut frames, 0, &amqp_codec::Open::new("silent"), &[]);
    far.write_all(&frames).await.unwrap();
    let client = Connection::over(near, no_sasl()).await.unwrap();
    let start = tokio::time::Instant::now();
    let (first, second, begun) =
        tokio::join!(client.close(), client.close(), client.begin(SessionOptions::new()));
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
    for closed in [first, second] {
        assert!(matches!(closed, Ok(()) | Err(ConnectionError::Timeout { .. })), "{closed:?}");
    }
    assert!(begun.is_err(), "nothing begins on a connection that is closing");
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn handles_dropped_in_any_order_end_everything_in_good_order() {
    for order in 0..6 {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let (sender, taking) =
            sending(&session, &server, SenderOptions::new("s", "q"), AcceptOptions::new()).await;
        let (receiver, giving) =
            receiving(&session, &server, ReceiverOptions::new("r", "q"), AcceptOptions::new()).await;
        let receipt = sender.send_with_receipt(&numbered(1)).await.unwrap();
        let given = giving.send_with_receipt(&numbered(2)).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        let mut handles: Vec<Box<dyn Send>> = vec![
            Box::new(client),
            Box::new(session),
            Box::new(sender),
            Box::new(receiver),
            Box::new(receipt),
            Box::new(delivery),
        ];
        handles.rotate_left(order);
        for handle in handles {
            assert!(server.connection().is_open(), "one handle keeps it");
            drop(handle);
            settle_down().await;
        }
        let reason = timeout(Duration::from_secs(5), server.connection().closed()).await.unwrap();
        assert!(matches!(reason, ConnectionError::ClosedByPeer), "{reason}");
        let outcome = given.await;
        assert!(
            matches!(
                &outcome,
                Ok(amqp_codec::Outcome::Released) | Err(amqp_transport::SendError::OutcomeUnknown(_))
            ),
            "a delivery that is dropped is never accepted: {outcome:?}"
        );
        drop((taking, giving));
    }
}
