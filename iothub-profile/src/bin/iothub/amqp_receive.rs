//! `iothub amqp receive`: messages from a node of any AMQP 1.0 broker.

use std::time::Duration;

use amqp_codec::{
    Body, DeliveryState, DistributionMode, Error, ErrorCondition, Message, Modified, Rejected,
    SenderSettleMode, Source, ValueRef,
};
use amqp_transport::{
    Connection, CreditMode, Delivery, OnDrop, Receiver, ReceiverOptions, RecvError, SettleError,
};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::amqp_args::{AmqpReceiveArgs, BrokerAnswer};
use crate::amqp_decode::typed;
use crate::amqp_link::{
    Broker, attach_failure, broker_failure, detached, link_name, lost, receiver_mode, unanswered,
};
use crate::amqp_values::{insert_annotations, json_of};
use crate::args::Global;
use crate::connect::close;
use crate::exit::{Class, End, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, Record, Stopped, body_cell, insert_body, insert_text, note};
use crate::receive::{Next, Until};
use crate::values::time_text;

/// Receives until it has seen enough.
///
/// # Errors
/// The connection, the link, or an answer that the broker did not take.
pub(crate) async fn run(
    global: &Global,
    args: &AmqpReceiveArgs,
    interrupt: &Interrupt,
) -> Result<End, Failure> {
    let broker = Broker::new(global, &args.link)?;
    let Some(opened) = interrupt.unless(open(&broker, args)).await else { return Ok(End::Interrupted) };
    let (connection, receiver) = opened?;
    let mut until = Until::new(&args.until, interrupt);
    let mut counts = Counts::default();
    let result = receive(&receiver, args, &mut until, &mut counts, global).await;
    if receiver.is_attached() {
        give_back(&receiver).await;
    }
    close(async { drop(receiver.detach().await) }).await;
    close(async { drop(connection.close().await) }).await;
    note(&counts.text(args));
    match result {
        Ok(end) => Ok(end),
        Err(Stopped::ReaderGone) => Ok(End::Done),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

async fn open(broker: &Broker, args: &AmqpReceiveArgs) -> Result<(Connection, Receiver), Failure> {
    let (connection, session) = broker.connect(&args.link).await?;
    let mut source = Source::new(broker.address().to_owned());
    if args.browse {
        source.distribution_mode = Some(DistributionMode::COPY);
    }
    let mode = if args.settled { SenderSettleMode::Settled } else { SenderSettleMode::Mixed };
    let mut options = ReceiverOptions::new(link_name(&args.link), source)
        .credit(CreditMode::Manual)
        .snd_settle_mode(mode)
        .rcv_settle_mode(receiver_mode(&args.link))
        .on_drop(OnDrop::Release)
        .max_message_size(args.max_message_size);
    if let Some(selector) = &args.selector {
        options = options.filter(SELECTOR, SELECTOR, selector.clone());
    }
    let attached = timeout(args.link.timeout, session.attach_receiver(options)).await;
    let receiver = attached.map_err(|_| unanswered("the link"))?.map_err(|error| attach_failure(&error))?;
    if let Some(failure) = unmet(args, &receiver) {
        close(async { drop(connection.close().await) }).await;
        return Err(failure);
    }
    Ok((connection, receiver))
}

/// What was asked of the source and is not in effect, as the broker's answer shows.
// L-010, L-050
fn unmet(args: &AmqpReceiveArgs, receiver: &Receiver) -> Option<Failure> {
    let source = receiver.remote_attach().and_then(|attach| attach.source);
    let is_copying =
        source.as_ref().and_then(|it| it.distribution_mode.as_ref()) == Some(&DistributionMode::COPY);
    if args.browse && !is_copying {
        let what = "the broker does not let its messages be browsed: it would give them away";
        return Some(broker_failure(Class::Refused, what).advice(
            "leave --browse out; with --answer release each message is given back, and may come again",
        ));
    }
    let filter = source.as_ref().and_then(|source| source.filter.as_ref());
    let is_honoured = filter.is_some_and(|filter| filter.contains_key(SELECTOR));
    if args.selector.is_some() && !is_honoured {
        return Some(
            broker_failure(Class::Refused, "the broker does not honour the selector")
                .advice("leave --selector out, and choose among the messages received"),
        );
    }
    None
}

/// Credit: as much as is wanted ahead and finds room, and never for more messages than are wanted in all.
#[derive(Debug)]
struct Credit {
    ahead: u32,
    /// Messages granted and not received.
    outstanding: u32,
    /// Messages still to be granted, where their number is limited.
    left: Option<u64>,
    /// Octets that a message is taken to have: the largest allowed at first, later the largest that came lately.
    size: u64,
}

impl Credit {
    fn new(args: &AmqpReceiveArgs) -> Self {
        // A drain that has one round only asks for all at once.
        let size = if args.drain && !takes_away(args) { 0 } else { args.max_message_size };
        Self { ahead: args.credit, outstanding: 0, left: args.until.count, size }
    }

    /// What to grant now, so that credit is renewed at half.
    fn due(&mut self) -> u32 {
        let room = (ROOM / self.size.max(1)).max(1);
        let ahead = self.ahead.min(u32::try_from(room).unwrap_or(u32::MAX));
        if self.outstanding > ahead / 2 {
            return 0;
        }
        let room = ahead.saturating_sub(self.outstanding);
        let wanted = self.left.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX));
        let grant = room.min(wanted);
        self.left = self.left.map(|left| left.saturating_sub(grant.into()));
        self.outstanding = self.outstanding.saturating_add(grant);
        grant
    }

    /// A message of so many octets came. What was large once is forgotten slowly.
    fn receive(&mut self, octets: usize) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.size = octets.max(self.size.saturating_sub((self.size / 16).max(1)));
    }

    /// Whether every message that was granted has come, so that there may be more.
    fn is_used_up(&self) -> bool {
        self.outstanding == 0
    }
}

