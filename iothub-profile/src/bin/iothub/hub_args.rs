//! The options of the verbs that speak to a hub, or are one, and what they share. This file parses and checks, and does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::values::{DeviceKey, PolicyKey, Position, Property};

/// Options of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Send the lines of this file (text, JSON lines or CSV) instead of the weather series that is built in
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Options of `emulator`.
#[derive(Args, Debug)]
pub(crate) struct EmulatorArgs {
    /// Name the hub answers to, and the certificate carries
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    pub(crate) host: String,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: std::net::IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 5671)]
    pub(crate) port: u16,
    /// Certificate chain (PEM) to show [default: made at start, with an authority of its own]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Private key (PEM) of --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Write the authority's certificate here [default: a file in the directory for temporary files]
    #[arg(long, value_name = "FILE", conflicts_with = "tls_cert")]
    pub(crate) ca_out: Option<PathBuf>,
    /// Device the hub knows, with its key in base64 or one made at start; may be repeated [default: device1]
    #[arg(long = "device", value_name = "ID[=KEY]")]
    pub(crate) devices: Vec<DeviceKey>,
    /// Policy with its key in base64; the five well-known names have their rights, any other has all; may be repeated
    #[arg(long = "policy", value_name = "NAME=KEY")]
    pub(crate) policies: Vec<PolicyKey>,
    /// Partitions of the built-in event hub
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=32))]
    pub(crate) partitions: u16,
    /// Consumer group besides $Default; may be repeated
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// Longest wait before feedback records are sent
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = crate::values::seconds)]
    pub(crate) feedback_interval: Duration,
    /// How long a device may hold a command without settling it
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = crate::values::seconds)]
    pub(crate) lock_duration: Duration,
    /// How long a command without an expiry time waits for its device
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = crate::values::seconds)]
    pub(crate) default_ttl: Duration,
    /// Deliveries of a command before the hub gives up on it
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) max_delivery_count: u8,
    /// Bytes of events a partition keeps before its oldest go
    #[arg(long, value_name = "N", default_value_t = 256 * 1024 * 1024)]
    pub(crate) retention_bytes: usize,
    /// Events a partition keeps before its oldest go; each takes about 700 bytes of memory beside its body
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub(crate) retention_events: usize,
}

/// Options of `device send`.
#[derive(Args, Debug)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) body: BodyArgs,
    /// Each line is one message: LF or CR LF ends a line and is not sent, an empty line is an empty message, a last
    /// line without an end counts. Without this option the whole input is one message
    #[arg(long)]
    pub(crate) lines: bool,
    /// Send the message N times; with --lines, stop after N lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) properties: PropertyArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
    /// Messages on the way without the hub's answer
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
}

/// Where a message's body comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct BodyArgs {
    /// The body; `-` takes it from standard input
    #[arg(value_name = "TEXT")]
    pub(crate) text: Option<String>,
    /// Take the body from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Take the body from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// Properties of a message.
#[derive(Args, Debug)]
pub(crate) struct PropertyArgs {
    /// Application property; may be repeated
    #[arg(short = 'p', long = "property", value_name = "NAME=VALUE")]
    pub(crate) properties: Vec<Property>,
    /// Message id; with many messages, `-1`, `-2`, … is added
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Correlation id
    #[arg(long, value_name = "ID")]
    pub(crate) correlation_id: Option<String>,
    /// Content type, such as application/json
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Content encoding, such as utf-8
    #[arg(long, value_name = "ENCODING")]
    pub(crate) content_encoding: Option<String>,
}

/// How to prove who one is.
#[derive(Args, Debug)]
pub(crate) struct AuthArgs {
    /// Where the token goes: a message to `$cbs`, or the password of SASL PLAIN
    #[arg(long, value_name = "WAY", default_value = "cbs")]
    pub(crate) auth: Auth,
}

/// How to prove who one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Auth {
    /// A token put on `$cbs`, renewed on the live connection.
    Cbs,
    /// A token as the password of SASL PLAIN; it lasts as long as the connection.
    Plain,
}

/// Options of `device listen`.
#[derive(Args, Debug)]
pub(crate) struct ListenArgs {
    /// What to answer to each message
    #[arg(long, value_name = "ANSWER", default_value = "complete")]
    pub(crate) answer: Answer,
    #[command(flatten)]
    pub(crate) until: UntilArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
}

/// A device's answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Answer {
    /// Done; the hub forgets the message.
    Complete,
    /// Not wanted; the hub puts it aside.
    Reject,
    /// Not now; the hub delivers it again, up to its limit.
    Abandon,
}

/// When to stop receiving.
#[derive(Args, Debug)]
pub(crate) struct UntilArgs {
    /// Stop after N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Stop when nothing has come for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = crate::values::seconds)]
    pub(crate) until_idle: Option<Duration>,
}

/// Options of `c2d send`.
#[derive(Args, Debug)]
pub(crate) struct C2dSendArgs {
    /// The device
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) body: BodyArgs,
    /// Send it N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Which ends of the message the hub reports as feedback
    #[arg(long, value_name = "WHICH", default_value = "none")]
    pub(crate) ack: Ack,
    /// Let the message expire after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = crate::values::seconds)]
    pub(crate) ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) properties: PropertyArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
}

/// Which ends of a cloud-to-device message the hub reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ack {
    /// None.
    None,
    /// When the device completed it.
    Positive,
    /// When it expired, was rejected, or delivered too often.
    Negative,
    /// Every end.
    Full,
}

/// Options of `feedback`.
#[derive(Args, Debug)]
pub(crate) struct FeedbackArgs {
    #[command(flatten)]
    pub(crate) until: UntilArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
}

/// Options of `monitor`.
#[derive(Args, Debug)]
pub(crate) struct MonitorArgs {
    /// Where to start: earliest, latest, seq:N (that event and those after it), offset:X (the events after the one with
    /// that offset), or time:T (at that time and later; RFC 3339, or milliseconds since 1970)
    #[arg(long, value_name = "POSITION", default_value = "latest")]
    pub(crate) from: Position,
    /// Read this partition only; may be repeated
    #[arg(long = "partition", value_name = "N")]
    pub(crate) partitions: Vec<String>,
    /// Consumer group
    #[arg(long, value_name = "NAME", default_value = "$Default")]
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) until: UntilArgs,
    #[command(flatten)]
    pub(crate) auth: AuthArgs,
}

/// Options of `token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// What the token is for, such as HOST/devices/ID or sb://NAMESPACE/HUB [default: what the connection string names]
    #[arg(long, value_name = "URI")]
    pub(crate) audience: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = crate::values::seconds)]
    pub(crate) ttl: Duration,
    /// Sign with the key's text, as Event Hubs does, instead of its decoded bytes, as IoT Hub does
    #[arg(long)]
    pub(crate) event_hubs: bool,
}
