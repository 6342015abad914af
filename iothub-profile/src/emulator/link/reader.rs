//! `{event hub}/ConsumerGroups/{group}/Partitions/{id}`: a reader of telemetry.

use std::sync::Arc;

use amqp_codec::{Attach, Error, ErrorCondition, SenderSettleMode, ValueRef};
use amqp_transport::{Receipt, SendError, Sender, Settlement, server::IncomingAttach};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
};

use super::{End, finish_sender, giving, revoked};
use crate::emulator::{
    auth::Need,
    filter::{self, Position},
    hub::{PartitionSlot, lock},
    management::partition_index,
    peer::Peer,
    readers::{JoinError, ReaderId},
};

/// What is read, as whom.
pub(super) struct Place {
    pub(super) group: String,
    pub(super) partition: String,
}

/// Accepts the link and sends it the partition's events from where its filter says.
pub(super) fn serve(
    peer: Arc<Peer>,
    place: Place,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let seat = match find_seat(&peer, &place, incoming.attach()) {
        Ok(seat) => seat,
        Err(error) => {
            tracing::warn!(peer = %peer.address, group = place.group, partition = place.partition, %error, "reader refused");
            incoming.refuse(error);
            return;
        }
    };
    let settlement = match incoming.attach().snd_settle_mode {
        SenderSettleMode::Settled => Settlement::Settled,
        _ => Settlement::Unsettled,
    };
    let Ok(sender) = incoming.accept_sender(giving()) else { return };
    tasks.spawn(async move {
        let end = tokio::select! {
            end = give_out(&peer, &sender, &seat, settlement) => end,
            end = revoked(&peer, need.as_ref()) => end,
            end = seat.stolen() => end,
            _ = sender.detached() => End::Over,
        };
        drop(seat);
        finish_sender(&peer, &sender, end).await;
    });
}

/// A reader's place in its consumer group, given up when dropped.
struct Seat {
    peer: Arc<Peer>,
    id: ReaderId,
    partition: usize,
    group: String,
    /// Sequence number of its first event, fixed before it hears that the link is open.
    start: i64,
    stolen: Arc<Notify>,
}

impl Seat {
    async fn stolen(&self) -> End {
        self.stolen.notified().await;
        let words = "a reader with a higher or the same epoch took this partition over";
        End::Because(Error::new(ErrorCondition::STOLEN).with_description(words))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let hub = &self.peer.hub;
        lock(&hub.readers).leave(self.partition, &self.group, self.id);
        lock(&hub.reader_alarms).remove(&self.id);
        if let Some(partition) = hub.partitions.get(self.partition) {
            partition.unfollow(self.id);
        }
    }
}

fn find_seat(peer: &Arc<Peer>, place: &Place, attach: &Attach) -> Result<Seat, Error> {
    let hub = &peer.hub;
    let not_found = |words: String| Error::new(ErrorCondition::NOT_FOUND).with_description(words);
    let is_group = hub.settings.consumer_groups.iter().any(|group| group.eq_ignore_ascii_case(&place.group));
    if !is_group && !place.group.eq_ignore_ascii_case("$default") {
        return Err(not_found(format!("there is no consumer group {:?}", place.group)));
    }
    let partition = partition_index(&place.partition, hub.partitions.len())
        .ok_or_else(|| not_found(format!("there is no partition {:?}", place.partition)))?;
    let position = position(attach)?;
    let epoch = attach
        .properties
        .as_ref()
        .and_then(|properties| properties.get(EPOCH))
        .and_then(|value| value.as_i64());
    let id = ReaderId(hub.next_id());
    let stolen = Arc::new(Notify::new());
    lock(&hub.reader_alarms).insert(id, Arc::clone(&stolen));
    let joined = lock(&hub.readers).join(partition, &place.group, id, epoch);
    // From here on the seat gives everything back, also when it is refused.
    let start = hub.partitions.get(partition).map_or(0, |slot| {
        let start = slot.with(|state| state.start(position));
        slot.follow(id, start);
        start
    });
    let seat = Seat { peer: Arc::clone(peer), id, partition, group: place.group.clone(), start, stolen };
    let driven_out = joined.map_err(|error| {
        let condition = match error {
            JoinError::HigherEpoch(_) => ErrorCondition::STOLEN,
            JoinError::TooMany => ErrorCondition::RESOURCE_LIMIT_EXCEEDED,
        };
        Error::new(condition).with_description(error.to_string())
    })?;
    let alarms = lock(&hub.reader_alarms);
    for reader in driven_out {
        if let Some(alarm) = alarms.get(&reader) {
            alarm.notify_one();
        }
    }
    drop(alarms);
    Ok(seat)
}

