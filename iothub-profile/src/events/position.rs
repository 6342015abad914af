//! Where in a partition reading starts, and the selector filter that says so to the event hub.

use std::{fmt, time::SystemTime};

use crate::clock::unix_millis;

/// Where reading starts. Event Hubs keeps events for days, so there is usually something before now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest event still kept.
    #[default]
    Earliest,
    /// Only events that come after the reader was opened.
    Latest,
    /// The events after this sequence number.
    AfterSequenceNumber(i64),
    /// The event with this sequence number and those after it.
    FromSequenceNumber(i64),
    /// The events after this offset, a text that an event carried.
    AfterOffset(String),
    /// The events taken after this time.
    AfterTime(SystemTime),
}

impl StartPosition {
    /// The selector that the event hub understands: an annotation compared with a quoted value.
    pub fn selector(&self) -> String {
        match self {
            Self::Earliest => format!("{OFFSET} > '-1'"),
            Self::Latest => format!("{OFFSET} > '@latest'"),
            Self::AfterSequenceNumber(number) => format!("{SEQUENCE_NUMBER} > '{number}'"),
            Self::FromSequenceNumber(number) => format!("{SEQUENCE_NUMBER} >= '{number}'"),
            // A quote inside would end the text: doubled, as in any selector.
            Self::AfterOffset(offset) => format!("{OFFSET} > '{}'", offset.replace('\'', "''")),
            Self::AfterTime(time) => format!("{ENQUEUED_TIME} > '{}'", unix_millis(*time)),
        }
    }
}

impl fmt::Display for StartPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Earliest => f.write_str("the earliest event"),
            Self::Latest => f.write_str("the latest event"),
            _ => f.write_str(&self.selector()),
        }
    }
}

const SEQUENCE_NUMBER: &str = "amqp.annotation.x-opt-sequence-number";
const OFFSET: &str = "amqp.annotation.x-opt-offset";
const ENQUEUED_TIME: &str = "amqp.annotation.x-opt-enqueued-time";

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn each_position_is_a_selector_the_event_hub_knows() {
        for (position, selector) in [
            (StartPosition::Earliest, "amqp.annotation.x-opt-offset > '-1'"),
            (StartPosition::Latest, "amqp.annotation.x-opt-offset > '@latest'"),
            (StartPosition::AfterSequenceNumber(2995), "amqp.annotation.x-opt-sequence-number > '2995'"),
            (StartPosition::FromSequenceNumber(0), "amqp.annotation.x-opt-sequence-number >= '0'"),
            (StartPosition::AfterOffset("a'b".into()), "amqp.annotation.x-opt-offset > 'a''b'"),
            (
                StartPosition::AfterTime(UNIX_EPOCH + Duration::from_millis(1500)),
                "amqp.annotation.x-opt-enqueued-time > '1500'",
            ),
        ] {
            assert_eq!(position.selector(), selector);
        }
    }
}
