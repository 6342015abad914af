//! `iothub amqp send`: messages to a node of any AMQP 1.0 broker.

use std::time::Duration;

use amqp_codec::{ErrorCondition, Header, Message, Outcome, Properties, SenderSettleMode, to_bytes};
use amqp_transport::{Connection, DetachReason, Receipt, SendError, Sender, SenderOptions, Settlement};
use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use crate::amqp_args::{AmqpBodyArgs, AmqpSendArgs, BodyKind};
use crate::amqp_failure::{attach_failure, broker_failure, detached, lost, unanswered};
use crate::amqp_link::{Broker, link_name, receiver_mode};
use crate::amqp_values::{TypedProperty, symbol};
use crate::args::Global;
use crate::connect::close;
use crate::exit::{Class, End, Failure};
use crate::hub_args::PropertyArgs;
use crate::input::{Bodies, Cut, Source};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::properties::message_id;
use crate::sending::{Answer, Handed, Pace, Peer, Place, send};
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
    // The end of the input is not the end of the send where a number is given.
    let progress = Progress::new(bodies.progress().1.filter(|_| args.count.is_none()));
    let patience = args.link.timeout;
    let pace = Pace { has_lines: args.lines, most: args.in_flight, rate: args.rate, patience };
    let mut node = Node { sender: &sender, args, template };
    let result = send(&mut node, bodies, progress, pace, global, interrupt).await;
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
    let ascii = |text: &Option<String>, option: &str| {
        text.as_deref().map(symbol).transpose().map_err(|what| not_ascii(format!("--{option}: {what}")))
    };
    let section = Properties {
        to: text(&more.to),
        subject: text(&more.subject),
        reply_to: text(&more.reply_to),
        correlation_id: correlation_id.clone().map(Into::into),
        content_type: ascii(content_type, "content-type")?,
        content_encoding: ascii(content_encoding, "content-encoding")?,
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
        message = message.with_message_annotation(
            symbol(name).map_err(|what| not_ascii(format!("--annotation: {what}")))?,
            value.clone(),
        );
    }
    Ok(message)
}

/// A broker's node, as messages are sent to it.
struct Node<'a> {
    sender: &'a Sender,
    args: &'a AmqpSendArgs,
    template: Message,
}

impl Peer for Node<'_> {
    type Receipt = Receipt;

    async fn hand_over(&mut self, body: Bytes, place: Place, tally: &mut Tally) -> Handed<Receipt> {
        let message = match self.message(body, place) {
            Ok(message) => message,
            Err(failure) => {
                tally.skip(1);
                tally.stop(place.during(failure));
                return Handed::Broken;
            }
        };
        let settlement = if self.args.settled { Settlement::Settled } else { Settlement::Unsettled };
        let handing = self.sender.send_encoded(to_bytes(&message), 0, settlement);
        let Ok(receipt) = timeout(self.args.link.timeout, handing).await else {
            tally.skip(1);
            let what = format!("the broker took no message for {} s", self.args.link.timeout.as_secs_f64());
            tally.stop(
                broker_failure(Class::TooLarge, what).retry("helps when the broker takes messages again"),
            );
            return Handed::Broken;
        };
        tally.hand_over();
        match receipt {
            Ok(receipt) => Handed::OnTheWay(receipt),
            Err(error) => Handed::ended(fail(&error, place, tally)),
        }
    }

    fn count(&self, answer: Answer<Result<Outcome, SendError>>, tally: &mut Tally) -> bool {
        let Answer { outcome, bytes, place } = answer;
        match outcome {
            Ok(_) if self.args.settled => tally.settle(bytes),
            Ok(Outcome::Accepted) => tally.accept(bytes),
            Ok(Outcome::Rejected(error)) => {
                let why = error.map(|error| format!(": {error}")).unwrap_or_default();
                tally.reject(
                    place.during(broker_failure(
                        Class::Refused,
                        format!("the broker rejected the message{why}"),
                    )),
                );
            }
            Ok(Outcome::Released) => tally.release(place.during(not_taken("released"))),
            Ok(Outcome::Modified(_)) => tally.modify(place.during(not_taken("gave back as modified"))),
            Err(error) => return fail(&error, place, tally),
        }
        true
    }

    async fn gone(&mut self) -> Failure {
        detached(&self.sender.detached().await)
    }

    fn unanswered(&self) -> Failure {
        broker_failure(Class::OutcomeUnknown, "the broker did not answer in time")
    }

    fn text(&self, tally: &Tally, took: Duration) -> String {
        tally.broker_text(took)
    }

    fn json(&self, tally: &Tally, took: Duration) -> Value {
        tally.broker_json(took)
    }
}

impl Node<'_> {
    fn message(&self, body: Bytes, place: Place) -> Result<Message, Failure> {
        let is_one = !self.args.lines && self.args.count.is_none();
        let mut message = self.template.clone();
        if let Some(id) = message_id(&self.args.properties, (!is_one).then_some(place.index)) {
            message = message.with_message_id(id);
        }
        message.body = match self.args.kind {
            BodyKind::Data => amqp_codec::Body::Data(body),
            BodyKind::Text => {
                let text = String::from_utf8(body.into()).map_err(|_| {
                    Failure::new(Class::Usage, "the body is not UTF-8, and so no text")
                        .fault("the body, or --as text")
                        .advice("send it with --as data")
                })?;
                amqp_codec::Body::from(text)
            }
        };
        Ok(message)
    }
}

/// Puts a message that was not answered with an outcome into its column; tells whether the link serves the next one.
fn fail(error: &SendError, place: Place, tally: &mut Tally) -> bool {
    let failure = |class| place.during(broker_failure(class, error.to_string()));
    match error {
        SendError::TooLarge { .. } => {
            tally.reject(failure(Class::TooLarge));
            true
        }
        SendError::NoOutcome => {
            tally.lose(failure(Class::OutcomeUnknown));
            true
        }
        // L-039: told of the message itself, and so a word about it.
        SendError::OutcomeUnknown(DetachReason::Remote(reason))
            if reason.condition == ErrorCondition::MESSAGE_SIZE_EXCEEDED =>
        {
            tally.reject(place.during(broker_failure(
                Class::TooLarge,
                format!("the broker does not take a message of this size: {reason}"),
            )));
            false
        }
        SendError::OutcomeUnknown(_) => {
            tally.lose(failure(Class::OutcomeUnknown));
            false
        }
        SendError::Lost(reason) => {
            tally.never_sent(place.during(lost(reason)));
            false
        }
        SendError::Detached(reason) => {
            tally.never_sent(place.during(detached(reason)));
            false
        }
        _ => {
            tally.never_sent(failure(Class::Refused));
            false
        }
    }
}

fn not_taken(how: &str) -> Failure {
    broker_failure(Class::Refused, format!("the broker {how} the message, and does not keep it"))
        .retry("may help, later")
}

/// The longest body read at all.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// AMQP 1.0 §3.2.1
const DEFAULT_PRIORITY: u8 = 4;
/// What a made-up body consists of.
const DIGITS: &str = "0123456789";
