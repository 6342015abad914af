//! What both applications of a run did, written down where both are judged by it.

use std::collections::{BTreeSet, VecDeque};

use amqp_codec::{DeliveryState, DeliveryTag, to_bytes};
use amqp_transport::transaction::TransactionFault;

use super::rng::Rng;
use super::transactions::Transaction;

/// The truth about a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) messages: Vec<Message>,
    pub(crate) links: Vec<LinkRecord>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) commits: u64,
    pub(crate) course: Course,
    pub(crate) deliveries: u64,
    /// Links resumed with something unsettled, and deliveries of before that went on, came again or were settled then.
    pub(crate) resumptions: u64,
    pub(crate) resumed: u64,
    pub(crate) outcomes: u64,
    /// Links taken from another connection, and links that expired or had to make room.
    pub(crate) thefts: u64,
    pub(crate) expiries: u64,
}

/// What has happened to one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course {
    /// By side: whether it ended a session, closed the connection, and closed it with an error.
    pub(crate) has_ended: [bool; 2],
    pub(crate) has_closed: [bool; 2],
    pub(crate) has_closed_badly: [bool; 2],
    pub(crate) is_cut: bool,
    /// Whether a side gave up because it waited too long.
    pub(crate) has_timed_out: bool,
}

/// One message; its number is its place.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) link: usize,
    pub(crate) len: usize,
    pub(crate) is_settled: bool,
    pub(crate) format: u32,
    pub(crate) tag: Option<DeliveryTag>,
    pub(crate) status: Status,
    pub(crate) is_delivered: bool,
    pub(crate) has_told_sent: bool,
    /// The outcome the receiver has given.
    pub(crate) outcome: Option<DeliveryState>,
    /// The state with which the sender's application settled it, which is the last word.
    pub(crate) verdict: Option<DeliveryState>,
    /// States short of an outcome that the receiver has told.
    pub(crate) progress: Vec<DeliveryState>,
    /// The message that it says again, on a later connection.
    pub(crate) repeats: Option<usize>,
    /// Whether it was said again.
    pub(crate) is_repeated: bool,
    /// Whether it is of sections and says its number, so that it is known wherever it comes.
    pub(crate) is_marked: bool,
    /// Whether it was posted under a transaction.
    pub(crate) is_work: bool,
    /// Whether its receiver has settled it or lost it: only then may it come again.
    pub(crate) is_let_go: bool,
    /// Whether its receiver has heard that its sender settled it before.
    pub(crate) is_over_there: bool,
    /// Whether its receiver has given an outcome and settled it.
    pub(crate) is_settled_there: bool,
    /// Whether the sender's application has heard an outcome, has forbidden that it is sent twice, or was told that
    /// its end is unknown.
    pub(crate) is_told: bool,
    pub(crate) may_not_repeat: bool,
    pub(crate) is_unresolved: bool,
    /// What it asks of a coordinator.
    pub(crate) control: Option<Control>,
    /// The transaction it was posted under, why it is no part of it, whether its sender was told that it is, and whether it
    /// took effect.
    pub(crate) transaction: Option<usize>,
    pub(crate) refusal: Option<TransactionFault>,
    pub(crate) is_provisional: bool,
    pub(crate) is_applied: bool,
}

/// A request to a coordinator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    Declare,
    Discharge { transaction: usize, fail: bool },
}

/// How far the sender has come with a message.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Status {
    #[default]
    Waiting,
    Sent,
    Aborted,
    Settled,
    /// The link, or more, ended before an outcome came; or it was too large to be sent.
    Lost,
}

/// One attach and what follows, by the number its attach carries.
#[derive(Debug, Default)]
pub(crate) struct LinkRecord {
    /// Messages sent and not delivered, in order.
    pub(crate) order: VecDeque<usize>,
    pub(crate) is_refused: bool,
    /// By side: whether its application asked to detach.
    pub(crate) is_detached_by: [bool; 2],
    /// Whether its messages say their numbers.
    pub(crate) is_marked: bool,
    /// How many messages its sender last said it has.
    pub(crate) available: u32,
    /// By side: how often it has said something beside credit.
    pub(crate) said: [u64; 2],
    /// The number of the attach that this one goes on from.
    pub(crate) before: Option<usize>,
}

impl Ledger {
    pub(crate) fn add_link(&mut self) -> usize {
        self.links.push(LinkRecord::default());
        self.links.len() - 1
    }

    pub(crate) fn add_message(&mut self, link: usize, rng: &mut Rng, len: usize, is_settled: bool) -> usize {
        let number = self.messages.len();
        let is_marked = self.links[link].is_marked;
        let len = if is_marked { len.max(MARK) } else { len };
        let tag = rng.one_in(3).then(|| {
            let digits = format!("tag {number}");
            DeliveryTag::new(digits.as_bytes()).unwrap()
        });
        self.messages.push(Message {
            link,
            len,
            is_settled,
            format: rng.pick(&[0, 0, 1, 0x8001_3700]),
            tag,
            is_marked,
            is_work: is_marked && rng.one_in(8),
            ..Message::default()
        });
        number
    }

