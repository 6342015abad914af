//! Feedback on commands, for the service: records gathered into messages, each locked until it is settled.
//!
//! Owns batching (64 records or the interval since the last message), the messages' locks, and their format. Time is
//! passed in; nothing here waits or sends.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use amqp_codec::{Message, Properties, Symbol, Timestamp};
use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::{
    commands::{LockLost, LockToken},
    settings::Settings,
    time::{Now, millis},
};

/// How a command ended (`statusCode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    Expired,
    DeliveryCountExceeded,
    Rejected,
    Purged,
}

impl Status {
    /// The word on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Success, Self::Expired, Self::DeliveryCountExceeded, Self::Rejected, Self::Purged];
        all.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text))
    }
}

/// One command's ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) original_message_id: String,
    pub(crate) status: Status,
    pub(crate) device_id: String,
    pub(crate) device_generation_id: String,
    pub(crate) time_ms: i64,
}

impl Record {
    fn to_json(&self) -> Json {
        json!({
            "originalMessageId": self.original_message_id,
            "description": self.status.as_str(),
            "statusCode": self.status.as_str(),
            "deviceGenerationId": self.device_generation_id,
            "deviceId": self.device_id,
            "enqueuedTimeUtc": utc_text(self.time_ms),
        })
    }
}

/// A feedback message on its way to the service.
#[derive(Clone, Debug)]
pub(crate) struct LockedBatch {
    pub(crate) lock: LockToken,
    pub(crate) records: Vec<Record>,
    pub(crate) enqueued_ms: i64,
}

/// What the service makes of a feedback message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchSettlement {
    /// Done with; it goes.
    Remove,
    /// It is delivered again, until that has happened ten times.
    Abandon,
}

/// All feedback the hub holds.
#[derive(Debug)]
pub(crate) struct FeedbackQueue {
    pending: Vec<Record>,
    /// Octets of the pending records on the wire.
    pending_size: usize,
    batches: VecDeque<Batch>,
    /// When the last batch was closed; the interval counts from here.
    last_closed: Instant,
    interval: Duration,
    lock_duration: Duration,
    /// Whether a message has come to wait for a receiver, and nobody has been told.
    has_more: bool,
}

#[derive(Debug)]
struct Batch {
    records: Vec<Record>,
    enqueued_ms: i64,
    expires_ms: i64,
    abandons: u8,
    lock: Option<(LockToken, Instant)>,
}

impl FeedbackQueue {
    pub(crate) fn new(settings: &Settings, now: Now) -> Self {
        Self {
            pending: Vec::new(),
            pending_size: 0,
            batches: VecDeque::new(),
            last_closed: now.instant,
            interval: settings.feedback_interval,
            lock_duration: settings.lock_duration,
            has_more: false,
        }
    }

    /// Takes records in; a full batch is closed at once.
    pub(crate) fn push(&mut self, records: Vec<Record>, now: Now) {
        for record in records {
            let size = record.to_json().to_string().len();
            if self.pending_size.saturating_add(size) > BATCH_SIZE {
                self.close_batch(now);
            }
            self.pending_size = self.pending_size.saturating_add(size);
            self.pending.push(record);
            if self.pending.len() >= BATCH_RECORDS {
                self.close_batch(now);
            }
        }
        self.tidy(now);
    }

    /// Locks the oldest message that waits, if one does.
    pub(crate) fn lock_next(&mut self, now: Now) -> Option<LockedBatch> {
        self.tidy(now);
        let until = now.instant.checked_add(self.lock_duration)?;
        let batch = self.batches.iter_mut().find(|batch| batch.lock.is_none())?;
        let lock = LockToken::new();
        batch.lock = Some((lock, until));
        Some(LockedBatch { lock, records: batch.records.clone(), enqueued_ms: batch.enqueued_ms })
    }

    /// Ends a lock as the service said.
    pub(crate) fn settle(
        &mut self,
        lock: LockToken,
        settlement: BatchSettlement,
        now: Now,
    ) -> Result<(), LockLost> {
        self.tidy(now);
        let held = |batch: &Batch| batch.lock.is_some_and(|(token, _)| token == lock);
        let index = self.batches.iter().position(held).ok_or(LockLost)?;
        let Some(batch) = self.batches.get_mut(index) else { return Err(LockLost) };
        batch.lock = None;
        if settlement == BatchSettlement::Abandon {
            batch.abandons = batch.abandons.saturating_add(1);
        }
        if settlement == BatchSettlement::Remove || batch.abandons >= MAX_DELIVERIES {
            self.batches.remove(index);
        } else {
            self.has_more = true;
        }
        Ok(())
    }

    /// Gives a message back that was locked and then could not be sent; nothing is counted.
    pub(crate) fn unlock(&mut self, lock: LockToken) {
        let held = |batch: &&mut Batch| batch.lock.is_some_and(|(token, _)| token == lock);
        if let Some(batch) = self.batches.iter_mut().find(held) {
            batch.lock = None;
            self.has_more = true;
        }
    }

