//! The log on standard error: what the library notices along the way.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::args::Verb;

/// Starts logging at the level that IOTHUB_LOG asks for, in the directives of `tracing` (`debug`, `amqp=trace`). Without it
/// the emulator tells who comes and goes; every other verb tells its troubles itself.
pub(crate) fn start(verb: &Verb) {
    let default = match verb {
        // The emulator names the peer of everything that the transport notices.
        Verb::Emulator(_) => "info,amqp_transport=off",
        _ => "off",
    };
    let filter = std::env::var("IOTHUB_LOG").ok().and_then(|text| EnvFilter::try_new(text).ok());
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|| EnvFilter::new(default)))
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}
