//! The command line: its verbs, its options and their help. This file parses and checks, and does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use iothub_profile::HostName;

use crate::amqp_args::{AmqpReceiveArgs, AmqpSendArgs};
use crate::exit::{Class, EXIT_CODES};
use crate::values::{DeviceKey, PolicyKey, Position, Property};

/// Devices, services and telemetry of an IoT Hub over AMQP 1.0, and a hub of your own to try them on.
#[derive(Debug, Parser)]
#[command(name = "iothub", version, after_long_help = EXIT_CODES, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The text to be shown instead and the exit code, 0 where help was asked for. A connection string or key that
    /// stands where it does not belong is not repeated.
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, (String, u8)> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        Self::parse_from(&arguments).map_err(|error| {
            if error.use_stderr() {
                (hide_secrets(error.render().to_string(), &arguments), Class::Usage.code())
            } else {
                (error.render().to_string(), 0)
            }
        })
    }
}

impl Cli {
    fn parse_from(arguments: &[String]) -> Result<Self, clap::Error> {
        let mut command = described();
        let mut matches = command.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    }
}

/// The command with its help as it should be: options that every verb takes, so that they may stand before it, are
/// shown only by verbs to which they mean something.
fn described() -> Command {
    let command = with_negative_numbers(Cli::command());
    let global: Vec<_> = command.get_arguments().filter(|arg| arg.is_global_set()).cloned().collect();
    MEANINGLESS.iter().fold(command, |command, (verb, ids)| {
        let hidden = global.iter().filter(|arg| ids.contains(&arg.get_id().as_str()));
        let hidden: Vec<_> = hidden.map(|arg| arg.clone().hide(true)).collect();
        with_args(command, &verb.split(' ').collect::<Vec<_>>(), hidden)
    })
}

/// Lets a value be a negative number, so that the complaint about it is that of its option and not of an unknown `-1`.
fn with_negative_numbers(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let takes_value = arg.get_action().takes_values();
        if takes_value { arg.allow_negative_numbers(true) } else { arg }
    });
    command.mut_subcommands(with_negative_numbers)
}

/// Adds options to the verb at the end of `path`.
fn with_args(command: Command, path: &[&str], args: Vec<clap::Arg>) -> Command {
    match path.split_first() {
        None => command.args(args),
        Some((verb, rest)) => command.mut_subcommand(*verb, |verb| with_args(verb, rest, args)),
    }
}

/// Takes out of a complaint what it repeats of arguments that hold keys.
fn hide_secrets(mut complaint: String, arguments: &[String]) -> String {
    let previous = std::iter::once("").chain(arguments.iter().map(String::as_str));
    for (argument, previous) in arguments.iter().zip(previous) {
        let names_key = |text: &str| text.starts_with("--device") || text.starts_with("--policy");
        let may_hold_key = argument.contains("SharedAccess") || names_key(previous) || names_key(argument);
        if let Some((_, secret)) =
            argument.split_once('=').filter(|(_, secret)| may_hold_key && !secret.is_empty())
        {
            complaint = complaint.replace(secret, "***");
        }
        // A password in a URL.
        let login = argument.split_once("://").and_then(|(_, rest)| Some(rest.rsplit_once('@')?.0));
        if let Some((_, secret)) = login.and_then(|login| login.split_once(':')).filter(|it| !it.1.is_empty())
        {
            complaint = complaint.replace(secret, "***");
        }
    }
    complaint
}

