//! `/messages/devicebound`: commands from a service.

use std::sync::Arc;

use amqp_codec::{Error, ErrorCondition};
use amqp_transport::{Receiver, server::IncomingAttach};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{End, finish_receiver, revoked, settle, taking};
use crate::emulator::{auth::Need, command_message, hub::EnqueueError, peer::Peer};

/// Accepts the link and puts its commands into the devices' queues.
pub(super) fn serve(peer: Arc<Peer>, need: Option<Need>, incoming: IncomingAttach, tasks: &mut JoinSet<()>) {
    let Ok(receiver) = incoming.accept_receiver(taking(CREDIT)) else {
        return;
    };
    tasks.spawn(async move {
        let end = tokio::select! {
            end = take_in(&peer, &receiver) => end,
            end = revoked(&peer, need.as_ref()) => end,
        };
        finish_receiver(&peer, &receiver, end).await;
    });
}

async fn take_in(peer: &Peer, receiver: &Receiver) -> End {
    while let Ok(delivery) = receiver.recv().await {
        let verdict = enqueue(peer, delivery.payload());
        if let Err(error) = &verdict {
            tracing::warn!(peer = %peer.address, %error, "command refused");
        }
        settle(delivery, verdict);
    }
    End::Over
}

fn enqueue(peer: &Peer, payload: &Bytes) -> Result<(), Error> {
    let exists = |id: &str| peer.hub.with_registry(|registry| registry.device(id).is_some());
    let (device_id, command) = command_message::read(payload, peer.hub.now().wall_ms, exists)?;
    peer.hub.enqueue_command(&device_id, command).map_err(|error| match error {
        EnqueueError::UnknownDevice => {
            let words = format!("device {device_id:?} is not registered");
            Error::new(ErrorCondition::NOT_FOUND).with_description(words)
        }
        EnqueueError::Full(full) => {
            Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED).with_description(full.to_string())
        }
    })?;
    tracing::debug!(peer = %peer.address, device = device_id, "command enqueued");
    Ok(())
}

/// Commands a service may have on the way.
const CREDIT: u32 = 100;
