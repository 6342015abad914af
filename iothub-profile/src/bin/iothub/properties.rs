//! Puts the properties of the command line on a message.

use iothub_profile::message::{C2dMessage, MessageError, TelemetryMessage};

use crate::exit::{Class, Failure};
use crate::hub_args::PropertyArgs;

/// The two kinds of messages take the same properties by setters of the same names, and share no type.
macro_rules! apply {
    ($message:ident, $args:expr, $number:expr) => {{
        if let Some(id) = message_id($args, $number) {
            $message = $message.with_message_id(id);
        }
        if let Some(id) = &$args.correlation_id {
            $message = $message.with_correlation_id(id.clone());
        }
        if let Some(content_type) = &$args.content_type {
            $message = $message.with_content_type(content_type).map_err(unsendable)?;
        }
        if let Some(encoding) = &$args.content_encoding {
            $message = $message.with_content_encoding(encoding).map_err(unsendable)?;
        }
        for property in &$args.properties {
            $message = $message.with_property(property.name.clone(), property.value.clone());
        }
        Ok($message)
    }};
}

/// A telemetry message with its properties; `number` (from 0) makes the ids of many messages differ.
///
/// # Errors
/// A content type or encoding that is not ASCII.
pub(crate) fn telemetry(
    mut message: TelemetryMessage,
    args: &PropertyArgs,
    number: Option<u64>,
) -> Result<TelemetryMessage, Failure> {
    apply!(message, args, number)
}

/// A command with its properties; `number` (from 0) makes the ids of many messages differ.
///
/// # Errors
/// A content type or encoding that is not ASCII.
pub(crate) fn command(
    mut message: C2dMessage,
    args: &PropertyArgs,
    number: Option<u64>,
) -> Result<C2dMessage, Failure> {
    apply!(message, args, number)
}

/// The message id of the options; `number` (from 0) makes those of many messages differ.
pub(crate) fn message_id(args: &PropertyArgs, number: Option<u64>) -> Option<String> {
    let id = args.message_id.as_ref()?;
    Some(match number {
        None => id.clone(),
        Some(number) => format!("{id}-{}", number.saturating_add(1)),
    })
}

fn unsendable(error: MessageError) -> Failure {
    Failure::new(Class::Usage, error.to_string())
        .advice("use ASCII characters, as in application/json or utf-8")
}
