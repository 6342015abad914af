//! The command line: its verbs, the options that all of them take, and their help; `hub_args` and `amqp_args` have the
//! options of single verbs. This file parses and checks, and does nothing.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use iothub_profile::HostName;

use crate::amqp_args::{AmqpDecodeArgs, AmqpReceiveArgs, AmqpSendArgs};
use crate::exit::{Class, EXIT_CODES};
use crate::hub_args::{
    C2dSendArgs, DemoArgs, EmulatorArgs, FeedbackArgs, ListenArgs, MonitorArgs, SendArgs, TokenArgs,
};

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
        let hidden = global.iter().filter(|arg| ids.iter().any(|ids| ids.contains(&arg.get_id().as_str())));
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

/// Verbs, and the options they take before or behind them without any use for them.
const MEANINGLESS: [(&str, &[&[&str]]); 6] = [
    ("amqp send", &[HUB, &["websocket"]]),
    ("amqp receive", &[HUB, &["websocket"]]),
    ("amqp decode", &[HUB, NETWORK, &["output", "trace_frames"]]),
    ("demo", &[HUB, NETWORK]),
    ("emulator", &[HUB, NETWORK]),
    ("token", &[NETWORK, &["trace_frames"]]),
];
const HUB: &[&str] = &["connection_string", "connection_string_file"];
const NETWORK: &[&str] = &["ca", "connect_to", "connect_timeout", "websocket", "proxy"];

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
            for option in ["--connection-string", "--ca <", "--connect-to", "--websocket", "--proxy"] {
                assert!(!help(verb).contains(option), "{verb} {option}");
            }
            assert!(!help(verb).contains("--connect-timeout") && help(verb).contains("--output"));
        }
        let decode = Cli::read(["iothub", "amqp", "decode", "--help"].map(str::to_owned)).unwrap_err().0;
        for option in ["--ca", "--output", "--proxy", "--websocket", "--trace-frames"] {
            assert!(!decode.contains(option), "{option}");
        }
        let send = Cli::read(["iothub", "amqp", "send", "--help"].map(str::to_owned)).unwrap_err().0;
        assert!(send.contains("--ca <") && !send.contains("--connection-string"), "{send}");
        assert!(!help("token").contains("--proxy"));
        assert!(!help("token").contains("--connect-to") && help("token").contains("--connection-string"));
        assert!(help("monitor").contains("--connect-to"));
        for default in ["15", "60", "3600", "10", "268435456", "2000000"] {
            assert!(help("emulator").contains(&format!("[default: {default}]")), "{default}");
        }
    }
}