/// Whether an answered message does not come back, so that a drain may have another round.
fn takes_away(args: &AmqpReceiveArgs) -> bool {
    matches!(answer(args), BrokerAnswer::Accept | BrokerAnswer::Reject)
}

/// Gives back what is not wanted any more: credit, and messages that came ahead.
async fn give_back(receiver: &Receiver) {
    // A broker that does not answer the drain keeps what it has.
    let _ = timeout(GIVE_BACK, receiver.drain()).await;
    while let Some(delivery) = receiver.try_recv() {
        drop(delivery);
    }
}

async fn receive(
    receiver: &Receiver,
    args: &AmqpReceiveArgs,
    until: &mut Until<'_>,
    counts: &mut Counts,
    global: &Global,
) -> Result<End, Stopped> {
    let mut output = Output::stdout(global.output);
    let mut credit = Credit::new(args);
    let mut rounds = 0_u32;
    loop {
        let delivery = if args.drain {
            match (until.end(), receiver.try_recv()) {
                (Some(end), _) => return Ok(end),
                (None, Some(delivery)) => delivery,
                (None, None) if !credit.is_used_up() => return Ok(End::Done),
                (None, None) if rounds > 0 && !takes_away(args) => {
                    note("all credit is used: there may be more, for a larger --credit");
                    return Ok(End::Done);
                }
                (None, None) => {
                    rounds = rounds.saturating_add(1);
                    match drain(receiver, args, until, credit.due()).await? {
                        Some(end) => return Ok(end),
                        None => continue,
                    }
                }
            }
        } else {
            let due = credit.due();
            if due > 0 {
                receiver.add_credit(due).map_err(|error| Stopped::Failed(over(&error)))?;
            }
            match until.next(receiver.recv()).await {
                Next::Item(delivery) => delivery.map_err(|error| Stopped::Failed(over(&error)))?,
                Next::End(end) => return Ok(end),
            }
        };
        credit.receive(delivery.payload().len());
        // Printed first: a message is answered only when its reader has it.
        let received = Received::new(&delivery).map_err(Stopped::Failed)?;
        output.record(&received)?;
        output.flush()?;
        until.count();
        counts.received = counts.received.saturating_add(1);
        if delivery.is_settled() {
            counts.settled = counts.settled.saturating_add(1);
            continue;
        }
        match timeout(args.link.timeout, delivery.settle_confirmed(state(answer(args)))).await {
            Ok(Ok(())) => counts.answered = counts.answered.saturating_add(1),
            Ok(Err(error)) => return Err(Stopped::Failed(unsettled(&error))),
            Err(_) => return Err(Stopped::Failed(unanswered("an outcome"))),
        }
    }
}

/// Asks for so many messages and waits until the broker has sent what it has of them; how it ends, where it does.
async fn drain(
    receiver: &Receiver,
    args: &AmqpReceiveArgs,
    until: &Until<'_>,
    credit: u32,
) -> Result<Option<End>, Stopped> {
    let drained = async {
        receiver.add_credit(credit)?;
        receiver.drain().await
    };
    match until.next(timeout(args.link.timeout, drained)).await {
        Next::Item(Ok(drained)) => drained.map(|()| None).map_err(|error| Stopped::Failed(over(&error))),
        Next::Item(Err(_)) => Err(Stopped::Failed(unanswered("the drain"))),
        Next::End(end) => Ok(Some(end)),
    }
}