    /// Gives a message back as two of half as many records, for a receiver that takes none as large; nothing is counted.
    pub(crate) fn split(&mut self, lock: LockToken) {
        let held = |batch: &Batch| batch.lock.is_some_and(|(token, _)| token == lock);
        let Some(index) = self.batches.iter().position(held) else { return };
        let Some(first) = self.batches.get_mut(index) else { return };
        first.lock = None;
        let second = first.records.split_off(first.records.len().div_ceil(2));
        if !second.is_empty() {
            let second = Batch { records: second, lock: None, ..*first };
            self.batches.insert(index.saturating_add(1), second);
        }
        self.has_more = true;
    }

    /// Closes the pending batch when the interval is over, lets lapsed locks go and drops what is too old.
    pub(crate) fn tidy(&mut self, now: Now) {
        if !self.pending.is_empty() && self.batch_due().is_some_and(|due| due <= now.instant) {
            self.close_batch(now);
        }
        for batch in &mut self.batches {
            if batch.lock.is_some_and(|(_, until)| until <= now.instant) {
                batch.lock = None;
                self.has_more = true;
            }
        }
        self.batches.retain(|batch| batch.lock.is_some() || batch.expires_ms > now.wall_ms);
    }

    /// When [`tidy`](Self::tidy) may have something to hand out next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let due = if self.pending.is_empty() { None } else { self.batch_due() };
        let locks = self.batches.iter().filter_map(|batch| batch.lock.map(|(_, until)| until)).min();
        due.into_iter().chain(locks).min()
    }

    /// Whether a message has come to wait for a receiver since this was last asked.
    pub(crate) fn take_has_more(&mut self) -> bool {
        std::mem::take(&mut self.has_more)
    }

    /// How many messages there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    fn batch_due(&self) -> Option<Instant> {
        self.last_closed.checked_add(self.interval)
    }

    fn close_batch(&mut self, now: Now) {
        if self.pending.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.pending);
        self.pending_size = 0;
        self.last_closed = now.instant;
        self.has_more = true;
        if self.batches.len() >= MAX_BATCHES {
            self.batches.pop_front();
            tracing::warn!(limit = MAX_BATCHES, "feedback nobody fetched was dropped");
        }
        self.batches.push_back(Batch {
            records,
            enqueued_ms: now.wall_ms,
            expires_ms: now.wall_ms.saturating_add(millis(TIME_TO_LIVE)),
            abandons: 0,
            lock: None,
        });
    }
}

/// The AMQP message of a batch, in the shape that SDKs demand: a symbol as content type, the hub's name as user id, the
/// enqueued time as an annotation, and a JSON array in one data section.
pub(crate) fn batch_message(hub_name: &str, batch: &LockedBatch) -> Message {
    let records = Json::Array(batch.records.iter().map(Record::to_json).collect());
    let properties = Properties {
        user_id: Some(Bytes::copy_from_slice(hub_name.as_bytes())),
        content_type: Some(Symbol::from_static(CONTENT_TYPE)),
        ..Properties::default()
    };
    Message::data(records.to_string())
        .with_properties(properties)
        .with_message_annotation("iothub-enqueuedtime", Timestamp(batch.enqueued_ms))
}

/// Reads feedback that a device sent itself: an array of records, or one, all about `device_id`. `None` when it is
/// anything else.
pub(crate) fn parse_device_feedback(
    body: &[u8],
    device_id: &str,
    generation_id: &str,
    now: Now,
) -> Option<Vec<Record>> {
    let one = |record: &Json| {
        let text = |key: &str| record.get(key).and_then(Json::as_str);
        (text("deviceId")? == device_id).then_some(())?;
        let id = text("originalMessageId")?;
        (id.chars().count() <= MAX_MESSAGE_ID).then_some(())?;
        Some(Record {
            original_message_id: id.to_owned(),
            status: Status::parse(text("statusCode")?)?,
            device_id: device_id.to_owned(),
            device_generation_id: generation_id.to_owned(),
            time_ms: now.wall_ms,
        })
    };
    match serde_json::from_slice(body).ok()? {
        Json::Array(records) if records.len() <= BATCH_RECORDS => records.iter().map(one).collect(),
        record @ Json::Object(_) => one(&record).map(|record| vec![record]),
        _ => None,
    }
}

/// `2015-07-28T16:24:48.789Z`.
fn utc_text(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// IoT Hub: message feedback, "content type".
pub(crate) const CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.feedback.json";

/// Records that close a batch at once.
const BATCH_RECORDS: usize = 64;

/// Octets of records beyond which no more are gathered into one message: well below what any link takes.
const BATCH_SIZE: usize = 256 * 1024;

/// IoT Hub: create and read messages: characters of a message id.
const MAX_MESSAGE_ID: usize = 128;

/// Deliveries after which a feedback message is given up.
const MAX_DELIVERIES: u8 = 10;

/// Life of a feedback message.
const TIME_TO_LIVE: Duration = Duration::from_secs(3600);

/// Feedback messages kept when nobody fetches them.
const MAX_BATCHES: usize = 1000;

#[cfg(test)]
mod tests;
