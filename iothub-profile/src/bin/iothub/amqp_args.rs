//! The options of `amqp send`, `amqp receive` and `amqp decode`. This file parses and checks, and does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::amqp_values::TypedProperty;
use crate::hub_args::{PropertyArgs, UntilArgs};

/// The broker, who one is there, and how patient one is.
#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    /// `amqp://[USER[:PASSWORD]@]HOST[:PORT]/ADDRESS`, or amqps:// for TLS; user, password and address are percent-decoded.
    /// With ws:// and wss:// the path is the WebSocket's, and --address names the node
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Address of the queue, or other node, where it is not the URL's path
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// File whose only line is the password of the URL's user
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// How to authenticate [default: with a user the best of SCRAM and PLAIN, external with a client certificate, otherwise
    /// anonymous]
    #[arg(long, value_name = "MECHANISM")]
    pub(crate) sasl: Option<Mechanism>,
    /// Show the password to a broker without TLS, for a network that nobody else is on; SCRAM needs no such leave
    #[arg(long)]
    pub(crate) allow_plain_without_tls: bool,
    /// Connect through this HTTP proxy: `http://[USER:PASSWORD@]HOST[:PORT]`, or env for what HTTPS_PROXY, ALL_PROXY and
    /// NO_PROXY say
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Client certificate chain (PEM), for TLS
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// Private key (PEM) of --client-cert
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Name this side gives itself [default: made at start]
    #[arg(long, value_name = "ID")]
    pub(crate) container_id: Option<String>,
    /// Host named to the broker, where it is not the URL's: a virtual host, say
    #[arg(long, value_name = "NAME")]
    pub(crate) hostname: Option<String>,
    /// Name of the link [default: made at start]
    #[arg(long, value_name = "NAME")]
    pub(crate) link_name: Option<String>,
    /// Largest frame this side takes, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = clap::value_parser!(u32).range(512..))]
    pub(crate) max_frame_size: u32,
    /// Give the broker up after so many seconds of silence
    #[arg(long, value_name = "SECONDS", default_value = "240", value_parser = crate::values::seconds)]
    pub(crate) idle_timeout: Duration,
    /// Give up a link that is not answered, credit that is not granted and an outcome that is not told after so many seconds
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = crate::values::seconds)]
    pub(crate) timeout: Duration,
    /// Who settles a received message last: the receiver (first) or, after it, the sender (second)
    #[arg(long, value_name = "MODE", default_value = "first")]
    pub(crate) rcv_settle: ReceiverSettle,
}

/// How to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mechanism {
    /// No SASL layer at all.
    None,
    /// Without credentials.
    Anonymous,
    /// User and password as they are; over TLS, or with --allow-plain-without-tls.
    Plain,
    /// The password is proven and not shown.
    #[value(name = "scram-sha-1")]
    ScramSha1,
    /// The password is proven and not shown.
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// The password is proven and not shown.
    #[value(name = "scram-sha-512")]
    ScramSha512,
    /// By the client certificate.
    External,
}

/// Who settles a received message last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReceiverSettle {
    /// The receiver settles with its outcome.
    First,
    /// The receiver tells its outcome, the sender settles.
    Second,
}

/// Options of `amqp send`.
#[derive(Args, Debug)]
pub(crate) struct AmqpSendArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(flatten)]
    pub(crate) body: AmqpBodyArgs,
    /// What the body is in the message
    #[arg(long = "as", value_name = "KIND", default_value = "data")]
    pub(crate) kind: BodyKind,
    /// Each line is one message: LF or CR LF ends a line and is not sent, an empty line is an empty message, a last
    /// line without an end counts. Without this option the whole input is one message
    #[arg(long)]
    pub(crate) lines: bool,
    /// Send the message N times; with --lines, stop after N lines
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Hand over at most N messages a second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Send settled: the broker tells no outcome, and none is known
    #[arg(long, conflicts_with = "rcv_settle")]
    pub(crate) settled: bool,
    /// Messages on the way without the broker's answer
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) in_flight: u32,
    #[command(flatten)]
    pub(crate) properties: PropertyArgs,
    #[command(flatten)]
    pub(crate) more: MoreArgs,
}

