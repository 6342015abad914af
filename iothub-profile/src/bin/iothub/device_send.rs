//! `iothub device send`: telemetry from the command line, a file or standard input.
//!
//! Many messages are on the way at once, up to a bound, and the input is read as it is sent, so that a file of any
//! length costs the same memory. Every message ends in exactly one column of the count at the end.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use iothub_profile::Error;
use iothub_profile::device::{DeviceClient, SendReceipt};
use iothub_profile::message::TelemetryMessage;
use iothub_profile::supervisor::{ConnectionStatus, ReconnectPolicy};
use tokio::sync::watch;

use crate::args::{BodyArgs, Form, Global, SendArgs};
use crate::connect::{close, device_string, failure, options};
use crate::exit::{Class, End, Failure};
use crate::input::{Bodies, Cut, MAX_BODY, Source};
use crate::interrupt::Interrupt;
use crate::output::{Output, ended, note};
use crate::progress::Progress;
use crate::properties;
use crate::tally::Tally;

/// Sends what the command line says.
///
/// # Errors
/// The input, the connection, or any message that the hub did not accept.
pub(crate) async fn run(global: &Global, args: &SendArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let string = device_string(global)?;
    let cut = if args.lines { Cut::Lines } else { Cut::Whole };
    let bodies = Bodies::open(&source(&args.body), cut, args.count, MAX_BODY)?;
    // A message whose fate is unknown must not be sent twice behind the sender's back: a broken connection ends it.
    let options = options(global, &args.auth)?.with_reconnect(ReconnectPolicy::Never);
    let Some(client) = interrupt.unless(DeviceClient::open(&string, options)).await else {
        return Ok(End::Interrupted);
    };
    let client = client.map_err(|error| failure(&error))?;
    let mut sending = Sending {
        client: &client,
        args,
        // The end of the input is not the end of the send where a number is given.
        progress: Progress::new(bodies.progress().1.filter(|_| args.count.is_none())),
        bodies,
        in_flight: VecDeque::new(),
        taken: 0,
        tally: Tally::default(),
    };
    let stop = sending.run(interrupt).await;
    let stop = sending.settle(stop, interrupt).await;
    let result = sending.report(global, stop).await;
    close(client.close()).await;
    result
}

/// Where a body comes from.
pub(crate) fn source(body: &BodyArgs) -> Source {
    match (&body.file, &body.text) {
        (Some(path), _) => Source::File(path.clone()),
        (None, Some(text)) if text != "-" => Source::Text(text.clone()),
        _ => Source::Stdin,
    }
}

/// Why no more messages are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// All are sent.
    End,
    /// Ctrl-C.
    Interrupted,
    /// The connection, or the input, is broken.
    Broken,
}

/// A message on the way.
struct OnTheWay {
    receipt: SendReceipt,
    bytes: usize,
    /// Its number in the input, where that has lines.
    line: Option<u64>,
}

/// What became of a message that was on the way.
struct Answer {
    outcome: Result<(), Error>,
    bytes: usize,
    line: Option<u64>,
}

struct Sending<'a> {
    client: &'a DeviceClient,
    args: &'a SendArgs,
    bodies: Bodies,
    /// What is on the way, in the order of sending.
    in_flight: VecDeque<OnTheWay>,
    /// Bodies taken from the input so far.
    taken: u64,
    tally: Tally,
    progress: Progress,
}

