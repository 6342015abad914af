//! `iothub amqp send`: messages to a node of any AMQP 1.0 broker.
//!
//! Many messages are on the way at once, up to a bound, and the input is read as it is sent. Every message ends in exactly
//! one column of the count at the end: what the broker said, or what is proven otherwise.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::Duration;

use amqp_codec::{Header, Message, Outcome, Properties, SenderSettleMode, to_bytes};
use amqp_transport::{Connection, Receipt, SendError, Sender, SenderOptions, Settlement};
use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::amqp_args::{AmqpBodyArgs, AmqpSendArgs, BodyKind};
use crate::amqp_link::{
    Broker, attach_failure, broker_failure, detached, link_name, lost, receiver_mode, unanswered,
};
use crate::amqp_values::{TypedProperty, symbol};
use crate::args::{Form, Global, PropertyArgs};
use crate::connect::close;
use crate::exit::{Class, End, Failure};
use crate::input::{Bodies, Cut, Source};
use crate::interrupt::Interrupt;
use crate::output::{Output, ended, note};
use crate::progress::Progress;
use crate::properties::message_id;
use crate::tally::Tally;

/// Sends what the command line says.
///
/// # Errors
/// The input, the connection, or any message that the broker did not accept.
pub(crate) async fn run(global: &Global, args: &AmqpSendArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let broker = Broker::new(global, &args.link)?;
    let template = template(args)?;
    let cut = if args.lines { Cut::Lines } else { Cut::Whole };
    let bodies = Bodies::open(&source(&args.body), cut, args.count, MAX_BODY)?;
    let Some(opened) = interrupt.unless(open(&broker, args)).await else { return Ok(End::Interrupted) };
    let (connection, sender) = opened?;
    let mut sending = Sending {
        sender: &sender,
        args,
        template,
        progress: Progress::new(bodies.progress().1.filter(|_| args.count.is_none())),
        bodies,
        in_flight: VecDeque::new(),
        taken: 0,
        tally: Tally::default(),
        started: Instant::now(),
    };
    let stop = sending.run(interrupt).await;
    let stop = sending.settle(stop, interrupt).await;
    let result = sending.report(global, stop).await;
    close(async { drop(connection.close().await) }).await;
    result
}

async fn open(broker: &Broker, args: &AmqpSendArgs) -> Result<(Connection, Sender), Failure> {
    let (connection, session) = broker.connect(&args.link).await?;
    let mode = if args.settled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
    let options = SenderOptions::new(link_name(&args.link), broker.address())
        .snd_settle_mode(mode)
        .rcv_settle_mode(receiver_mode(&args.link));
    let attached = timeout(args.link.timeout, session.attach_sender(options)).await;
    let sender = attached.map_err(|_| unanswered("the link"))?.map_err(|error| attach_failure(&error))?;
    Ok((connection, sender))
}

fn source(body: &AmqpBodyArgs) -> Source {
    match (&body.file, &body.body, body.size) {
        (Some(path), ..) => Source::File(path.clone()),
        (None, Some(text), _) => Source::Text(text.clone()),
        (None, None, Some(size)) => {
            Source::Text(DIGITS.chars().cycle().take(usize::try_from(size).unwrap_or(usize::MAX)).collect())
        }
        _ => Source::Stdin,
    }
}

/// The message without its body and its id, which differ.
fn template(args: &AmqpSendArgs) -> Result<Message, Failure> {
    let more = &args.more;
    let not_ascii = |what: String| Failure::new(Class::Usage, what);
    let mut message = Message::default();
    if more.durable || more.priority.is_some() || more.ttl.is_some() {
        let ttl = more.ttl.map(|ttl| u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX));
        message.header = Some(Header {
            durable: more.durable,
            priority: more.priority.unwrap_or(DEFAULT_PRIORITY),
            ttl,
            ..Header::default()
        });
    }
    let PropertyArgs { properties, correlation_id, content_type, content_encoding, message_id: _ } =
        &args.properties;
    let text = |text: &Option<String>| text.clone().map(Into::into);
    let ascii = |text: &Option<String>| text.as_deref().map(symbol).transpose().map_err(not_ascii);
    let section = Properties {
        to: text(&more.to),
        subject: text(&more.subject),
        reply_to: text(&more.reply_to),
        correlation_id: correlation_id.clone().map(Into::into),
        content_type: ascii(content_type)?,
        content_encoding: ascii(content_encoding)?,
        group_id: text(&more.group_id),
        ..Properties::default()
    };
    if section != Properties::default() {
        message = message.with_properties(section);
    }
    for property in properties {
        message = message.with_application_property(property.name.clone(), property.value.clone());
    }
    for TypedProperty { name, value } in &more.typed {
        message = message.with_application_property(name.clone(), value.clone());
    }
    for TypedProperty { name, value } in &more.annotations {
        message = message.with_message_annotation(symbol(name).map_err(not_ascii)?, value.clone());
    }
    Ok(message)
}