/// Options every verb takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Global {
    /// Form of the data on standard output [default: table on a terminal, jsonl in a pipe]
    #[arg(short, long, global = true, value_name = "FORM")]
    pub(crate) output: Option<Form>,
    /// Connection string; the environment variable IOTHUB_CONNECTION_STRING is used when neither option is given
    #[arg(long, global = true, value_name = "STRING")]
    pub(crate) connection_string: Option<String>,
    /// File whose only line is the connection string
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "connection_string")]
    pub(crate) connection_string_file: Option<PathBuf>,
    /// Trust the certificate authorities of this PEM file, besides the system's; SSL_CERT_FILE does the same
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Connect to this address instead of the host's own; the certificate must still carry the host's name
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = crate::values::host_and_port)]
    pub(crate) connect_to: Option<HostName>,
    /// Speak AMQP over a WebSocket, on port 443 where no other port is given
    #[arg(long, global = true)]
    pub(crate) websocket: bool,
    /// Connect through this HTTP proxy, `http://[USER:PASSWORD@]HOST:PORT`; `env` follows HTTPS_PROXY, ALL_PROXY and NO_PROXY
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) proxy: Option<String>,
    /// Give up on the first connection after so many seconds
    #[arg(long, global = true, value_name = "SECONDS", default_value = "30", value_parser = crate::values::seconds)]
    pub(crate) connect_timeout: Duration,
    /// Trace every AMQP frame on standard error, without bodies and credentials, as text or JSON lines; the environment
    /// variable AMQP_TRACE_FRAMES=1 or =json does the same
    #[arg(
        long,
        global = true,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "text"
    )]
    pub(crate) trace_frames: Option<TraceForm>,
}

/// Form of the frame trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceForm {
    /// One line for people.
    Text,
    /// One JSON object a line: connection, direction, size, performative, frame.
    Json,
}

/// Form of the data on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Columns for people.
    Table,
    /// One JSON object a line; a body is the string `body` where it is UTF-8, otherwise base64 in `body_base64`.
    Jsonl,
    /// The bodies alone, each with one line end after it.
    Raw,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// See the whole of it work, offline: a hub, a device and a service over TLS on this machine
    Demo(DemoArgs),
    /// Run a hub on this machine until Ctrl-C
    Emulator(EmulatorArgs),
    /// Act as a device
    #[command(subcommand)]
    Device(DeviceVerb),
    /// Cloud-to-device messages, from the service's side
    #[command(subcommand)]
    C2d(C2dVerb),
    /// Print what became of cloud-to-device messages sent with --ack
    Feedback(FeedbackArgs),
    /// Print the telemetry of all devices
    Monitor(MonitorArgs),
    /// Print a SAS token made from the connection string's key
    Token(TokenArgs),
    /// Speak to any AMQP 1.0 broker, or look at octets of AMQP 1.0
    #[command(subcommand)]
    Amqp(AmqpVerb),
}

/// What to do with AMQP 1.0, without a hub.
#[derive(Debug, Subcommand)]
pub(crate) enum AmqpVerb {
    /// Send messages to a queue, or another node, of a broker
    #[command(
        override_usage = "iothub amqp send [OPTIONS] <URL> <--body <TEXT>|--file <FILE>|--stdin|--size <BYTES>>"
    )]
    Send(Box<AmqpSendArgs>),
    /// Receive messages from a queue, or another node, of a broker
    Receive(Box<AmqpReceiveArgs>),
    /// Print what the octets on standard input mean, as typed JSON
    Decode(AmqpDecodeArgs),
}

/// What a device does.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceVerb {
    /// Send telemetry
    Send(SendArgs),
    /// Receive cloud-to-device messages
    Listen(ListenArgs),
}

/// What a service does with cloud-to-device messages.
#[derive(Debug, Subcommand)]
pub(crate) enum C2dVerb {
    /// Send a message to a device
    #[command(override_usage = "iothub c2d send [OPTIONS] <DEVICE> <TEXT|--file <FILE>|--stdin>")]
    Send(C2dSendArgs),
}

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