/// What to answer: to who browses, messages never go away.
fn answer(args: &AmqpReceiveArgs) -> BrokerAnswer {
    if args.browse { BrokerAnswer::Release } else { args.answer }
}

fn state(answer: BrokerAnswer) -> DeliveryState {
    let modified = Modified::default();
    match answer {
        BrokerAnswer::Accept => DeliveryState::Accepted,
        BrokerAnswer::Release => DeliveryState::Released,
        BrokerAnswer::Fail => DeliveryState::Modified(Modified { delivery_failed: Some(true), ..modified }),
        BrokerAnswer::Undeliverable => {
            DeliveryState::Modified(Modified { undeliverable_here: Some(true), ..modified })
        }
        BrokerAnswer::Reject => {
            let error =
                Error::new(ErrorCondition::NOT_ALLOWED).with_description("rejected on the command line");
            DeliveryState::Rejected(Rejected { error: Some(error) })
        }
    }
}

fn over(error: &RecvError) -> Failure {
    match error {
        RecvError::Detached(reason) => detached(reason),
        RecvError::Lost(reason) => lost(reason),
        other => broker_failure(Class::Failed, other.to_string()),
    }
}

/// An answer that did not reach the broker, or that it did not take: the message may come again.
fn unsettled(error: &SettleError) -> Failure {
    broker_failure(Class::OutcomeUnknown, format!("the answer to the last message was not taken: {error}"))
        .retry("helps; the broker may deliver the message again")
}

/// What was received.
#[derive(Debug, Default)]
struct Counts {
    received: u64,
    settled: u64,
    answered: u64,
}

impl Counts {
    fn text(&self, args: &AmqpReceiveArgs) -> String {
        let how = match answer(args) {
            BrokerAnswer::Accept => "accepted",
            BrokerAnswer::Reject => "rejected",
            BrokerAnswer::Release => "released",
            BrokerAnswer::Fail | BrokerAnswer::Undeliverable => "modified",
        };
        let settled = match self.settled {
            0 => String::new(),
            settled => format!(", settled by the sender {settled}"),
        };
        format!("received {}, {how} {}{settled}", self.received, self.answered)
    }
}

/// A message as it is printed.
#[derive(Debug)]
struct Received {
    message: Message,
    format: u32,
    is_settled: bool,
}

impl Received {
    fn new(delivery: &Delivery) -> Result<Self, Failure> {
        let message = delivery.message().map_err(|error| {
            broker_failure(Class::Failed, format!("the broker sent what is no message: {error}"))
        })?;
        Ok(Self { message, format: delivery.message_format(), is_settled: delivery.is_settled() })
    }

    /// The octets of a data body, or the text of a body that is a string.
    fn octets(&self) -> Option<Vec<u8>> {
        match &self.message.body {
            Body::Value(value) => value.as_str().map(|text| text.as_bytes().to_vec()),
            Body::Empty => Some(Vec::new()),
            _ => self.message.body_bytes().map(|octets| octets.to_vec()),
        }
    }

    /// The body of a message that is neither octets nor text, in the notation of `amqp decode`.
    fn body_value(&self) -> Value {
        match &self.message.body {
            Body::Value(value) => typed(value.view()),
            Body::Sequence(lists) => lists.iter().map(|list| typed(ValueRef::List(list))).collect(),
            _ => Value::Null,
        }
    }

    fn insert_properties(&self, object: &mut Map<String, Value>) {
        let Some(properties) = &self.message.properties else { return };
        for (name, id) in
            [("message_id", &properties.message_id), ("correlation_id", &properties.correlation_id)]
        {
            insert_text(object, name, id.as_ref().map(ToString::to_string));
        }
        let user = properties.user_id.as_ref().map(|user| String::from_utf8_lossy(user).into_owned());
        insert_text(object, "user_id", user);
        let texts = [
            ("to", &properties.to),
            ("subject", &properties.subject),
            ("reply_to", &properties.reply_to),
            ("group_id", &properties.group_id),
            ("reply_to_group_id", &properties.reply_to_group_id),
        ];
        for (name, text) in texts {
            insert_text(object, name, text.as_ref().map(ToString::to_string));
        }
        for (name, symbol) in
            [("content_type", &properties.content_type), ("content_encoding", &properties.content_encoding)]
        {
            insert_text(object, name, symbol.as_ref().map(ToString::to_string));
        }
        for (name, time) in [
            ("absolute_expiry_time", properties.absolute_expiry_time),
            ("creation_time", properties.creation_time),
        ] {
            insert_text(object, name, time.map(|time| time_text(time.0)));
        }
        if let Some(sequence) = properties.group_sequence {
            object.insert("group_sequence".into(), sequence.into());
        }
    }

