//! `/messages/serviceBound/feedback`: feedback to a service, or from a device; and the file notifications beside it, of
//! which there are none.

use std::sync::Arc;

use amqp_codec::{DecodeLimits, Error, ErrorCondition, Message, Outcome};
use amqp_transport::{Receiver, Sender, Settlement as Mode, server::IncomingAttach};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::{End, finish_receiver, finish_sender, giving, lending, record_outcome, revoked, taking};
use crate::emulator::{
    auth::Need,
    commands::{LockLost, LockToken},
    feedback::{BatchSettlement, Record, batch_message, parse_device_feedback},
    hub::{Hub, lock},
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
    let Ok(sender) = incoming.accept_sender(lending()) else { return };
    tasks.spawn(async move {
        let end = tokio::select! {
            end = give_out(&peer.hub, &sender) => end,
            end = revoked(&peer, need.as_ref()) => end,
            _ = sender.detached() => End::Over,
        };
        finish_sender(&peer, &sender, end).await;
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

async fn give_out(hub: &Arc<Hub>, sender: &Sender) -> End {
    let hub_name = hub.names.hub.first().map(|host| short_name(host).to_owned()).unwrap_or_default();
    loop {
        if sender.ready().await.is_err() {
            return End::Over;
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
                // On its own: an outcome told just before the link ended still counts. It ends with the link.
                tokio::spawn(record_outcome(receipt, move |outcome| settle(&hub, batch.lock, outcome)));
            }
            Err(_) => {
                lock(&hub.feedback).unlock(batch.lock);
                hub.feedback_changed.notify_waiters();
                return End::Over;
            }
        }
    }
}

fn settle(hub: &Hub, token: LockToken, outcome: &Outcome) -> Result<(), LockLost> {
    let settlement = match outcome {
        Outcome::Accepted | Outcome::Rejected(_) => BatchSettlement::Remove,
        Outcome::Released | Outcome::Modified(_) => BatchSettlement::Abandon,
    };
    let now = hub.now();
    let settled = lock(&hub.feedback).settle(token, settlement, now);
    if settled.is_err() {
        tracing::info!("a service settled feedback whose lock had lapsed");
    }
    hub.feedback_changed.notify_waiters();
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
