//! Our client against one broker of another maker, case by case, for the matrix that `run.sh` prints.
//!
//! Owns the cases and what each of them must see. Every case has a connection and queues of its own and prints one line:
//! `CASE name: ok`, `CASE name: n.a. reason`, or `CASE name: FAIL reason`. What a broker cannot do is named with its reason by
//! `run.sh`; it is tried all the same, what was seen is printed, and if it works after all, the reason was wrong and the case
//! fails.

mod messages;
mod settling;
mod struggles;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use amqp_codec::{Outcome, Source, Target};
use amqp_transport::client::{
    ConnectOptions, Connection, CreditMode, ReceiverOptions, Sasl, SenderOptions, Session, SessionOptions,
};
use amqp_transport::engine::Limits;
use amqp_transport::{Receiver, Secret, Sender};
use tokio::process::Child;

pub(super) use messages::{Vector, vectors};

/// The broker under test, by its environment variables.
#[derive(Clone, Debug)]
struct Peer {
    address: SocketAddr,
    sasl: String,
    /// What an address of a queue begins with.
    prefix: String,
    /// How to make the broker end a link or a connection with an error: a command for the shell, with the queue in
    /// `$QUEUE`.
    detach: Option<String>,
    /// Messages that the broker is known to send beyond its credit.
    credit_overrun: u32,
    force: Option<String>,
    /// Another instance of the broker, which takes frames of 512 octets at most.
    with_small_frames: Option<SocketAddr>,
    /// The codec that it passes messages through, by its name among the known ones.
    codec: String,
}

impl Peer {
    fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            address: variable("INTEROP_BROKER").expect("INTEROP_BROKER").parse().expect("an address"),
            sasl: variable("INTEROP_SASL").unwrap_or_default(),
            prefix: variable("INTEROP_PREFIX").unwrap_or_default(),
            detach: variable("INTEROP_DETACH"),
            credit_overrun: variable("INTEROP_OVERRUN").map_or(0, |text| text.parse().expect("a number")),
            force: variable("INTEROP_FORCE"),
            with_small_frames: variable("INTEROP_SMALL_FRAMES").map(|text| text.parse().expect("an address")),
            codec: variable("INTEROP_CODEC").unwrap_or_default(),
        }
    }

    /// The instance that takes small frames only, where there is one.
    fn with_small_frames(self) -> Self {
        Self { address: self.with_small_frames.unwrap_or(self.address), ..self }
    }

    async fn open(&self) -> (Connection, Session) {
        self.open_with(64 * 1024).await
    }

    /// A connection that takes frames of this size at most.
    async fn open_with(&self, max_frame_size: u32) -> (Connection, Session) {
        let sasl = match self.sasl.as_str() {
            "plain" => Sasl::Plain { user: "guest".into(), password: Secret::new("guest") },
            "none" => Sasl::None,
            _ => Sasl::Anonymous,
        };
        let mut limits = Limits::default();
        limits.partial_delivery_bytes = 2 * LARGEST;
        limits.credit_overrun = self.credit_overrun;
        let options = ConnectOptions::new(format!("interop-{}", std::process::id()))
            .hostname("localhost")
            .sasl(sasl)
            .allow_secrets_without_tls()
            .limits(limits)
            .max_frame_size(max_frame_size);
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let connection = Connection::connect((&host, port), options).await.unwrap();
        let session = connection.begin(SessionOptions::new()).await.unwrap();
        (connection, session)
    }

    fn queue(&self, name: &str) -> String {
        format!("{}{name}-{}", self.prefix, std::process::id())
    }

    async fn sender(&self, session: &Session, queue: &str) -> Sender {
        let target = Target::new(self.queue(queue));
        session.attach_sender(SenderOptions::new(format!("to-{queue}"), target)).await.unwrap()
    }

    async fn receiver(&self, session: &Session, queue: &str) -> Receiver {
        self.receiver_with(session, queue, |options| options).await
    }

    async fn receiver_with(
        &self,
        session: &Session,
        queue: &str,
        with: impl FnOnce(ReceiverOptions) -> ReceiverOptions,
    ) -> Receiver {
        let options = ReceiverOptions::new(format!("from-{queue}"), Source::new(self.queue(queue)))
            .credit(CreditMode::Auto(10))
            .max_message_size(2 * LARGEST as u64);
        session.attach_receiver(with(options)).await.unwrap()
    }

    /// Makes the broker do something about a queue.
    async fn shell(&self, command: &str, queue: &str) {
        let name = self.queue(queue).trim_start_matches(&self.prefix).to_owned();
        let status =
            tokio::process::Command::new("bash").args(["-c", command]).env("QUEUE", name).status().await;
        assert!(status.unwrap().success(), "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a broker; run by tests/interop/run.sh"]
async fn our_client() {
    let peer = Peer::from_environment();
    let mut cases = Cases::new();
    cases.run("types in bodies", messages::types_in_bodies(peer.clone())).await;
    cases.run("types in properties", messages::types_in_properties(peer.clone())).await;
    cases.run("0 B to 50 MB", messages::sizes(peer.clone(), 64 * 1024, LARGEST)).await;
    cases.run("frames of 512 B", messages::sizes(peer.clone(), 512, 1_000_000)).await;
    cases.run("pre-settled", settling::pre_settled(peer.clone())).await;
    cases.run("at least once", settling::at_least_once(peer.clone())).await;
    cases.run("mode second", settling::mode_second(peer.clone())).await;
    cases.run("reject", settling::reject(peer.clone())).await;
    cases.run("release", settling::release(peer.clone())).await;
    cases.run("modify", settling::modify(peer.clone())).await;
    cases.run("drain", settling::drain(peer.clone())).await;
    cases.run("dynamic reply-to", struggles::dynamic_reply_to(peer.clone())).await;
    cases.run("refused address", struggles::refused_address(peer.clone())).await;
    cases.run("link detach with error", struggles::detach_with_error(peer.clone())).await;
    cases.run("connection forced", struggles::connection_forced(peer.clone())).await;
    cases.end();
}

/// Runs cases and prints their lines.
pub(super) struct Cases {
    /// Cases that the peer cannot do, with the reasons.
    impossible: Reasons,
    /// Cases that are not even tried.
    left_out: Reasons,
    /// The only case to run, when one is looked into.
    only: Option<String>,
    /// A broker that a case may bring down, to be started again: its command line, and its process.
    broker: Option<(String, Option<Child>)>,
    failed: usize,
}

/// What is to be said about a success: nothing, or what was seen beside it.
pub(super) struct Remark(String);

impl From<()> for Remark {
    fn from((): ()) -> Self {
        Self(String::new())
    }
}

impl From<String> for Remark {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Names of cases, and why they are not done.
struct Reasons(Vec<(String, String)>);

impl Reasons {
    /// Lines of `name = reason` in an environment variable.
    fn of(variable: &str) -> Self {
        let text = std::env::var(variable).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, reason)| (name.trim().into(), reason.trim().into())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, reason)| reason.as_str())
    }
}

