//! A partition that starts counting anew while it is read: the event hub was made again, or an emulator restarted.
//!
//! Owns the decision whether a place in a partition still means what it meant. Reads no event.

use std::{fmt, sync::Arc};

use amqp_codec::Timestamp;

use super::{
    StartPosition,
    management::{self, EventHubInfo},
};
use crate::{
    error::Error,
    supervisor::{ClientOptions, Live},
};

/// A partition counts anew: what was read of it before is gone, and it is read from its start. No event of the new count
/// is passed over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PartitionRestart {
    /// The partition's id.
    pub partition: String,
    /// The place up to which it had been read, now meaningless.
    pub position: StartPosition,
}

impl fmt::Display for PartitionRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} counts anew: reading from its start", self.partition)
    }
}

/// A place in a partition and what is known of the count it belongs to.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) position: StartPosition,
    /// The newest sequence number that is known to have been given.
    last: Option<i64>,
    /// When the event hub was made.
    created: Option<Timestamp>,
    /// The connection on which the place was last found to hold.
    checked: u64,
}

impl Place {
    /// A place that was just asked for on the connection `generation`. `last` is the newest sequence number there, where
    /// the place follows from it.
    pub(crate) fn new(
        position: StartPosition,
        last: Option<i64>,
        event_hub: &EventHubInfo,
        generation: u64,
    ) -> Self {
        Self { position, last, created: event_hub.created, checked: generation }
    }

    /// Moves on behind an event.
    pub(crate) fn follow(&mut self, position: StartPosition) {
        if let StartPosition::AfterSequenceNumber(number) = position {
            self.last = Some(number);
        }
        self.position = position;
    }

    /// Takes in what another connection has shown. Returns the place that was given up where the count is another.
    fn check(&mut self, seen: &Seen, generation: u64) -> Option<StartPosition> {
        self.checked = generation;
        let is_another = match seen {
            Seen::Hub(created) => {
                let is_another = matches!((self.created, *created), (Some(old), Some(new)) if old != new);
                self.created = created.or(self.created);
                is_another
            }
            Seen::Last(number) => self.last.is_some_and(|last| *number < last),
        };
        if !is_another {
            return None;
        }
        self.last = None;
        match self.position {
            // These mean the same in any count.
            StartPosition::Earliest | StartPosition::AfterTime(_) => None,
            _ => Some(std::mem::replace(&mut self.position, StartPosition::Earliest)),
        }
    }
}

/// What tells one count from another.
enum Seen {
    /// When the event hub was made.
    Hub(Option<Timestamp>),
    /// The newest sequence number of the partition.
    Last(i64),
}

/// Asks the event hub of a new connection whether the place still holds; tells of it where it does not.
pub(crate) async fn check(
    place: &std::sync::Mutex<Place>,
    partition: &Arc<str>,
    live: &Live,
    options: &ClientOptions,
) -> Result<Option<PartitionRestart>, Error> {
    let lock = || place.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if lock().checked == live.generation() {
        return Ok(None);
    }
    // Both are asked before the place changes: a call that fails or is dropped between them leaves it for the next.
    let event_hub = management::event_hub_info(live, options).await?;
    let info = management::partition_info_on(live, options, partition).await?;
    let mut place = lock();
    let of_hub = place.check(&Seen::Hub(event_hub.created), live.generation());
    let given_up =
        of_hub.or_else(|| place.check(&Seen::Last(info.last_enqueued_sequence_number), live.generation()));
    Ok(given_up.map(|position| PartitionRestart { partition: partition.to_string(), position }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(position: StartPosition, last: Option<i64>) -> Place {
        let event_hub = EventHubInfo { partition_ids: vec!["0".to_owned()], created: Some(Timestamp(1)) };
        Place::new(position, last, &event_hub, 1)
    }

    #[test]
    fn a_place_holds_while_the_count_goes_on() {
        let mut place = place(StartPosition::Earliest, None);
        place.follow(StartPosition::AfterSequenceNumber(7));
        for seen in [Seen::Last(7), Seen::Last(8), Seen::Hub(Some(Timestamp(1))), Seen::Hub(None)] {
            assert_eq!(place.check(&seen, 2), None);
        }
        assert_eq!(place.position, StartPosition::AfterSequenceNumber(7));
    }

    #[test]
    fn a_place_is_given_up_when_the_count_has_fallen_back_or_is_another_hubs() {
        for seen in [Seen::Last(6), Seen::Last(-1), Seen::Hub(Some(Timestamp(2)))] {
            let mut place = place(StartPosition::AfterSequenceNumber(7), Some(7));
            assert_eq!(place.check(&seen, 2), Some(StartPosition::AfterSequenceNumber(7)));
            assert_eq!((place.position, place.checked), (StartPosition::Earliest, 2));
        }
    }

    #[test]
    fn a_future_number_that_was_asked_for_is_waited_for() {
        let mut place = place(StartPosition::FromSequenceNumber(100), None);
        assert_eq!(place.check(&Seen::Last(50), 2), None);
    }
}