    fn insert_header(&self, object: &mut Map<String, Value>) {
        let Some(header) = &self.message.header else { return };
        let mut fields = json!({
            "durable": header.durable,
            "priority": header.priority,
            "first_acquirer": header.first_acquirer,
            "delivery_count": header.delivery_count,
        });
        if let (Some(ttl), Value::Object(fields)) = (header.ttl, &mut fields) {
            fields.insert("ttl_ms".into(), ttl.into());
        }
        object.insert("header".into(), fields);
    }
}

impl Record for Received {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("MESSAGE ID", 36), ("SUBJECT", 16), ("BYTES", 8), ("BODY", 0)];

    fn cells(&self) -> Vec<String> {
        let octets = self.octets();
        let properties = self.message.properties.as_ref();
        let id = properties.and_then(|properties| properties.message_id.as_ref()).map(ToString::to_string);
        let subject = properties.and_then(|properties| properties.subject.as_ref()).map(ToString::to_string);
        vec![
            id.unwrap_or_default(),
            subject.unwrap_or_default(),
            octets.as_ref().map(|octets| octets.len().to_string()).unwrap_or_default(),
            octets.map_or_else(|| self.body_value().to_string(), |octets| body_cell(&octets)),
        ]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        self.insert_header(&mut object);
        self.insert_properties(&mut object);
        insert_annotations(&mut object, "delivery_annotations", self.message.delivery_annotations.as_ref());
        insert_annotations(&mut object, "message_annotations", self.message.message_annotations.as_ref());
        if let Some(properties) = &self.message.application_properties {
            let entries = properties.iter().map(|(name, value)| (name.to_string(), json_of(value)));
            object.insert("properties".into(), Value::Object(entries.collect()));
        }
        insert_annotations(&mut object, "footer", self.message.footer.as_ref());
        if self.format != 0 {
            object.insert("message_format".into(), self.format.into());
        }
        if self.is_settled {
            object.insert("settled".into(), true.into());
        }
        match self.octets() {
            Some(octets) => insert_body(&mut object, &octets),
            None => drop(object.insert("body_value".into(), self.body_value())),
        }
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        self.octets().unwrap_or_else(|| self.body_value().to_string().into_bytes())
    }
}

/// How long a broker may take to give credit back at the end.
const GIVE_BACK: Duration = Duration::from_secs(2);
/// Octets of messages that credit is granted for, by the sizes seen: well below what the connection holds.
const ROOM: u64 = 256 * 1024 * 1024;
/// Name and descriptor of the filter that most brokers know for selectors.
const SELECTOR: &str = "apache.org:selector-filter:string";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_renewed_at_half_and_never_granted_for_more_than_is_wanted() {
        let mut credit = Credit { ahead: 4, outstanding: 0, left: Some(6), size: 1 };
        assert_eq!(credit.due(), 4);
        credit.receive(1);
        assert_eq!(credit.due(), 0, "three are still on the way");
        credit.receive(1);
        assert_eq!(credit.due(), 2, "two of six are left to grant");
        (0..4).for_each(|_| credit.receive(1));
        assert_eq!((credit.due(), credit.outstanding), (0, 0));
        let mut endless = Credit { ahead: 1, outstanding: 0, left: None, size: 1 };
        assert_eq!(endless.due(), 1);
        endless.receive(1);
        assert_eq!(endless.due(), 1);
    }

    #[test]
    fn credit_is_granted_for_what_finds_room() {
        const MIB: usize = 1024 * 1024;
        let mut credit = Credit { ahead: 100, outstanding: 0, left: None, size: 64 * 1024 * 1024 };
        assert_eq!(credit.due(), 4, "each may be as large as is allowed");
        (0..100).for_each(|_| credit.receive(10));
        assert_eq!(credit.due(), 100, "small ones came");
        (0..100).for_each(|_| credit.receive(50 * MIB));
        assert_eq!(credit.due(), 5);
        let mut tiny = Credit { ahead: 100, outstanding: 0, left: None, size: 0 };
        assert_eq!(tiny.due(), 100);
        (0..100).for_each(|_| tiny.receive(usize::MAX));
        assert_eq!(tiny.due(), 1, "one at least");
    }
}
