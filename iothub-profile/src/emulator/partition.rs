//! One partition of the built-in event hub: events in order, kept until a bound is reached.
//!
//! Owns sequence numbers, offsets, enqueued times and retention. Knows events only as encoded bytes and never a reader.

use std::collections::VecDeque;

use bytes::Bytes;

use super::filter::{Inclusive, Mark, Position};

/// What the hub notes on an event when it stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Position in the partition: 0, 1, 2, …
    pub(crate) sequence_number: i64,
    /// Place in the partition's stream of bytes; clients see it as text.
    pub(crate) offset: i64,
    /// Wall time in milliseconds; never runs backwards within a partition.
    pub(crate) enqueued_ms: i64,
}

/// A partition's state as `$management` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PartitionInfo {
    /// Sequence number of the oldest event kept, or of the next one when there is none.
    pub(crate) begin_sequence_number: i64,
    /// Stamp of the newest event ever stored; `None` before the first.
    pub(crate) last: Option<Stamp>,
    pub(crate) is_empty: bool,
}

/// The events of one partition.
#[derive(Debug)]
pub(crate) struct Partition {
    events: VecDeque<Stored>,
    first_sequence_number: i64,
    next_offset: i64,
    last: Option<Stamp>,
    stored_bytes: usize,
    max_bytes: usize,
    max_events: usize,
}

#[derive(Debug)]
struct Stored {
    message: Bytes,
    offset: i64,
    enqueued_ms: i64,
}

impl Partition {
    /// An empty partition that keeps at most `max_events` events and `max_bytes` bytes, and always the newest event.
    pub(crate) fn new(max_events: usize, max_bytes: usize) -> Self {
        Self {
            events: VecDeque::new(),
            first_sequence_number: 0,
            next_offset: 0,
            last: None,
            stored_bytes: 0,
            max_bytes,
            max_events,
        }
    }

    /// Stores one event, which `encode` writes once it knows its stamp; the oldest ones go when a bound is passed.
    pub(crate) fn append(&mut self, now_ms: i64, encode: impl FnOnce(&Stamp) -> Bytes) -> Stamp {
        let enqueued_ms = self.last.map_or(now_ms, |last| last.enqueued_ms.max(now_ms));
        let stamp =
            Stamp { sequence_number: self.next_sequence_number(), offset: self.next_offset, enqueued_ms };
        let message = encode(&stamp);
        self.stored_bytes = self.stored_bytes.saturating_add(message.len());
        self.next_offset =
            self.next_offset.saturating_add(i64::try_from(message.len()).unwrap_or(i64::MAX).max(1));
        self.events.push_back(Stored { message, offset: stamp.offset, enqueued_ms });
        self.last = Some(stamp);
        while self.events.len() > 1
            && (self.stored_bytes > self.max_bytes || self.events.len() > self.max_events)
        {
            self.drop_oldest();
        }
        stamp
    }

    /// Copies out events from sequence number `from` on, until `max_events` or `max_bytes` is reached (at least one event,
    /// if there is one), and returns where to go on. Events that are no longer kept are passed over.
    pub(crate) fn read(&self, from: i64, max_events: usize, max_bytes: usize, into: &mut Vec<Bytes>) -> i64 {
        let from = from.max(self.first_sequence_number);
        let Ok(skip) = usize::try_from(from.saturating_sub(self.first_sequence_number)) else { return from };
        let mut next = from;
        let mut bytes = 0_usize;
        for stored in self.events.iter().skip(skip).take(max_events) {
            if bytes > 0 && bytes.saturating_add(stored.message.len()) > max_bytes {
                break;
            }
            bytes = bytes.saturating_add(stored.message.len());
            into.push(stored.message.clone());
            next = next.saturating_add(1);
        }
        next
    }

    /// The sequence number a reader that wants `position` starts with. A start in the future waits for it.
    pub(crate) fn start(&self, position: Position) -> i64 {
        let (mark, bound, inclusive) = match position {
            Position::Earliest => return self.first_sequence_number,
            Position::Latest => return self.next_sequence_number(),
            Position::After { mark, bound, inclusive } => (mark, bound, inclusive),
        };
        let is_before = |value: i64| match inclusive {
            Inclusive::Yes => value < bound,
            Inclusive::No => value <= bound,
        };
        let index = match mark {
            Mark::SequenceNumber => {
                let first = if inclusive == Inclusive::Yes { bound } else { bound.saturating_add(1) };
                return first.max(self.first_sequence_number);
            }
            Mark::Offset => self.events.partition_point(|stored| is_before(stored.offset)),
            Mark::EnqueuedTime => self.events.partition_point(|stored| is_before(stored.enqueued_ms)),
        };
        self.first_sequence_number.saturating_add(i64::try_from(index).unwrap_or(i64::MAX))
    }

    /// What `$management` tells about it.
    pub(crate) fn info(&self) -> PartitionInfo {
        PartitionInfo {
            begin_sequence_number: self.first_sequence_number,
            last: self.last,
            is_empty: self.events.is_empty(),
        }
    }

