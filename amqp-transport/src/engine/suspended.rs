//! A link that is not attached, as pure data: what both ends must remember to resume it (AMQP 1.0 §2.6.13).
//!
//! Holds no id of a connection and no clock, so that it can be carried to another connection, kept for as long as a
//! terminus lives, or written down.

use std::fmt;

use amqp_codec::{
    DecodeLimits, DeliveryState, DeliveryTag, Map, ReceiverSettleMode, Role, SenderSettleMode, Source, Str,
    TargetArchetype, Value, ValueRef, from_bytes, to_bytes,
};
use bytes::Bytes;

/// A link that was suspended, and may be resumed by handing it to the next attach
/// ([`LinkConfig::resume`](super::LinkConfig), [`AttachReply::resume`](super::AttachReply)).
///
/// Comes with [`Event::LinkSuspended`](super::Event::LinkSuspended), for links attached with
/// [`Retention::Keep`](super::Retention). Dropping it gives its deliveries up: the outcome of those that were sent is
/// unknown then, those that were received come again or not as the peer likes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SuspendedLink {
    /// The link's name, under which it must be attached again.
    pub name: Str,
    /// Our role.
    pub role: Role,
    /// The source as last agreed.
    pub source: Option<Source>,
    /// The target as last agreed.
    pub target: Option<TargetArchetype>,
    /// The sender's settle mode in force.
    pub snd_settle_mode: SenderSettleMode,
    /// The receiver's settle mode in force.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// A sender goes on counting here (L-027).
    pub delivery_count: u32,
    /// What is unsettled, oldest first. An attach whose frame does not take all of it tells what comes first here; a receiver's
    /// that were told so and of which the sender knew nothing come last the next time, so that all are told in turn. Where
    /// neither end's fit and they have none in common, attaching again brings nothing to its end (AMQP 1.0 §2.7.3): a larger
    /// [`max_frame_size`](super::ConnectionConfig) does, or one end that lets go of so many that the others fit.
    pub deliveries: Vec<UnsettledDelivery>,
    /// A sender's tags that the engine makes are numbers of eight octets, from this one on or, if it is larger, from the
    /// one above all such tags in [`deliveries`](Self::deliveries). Write it down with the rest: a tag of one that was
    /// settled may be remembered by the receiver still.
    pub next_tag: u64,
    /// Sender: whether a message that has left, and of which the receiver knows nothing, stays undecided rather than being
    /// sent anew: the receiver may have taken and forgotten it.
    pub(crate) repeats: Repeats,
}

/// Whether a resumed sender may send a message to a receiver that may have had it before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Repeats {
    /// As the resume table says.
    #[default]
    Allowed,
    Forbidden,
}

/// A delivery of a suspended link that is unsettled on our side.
#[derive(Clone)]
#[non_exhaustive]
pub struct UnsettledDelivery {
    /// Its tag, which names it for as long as it is unsettled (D-001).
    pub tag: DeliveryTag,
    /// Our state. For a sender: `received` when it has let go of the message up to there, an outcome when it has taken
    /// one already; that of a transaction when it was posted under one, which does not outlive its link, so that the message
    /// is never sent again. For a receiver: the outcome it has told or would tell; `received` for how much it holds.
    pub state: Option<DeliveryState>,
    /// Sender: the caller's number of the message. A caller that resumes on another connection gives its own.
    pub user: u32,
    /// The message format.
    pub message_format: u32,
    /// Sender: the message, if it was retained, to be sent again. Receiver: what has come of a message that is not whole.
    pub payload: Option<Bytes>,
    /// Receiver: whether the application has the whole message.
    pub is_whole: bool,
    /// Sender: whether the caller has been told its end already, so that only the receiver has to learn of it.
    pub is_concluded: bool,
    /// Sender: whether the receiver is known not to have it, so that it is to be sent as a new one and told in no map.
    pub(crate) is_absent_there: bool,
}

impl fmt::Debug for UnsettledDelivery {
    // The octets of messages may be secrets: only how many there are is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsettledDelivery")
            .field("tag", &self.tag)
            .field("state", &self.state)
            .field("user", &self.user)
            .field("octets", &self.payload.as_ref().map(Bytes::len))
            .field("is_whole", &self.is_whole)
            .finish_non_exhaustive()
    }
}

