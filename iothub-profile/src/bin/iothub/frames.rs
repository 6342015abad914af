//! The frame trace on standard error, as lines of text or of JSON.
//!
//! The transport tells of frames without their bodies and without credentials; this file only writes down what it hears.

use std::fmt;
use std::io::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::args::TraceForm;

/// The environment variable that asks for a trace; the transport itself obeys it for text.
pub(crate) const TRACE_FRAMES: &str = "AMQP_TRACE_FRAMES";

/// The target under which frames are told.
pub(crate) const TARGET: &str = "amqp::frame";

/// Writes each frame down.
pub(crate) struct Frames {
    form: TraceForm,
}

impl Frames {
    /// What the option and the environment ask for together; none where nothing is left to write, as with a text that the
    /// transport writes already.
    pub(crate) fn asked_for(option: Option<TraceForm>) -> Option<Self> {
        let environment = std::env::var(TRACE_FRAMES).unwrap_or_default();
        let form = match (option, environment.as_str()) {
            (Some(form), "" | "0" | "off") | (Some(form @ TraceForm::Json), _) => form,
            (_, "json") => TraceForm::Json,
            _ => return None,
        };
        Some(Self { form })
    }
}

impl<S: Subscriber> Layer<S> for Frames {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let text = fields.0.remove("message").unwrap_or_default();
        let text = text.as_str().unwrap_or_default();
        let line = match self.form {
            TraceForm::Text => {
                let connection = fields.0.get("connection").cloned().unwrap_or_default();
                format!("amqp[{connection}] {text}")
            }
            TraceForm::Json => {
                let frame = text.split_once(' ').map_or(text, |(_, frame)| frame);
                fields.0.insert("frame".to_owned(), Value::from(frame));
                Value::Object(fields.0).to_string()
            }
        };
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}

/// The fields of an event as members of a JSON object.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), Value::from(format!("{value:?}")));
    }
}
