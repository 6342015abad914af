//! `/devices/{id}/messages/events`: telemetry from a device. The hub's busiest link.

use std::{pin::pin, sync::Arc};

use amqp_codec::Error;
use amqp_transport::{Delivery, Receiver, server::IncomingAttach};
use tokio::task::JoinSet;

use super::{DeviceLink, End, finish_receiver, revoked, settle, taking};
use crate::emulator::{
    auth::Need,
    hub::PartitionSlot,
    partition::partition_of,
    peer::{Peer, unauthorized},
    route::Subject,
    steal::LinkKind,
    telemetry::{NewEvent, Origin},
};

/// Accepts the link and takes its messages in.
pub(super) fn serve(
    peer: Arc<Peer>,
    subject: Subject,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let grant = need.as_ref().and_then(|need| peer.grant_for(need));
    let generation = peer.hub.generation_of(&subject.device);
    let (Some(grant), Some(generation)) = (grant, generation) else {
        incoming.refuse(unauthorized("the right to this address has just ended"));
        return;
    };
    let origin = Origin::new(&subject.device, subject.module.as_deref(), generation, &grant);
    let Ok(receiver) = incoming.accept_receiver(taking(CREDIT)) else {
        return;
    };
    let link = DeviceLink::take(&peer, &subject, LinkKind::Telemetry);
    tasks.spawn(async move {
        let end = {
            let mut revoked = pin!(revoked(&peer, need.as_ref()));
            let mut stolen = pin!(link.stolen());
            tokio::select! {
                end = take_in(&peer, &receiver, &subject, &origin) => end,
                end = &mut revoked => end,
                end = &mut stolen => end,
            }
        };
        drop(link);
        finish_receiver(&peer, &receiver, end).await;
    });
}

async fn take_in(peer: &Peer, receiver: &Receiver, subject: &Subject, origin: &Origin) -> End {
    let index = partition_of(&subject.device, peer.hub.partitions.len());
    let Some(partition) = peer.hub.partitions.get(index) else { return End::Over };
    let mut burst = Vec::with_capacity(BURST);
    while let Ok(delivery) = receiver.recv().await {
        burst.push(delivery);
        while burst.len() < BURST {
            match receiver.try_recv() {
                Some(delivery) => burst.push(delivery),
                None => break,
            }
        }
        store(peer, partition, origin, &mut burst);
        // A device that floods the hub must not keep its readers from running.
        tokio::task::yield_now().await;
    }
    End::Over
}

/// Stores a burst and only then settles it: what is accepted can be read.
fn store(peer: &Peer, partition: &PartitionSlot, origin: &Origin, burst: &mut Vec<Delivery>) {
    let now_ms = peer.hub.now().wall_ms;
    let mut refused: Vec<(usize, Error)> = Vec::new();
    let mut events = Vec::new();
    for (at, delivery) in burst.iter().enumerate() {
        match NewEvent::read(delivery.payload(), delivery.message_format(), &mut events) {
            Ok(()) => {
                for event in events.drain(..) {
                    partition.append(now_ms, |stamp| event.encode(stamp, origin));
                }
            }
            Err(error) => refused.push((at, error)),
        }
    }
    partition.announce();
    let mut refused = refused.into_iter().peekable();
    for (at, delivery) in burst.drain(..).enumerate() {
        let verdict = match refused.next_if(|(index, _)| *index == at) {
            Some((_, error)) => {
                tracing::warn!(peer = %peer.address, %error, "telemetry refused");
                Err(error)
            }
            None => Ok(()),
        };
        settle(delivery, verdict);
    }
}

/// Messages a device may have on the way.
const CREDIT: u32 = 1000;

/// Messages stored under one announcement to readers.
const BURST: usize = 256;
