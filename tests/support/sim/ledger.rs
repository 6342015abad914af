//! What both applications of a run did, written down where both are judged by it.

use std::collections::VecDeque;

use amqp_codec::{DeliveryState, DeliveryTag};

use super::rng::Rng;

/// The truth about a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) messages: Vec<Message>,
    pub(crate) links: Vec<LinkRecord>,
    /// By side: whether it ended a session, closed the connection, and closed it with an error.
    pub(crate) has_ended: [bool; 2],
    pub(crate) has_closed: [bool; 2],
    pub(crate) has_closed_badly: [bool; 2],
    pub(crate) is_cut: bool,
    /// Whether a side gave up because it waited too long.
    pub(crate) has_timed_out: bool,
    pub(crate) deliveries: u64,
    pub(crate) outcomes: u64,
}

/// One message; its number is its place.
#[derive(Debug)]
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
}

/// How far the sender has come with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Status {
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
}

impl Ledger {
    pub(crate) fn add_link(&mut self) -> usize {
        self.links.push(LinkRecord::default());
        self.links.len() - 1
    }

    pub(crate) fn add_message(&mut self, link: usize, rng: &mut Rng, len: usize, is_settled: bool) -> usize {
        let number = self.messages.len();
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
            status: Status::Waiting,
            is_delivered: false,
            has_told_sent: false,
            outcome: None,
            verdict: None,
            progress: Vec::new(),
            repeats: None,
            is_repeated: false,
        });
        number
    }

    /// What nobody knows the end of, and what therefore is to be said again: each once.
    pub(crate) fn unknown(&self) -> Vec<usize> {
        let is_unknown =
            |message: &Message| !message.is_settled && message.status == Status::Lost && !message.is_repeated;
        let numbered = self.messages.iter().enumerate();
        numbered.filter(|(_, message)| is_unknown(message)).map(|(number, _)| number).collect()
    }

    /// The same message once more, on another link.
    pub(crate) fn repeat(&mut self, number: usize, link: usize) -> usize {
        let again = self.messages.len();
        let Message { len, format, status, .. } = self.messages[number];
        assert_eq!(status, Status::Lost, "a message is said again whose end is known");
        self.messages[number].is_repeated = true;
        self.messages.push(Message {
            link,
            len,
            is_settled: false,
            format,
            tag: None,
            status: Status::Waiting,
            is_delivered: false,
            has_told_sent: false,
            outcome: None,
            verdict: None,
            progress: Vec::new(),
            repeats: Some(number),
            is_repeated: false,
        });
        again
    }

    /// What the last connection came to is forgotten; the messages stay.
    pub(crate) fn start_anew(&mut self) {
        (self.has_ended, self.has_closed, self.has_closed_badly) = Default::default();
        (self.is_cut, self.has_timed_out) = (false, false);
    }

    /// What the message of this number says.
    pub(crate) fn octets(&self, number: usize) -> Vec<u8> {
        let mut first = number;
        while let Some(repeated) = self.messages[first].repeats {
            first = repeated;
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

    /// A link of one side is over: what it sent and heard nothing of stays unknown.
    pub(crate) fn lose(&mut self, link: usize) {
        for message in self.messages.iter_mut().filter(|message| message.link == link) {
            if matches!(message.status, Status::Waiting | Status::Sent) {
                message.status = Status::Lost;
            }
        }
    }
}
