//! Receiving from a link that comes back.

use amqp_transport::{
    client::{Delivery, Receiver},
    recovery::Backoff,
};
use tokio::time::sleep;

use std::sync::Arc;

use super::{
    failure::{self, LinkEnd},
    live::Live,
    restored::{LinkKind, Restored},
};
use crate::error::Error;

/// A delivery and the connection it came on.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) delivery: Delivery,
    pub(crate) live: Arc<Live>,
}

/// The next delivery, over as many links and connections as it takes.
///
/// # Cancel safety
/// Safe: no delivery is lost.
pub(crate) async fn next<K: LinkKind<Link = Receiver>>(receiver: &Restored<K>) -> Result<Received, Error> {
    let mut attempt = 0;
    loop {
        let attached = receiver.attached().await?;
        receiver.kind.waiting(&attached.link);
        let error = match attached.link.recv().await {
            Ok(delivery) => {
                receiver.kind.received();
                return Ok(Received { delivery, live: attached.live });
            }
            Err(error) => error,
        };
        receiver.forget(&attached);
        match failure::recv_end(&error, &receiver.kind.address(&attached.live)) {
            LinkEnd::ConnectionGone => attached.live.condemn(),
            LinkEnd::Final(error) => return Err(error),
            LinkEnd::Again(error) => {
                attempt += 1;
                if attempt >= RECEIVE_ATTEMPTS {
                    return Err(error);
                }
                sleep(Backoff::NORMAL.next_delay(attempt, 0.5)).await;
            }
        }
    }
}

/// How often in a row a link may be detached without having brought anything.
const RECEIVE_ATTEMPTS: u32 = 6;
