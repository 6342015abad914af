//! Pending requests, the replies they wait for and the time they have.

use std::collections::BTreeMap;
use std::time::Instant;

use amqp_codec::{MessageId, Str};

/// Requests that wait for replies, each with whatever the caller wants back when it ends (`W`, a waker for instance).
///
/// Every attempt has an id of its own that is never used again, so that a late reply to an older attempt cannot
/// complete a newer one. Replies nobody waits for are ignored.
// CBS-014: unknown correlation-ids are ignored; loss and time-out give a pending request up.
#[derive(Debug)]
pub struct Requests<W> {
    prefix: String,
    last: u64,
    limit: usize,
    pending: BTreeMap<u64, Pending<W>>,
}

#[derive(Debug)]
struct Pending<W> {
    deadline: Instant,
    waiter: W,
}

/// The bound on pending requests is reached; retry when one of them has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{limit} requests wait for replies already; retry when one of them has ended")]
pub struct TooManyPending {
    /// The bound.
    pub limit: usize,
}

impl<W> Requests<W> {
    /// No requests yet. `prefix` starts every message-id and must be new for each pair of links on a connection, or
    /// replies to an earlier pair's requests could match; `limit` bounds the requests pending at a time.
    pub fn new(prefix: impl Into<String>, limit: usize) -> Self {
        Self { prefix: prefix.into(), last: 0, limit, pending: BTreeMap::new() }
    }

    /// Registers a request and returns the message-id to send it with.
    ///
    /// # Errors
    /// When `limit` requests are pending; `waiter` is dropped.
    pub fn start(&mut self, waiter: W, deadline: Instant) -> Result<MessageId, TooManyPending> {
        if self.pending.len() >= self.limit {
            return Err(TooManyPending { limit: self.limit });
        }
        self.last = self.last.wrapping_add(1);
        self.pending.insert(self.last, Pending { deadline, waiter });
        Ok(MessageId::String(Str::from(format!("{}{}", self.prefix, self.last))))
    }

    /// A reply arrived: the waiter of the request it answers, or none when nobody waits for it (any more).
    pub fn complete(&mut self, correlation_id: &MessageId) -> Option<W> {
        let number = self.number(correlation_id)?;
        self.pending.remove(&number).map(|pending| pending.waiter)
    }

    /// The caller lost interest: its waiter, if the request was still pending.
    pub fn cancel(&mut self, message_id: &MessageId) -> Option<W> {
        self.complete(message_id)
    }

    /// Takes out the waiters of the requests whose time is up at `now`, oldest first.
    pub fn expire(&mut self, now: Instant) -> Vec<W> {
        let is_due = |(number, pending): (&u64, &Pending<W>)| (pending.deadline <= now).then_some(*number);
        let due: Vec<u64> = self.pending.iter().filter_map(is_due).collect();
        due.iter().filter_map(|number| self.pending.remove(number)).map(|pending| pending.waiter).collect()
    }

    /// When [`Requests::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.deadline).min()
    }

    /// Takes out all waiters, oldest first: the links are gone.
    pub fn take_all(&mut self) -> Vec<W> {
        std::mem::take(&mut self.pending).into_values().map(|pending| pending.waiter).collect()
    }

    /// Requests that wait now.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether no request waits.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// The number in one of our ids. Only the very text we sent counts: `01` or `+1` are not `1`.
    fn number(&self, id: &MessageId) -> Option<u64> {
        let MessageId::String(text) = id else { return None };
        let digits = text.as_str().strip_prefix(self.prefix.as_str())?;
        let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        canonical.then(|| digits.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_reply_completes_the_request_it_names_whatever_the_order() {
        let (mut requests, now) = (Requests::new("a-", 10), start());
        let first = requests.start("first", now).unwrap();
        let second = requests.start("second", now).unwrap();
        assert_ne!(first, second);
        assert_eq!(requests.complete(&second), Some("second"));
        assert_eq!(requests.complete(&first), Some("first"));
        assert!(requests.is_empty());
    }

    #[test]
    fn a_late_reply_never_completes_a_newer_attempt() {
        // CBS-014
        let (mut requests, now) = (Requests::new("a-", 10), start());
        let old = requests.start("old", now + Duration::from_secs(1)).unwrap();
        assert_eq!(requests.expire(now + Duration::from_secs(1)), ["old"]);
        let _new = requests.start("new", now + Duration::from_secs(9)).unwrap();
        assert_eq!(requests.complete(&old), None);
        assert_eq!(requests.len(), 1);
    }

    #[test]
    fn replies_in_another_type_or_spelling_match_nothing() {
        let (mut requests, now) = (Requests::new("a-", 10), start());
        requests.start((), now).unwrap();
        for stranger in ["a-01", "a-+1", "a-", "a-2", "b-1", "1", "a-99999999999999999999"] {
            assert_eq!(requests.complete(&MessageId::from(stranger)), None, "{stranger}");
        }
        assert_eq!(requests.complete(&MessageId::Ulong(1)), None);
        assert_eq!(requests.complete(&MessageId::from("a-1")), Some(()));
    }

    #[test]
    fn pending_requests_are_bounded() {
        let (mut requests, now) = (Requests::new("a-", 2), start());
        let first = requests.start(1, now).unwrap();
        requests.start(2, now).unwrap();
        assert_eq!(requests.start(3, now), Err(TooManyPending { limit: 2 }));
        assert_eq!(requests.cancel(&first), Some(1));
        assert!(requests.start(3, now).is_ok());
        assert_eq!(requests.take_all(), [2, 3]);
    }

    #[test]
    fn only_what_is_due_expires_and_the_nearest_deadline_is_known() {
        let (mut requests, now) = (Requests::new("a-", 9), start());
        let at = |seconds| now + Duration::from_secs(seconds);
        requests.start("late", at(30)).unwrap();
        requests.start("soon", at(10)).unwrap();
        assert_eq!(requests.next_deadline(), Some(at(10)));
        assert_eq!(requests.expire(at(9)), Vec::<&str>::new());
        assert_eq!(requests.expire(at(10)), ["soon"]);
        assert_eq!(requests.next_deadline(), Some(at(30)));
    }
}