/// Verbs, and the options they take before or behind them without any use for them.
const MEANINGLESS: [(&str, &[&str]); 6] = [
    ("amqp send", &["connection_string", "connection_string_file", "websocket"]),
    ("amqp receive", &["connection_string", "connection_string_file", "websocket"]),
    (
        "amqp decode",
        &["output", "connection_string", "connection_string_file", "ca", "connect_to", "connect_timeout"],
    ),
    ("demo", &["connection_string", "connection_string_file", "ca", "connect_to", "connect_timeout"]),
    ("emulator", &["connection_string", "connection_string_file", "ca", "connect_to", "connect_timeout"]),
    ("token", &["ca", "connect_to", "connect_timeout", "trace_frames"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        described().debug_assert();
    }

    #[test]
    fn a_negative_number_is_a_wrong_value_and_no_unknown_option() {
        for option in ["--count", "--rate", "--size", "--in-flight", "--timeout"] {
            let words = ["iothub", "amqp", "send", "amqp://h/q", "--body", "x", option, "-3"];
            let words = words.iter().filter(|word| option != "--size" || !["--body", "x"].contains(word));
            let (complaint, code) = Cli::read(words.map(|word| (*word).to_owned())).unwrap_err();
            assert_eq!(code, 2);
            assert!(complaint.contains(&format!("invalid value '-3' for '{option}")), "{complaint}");
        }
        assert!(Cli::read(["iothub", "device", "send", "-3"].map(str::to_owned)).is_ok(), "a body");
    }

    #[test]
    fn a_body_comes_from_exactly_one_place() {
        assert!(Cli::try_parse_from(["iothub", "device", "send"]).is_err());
        assert!(Cli::try_parse_from(["iothub", "device", "send", "hi", "--stdin"]).is_err());
        assert!(Cli::try_parse_from(["iothub", "device", "send", "hi"]).is_ok());
        assert!(Cli::try_parse_from(["iothub", "c2d", "send", "dev1", "--file", "x"]).is_ok());
    }

    #[test]
    fn a_complaint_does_not_repeat_keys() {
        for arguments in [
            ["iothub", "monitor", "HostName=h;SharedAccessKeyName=p;SharedAccessKey=U0VDUkVU"].as_slice(),
            &["iothub", "emulator", "--policy", "=U0VDUkVU"],
            &["iothub", "emulator", "--device==U0VDUkVU"],
            &["iothub", "token", "SharedAccessSignature sr=h&sig=U0VDUkVU&se=1"],
            &["iothub", "monitor", "amqp://user:U0VDUkVU@host/q"],
        ] {
            let (complaint, code) = Cli::read(arguments.iter().map(|text| (*text).to_owned())).unwrap_err();
            assert_eq!(code, 2);
            assert!(!complaint.contains("U0VDUkVU"), "{complaint}");
        }
        let (help, code) = Cli::read(["iothub".to_owned(), "--help".to_owned()]).unwrap_err();
        assert_eq!(code, 0);
        assert!(help.contains("Exit codes:"));
    }

    #[test]
    fn global_options_may_follow_the_verb() {
        for words in [
            ["iothub", "monitor", "-o", "jsonl", "--ca", "ca.pem"],
            ["iothub", "--ca", "ca.pem", "-o", "jsonl", "monitor"],
            ["iothub", "--ca", "ca.pem", "token", "-o", "jsonl"],
        ] {
            let cli = Cli::read(words.map(str::to_owned)).unwrap();
            assert_eq!(cli.global.output, Some(Form::Jsonl));
            assert_eq!(cli.global.ca, Some("ca.pem".into()));
        }
    }

    #[test]
    fn help_lists_no_option_that_means_nothing_to_the_verb() {
        let help = |verb: &str| Cli::read(["iothub", verb, "--help"].map(str::to_owned)).unwrap_err().0;
        for verb in ["emulator", "demo"] {
            for option in ["--connection-string", "--ca <", "--connect-to", "--connect-timeout"] {
                assert!(!help(verb).contains(option), "{verb} {option}");
            }
            assert!(help(verb).contains("--output"));
        }
        let decode = Cli::read(["iothub", "amqp", "decode", "--help"].map(str::to_owned)).unwrap_err().0;
        assert!(!decode.contains("--ca") && !decode.contains("--output"), "{decode}");
        let send = Cli::read(["iothub", "amqp", "send", "--help"].map(str::to_owned)).unwrap_err().0;
        assert!(send.contains("--ca <") && !send.contains("--connection-string"), "{send}");
        assert!(!help("token").contains("--connect-to") && help("token").contains("--connection-string"));
        assert!(help("monitor").contains("--connect-to"));
        for default in ["15", "60", "3600", "10", "268435456", "2000000"] {
            assert!(help("emulator").contains(&format!("[default: {default}]")), "{default}");
        }
    }
}
