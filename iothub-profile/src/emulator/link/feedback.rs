//! `/messages/serviceBound/feedback`: feedback to a service, or from a device; and the file notifications beside it, of
//! which there are none.

use std::sync::Arc;

use amqp_codec::{DecodeLimits, Error, ErrorCondition, Message, Outcome};
use amqp_transport::{Receiver, SendError, Sender, Settlement as Mode, server::IncomingAttach};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    End, finish_receiver, finish_sender, giving, lending, record_outcome, revoked, take_last, taking,
};
use crate::emulator::{
    auth::Need,
    commands::{LockLost, LockToken},
    feedback::{BatchSettlement, Record, batch_message, parse_device_feedback},
    hub::Hub,
    peer::Peer,
    scope::short_name,
};

/// Accepts a service's link and sends it feedback as it gives credit.
pub(super) fn serve_service(
    peer: Arc<Peer>,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let options = lending(incoming.attach());
    let Ok(sender) = incoming.accept_sender(options) else { return };
    tasks.spawn(async move {
        // Kept out of what ends with the link: an outcome told just before still counts.
        let mut outcomes = JoinSet::new();
        let end = tokio::select! {
            end = give_out(&peer.hub, &sender, &mut outcomes) => end,
            end = revoked(&peer, need.as_ref()) => end,
            _ = sender.detached() => End::Over,
        };
        finish_sender(&peer, &sender, end).await;
        take_last(outcomes).await;
    });
}

/// Accepts a service's link on which nothing ever comes.
pub(super) fn serve_nothing(
    peer: Arc<Peer>,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let Ok(sender) = incoming.accept_sender(giving()) else { return };
    tasks.spawn(async move {
        let end = tokio::select! {
            end = revoked(&peer, need.as_ref()) => end,
            _ = sender.detached() => End::Over,
        };
        finish_sender(&peer, &sender, end).await;
    });
}

/// Accepts a device's link and passes the feedback it reports on to the service.
pub(super) fn serve_device(peer: Arc<Peer>, incoming: IncomingAttach, tasks: &mut JoinSet<()>) {
    let Ok(receiver) = incoming.accept_receiver(taking(CREDIT)) else {
        return;
    };
    tasks.spawn(async move {
        take_in(&peer, &receiver).await;
        finish_receiver(&peer, &receiver, End::Over).await;
    });
}

async fn give_out(hub: &Arc<Hub>, sender: &Sender, outcomes: &mut JoinSet<()>) -> End {
    let hub_name = hub.names.hub.first().map(|host| short_name(host).to_owned()).unwrap_or_default();
    loop {
        while outcomes.try_join_next().is_some() {}
        if let Err(error) = sender.ready().await {
            return End::unsent(&error);
        }
        let changed = hub.feedback_changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Some(batch) = hub.lock_feedback() else {
            changed.await;
            continue;
        };
        let payload = amqp_codec::to_bytes(&batch_message(&hub_name, &batch));
        match sender.send_tagged(payload, batch.lock.tag(), Mode::Unsettled).await {
            Ok(receipt) => {
                let hub = Arc::clone(hub);
                outcomes.spawn(record_outcome(receipt, move |outcome| settle(&hub, batch.lock, outcome)));
            }
            // This receiver takes small messages only.
            Err(SendError::TooLarge { .. }) if batch.records.len() > 1 => hub.split_feedback(batch.lock),
            Err(error) => {
                hub.unlock_feedback(batch.lock);
                return End::unsent(&error);
            }
        }
    }
}

fn settle(hub: &Hub, token: LockToken, outcome: &Outcome) -> Result<(), LockLost> {
    let settlement = match outcome {
        Outcome::Accepted | Outcome::Rejected(_) => BatchSettlement::Remove,
        Outcome::Released | Outcome::Modified(_) => BatchSettlement::Abandon,
    };
    let settled = hub.settle_feedback(token, settlement);
    if settled.is_err() {
        tracing::info!("a service settled feedback whose lock had lapsed");
    }
    settled
}

async fn take_in(peer: &Peer, receiver: &Receiver) {
    while let Ok(delivery) = receiver.recv().await {
        let verdict = match read(peer, delivery.payload()) {
            Some(records) => {
                peer.hub.push_feedback(records);
                Ok(())
            }
            None => {
                let words = "this is not feedback by a device of this connection about itself";
                Err(Error::new(ErrorCondition::NOT_ALLOWED).with_description(words))
            }
        };
        super::settle(delivery, verdict);
    }
}

fn read(peer: &Peer, payload: &Bytes) -> Option<Vec<Record>> {
    let body = Message::decode(payload, &DecodeLimits::message()).ok()?.body_bytes()?;
    peer.devices().iter().find_map(|device| {
        let generation = peer.hub.generation_of(device)?;
        parse_device_feedback(&body, device, &generation, peer.hub.now())
    })
}

/// Feedback messages a device may have on the way.
const CREDIT: u32 = 50;