/// Where a message's body comes from.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct AmqpBodyArgs {
    /// The body
    #[arg(long, value_name = "TEXT")]
    pub(crate) body: Option<String>,
    /// Take the body from a file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Take the body from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
    /// A body of so many bytes, made up
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(..=67_108_864))]
    pub(crate) size: Option<u32>,
}

/// What a body is in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BodyKind {
    /// Octets: one data section.
    Data,
    /// Text: a value of type string; the input must be UTF-8.
    Text,
}

/// Properties and header fields that a hub has no use for.
#[derive(Args, Debug)]
pub(crate) struct MoreArgs {
    /// Application property with a type: bool, int, uint, long, ulong, double, symbol, timestamp (milliseconds since
    /// 1970), uuid or string; may be repeated
    #[arg(long = "typed-property", value_name = "NAME:TYPE=VALUE")]
    pub(crate) typed: Vec<TypedProperty>,
    /// Message annotation with a type, as --typed-property; may be repeated
    #[arg(long = "annotation", value_name = "NAME:TYPE=VALUE")]
    pub(crate) annotations: Vec<TypedProperty>,
    /// The node the message is for
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Option<String>,
    /// The node to which answers go
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) reply_to: Option<String>,
    /// What the message is about
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// Group the message belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) group_id: Option<String>,
    /// The message must survive a restart of the broker
    #[arg(long)]
    pub(crate) durable: bool,
    /// Priority, 4 where it is not given
    #[arg(long, value_name = "0-255")]
    pub(crate) priority: Option<u8>,
    /// Let the message expire after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = crate::values::seconds)]
    pub(crate) ttl: Option<Duration>,
}

/// Options of `amqp receive`.
#[derive(Args, Debug)]
pub(crate) struct AmqpReceiveArgs {
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    /// What to answer to each message
    #[arg(long, value_name = "ANSWER", default_value = "accept", conflicts_with = "browse")]
    pub(crate) answer: BrokerAnswer,
    /// Ask for messages that are sent settled; no answer is given
    #[arg(long)]
    pub(crate) settled: bool,
    /// Messages the broker may send ahead; fewer where they are so large that 256 MiB hold fewer
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) credit: u32,
    /// Take what is there and end: credit that is not used is asked back. Where answered messages come back, no more are
    /// taken than --credit says
    #[arg(long)]
    pub(crate) drain: bool,
    /// Only messages that this selector chooses, in the broker's language; a broker that does not honour it is refused
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) selector: Option<String>,
    /// Look at messages and leave them there (distribution mode copy): each is released once it is printed; a broker that
    /// does not promise to leave them there is refused
    #[arg(long, conflicts_with = "settled")]
    pub(crate) browse: bool,
    /// Largest message taken, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 67_108_864, value_parser = clap::value_parser!(u64).range(1..=268_435_456))]
    pub(crate) max_message_size: u64,
    #[command(flatten)]
    pub(crate) until: UntilArgs,
}

/// A receiver's answer to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerAnswer {
    /// Taken; the broker forgets the message.
    Accept,
    /// Invalid; the broker does not deliver it again.
    Reject,
    /// Not wanted here now; it may be delivered again.
    Release,
    /// As release, counted as a failed delivery.
    Fail,
    /// As release, and not to this link again.
    Undeliverable,
}

/// Options of `amqp decode`.
#[derive(Args, Debug)]
pub(crate) struct AmqpDecodeArgs {
    /// What the octets are
    #[arg(long = "as", value_name = "KIND", default_value = "value")]
    pub(crate) kind: DecodeAs,
    /// The input is hexadecimal digits, with or without white space
    #[arg(long)]
    pub(crate) hex: bool,
    /// Print a line for people instead of JSON
    #[arg(long)]
    pub(crate) dump: bool,
}

/// What octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecodeAs {
    /// Values, one after the other.
    Value,
    /// One whole frame.
    Frame,
    /// The sections of one message.
    Message,
    /// A protocol header of eight octets.
    Header,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err(format!("`{text}` is not a number of messages a second from 0.001 on")),
    }
}
