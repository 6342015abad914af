//! What the verbs that send share: many messages on the way at once, up to a bound, an input that is read as it is sent, so
//! that its length costs no memory, and an end of every message in exactly one column of the count.
//!
//! Owns the order of things: when to read, hand over, wait, give up and count. What a message is, and what an answer means,
//! is the [`Peer`]'s.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::args::{Form, Global};
use crate::exit::{End, Failure};
use crate::input::Bodies;
use crate::interrupt::Interrupt;
use crate::output::{Output, ended, note};
use crate::progress::Progress;
use crate::tally::Tally;

/// Whom messages are sent to.
pub(crate) trait Peer {
    /// Resolves to what became of a message on the way.
    type Receipt: Future + Unpin;

    /// Hands over one message, and counts it.
    async fn hand_over(&mut self, body: Bytes, place: Place, tally: &mut Tally) -> Handed<Self::Receipt>;

    /// Puts a message that ended into its column; tells whether the peer serves the next one.
    fn count(&self, answer: Answer<<Self::Receipt as Future>::Output>, tally: &mut Tally) -> bool;

    /// Waits until the peer is gone for good.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    async fn gone(&mut self) -> Failure;

    /// The failure of a message that was not answered in time.
    fn unanswered(&self) -> Failure;

    /// The count for people, one line.
    fn text(&self, tally: &Tally, took: Duration) -> String;

    /// The count for programs.
    fn json(&self, tally: &Tally, took: Duration) -> Value;
}

/// Where a message is in the input.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Bodies taken before this one.
    pub(crate) index: u64,
    /// The number of its line, where the input has lines.
    pub(crate) line: Option<u64>,
}

impl Place {
    /// Names the line in a failure of its message.
    pub(crate) fn during(self, failure: Failure) -> Failure {
        match self.line {
            Some(line) => failure.during(&format!("line {line}")),
            None => failure,
        }
    }
}

/// What came of handing a message over.
#[derive(Debug)]
pub(crate) enum Handed<R> {
    /// It is on the way.
    OnTheWay(R),
    /// It has ended, and is counted; the next one may be handed over.
    Ended,
    /// It has ended, and is counted; the peer takes no more.
    Broken,
}

impl<R> Handed<R> {
    /// By whether the peer serves the next message.
    pub(crate) fn ended(serves: bool) -> Self {
        if serves { Self::Ended } else { Self::Broken }
    }
}

/// What became of a message that was on the way.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) outcome: T,
    pub(crate) bytes: usize,
    pub(crate) place: Place,
}

/// How messages are sent, whoever the peer is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Whether each line of the input is a message.
    pub(crate) has_lines: bool,
    /// Messages on the way at once.
    pub(crate) most: u32,
    /// Messages handed over in a second at most.
    pub(crate) rate: Option<f64>,
    /// How long the last answers may take.
    pub(crate) patience: Duration,
}

/// Sends an input to a peer and says what became of it.
///
/// # Errors
/// The input, the peer, or any message that it did not accept.
pub(crate) async fn send<P: Peer>(
    peer: &mut P,
    bodies: Bodies,
    progress: Progress,
    pace: Pace,
    global: &Global,
    interrupt: &Interrupt,
) -> Result<End, Failure> {
    let mut sending = Sending {
        peer,
        bodies,
        pace,
        in_flight: VecDeque::new(),
        taken: 0,
        tally: Tally::default(),
        progress,
        started: Instant::now(),
    };
    let stop = sending.run(interrupt).await;
    let stop = sending.settle(stop, interrupt).await;
    sending.report(global, stop).await
}

/// Why no more messages are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// All are sent.
    End,
    /// Ctrl-C.
    Interrupted,
    /// The peer, or the input, is broken.
    Broken,
}

/// A message on the way.
struct OnTheWay<R> {
    receipt: R,
    bytes: usize,
    place: Place,
}

struct Sending<'a, P: Peer> {
    peer: &'a mut P,
    bodies: Bodies,
    pace: Pace,
    /// What is on the way, in the order of sending.
    in_flight: VecDeque<OnTheWay<P::Receipt>>,
    /// Bodies taken from the input so far.
    taken: u64,
    tally: Tally,
    progress: Progress,
    started: Instant,
}

