//! `/devices/{id}/messages/events`: telemetry from a device. The hub's busiest link.

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Instant};

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
        let index = partition_of(&subject.device, peer.hub.partitions.len());
        let Some(partition) = peer.hub.partitions.get(index) else { return };
        // Kept out of what ends with the right: what is stored is never told to be anything else.
        let mut stored = VecDeque::new();
        let end = {
            let mut revoked = pin!(revoked(&peer, need.as_ref()));
            let mut stolen = pin!(link.stolen());
            tokio::select! {
                end = take_in(&peer, &receiver, partition, &origin, &mut stored) => end,
                end = &mut revoked => end,
                end = &mut stolen => end,
            }
        };
        drop(link);
        if matches!(end, End::Because(_)) {
            settle_rest(partition, &mut stored).await;
        }
        finish_receiver(&peer, &receiver, end).await;
    });
}

async fn take_in(
    peer: &Peer,
    receiver: &Receiver,
    partition: &PartitionSlot,
    origin: &Origin,
    stored: &mut VecDeque<Stored>,
) -> End {
    loop {
        let oldest = stored.front().map(|burst| (burst.end, burst.at));
        tokio::select! {
            biased;
            () = followed(partition, oldest) => settle_followed(partition, stored),
            delivery = receiver.recv(), if stored.len() < MAX_STORED => {
                let Ok(delivery) = delivery else { return End::Over };
                stored.push_back(store(peer, partition, origin, take_burst(receiver, delivery)));
                // A device that floods the hub must not keep its readers from running.
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Messages that are stored and not settled yet.
struct Stored {
    verdicts: Vec<(Delivery, Result<(), Error>)>,
    /// The sequence number behind the last of them.
    end: i64,
    /// When it was stored.
    at: Instant,
}

fn take_burst(receiver: &Receiver, first: Delivery) -> Vec<Delivery> {
    let mut burst = vec![first];
    while burst.len() < BURST {
        match receiver.try_recv() {
            Some(delivery) => burst.push(delivery),
            None => break,
        }
    }
    burst
}

/// Stores a burst: from here on it can be read.
fn store(peer: &Peer, partition: &PartitionSlot, origin: &Origin, burst: Vec<Delivery>) -> Stored {
    let now = peer.hub.now();
    let mut end = 0;
    let mut events = Vec::new();
    let mut verdicts = Vec::with_capacity(burst.len());
    for delivery in burst {
        let verdict = NewEvent::read(delivery.payload(), delivery.message_format(), &mut events);
        for event in events.drain(..) {
            end = partition
                .append(now.wall_ms, |stamp| event.encode(stamp, origin))
                .sequence_number
                .saturating_add(1);
        }
        if let Err(error) = &verdict {
            tracing::warn!(peer = %peer.address, %error, "telemetry refused");
        }
        verdicts.push((delivery, verdict));
    }
    partition.announce();
    Stored { verdicts, end, at: now.instant }
}

async fn followed(partition: &PartitionSlot, oldest: Option<(i64, Instant)>) {
    match oldest {
        Some((end, at)) => partition.followed(end, at).await,
        None => std::future::pending().await,
    }
}

/// Settles what can be read, and is where live readers have it.
fn settle_followed(partition: &PartitionSlot, stored: &mut VecDeque<Stored>) {
    let floor = partition.floor();
    while stored.front().is_some_and(|burst| burst.end <= floor) {
        for (delivery, verdict) in stored.pop_front().into_iter().flat_map(|burst| burst.verdicts) {
            settle(delivery, verdict);
        }
    }
}

/// Settles everything that is stored. Each burst is waited for as long as any other, and no longer: followers that do not
/// confirm lose their voice.
async fn settle_rest(partition: &PartitionSlot, stored: &mut VecDeque<Stored>) {
    while let Some((end, at)) = stored.front().map(|burst| (burst.end, burst.at)) {
        partition.followed(end, at).await;
        settle_followed(partition, stored);
    }
}

/// Messages a device may have on the way.
const CREDIT: u32 = 1000;

/// Messages stored under one announcement to readers.
const BURST: usize = 256;

/// Bursts that may wait for live readers before the device has to.
const MAX_STORED: usize = 16;
