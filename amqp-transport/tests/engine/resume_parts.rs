//! Unsettled maps of which neither end's fits into a frame: what both hold is met in the end, and what one alone holds is
//! nobody's to conclude about (AMQP 1.0 §2.7.3, incomplete-unsettled).

use std::ops::Range;

use amqp_codec::{AmqpFrame, DecodeLimits, DeliveryState, DeliveryTag, Modified, Performative, Role};
use amqp_transport::engine::{DetachCause, Event, Settlement, SuspendedLink, UnsettledDelivery};
use bytes::Bytes;

use crate::pair::{End, Pair, config};
use crate::resume::{attach, message, name, suspended};

/// What both ends of a link hold, and what has been concluded about it.
struct Both {
    /// The client's role.
    role: Role,
    frame: u32,
    sender: Option<SuspendedLink>,
    receiver: Option<SuspendedLink>,
    /// Messages with their outcomes, messages that were sent as new ones, and deliveries that their sender had settled.
    settled: Vec<(u32, &'static str)>,
    sent: usize,
    forgotten: usize,
    /// Whether either end has told a part alone in the last round: sender and receiver.
    in_part: [bool; 2],
}

/// A sender that holds these, in this order.
fn sending(numbers: impl IntoIterator<Item = u32>) -> SuspendedLink {
    let mut link = SuspendedLink::new("L", Role::Sender);
    link.deliveries.extend(numbers.into_iter().map(|number| {
        let mut delivery = UnsettledDelivery::new(DeliveryTag::from(number));
        delivery.user = number;
        delivery.payload = Some(message());
        delivery
    }));
    link
}

/// A receiver that holds these, whole and decided, in this order.
fn receiving(numbers: impl IntoIterator<Item = u32>) -> SuspendedLink {
    let mut link = SuspendedLink::new("L", Role::Receiver);
    link.deliveries.extend(numbers.into_iter().map(|number| {
        let mut delivery = UnsettledDelivery::new(DeliveryTag::from(number));
        delivery.state = Some(DeliveryState::Modified(Modified::default()));
        delivery.is_whole = true;
        delivery
    }));
    link
}

impl Both {
    fn new(role: Role, sender: SuspendedLink, receiver: SuspendedLink) -> Self {
        Self {
            role,
            frame: 512,
            sender: Some(sender),
            receiver: Some(receiver),
            settled: Vec::new(),
            sent: 0,
            forgotten: 0,
            in_part: [false; 2],
        }
    }

    /// Attaches once, lets all happen that can, and takes what is left where the link was suspended for what was not told.
    fn round(&mut self) {
        let [client, server] = ["c", "s"].map(|container| {
            let mut config = config(container);
            config.max_frame_size = self.frame;
            config
        });
        let mut pair = Pair::opened_with(client, server);
        let session = pair.session();
        pair.server.is_accepting = false;
        let is_client = self.role == Role::Sender;
        let held = (self.sender.take(), self.receiver.take());
        let (ours, theirs) = if is_client { held } else { (held.1, held.0) };
        let links = attach(&mut pair, session, self.role, ours, theirs);
        let Pair { client, server, .. } = &mut pair;
        let (end, link) = if is_client { (server, links.1) } else { (client, links.0) };
        let _ = end.engine.set_credit(link, 1_000);
        pair.run();
        let (_, receiver) = ends(&mut pair, is_client);
        while let Some((link, delivery)) = receiver.delivery() {
            self.sent += usize::from(!delivery.is_resumed);
            receiver.engine.settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
        }
        pair.run();
        let (sender, receiver) = ends(&mut pair, is_client);
        self.in_part = [&*sender, &*receiver].map(tells_in_part);
        while let Some((user, state)) = sender.settled() {
            self.settled.push((user, name(&state.unwrap())));
        }
        assert_eq!(sender.take(|event| matches!(event, Event::Unresolved { .. }).then_some(())), None);
        while let Some(state) = receiver.take(|event| match event {
            Event::SettledBefore { state, .. } => Some(state.clone()),
            _ => None,
        }) {
            self.forgotten += usize::from(state.is_none());
        }
        (self.sender, self.receiver) = (suspended(sender), suspended(receiver));
        if self.sender.is_some() {
            assert_eq!(sender.detached().map(|(_, cause, _)| cause), Some(DetachCause::Incomplete));
        }
    }

