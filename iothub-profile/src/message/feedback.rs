//! Feedback about commands: batches of records in JSON.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::received::ReceivedMessage;

/// The media type of a feedback message.
pub const FEEDBACK_CONTENT_TYPE: &str = "application/vnd.microsoft.iothub.feedback.json";

/// What became of a command.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum FeedbackStatus {
    /// The device completed it.
    Success,
    /// Its time ran out before the device completed it.
    Expired,
    /// It was delivered and abandoned too often.
    DeliveryCountExceeded,
    /// The device rejected it.
    Rejected,
    /// The device's queue was emptied.
    Purged,
    /// A status that this crate does not know.
    Other(String),
}

/// One record: what became of one command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeedbackRecord {
    /// The message id of the command.
    pub original_message_id: String,
    /// What became of it.
    pub status: FeedbackStatus,
    /// The device it was for.
    pub device_id: String,
    /// The generation of the device's identity.
    pub device_generation_id: Option<String>,
    /// When it happened, as the hub wrote it: ISO 8601.
    pub enqueued_time: Option<String>,
    /// The hub's words for it.
    pub description: Option<String>,
}

/// Why a message is not readable feedback.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedbackError {
    /// The content type is another one.
    #[error("the message's content type is not that of feedback")]
    ContentType,
    /// The body is larger than any feedback.
    #[error("the feedback is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// The body is not JSON.
    #[error("the feedback is not valid JSON")]
    Json,
    /// The JSON is not a list of records.
    #[error("the feedback is not a list of records")]
    NotRecords,
    /// A record lacks a field that all records have, or has it in another type.
    #[error("a feedback record has no \"{0}\"")]
    MissingField(&'static str),
}

impl FeedbackStatus {
    /// The word in a record.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
            Self::Other(text) => text,
        }
    }

    fn from_text(text: &str) -> Self {
        let known = [Self::Success, Self::Expired, Self::DeliveryCountExceeded, Self::Rejected, Self::Purged];
        known
            .into_iter()
            .find(|status| status.as_str().eq_ignore_ascii_case(text))
            .unwrap_or_else(|| Self::Other(text.to_owned()))
    }
}

impl fmt::Display for FeedbackStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the records of a feedback message.
///
/// # Errors
/// When the message is of another content type, too large, not JSON, or its records lack what records have.
pub fn parse_feedback(message: &ReceivedMessage) -> Result<Vec<FeedbackRecord>, FeedbackError> {
    if !message.content_type().is_some_and(|text| text.eq_ignore_ascii_case(FEEDBACK_CONTENT_TYPE)) {
        return Err(FeedbackError::ContentType);
    }
    let body = message.body();
    if body.len() > MAX_BODY {
        return Err(FeedbackError::TooLarge);
    }
    match serde_json::from_slice(&body).map_err(|_| FeedbackError::Json)? {
        Json::Array(records) => records.iter().map(FeedbackRecord::from_json).collect(),
        _ => Err(FeedbackError::NotRecords),
    }
}

impl FeedbackRecord {
    fn from_json(json: &Json) -> Result<Self, FeedbackError> {
        let record = json.as_object().ok_or(FeedbackError::NotRecords)?;
        let required = |name| text(record, name).ok_or(FeedbackError::MissingField(name));
        let status = text(record, "statusCode")
            .or_else(|| text(record, "description"))
            .ok_or(FeedbackError::MissingField("statusCode"))?;
        Ok(Self {
            original_message_id: required("originalMessageId")?,
            status: FeedbackStatus::from_text(&status),
            device_id: required("deviceId")?,
            device_generation_id: text(record, "deviceGenerationId"),
            enqueued_time: text(record, "enqueuedTimeUtc"),
            description: text(record, "description"),
        })
    }
}

fn text(record: &Map<String, Json>, name: &str) -> Option<String> {
    record.get(name)?.as_str().map(str::to_owned)
}

/// A hub sends at most 64 records at once, each below two kilobytes.
const MAX_BODY: usize = 1 << 20;
