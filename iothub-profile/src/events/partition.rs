//! Reading one partition: a task that takes events, remembers where it is, and comes back after a lost connection.

use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc;

use super::StartPosition;
use crate::{
    error::{Error, ErrorKind},
    message::ReceivedEvent,
    supervisor::{HubReceiver, links::PartitionLink},
};

/// Reads a partition into a bounded channel until it fails for good or nobody listens.
pub(crate) async fn read(
    link: HubReceiver<PartitionLink>,
    events: mpsc::Sender<Result<ReceivedEvent, Error>>,
) {
    loop {
        let next = tokio::select! {
            biased;
            () = events.closed() => return,
            next = next_event(&link) => next,
        };
        let position = next.as_ref().ok().and_then(position_after);
        let is_over = next.is_err();
        if events.send(next).await.is_err() {
            return;
        }
        // Only now is the event certain to be seen: a new link starts after it.
        if let Some(position) = position {
            link.blueprint().place.lock().unwrap_or_else(PoisonError::into_inner).follow(position);
        }
        if is_over {
            return;
        }
    }
}

async fn next_event(link: &HubReceiver<PartitionLink>) -> Result<ReceivedEvent, Error> {
    let delivery = link.recv().await?;
    let message = delivery.message();
    // Settling only tells the event hub that the event came; reading it again goes by position.
    let _ = delivery.accept();
    match message {
        Ok(message) => Ok(ReceivedEvent::new(message, Arc::clone(&link.blueprint().partition))),
        Err(error) => {
            let what = format!("an event of partition {} could not be read", link.blueprint().partition);
            Err(Error::new(ErrorKind::Protocol, what).with_source(error))
        }
    }
}

fn position_after(event: &ReceivedEvent) -> Option<StartPosition> {
    match (event.sequence_number(), event.offset()) {
        (Some(number), _) => Some(StartPosition::AfterSequenceNumber(number)),
        (None, Some(offset)) => Some(StartPosition::AfterOffset(offset.to_owned())),
        (None, None) => None,
    }
}