    /// How much either end still holds.
    fn left(&self) -> (usize, usize) {
        let count = |link: &Option<SuspendedLink>| link.as_ref().map_or(0, |link| link.deliveries.len());
        (count(&self.sender), count(&self.receiver))
    }

    fn judge_settled(&mut self, mut expected: Vec<(Range<u32>, &'static str)>) {
        self.settled.sort_unstable();
        expected.sort_by_key(|(numbers, _)| numbers.start);
        let expected: Vec<_> = expected
            .into_iter()
            .flat_map(|(numbers, how)| numbers.map(move |number| (number, how)))
            .collect();
        assert_eq!(self.settled, expected);
    }
}

/// Whether the attach that an end wrote told a part alone.
fn tells_in_part(end: &End) -> bool {
    let mut octets = Bytes::copy_from_slice(&end.written[8..]);
    while let Some(size) = octets.first_chunk::<4>() {
        let frame = octets.split_to(u32::from_be_bytes(*size) as usize);
        let frame = AmqpFrame::decode(&frame, &DecodeLimits::performative()).unwrap();
        if let Some(Performative::Attach(attach)) = frame.performative {
            return attach.incomplete_unsettled;
        }
    }
    panic!("no attach was written");
}

fn ends(pair: &mut Pair, is_client_sender: bool) -> (&mut End, &mut End) {
    let Pair { client, server, .. } = pair;
    if is_client_sender { (client, server) } else { (server, client) }
}

// R-16, L-037: each round told the same first part, which was of no use, and the link was attached again for ever.
#[test]
fn maps_that_shared_what_was_never_told_were_told_in_the_same_parts_for_ever() {
    for role in [Role::Sender, Role::Receiver] {
        // The sender's first part is what never came, the receiver's what is settled and forgotten there.
        let mut both = Both::new(role, sending((1_000..1_200).chain(200..210)), receiving(0..210));
        for round in 0.. {
            assert!(round < 8, "no progress: {:?} left", both.left());
            both.round();
            if both.settled.len() == 10 {
                break;
            }
        }
        both.judge_settled(vec![(200..210, "modified")]);
        assert_eq!((both.sent, both.forgotten), (0, 0), "nothing may be concluded of the rest");
    }
}

// what the peer's attach has named is what something can be concluded about.
#[test]
fn an_answer_that_told_other_deliveries_than_the_peer_had_named_concluded_nothing() {
    let mut both = Both::new(Role::Sender, sending((200..210).chain(1_000..1_200)), receiving(0..210));
    both.round();
    assert_eq!(both.in_part, [true, true]);
    both.judge_settled(vec![(200..210, "modified")]);
    assert_eq!(both.left(), (200, 200));
}

// R-16, D-033: nothing shared and no map whole is what the protocol cannot resolve. Nothing is made up then, and an end that
// lets go of enough, or a larger frame, gets everything else through.
#[test]
fn maps_without_a_delivery_in_common_end_nothing_until_one_of_them_fits() {
    for role in [Role::Sender, Role::Receiver] {
        for is_frame_raised in [false, true] {
            let mut both = Both::new(role, sending(1_000..1_200), receiving(0..200));
            for _ in 0..12 {
                both.round();
                assert_eq!((both.in_part, both.left()), ([true, true], (200, 200)));
            }
            assert_eq!((both.settled.len(), both.sent, both.forgotten), (0, 0, 0));
            let kept = if is_frame_raised {
                both.frame = 4_096;
                200
            } else {
                // The sender's owner knows no end of those it lets go of.
                both.sender.as_mut().unwrap().deliveries.truncate(30);
                30
            };
            for _ in 0..3 {
                if both.sender.is_some() {
                    both.round();
                }
            }
            assert_eq!(both.left(), (0, 0), "{role:?}");
            both.judge_settled(vec![(1_000..1_000 + kept, "accepted")]);
            assert_eq!((both.sent, both.forgotten), (kept as usize, 200));
        }
    }
}
