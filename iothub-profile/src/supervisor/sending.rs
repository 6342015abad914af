//! Handing messages over to a link that comes back.

use amqp_codec::Message;
use amqp_transport::client::Receipt;
use tokio::time::{sleep, timeout};

use super::{
    failure::{self, LinkEnd},
    restored::{Restored, SenderKind},
};
use crate::error::{Error, ErrorKind, Fate};
use amqp_transport::recovery::Backoff;

/// Hands a message over, on another link or connection where one is proved not to have taken it, up to the operation
/// timeout.
///
/// # Cancel safety
/// Safe: dropped before it is ready, nothing is sent.
pub(crate) async fn hand_over(sender: &Restored<SenderKind>, message: &Message) -> Result<Receipt, Error> {
    let limit = sender.supervisor.options().operation_timeout;
    let result = timeout(limit, until_taken(sender, message)).await.unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unreachable,
            "not sent: no connection or no credit from the hub within the operation timeout",
        ))
    });
    // Whatever kept a message from being handed over kept it from the hub.
    result.map_err(|error| if error.fate().is_some() { error } else { error.with_fate(Fate::NotSent) })
}

async fn until_taken(sender: &Restored<SenderKind>, message: &Message) -> Result<Receipt, Error> {
    let mut attempt = 0;
    loop {
        let attached = sender.attached().await?;
        // Condemned since: the next connection takes the message.
        let Some(in_flight) = attached.live.begin() else { continue };
        let sent = tokio::select! {
            biased;
            sent = attached.link.send_with_receipt(message) => sent,
            // Whoever still waits for credit would only hold up the renewal.
            () = attached.live.condemned() => continue,
        };
        drop(in_flight);
        let error = match sent {
            Ok(receipt) => return Ok(receipt),
            Err(error) => error,
        };
        sender.forget(&attached);
        match failure::send_end(&error, &sender.kind.address) {
            None => return Err(failure::of_send(&error)),
            Some(LinkEnd::Final(error)) => return Err(error.during("not sent")),
            Some(LinkEnd::ConnectionGone) => attached.live.condemn(),
            Some(LinkEnd::Again(error)) => {
                attempt += 1;
                if attempt >= SEND_ATTEMPTS {
                    return Err(error.during("not sent"));
                }
                sleep(Backoff::NORMAL.next_delay(attempt, 0.5)).await;
            }
        }
    }
}

/// How often one message is offered to links that detach without having taken it.
const SEND_ATTEMPTS: u32 = 6;