impl SuspendedLink {
    /// A link that is known by its name and role alone, with nothing unsettled. For one that is read back from where it
    /// was written down; fill in its fields.
    pub fn new(name: impl Into<Str>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            source: None,
            target: None,
            snd_settle_mode: SenderSettleMode::default(),
            rcv_settle_mode: ReceiverSettleMode::default(),
            delivery_count: 0,
            deliveries: Vec::new(),
            next_tag: 0,
            repeats: Repeats::default(),
        }
    }

    /// A sending link: messages that the receiver may have had before are not sent again, and end as unknown where it does
    /// not tell of them.
    pub const fn forbid_repeats(&mut self) {
        self.repeats = Repeats::Forbidden;
    }

    /// Notes what our side makes of a delivery while the link is away; `false` when it is not unsettled here. A receiver
    /// that tells an outcome so has it taken by the sender when the link is resumed.
    pub fn set_state(&mut self, tag: &DeliveryTag, state: DeliveryState) -> bool {
        let found = self.deliveries.iter_mut().find(|delivery| delivery.tag == *tag);
        found.is_some_and(|delivery| {
            delivery.state = Some(state);
            true
        })
    }

    /// The link without its deliveries.
    pub(crate) fn bare(&self) -> Self {
        Self {
            name: self.name.clone(),
            source: self.source.clone(),
            target: self.target.clone(),
            deliveries: Vec::new(),
            ..*self
        }
    }

    /// The first tag of the engine's making that no delivery has had (D-001).
    pub(crate) fn free_tag(&self) -> u64 {
        above(self.next_tag, self.deliveries.iter().map(|delivery| &delivery.tag))
    }

    /// Octets of messages it holds.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.deliveries.iter().filter_map(|delivery| delivery.payload.as_ref()).map(Bytes::len).sum()
    }
}

impl UnsettledDelivery {
    /// A delivery of this tag without state or message.
    #[must_use]
    pub fn new(tag: DeliveryTag) -> Self {
        Self {
            tag,
            state: None,
            user: 0,
            message_format: 0,
            payload: None,
            is_whole: false,
            is_concluded: false,
            is_absent_there: false,
        }
    }
}

/// The first number, from `next` on, above all tags that are numbers of the engine's making.
pub(crate) fn above<'a>(next: u64, tags: impl Iterator<Item = &'a DeliveryTag>) -> u64 {
    let numbers =
        tags.filter_map(|tag| tag.as_slice().first_chunk::<8>().filter(|_| tag.as_slice().len() == 8));
    numbers.map(|number| u64::from_be_bytes(*number).wrapping_add(1)).fold(next, u64::max)
}

/// Deliveries as an attach tells them (L-036).
pub(crate) fn unsettled_map<'a>(deliveries: impl Iterator<Item = &'a UnsettledDelivery>) -> Map {
    let entry = |delivery: &UnsettledDelivery| {
        let state = match &delivery.state {
            // A transaction ends with its link.
            Some(DeliveryState::TransactionalState(_)) | None => Value::Null,
            Some(state) => Value::of(state).unwrap_or(Value::Null),
        };
        (Value::Binary(Bytes::copy_from_slice(delivery.tag.as_slice())), state)
    };
    deliveries.map(entry).collect()
}

/// What an attach tells to be unsettled. Keys that are no tags, and states that are none, say nothing.
pub(crate) fn read_unsettled_map(map: &Map) -> Vec<(DeliveryTag, Option<DeliveryState>)> {
    let limits = DecodeLimits::message();
    let read = |(key, value): (ValueRef<'_>, ValueRef<'_>)| {
        let ValueRef::Binary(tag) = key else { return None };
        let state = value.as_described().and_then(|state| from_bytes(&to_bytes(&state), &limits).ok());
        Some((DeliveryTag::new(tag)?, state))
    };
    map.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(number: u32) -> DeliveryTag {
        DeliveryTag::from(number)
    }

    // L-036, D-030
    #[test]
    fn an_unsettled_map_comes_back_as_it_went() {
        let states = [
            None,
            Some(DeliveryState::Accepted),
            Some(DeliveryState::Received(amqp_codec::Received { section_number: 2, section_offset: 9 })),
        ];
        let deliveries: Vec<_> = (0..)
            .zip(&states)
            .map(|(number, state)| UnsettledDelivery {
                state: state.clone(),
                ..UnsettledDelivery::new(tag(number))
            })
            .collect();
        let read = read_unsettled_map(&unsettled_map(deliveries.iter()));
        assert_eq!(read.len(), 3);
        for (number, (found, state)) in (0..).zip(read) {
            assert_eq!((found, &state), (tag(number), &states[usize::try_from(number).unwrap()]));
        }
        assert_eq!(read_unsettled_map(&unsettled_map(deliveries.iter().take(2))).len(), 2);
    }

    #[test]
    fn a_map_of_other_things_says_nothing() {
        let map: Map = [(Value::from("text"), Value::Null)].into_iter().collect();
        assert_eq!(read_unsettled_map(&map), []);
    }

    #[test]
    fn messages_of_suspended_links_are_not_printed() {
        let mut link = SuspendedLink::new("L", Role::Sender);
        let secret = Bytes::from_static(b"hunter2");
        link.deliveries.push(UnsettledDelivery { payload: Some(secret), ..UnsettledDelivery::new(tag(0)) });
        assert!(!format!("{link:?}").contains("hunter2"));
        assert_eq!(link.octets(), 7);
    }
}
