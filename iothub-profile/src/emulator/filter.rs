//! The selector filter of a telemetry reader: where in a partition it wants to start.
//!
//! Owns the small grammar that Event Hubs knows. Its descriptor is not checked: clients write it as a symbol or as one of
//! two numbers, and only the key `apache.org:selector-filter:string` and the text count.

use nom::{
    IResult, Parser,
    branch::alt,
    bytes::complete::{tag, tag_no_case, take_while1},
    character::complete::{char, multispace0},
    combinator::{all_consuming, value},
    sequence::{delimited, preceded},
};

/// Where a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the oldest event kept.
    Earliest,
    /// Behind the newest event.
    Latest,
    /// At the first event whose mark passes the bound.
    After { mark: Mark, bound: i64, inclusive: Inclusive },
}

/// What of an event is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    SequenceNumber,
    Offset,
    /// Milliseconds since 1970.
    EnqueuedTime,
}

/// Whether an event exactly at the bound belongs to what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inclusive {
    No,
    Yes,
}

/// The text is none of the filters an event hub knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the filter {text:?} is not `amqp.annotation.x-opt-offset|x-opt-sequence-number|x-opt-enqueued-time` `>` or `>=` a number"
)]
pub(crate) struct FilterError {
    text: String,
}

/// Reads a filter such as `amqp.annotation.x-opt-sequence-number > 2995` or `amqp.annotation.x-opt-offset >= '@latest'`.
pub(crate) fn parse(text: &str) -> Result<Position, FilterError> {
    // What is echoed in the error is bounded, whatever was sent.
    let error = || FilterError { text: text.chars().take(MAX_ECHO).collect() };
    let (_, (mark, inclusive, bound)) = all_consuming(comparison).parse(text.trim()).map_err(|_| error())?;
    match (mark, bound) {
        (Mark::Offset, "@latest") => Ok(Position::Latest),
        (Mark::Offset | Mark::SequenceNumber, "-1") => Ok(Position::Earliest),
        (_, number) => {
            let bound = number.parse().map_err(|_| error())?;
            Ok(Position::After { mark, bound, inclusive })
        }
    }
}

fn comparison(text: &str) -> IResult<&str, (Mark, Inclusive, &str)> {
    let operator = alt((value(Inclusive::Yes, tag(">=")), value(Inclusive::No, tag(">"))));
    (preceded(tag_no_case("amqp.annotation."), mark), delimited(multispace0, operator, multispace0), bound)
        .parse(text)
}

fn mark(text: &str) -> IResult<&str, Mark> {
    alt((
        value(Mark::Offset, tag_no_case("x-opt-offset")),
        value(Mark::SequenceNumber, tag_no_case("x-opt-sequence-number")),
        value(Mark::EnqueuedTime, tag_no_case("x-opt-enqueued-time")),
    ))
    .parse(text)
}

fn bound(text: &str) -> IResult<&str, &str> {
    let word = |text| take_while1(|c: char| c.is_ascii_digit() || c == '-')(text);
    let latest = |text| tag("@latest")(text);
    let quoted = delimited(char('\''), alt((latest, word)), char('\''));
    alt((quoted, latest, word)).parse(text)
}

/// Most characters of a refused filter that are repeated to its sender.
const MAX_ECHO: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_clients_send_is_read() {
        let after = |mark, bound, inclusive| Position::After { mark, bound, inclusive };
        let cases = [
            (
                "amqp.annotation.x-opt-sequence-number > 2995",
                after(Mark::SequenceNumber, 2995, Inclusive::No),
            ),
            (
                "amqp.annotation.x-opt-sequence-number > '2995'",
                after(Mark::SequenceNumber, 2995, Inclusive::No),
            ),
            ("amqp.annotation.x-opt-sequence-number >= '0'", after(Mark::SequenceNumber, 0, Inclusive::Yes)),
            ("amqp.annotation.x-opt-offset > '2995'", after(Mark::Offset, 2995, Inclusive::No)),
            ("amqp.annotation.x-opt-offset>=7", after(Mark::Offset, 7, Inclusive::Yes)),
            ("amqp.annotation.x-opt-offset > '-1'", Position::Earliest),
            ("amqp.annotation.x-opt-offset > '@latest'", Position::Latest),
            (
                "amqp.annotation.x-opt-enqueued-time > '1700000000000'",
                after(Mark::EnqueuedTime, 1_700_000_000_000, Inclusive::No),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "hello",
            "amqp.annotation.x-opt-offset < '5'",
            "amqp.annotation.x-opt-offset > '5",
            "amqp.annotation.x-opt-sequence-number > '@latest'",
            "amqp.annotation.x-opt-sequence-number > 5 AND 1=1",
            "amqp.annotation.x-opt-sequence-number > 99999999999999999999",
            "amqp.annotation.x-opt-colour > 5",
            "amqp.annotation.x-opt-sequence-number > 5-5",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_refusal_repeats_only_the_beginning_of_a_long_filter() {
        assert!(parse(&"x".repeat(100_000)).unwrap_err().to_string().len() < 400);
    }
}
