//! What is told on standard error along the way: what the library notices, and frames on request.

use std::io;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::args::{TraceForm, Verb};
use crate::frames::{Frames, TARGET};

/// Starts logging at the level that IOTHUB_LOG asks for, in the directives of `tracing` (`debug`, `amqp=trace`), and the
/// frame trace where it is asked for. Without the former the emulator tells who comes and goes; every other verb tells
/// its troubles itself.
pub(crate) fn start(verb: &Verb, frames: Option<TraceForm>) {
    let default = match verb {
        // The emulator names the peer of everything that the transport notices.
        Verb::Emulator(_) => "info,amqp_transport=off",
        _ => "off",
    };
    let filter = std::env::var("IOTHUB_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    let log = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_filter(filter.unwrap_or_else(|| EnvFilter::new(default)));
    let frames =
        Frames::asked_for(frames).map(|frames| frames.with_filter(filter_fn(|of| of.target() == TARGET)));
    tracing_subscriber::registry().with(log).with(frames).init();
}
