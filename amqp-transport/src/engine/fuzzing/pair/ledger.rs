//! The octets as operations, and what both applications did, written down where both are judged by it.

use std::collections::{BTreeMap, BTreeSet};

use amqp_codec::{Declared, TransactionalState};
use amqp_codec::{DeliveryState, DeliveryTag, Error, ErrorCondition, Modified, Outcome, Received, Str};
use bytes::Bytes;

/// Octets that are read as operations and their particulars.
pub(super) struct Script<'a> {
    octets: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets }
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.octets.split_first()?;
        self.octets = rest;
        Some(*first)
    }

    /// A particular; 0 where the octets have ended.
    pub(super) fn octet(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }
}

/// One of a few, by an octet.
pub(super) fn pick<T: Copy>(octet: u8, all: &[T]) -> T {
    all[usize::from(octet) % all.len()]
}

/// What a receiver may say of a delivery.
pub(super) fn state(octet: u8) -> DeliveryState {
    let transaction = |outcome| {
        let state = TransactionalState { txn_id: Bytes::from_static(b"txn"), outcome };
        DeliveryState::TransactionalState(state)
    };
    match octet % 10 {
        0 => DeliveryState::Released,
        1 => DeliveryState::rejected(Error::new(ErrorCondition::DECODE_ERROR)),
        2 => DeliveryState::Modified(Modified { delivery_failed: Some(true), ..Modified::default() }),
        3 => DeliveryState::Received(Received { section_number: 0, section_offset: u64::from(octet / 10) }),
        4 => transaction(Some(Box::new(Outcome::Accepted))),
        5 => transaction(None),
        6 => DeliveryState::Declared(Declared { txn_id: Bytes::from_static(b"txn") }),
        _ => DeliveryState::Accepted,
    }
}

/// The truth about a run.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) messages: Vec<Message>,
    /// Names of links that one end or both have resumed: messages may come again there.
    resumed: BTreeSet<Str>,
    /// The latest message under each tag of a link and direction.
    tags: BTreeMap<(Str, bool, DeliveryTag), u32>,
    /// How often an end, the client or not, has said something beside credit on links of a name.
    said: BTreeMap<(Str, bool), u64>,
}

/// One message; its number is its place.
pub(super) struct Message {
    pub(super) name: Str,
    pub(super) from_client: bool,
    pub(super) is_settled: bool,
    len: usize,
    /// What its receiver has said of it.
    pub(super) told: Vec<DeliveryState>,
    pub(super) fate: Fate,
    pub(super) is_delivered: bool,
    pub(super) has_left: bool,
}

/// How far the sender has come with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Open,
    /// Its receiver has.
    Settled,
    /// Its sender has.
    SettledHere,
    Aborted,
    Unresolved,
}

impl Ledger {
    pub(super) fn add(&mut self, name: &Str, from_client: bool, len: usize, is_settled: bool) -> u32 {
        let number = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.messages.push(Message {
            name: name.clone(),
            from_client,
            is_settled,
            len,
            told: Vec::new(),
            fate: Fate::Open,
            is_delivered: false,
            has_left: false,
        });
        number
    }

    /// The last message was not taken.
    pub(super) fn take_back(&mut self) {
        self.messages.pop();
    }

    pub(super) fn message(&mut self, number: u32) -> &mut Message {
        let place = usize::try_from(number).ok();
        match place.and_then(|place| self.messages.get_mut(place)) {
            Some(message) => message,
            None => panic!("message {number} that nobody sent"),
        }
    }

    pub(super) fn resume(&mut self, name: &Str) {
        self.resumed.insert(name.clone());
    }

    pub(super) fn is_resumed(&self, name: &Str) -> bool {
        self.resumed.contains(name)
    }

    pub(super) fn note_tag(&mut self, name: &Str, from_client: bool, tag: DeliveryTag, number: u32) {
        self.tags.insert((name.clone(), from_client, tag), number);
    }

    pub(super) fn by_tag(&self, name: &Str, from_client: bool, tag: DeliveryTag) -> Option<u32> {
        self.tags.get(&(name.clone(), from_client, tag)).copied()
    }

    /// Something is said beside credit; returns its number.
    pub(super) fn say(&mut self, name: &Str, from_client: bool) -> u64 {
        let said = self.said.entry((name.clone(), from_client)).or_default();
        *said += 1;
        *said
    }

    pub(super) fn said(&self, name: &Str, from_client: bool) -> u64 {
        self.said.get(&(name.clone(), from_client)).copied().unwrap_or_default()
    }

    /// What the message of this number says: one data section, which tells its number.
    pub(super) fn octets(&mut self, number: u32) -> Bytes {
        let len = self.message(number).len;
        let size = u32::try_from(len.saturating_add(4)).unwrap_or(u32::MAX);
        let mut octets = b"\x00\x53\x75\xb0".to_vec();
        octets.extend_from_slice(&size.to_be_bytes());
        octets.extend_from_slice(&number.to_be_bytes());
        let [.., low] = number.to_be_bytes();
        octets.resize(octets.len() + len, low);
        Bytes::from(octets)
    }
}

/// Which message these octets are.
pub(super) fn number_of(octets: &Bytes) -> u32 {
    match octets.get(8..12).and_then(|number| number.first_chunk()) {
        Some(number) => u32::from_be_bytes(*number),
        None => panic!("a message of {} octets that nobody sent", octets.len()),
    }
}