    /// What nobody knows the end of, and what therefore is to be said again: each once.
    pub(crate) fn unknown(&self) -> Vec<usize> {
        let is_unknown = |message: &Message| {
            !message.is_settled
                && message.status == Status::Lost
                && !message.is_repeated
                && message.control.is_none()
        };
        let numbered = self.messages.iter().enumerate();
        numbered.filter(|(_, message)| is_unknown(message)).map(|(number, _)| number).collect()
    }

    /// The same message once more, on another link.
    pub(crate) fn repeat(&mut self, number: usize, link: usize) -> usize {
        let again = self.messages.len();
        let Message { len, format, status, is_marked, .. } = self.messages[number];
        assert_eq!(status, Status::Lost, "a message is said again whose end is known");
        self.messages[number].is_repeated = true;
        self.messages.push(Message {
            link,
            len,
            format,
            repeats: Some(number),
            is_marked,
            ..Message::default()
        });
        again
    }

    /// What the message of this number says.
    pub(crate) fn octets(&self, number: usize) -> Vec<u8> {
        let mut first = number;
        while let Some(repeated) = self.messages[first].repeats {
            first = repeated;
        }
        if let Some(control) = self.messages[number].control {
            return to_bytes(&self.request(control).to_message()).to_vec();
        }
        if self.messages[number].is_marked {
            return marked(first, self.messages[number].len);
        }
        let mut rng = Rng::new(first as u64);
        let mut octets: Vec<u8> = Vec::with_capacity(self.messages[number].len + 8);
        while octets.len() < self.messages[number].len {
            octets.extend_from_slice(&rng.next().to_be_bytes());
        }
        octets.truncate(self.messages[number].len);
        octets
    }

    /// The next message a link's receiver must see.
    pub(crate) fn next_due(&mut self, link: usize) -> Option<usize> {
        let (order, messages) = (&mut self.links[link].order, &self.messages);
        while order.front().is_some_and(|number| messages[*number].status == Status::Aborted) {
            order.pop_front();
        }
        order.pop_front()
    }

    /// The link is resumed under another number: what was open on the old one is open on the new one, and may leave again.
    pub(crate) fn carry_over(&mut self, old: usize, new: usize) {
        self.links[new].before = Some(old);
        for message in self.messages.iter_mut().filter(|message| message.link == old) {
            if matches!(message.status, Status::Waiting | Status::Sent) {
                message.link = new;
                (message.has_told_sent, message.is_settled_there) = (false, false);
            }
        }
    }

    /// Whether a message was sent on this attach, or on one that it was carried over from.
    pub(crate) fn was_on(&self, message: usize, number: usize) -> bool {
        let first = Some(self.messages[message].link);
        std::iter::successors(first, |link| self.links[*link].before).any(|link| link == number)
    }

    /// What was sent unsettled on a link and has no end yet.
    pub(crate) fn open_on(&self, link: usize) -> BTreeSet<usize> {
        let numbered = self.messages.iter().enumerate();
        let is_open =
            |message: &Message| message.link == link && !message.is_settled && message.status == Status::Sent;
        numbered.filter(|(_, message)| is_open(message)).map(|(number, _)| number).collect()
    }

    /// A link is kept: only what was sent settled, and has not come yet, is lost.
    pub(crate) fn lose_settled(&mut self, link: usize) {
        for message in self.messages.iter_mut().filter(|message| message.link == link && message.is_settled) {
            if message.status == Status::Sent {
                message.status = Status::Lost;
            }
        }
    }

    /// A message's receiver has lost it: it may come again.
    pub(crate) fn let_go(&mut self, number: usize) {
        if let Some(message) = self.messages.get_mut(number) {
            message.is_let_go = true;
        }
    }

    /// A link of one side is over: what it sent and heard nothing of stays unknown.
    pub(crate) fn lose(&mut self, link: usize) {
        for message in self.messages.iter_mut().filter(|message| message.link == link) {
            if matches!(message.status, Status::Waiting | Status::Sent) {
                message.status = Status::Lost;
            }
        }
    }
}

/// Data sections of so many octets together, the first of which starts with the message's number.
fn marked(number: usize, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(number as u64);
    let sizes = if len < 4 * MARK { vec![len] } else { vec![len / 3, len / 3, len - len / 3 * 2] };
    let mut octets = Vec::with_capacity(len + 8);
    for size in sizes {
        let start = octets.len();
        octets.extend_from_slice(&[0, 0x53, 0x75, 0xb0]);
        octets.extend_from_slice(&u32::try_from(size - 8).unwrap().to_be_bytes());
        if start == 0 {
            octets.extend_from_slice(&(number as u64).to_be_bytes());
        }
        while octets.len() < start + size {
            octets.extend_from_slice(&rng.next().to_be_bytes());
        }
        octets.truncate(start + size);
    }
    octets
}

/// Which message these octets are.
pub(crate) fn number_of(octets: &[u8]) -> Option<usize> {
    let number = octets.get(8..)?.first_chunk()?;
    usize::try_from(u64::from_be_bytes(*number)).ok()
}

/// Octets of the smallest marked message: the head of its section, and its number.
const MARK: usize = 16;