/// Where the filter of an attach says to start; without one, at the oldest event.
fn position(attach: &Attach) -> Result<Position, Error> {
    let filters = attach.source.as_ref().and_then(|source| source.filter.as_ref());
    let Some(filter) = filters.and_then(|filters| filters.get(SELECTOR)) else {
        return Ok(Position::Earliest);
    };
    // The descriptor may be a symbol or one of two numbers; some clients send the text as binary.
    let value = filter.as_described().map_or(filter, |described| described.value());
    let text = match value {
        ValueRef::Binary(octets) => std::str::from_utf8(octets).ok(),
        other => other.as_text(),
    };
    let invalid = |words: String| Error::new(ErrorCondition::INVALID_FIELD).with_description(words);
    let text = text.ok_or_else(|| invalid("the selector filter is not a text".to_owned()))?;
    filter::parse(text).map_err(|error| invalid(error.to_string()))
}

async fn give_out(peer: &Peer, sender: &Sender, seat: &Seat, settlement: Settlement) -> End {
    let Some(partition) = peer.hub.partitions.get(seat.partition) else { return End::Over };
    let (sent, confirmed) = mpsc::channel(UNCONFIRMED);
    tokio::select! {
        end = send_all(partition, seat.start, sender, settlement, sent) => end,
        end = confirm_all(partition, seat.id, confirmed) => end,
    }
}

/// Sends everything from `next` on, and notes the last receipt of every burst.
async fn send_all(
    partition: &PartitionSlot,
    mut next: i64,
    sender: &Sender,
    settlement: Settlement,
    sent: mpsc::Sender<(i64, Receipt)>,
) -> End {
    let mut events = Vec::with_capacity(READ_EVENTS);
    loop {
        partition.read(&mut next, READ_EVENTS, READ_BYTES, &mut events).await;
        let mut last = None;
        for event in events.drain(..) {
            match sender.send_encoded(event, 0, settlement).await {
                Ok(receipt) => last = Some(receipt),
                Err(error) => return End::unsent(&error),
            }
        }
        if let Some(receipt) = last {
            // A reader that confirms nothing is not waited for; its receipts are let go.
            let _ = sent.try_send((next, receipt));
        }
    }
}

/// Tells the partition how far the reader has confirmed. What its outcomes are changes nothing: its position is its own
/// business.
async fn confirm_all(
    partition: &PartitionSlot,
    id: ReaderId,
    mut confirmed: mpsc::Receiver<(i64, Receipt)>,
) -> End {
    while let Some((next, receipt)) = confirmed.recv().await {
        match receipt.await {
            Ok(_) | Err(SendError::NoOutcome) => partition.confirm(id, next),
            Err(_) => break,
        }
    }
    // The link is over, which the sending half finds by itself.
    std::future::pending().await
}

/// The filter's name in a source.
const SELECTOR: &str = "apache.org:selector-filter:string";

/// The property of an attach that carries a reader's owner level.
const EPOCH: &str = "com.microsoft:epoch";

/// Events copied out under one lock.
const READ_EVENTS: usize = 256;

/// Bytes copied out under one lock.
const READ_BYTES: usize = 1 << 20;

/// Bursts whose confirmation is waited for at once.
const UNCONFIRMED: usize = 256;