/// Why no more messages are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// All are sent.
    End,
    /// Ctrl-C.
    Interrupted,
    /// The link, or the input, is broken.
    Broken,
}

/// A message on the way.
struct OnTheWay {
    receipt: Receipt,
    bytes: usize,
    /// Its number in the input, where that has lines.
    line: Option<u64>,
}

/// What became of a message that was on the way.
type Answer = (Result<Outcome, SendError>, usize, Option<u64>);

struct Sending<'a> {
    sender: &'a Sender,
    args: &'a AmqpSendArgs,
    template: Message,
    bodies: Bodies,
    /// What is on the way, in the order of sending.
    in_flight: VecDeque<OnTheWay>,
    /// Bodies taken from the input so far.
    taken: u64,
    tally: Tally,
    progress: Progress,
    started: Instant,
}

impl Sending<'_> {
    /// Hands over messages until the input ends or something stops it.
    async fn run(&mut self, interrupt: &Interrupt) -> Stop {
        let mut interrupted = pin!(interrupt.wait());
        let sender = self.sender;
        let most = usize::try_from(self.args.in_flight).unwrap_or(usize::MAX);
        loop {
            self.progress.update(self.bodies.progress().0, &self.tally);
            let is_full = self.in_flight.len() >= most;
            let due = self.due();
            let body = tokio::select! {
                biased;
                () = &mut interrupted => return Stop::Interrupted,
                answer = oldest(&mut self.in_flight), if !self.in_flight.is_empty() => {
                    if self.count(answer) { continue } else { return Stop::Broken }
                }
                body = paced(due, &mut self.bodies), if !is_full => body,
                // Noticed also while standard input is silent.
                reason = sender.detached() => {
                    self.tally.stop(detached(&reason));
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

    /// When the next message may be handed over, by `--rate`.
    fn due(&self) -> Option<Instant> {
        #[expect(clippy::cast_precision_loss, reason = "2^53 messages are out of reach")]
        let seconds = self.taken as f64 / self.args.rate?;
        self.started.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }

    /// Hands over one message; tells whether the link serves the next one.
    async fn hand_over(&mut self, body: Bytes) -> bool {
        let bytes = body.len();
        let line = self.args.lines.then_some(self.taken);
        let message = match self.message(body) {
            Ok(message) => message,
            Err(failure) => {
                self.tally.skip(1);
                self.tally.stop(failure);
                return false;
            }
        };
        let settlement = if self.args.settled { Settlement::Settled } else { Settlement::Unsettled };
        let handing = self.sender.send_encoded(to_bytes(&message), 0, settlement);
        let Ok(receipt) = timeout(self.args.link.timeout, handing).await else {
            self.tally.skip(1);
            let what = format!("the broker took no message for {} s", self.args.link.timeout.as_secs_f64());
            self.tally.stop(
                broker_failure(Class::TooLarge, what).retry("helps when the broker takes messages again"),
            );
            return false;
        };
        self.tally.hand_over();
        match receipt {
            Ok(receipt) => {
                self.in_flight.push_back(OnTheWay { receipt, bytes, line });
                true
            }
            Err(error) => self.fail(&error, line),
        }
    }

    fn message(&self, body: Bytes) -> Result<Message, Failure> {
        let is_one = !self.args.lines && self.args.count.is_none();
        let number = if is_one { None } else { Some(self.taken.saturating_sub(1)) };
        let mut message = self.template.clone();
        if let Some(id) = message_id(&self.args.properties, number) {
            message = message.with_message_id(id);
        }
        message.body = match self.args.kind {
            BodyKind::Data => amqp_codec::Body::Data(body),
            BodyKind::Text => {
                let text = String::from_utf8(body.into()).map_err(|_| {
                    Failure::new(Class::Usage, "the body is not UTF-8, and so no text")
                        .advice("send it with --as data")
                })?;
                amqp_codec::Body::from(text)
            }
        };
        Ok(message)
    }

    /// Puts a message that ended into its column; tells whether the link serves the next one.
    fn count(&mut self, (outcome, bytes, line): Answer) -> bool {
        match outcome {
            Ok(_) if self.args.settled => self.tally.settle(bytes),
            Ok(Outcome::Accepted) => self.tally.accept(bytes),
            Ok(Outcome::Rejected(error)) => {
                let why = error.map(|error| format!(": {error}")).unwrap_or_default();
                self.tally.reject(during(
                    line,
                    broker_failure(Class::Refused, format!("the broker rejected the message{why}")),
                ));
            }
            Ok(Outcome::Released) => self.tally.release(during(line, not_taken("released"))),
            Ok(Outcome::Modified(_)) => self.tally.modify(during(line, not_taken("gave back as modified"))),
            Err(error) => return self.fail(&error, line),
        }
        true
    }

    fn fail(&mut self, error: &SendError, line: Option<u64>) -> bool {
        let failure = |class| during(line, broker_failure(class, error.to_string()));
        match error {
            SendError::TooLarge { .. } => {
                self.tally.reject(failure(Class::TooLarge));
                true
            }
            SendError::NoOutcome => {
                self.tally.lose(failure(Class::OutcomeUnknown));
                true
            }
            SendError::OutcomeUnknown(_) => {
                self.tally.lose(failure(Class::OutcomeUnknown));
                false
            }
            SendError::Lost(reason) => {
                self.tally.never_sent(during(line, lost(reason)));
                false
            }
            SendError::Detached(reason) => {
                self.tally.never_sent(during(line, detached(reason)));
                false
            }
            _ => {
                self.tally.never_sent(failure(Class::Refused));
                false
            }
        }
    }

    /// Waits for the answers to what is on the way; once stopped only for a short while.
    async fn settle(&mut self, mut stop: Stop, interrupt: &Interrupt) -> Stop {
        let patience = self.args.link.timeout;
        if stop == Stop::End && interrupt.unless(self.settle_within(patience)).await.is_none() {
            stop = Stop::Interrupted;
        }
        if stop != Stop::End {
            self.settle_within(patience.min(LAST_ANSWERS_WHEN_STOPPED)).await;
        }
        for _ in std::mem::take(&mut self.in_flight) {
            self.tally.lose(broker_failure(Class::OutcomeUnknown, "the broker did not answer in time"));
        }
        stop
    }

    async fn settle_within(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while !self.in_flight.is_empty() {
            let answer = timeout_at(deadline, oldest(&mut self.in_flight)).await;
            let Ok(answer) = answer else { return };
            self.count(answer);
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
        note(&self.tally.broker_text(took));
        if global.output == Some(Form::Jsonl) {
            let mut output = Output::stdout(global.output);
            ended(output.json(&self.tally.broker_json(took)).and_then(|()| output.flush()))?;
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
async fn oldest(in_flight: &mut VecDeque<OnTheWay>) -> Answer {
    let Some(OnTheWay { receipt, bytes, line }) = in_flight.front_mut() else {
        return std::future::pending().await;
    };
    let answer = (receipt.await, *bytes, *line);
    in_flight.pop_front();
    answer
}

fn not_taken(how: &str) -> Failure {
    broker_failure(Class::Refused, format!("the broker {how} the message, and does not keep it"))
        .retry("may help, later")
}

fn during(line: Option<u64>, failure: Failure) -> Failure {
    match line {
        Some(line) => failure.during(&format!("line {line}")),
        None => failure,
    }
}

/// The longest body read at all.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// AMQP 1.0 §3.2.1
const DEFAULT_PRIORITY: u8 = 4;
/// What a made-up body consists of.
const DIGITS: &str = "0123456789";
/// How long the last answers may take after Ctrl-C or a fault.
const LAST_ANSWERS_WHEN_STOPPED: Duration = Duration::from_secs(5);