    /// The sequence number that the next event will get.
    pub(crate) fn next_sequence_number(&self) -> i64 {
        self.first_sequence_number.saturating_add(i64::try_from(self.events.len()).unwrap_or(i64::MAX))
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.events.pop_front() {
            self.stored_bytes = self.stored_bytes.saturating_sub(oldest.message.len());
            self.first_sequence_number = self.first_sequence_number.saturating_add(1);
        }
    }
}

/// The partition that a device's events go to: the same one always, spread evenly (FNV-1a over the id).
pub(crate) fn partition_of(device_id: &str, partitions: usize) -> usize {
    let hash =
        device_id.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    // FNV's bits are uneven for ids that differ only at their end; one more round of mixing evens them out.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(MIX_PRIME);
    usize::try_from((mixed >> 32) % u64::try_from(partitions.max(1)).unwrap_or(1)).unwrap_or(0)
}

const MIX_PRIME: u64 = 0xff51_afd7_ed55_8ccd;
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(count: u8) -> Partition {
        let mut partition = Partition::new(1000, 1 << 20);
        for n in 0..count {
            partition.append(i64::from(n) * 10, |_| Bytes::from(vec![n; 100]));
        }
        partition
    }

    /// The sequence numbers of what a reader gets, which the tests write into every first octet.
    fn read(partition: &Partition, from: i64) -> Vec<u8> {
        let mut events = Vec::new();
        partition.read(from, 100, 1 << 20, &mut events);
        events.iter().map(|event| event[0]).collect()
    }

    #[test]
    fn events_come_back_in_order_with_their_stamps() {
        let mut partition = filled(3);
        let stamp = partition.append(5, |_| Bytes::from_static(&[3]));
        assert_eq!(
            stamp,
            Stamp { sequence_number: 3, offset: 300, enqueued_ms: 20 },
            "time never runs backwards"
        );
        assert_eq!(read(&partition, 1), [1, 2, 3]);
        assert_eq!(read(&partition, 4), [] as [u8; 0]);
    }

    #[test]
    fn a_read_is_bounded_and_always_makes_progress() {
        let partition = filled(10);
        let mut events = Vec::new();
        assert_eq!(partition.read(0, 3, 1 << 20, &mut events), 3);
        assert_eq!(partition.read(3, 100, 250, &mut events), 5);
        assert_eq!(partition.read(5, 100, 1, &mut events), 6);
        assert_eq!(events.len(), 6);
    }

    #[test]
    fn a_reader_starts_where_its_filter_says() {
        let partition = filled(5);
        let after = |mark, bound, inclusive| partition.start(Position::After { mark, bound, inclusive });
        assert_eq!(partition.start(Position::Earliest), 0);
        assert_eq!(partition.start(Position::Latest), 5);
        assert_eq!(after(Mark::SequenceNumber, 2, Inclusive::No), 3);
        assert_eq!(after(Mark::SequenceNumber, 2, Inclusive::Yes), 2);
        assert_eq!(after(Mark::SequenceNumber, 2995, Inclusive::No), 2996);
        assert_eq!(after(Mark::Offset, 100, Inclusive::No), 2);
        assert_eq!(after(Mark::Offset, 100, Inclusive::Yes), 1);
        assert_eq!(after(Mark::Offset, 150, Inclusive::No), 2);
        assert_eq!(after(Mark::EnqueuedTime, 20, Inclusive::No), 3);
        assert_eq!(after(Mark::EnqueuedTime, -5, Inclusive::No), 0);
        assert_eq!(after(Mark::EnqueuedTime, 99, Inclusive::No), 5);
    }

    #[test]
    fn the_oldest_events_go_when_a_bound_is_passed() {
        let mut partition = Partition::new(3, 250);
        for n in 0..5_u8 {
            partition.append(0, |_| Bytes::from(vec![n; 100]));
        }
        assert_eq!(read(&partition, 0), [3, 4], "250 bytes hold two events of 100");
        assert_eq!(partition.info().begin_sequence_number, 3);
        partition.append(0, |_| Bytes::from(vec![5; 1000]));
        assert_eq!(read(&partition, 0), [5], "the newest is kept whatever its size");
        assert_eq!(
            partition.start(Position::After { mark: Mark::Offset, bound: 0, inclusive: Inclusive::No }),
            5
        );
    }

    #[test]
    fn an_empty_partition_says_so() {
        let info = Partition::new(1, 1).info();
        assert_eq!((info.begin_sequence_number, info.last, info.is_empty), (0, None, true));
    }

    #[test]
    fn devices_spread_over_partitions_and_stay_where_they_are() {
        let mut counts = [0_u32; 4];
        for n in 0..1000 {
            counts[partition_of(&format!("device-{n}"), 4)] += 1;
        }
        assert!(counts.iter().all(|count| (150..350).contains(count)), "{counts:?}");
        assert_eq!(partition_of("dev1", 4), partition_of("dev1", 4));
    }
}
