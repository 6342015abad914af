//! Handing messages over to a link that comes back.

use amqp_codec::Message;
use amqp_transport::{client::Receipt, recovery::SendFailure};

use super::{HubSender, failure, links::SenderLink};
use crate::error::{Error, ErrorKind, Fate};

/// Hands a message over, on another link or connection where one is proved not to have taken it, up to the operation
/// timeout.
///
/// # Cancel safety
/// Safe: dropped before it is ready, nothing is sent.
pub(crate) async fn hand_over(sender: &HubSender<SenderLink>, message: &Message) -> Result<Receipt, Error> {
    sender.send_with_receipt(message).await.map_err(|failure| match failure {
        SendFailure::Send(error) => failure::of_send(&error),
        SendFailure::NotSent(error) => error.during("not sent").with_fate(Fate::NotSent),
        _ => Error::new(
            ErrorKind::Unreachable,
            "not sent: no connection or no credit from the hub within the operation timeout",
        )
        .with_fate(Fate::NotSent),
    })
}