impl Sending<'_> {
    /// Hands over messages until the input ends or something stops it.
    async fn run(&mut self, interrupt: &Interrupt) -> Stop {
        let mut interrupted = pin!(interrupt.wait());
        let mut status = self.client.status();
        let most = usize::try_from(self.args.in_flight).unwrap_or(usize::MAX);
        loop {
            self.progress.update(self.bodies.progress().0, &self.tally);
            let is_full = self.in_flight.len() >= most;
            let body = tokio::select! {
                biased;
                () = &mut interrupted => return Stop::Interrupted,
                answer = oldest(&mut self.in_flight), if !self.in_flight.is_empty() => {
                    if self.count(&answer) { continue } else { return Stop::Broken }
                }
                body = self.bodies.next(), if !is_full => body,
                // Noticed also while standard input is silent.
                failure = lost(&mut status) => {
                    self.tally.stop(failure);
                    return Stop::Broken;
                }
            };
            let body = match body {
                Ok(Some(body)) => body,
                Ok(None) => return Stop::End,
                Err(failure) => {
                    self.tally.stop(failure);
                    return Stop::Broken;
                }
            };
            self.taken = self.taken.saturating_add(1);
            tokio::select! {
                biased;
                () = &mut interrupted => {
                    self.tally.skip(1);
                    return Stop::Interrupted;
                }
                served = self.hand_over(body) => if !served { return Stop::Broken },
            }
        }
    }

    /// Hands over one message; tells whether the connection serves the next one.
    async fn hand_over(&mut self, body: Bytes) -> bool {
        let bytes = body.len();
        let line = self.args.lines.then_some(self.taken);
        let is_one = !self.args.lines && self.args.count.is_none();
        let number = if is_one { None } else { Some(self.tally.sent.saturating_add(self.tally.not_sent)) };
        let message = match properties::telemetry(TelemetryMessage::new(body), &self.args.properties, number)
        {
            Ok(message) => message,
            Err(failure) => {
                self.tally.skip(1);
                self.tally.stop(failure);
                return false;
            }
        };
        let receipt = self.client.send_with_receipt(&message).await;
        self.tally.hand_over();
        match receipt {
            Ok(receipt) => {
                self.in_flight.push_back(OnTheWay { receipt, bytes, line });
                true
            }
            Err(error) => self.tally.fail(&error, line),
        }
    }

    fn count(&mut self, answer: &Answer) -> bool {
        match &answer.outcome {
            Ok(()) => {
                self.tally.accept(answer.bytes);
                true
            }
            Err(error) => self.tally.fail(error, answer.line),
        }
    }

    /// Waits for the answers to what is on the way; once stopped only for a short while.
    async fn settle(&mut self, mut stop: Stop, interrupt: &Interrupt) -> Stop {
        if stop == Stop::End && interrupt.unless(self.settle_within(LAST_ANSWERS)).await.is_none() {
            stop = Stop::Interrupted;
        }
        if stop != Stop::End {
            self.settle_within(LAST_ANSWERS_WHEN_STOPPED).await;
        }
        for _ in std::mem::take(&mut self.in_flight) {
            self.tally.give_up("the hub did not answer in time");
        }
        stop
    }

    async fn settle_within(&mut self, patience: Duration) {
        let deadline = tokio::time::Instant::now() + patience;
        while !self.in_flight.is_empty() {
            let answer = tokio::time::timeout_at(deadline, oldest(&mut self.in_flight)).await;
            let Ok(answer) = answer else { return };
            self.count(&answer);
            self.progress.update(self.bodies.progress().0, &self.tally);
        }
    }

    /// Says what became of the messages.
    async fn report(&mut self, global: &Global, stop: Stop) -> Result<End, Failure> {
        let took = self.progress.elapsed();
        if stop == Stop::Broken {
            match self.bodies.count_rest().await {
                Ok(Some(count)) => self.tally.skip(count),
                Ok(None) => note("the rest of standard input was not read"),
                Err(failure) => self.tally.keep(failure),
            }
        }
        self.progress.finish();
        note(&self.tally.text(took));
        if global.output == Some(Form::Jsonl) {
            let mut output = Output::stdout(global.output);
            ended(output.json(&self.tally.json(took)).and_then(|()| output.flush()))?;
        }
        match (self.tally.failure(), stop) {
            (Some(failure), _) => Err(failure),
            (None, Stop::Interrupted) => Ok(End::Interrupted),
            (None, _) => Ok(End::Done),
        }
    }
}

/// The outcome of the oldest message on the way.
///
/// # Cancel safety
/// The receipt stays at the front until it is ready.
async fn oldest(in_flight: &mut VecDeque<OnTheWay>) -> Answer {
    let Some(OnTheWay { receipt, bytes, line }) = in_flight.front_mut() else {
        return std::future::pending().await;
    };
    let answer = Answer { outcome: receipt.await, bytes: *bytes, line: *line };
    in_flight.pop_front();
    answer
}

/// Waits until the connection is gone for good.
async fn lost(status: &mut watch::Receiver<ConnectionStatus>) -> Failure {
    match status.wait_for(ConnectionStatus::is_final).await.as_deref() {
        Ok(ConnectionStatus::Failed(error)) => failure(error),
        _ => Failure::new(Class::Unreachable, "the connection is closed"),
    }
}

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
/// The same after Ctrl-C or a fault.
const LAST_ANSWERS_WHEN_STOPPED: Duration = Duration::from_secs(5);