impl Cases {
    pub(super) fn new() -> Self {
        Self {
            impossible: Reasons::of("INTEROP_IMPOSSIBLE"),
            left_out: Reasons::of("INTEROP_LEFT_OUT"),
            only: std::env::var("INTEROP_ONLY").ok(),
            broker: std::env::var("INTEROP_BROKER_COMMAND").ok().map(|command| (command, None)),
            failed: 0,
        }
    }

    /// Runs a case to its end. What it gives back is what is to be said about its success.
    pub(super) async fn run<T: Into<Remark> + Send + 'static>(
        &mut self,
        name: &str,
        case: impl Future<Output = T> + Send + 'static,
    ) {
        if self.only.as_deref().is_some_and(|only| only != name) {
            return;
        }
        if let Some(reason) = self.left_out.get(name) {
            println!("CASE {name}: n.a. {reason}");
            return;
        }
        self.revive().await;
        let reason = self.impossible.get(name);
        let patience = if reason.is_some() { SHORT_PATIENCE } else { PATIENCE };
        let ended = tokio::spawn(tokio::time::timeout(patience, case)).await;
        let mut remark = String::new();
        let fault = match ended {
            Ok(Ok(end)) => {
                remark = end.into().0;
                None
            }
            Ok(Err(_)) => Some(format!("no end after {patience:?}")),
            Err(error) => Some(match error.try_into_panic() {
                Ok(panic) => panic_text(&*panic),
                Err(error) => error.to_string(),
            }),
        };
        let fault = fault.map(|fault| fault.chars().take(FAULT).collect::<String>());
        match (fault, reason) {
            (None, None) if remark.is_empty() => println!("CASE {name}: ok"),
            (None, None) => println!("CASE {name}: ok, but {remark}"),
            (Some(fault), Some(reason)) => println!("CASE {name}: n.a. {reason} (seen: {fault})"),
            (fault, _) => {
                self.failed += 1;
                println!(
                    "CASE {name}: FAIL {}",
                    fault.as_deref().unwrap_or("it is said to be impossible, and works")
                );
            }
        }
    }

    /// Starts the broker, if it is for this to start, and not running.
    async fn revive(&mut self) {
        let Some((command, running)) = &mut self.broker else { return };
        if running.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none()) {
            return;
        }
        let mut words = command.split_whitespace();
        let program = words.next().expect("a command");
        *running =
            Some(tokio::process::Command::new(program).args(words).kill_on_drop(true).spawn().unwrap());
        let address = std::env::var("INTEROP_BROKER").expect("INTEROP_BROKER");
        for _ in 0..50 {
            if tokio::net::TcpStream::connect(&address).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{command} does not listen on {address}");
    }

    pub(super) fn end(self) {
        assert_eq!(self.failed, 0, "cases that failed");
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic").replace('\n', " ")
}

fn accepted(outcome: Outcome) {
    assert_eq!(outcome, Outcome::Accepted);
}

/// Characters of a fault that are printed.
const FAULT: usize = 300;
/// No case takes longer.
const PATIENCE: Duration = Duration::from_secs(90);
/// No case takes longer to show that it is impossible.
const SHORT_PATIENCE: Duration = Duration::from_secs(4);
/// The largest message sent, in octets.
const LARGEST: usize = 50 * 1000 * 1000;