impl<P: Peer> Sending<'_, P> {
    /// Hands over messages until the input ends or something stops it.
    async fn run(&mut self, interrupt: &Interrupt) -> Stop {
        let mut interrupted = pin!(interrupt.wait());
        let most = usize::try_from(self.pace.most).unwrap_or(usize::MAX);
        loop {
            self.progress.update(self.bodies.progress().0, &self.tally);
            let is_full = self.in_flight.len() >= most;
            let due = self.due();
            let body = tokio::select! {
                biased;
                () = &mut interrupted => return Stop::Interrupted,
                answer = oldest(&mut self.in_flight), if !self.in_flight.is_empty() => {
                    if self.peer.count(answer, &mut self.tally) { continue } else { return Stop::Broken }
                }
                body = paced(due, &mut self.bodies), if !is_full => body,
                // Noticed also while standard input is silent.
                failure = self.peer.gone() => {
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
            let place = self.place();
            let bytes = body.len();
            let handed = tokio::select! {
                biased;
                () = &mut interrupted => {
                    self.tally.skip(1);
                    return Stop::Interrupted;
                }
                handed = self.peer.hand_over(body, place, &mut self.tally) => handed,
            };
            match handed {
                Handed::OnTheWay(receipt) => self.in_flight.push_back(OnTheWay { receipt, bytes, place }),
                Handed::Ended => {}
                Handed::Broken => return Stop::Broken,
            }
        }
    }

    /// When the next message may be handed over, by its rate.
    fn due(&self) -> Option<Instant> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 messages are out of reach")]
        let seconds = self.taken as f64 / self.pace.rate?;
        self.started.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// Where the body just taken is in the input.
    fn place(&mut self) -> Place {
        let index = self.taken;
        self.taken = self.taken.saturating_add(1);
        Place { index, line: self.pace.has_lines.then_some(self.taken) }
    }

    /// Waits for the answers to what is on the way; once stopped only for a short while.
    async fn settle(&mut self, mut stop: Stop, interrupt: &Interrupt) -> Stop {
        let patience = self.pace.patience;
        if stop == Stop::End && interrupt.unless(self.settle_within(patience)).await.is_none() {
            stop = Stop::Interrupted;
        }
        if stop != Stop::End {
            self.settle_within(patience.min(LAST_ANSWERS_WHEN_STOPPED)).await;
        }
        for _ in std::mem::take(&mut self.in_flight) {
            self.tally.lose(self.peer.unanswered());
        }
        stop
    }

    async fn settle_within(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.in_flight.is_empty() {
            let answer = timeout_at(deadline, oldest(&mut self.in_flight)).await;
            let Ok(answer) = answer else { return };
            self.peer.count(answer, &mut self.tally);
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
        note(&self.peer.text(&self.tally, took));
        if global.output == Some(Form::Jsonl) {
            let mut output = Output::stdout(global.output);
            ended(output.json(&self.peer.json(&self.tally, took)).and_then(|()| output.flush()))?;
        }
        match (self.tally.failure(), stop) {
            (Some(failure), _) => Err(failure),
            (None, Stop::Interrupted) => Ok(End::Interrupted),
            (None, _) => Ok(End::Done),
        }
    }
}

/// The next body, once it is due.
///
/// # Cancel safety
/// Nothing is lost when the future is dropped.
async fn paced(due: Option<Instant>, bodies: &mut Bodies) -> Result<Option<Bytes>, Failure> {
    if let Some(due) = due {
        sleep_until(due).await;
    }
    bodies.next().await
}

/// The outcome of the oldest message on the way.
///
/// # Cancel safety
/// The receipt stays at the front until it is ready.
async fn oldest<R: Future + Unpin>(in_flight: &mut VecDeque<OnTheWay<R>>) -> Answer<R::Output> {
    let Some(OnTheWay { receipt, bytes, place }) = in_flight.front_mut() else {
        return std::future::pending().await;
    };
    let answer = Answer { outcome: receipt.await, bytes: *bytes, place: *place };
    in_flight.pop_front();
    answer
}

/// How long the last answers may take after Ctrl-C or a fault.
const LAST_ANSWERS_WHEN_STOPPED: Duration = Duration::from_secs(5);
