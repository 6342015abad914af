//! `iothub amqp receive`: messages from a node of any AMQP 1.0 broker.

use std::time::Duration;

use amqp_codec::{
    DeliveryState, DistributionMode, Error, ErrorCondition, Modified, Rejected, SenderSettleMode, Source,
};
use amqp_transport::{
    Connection, CreditMode, DetachReason, OnDrop, Receiver, ReceiverOptions, RecvError, SettleError,
};
use tokio::time::timeout;

use crate::amqp_args::{AmqpReceiveArgs, BrokerAnswer};
use crate::amqp_credit::Credit;
use crate::amqp_failure::{attach_failure, broker_failure, detached, lost, unanswered};
use crate::amqp_link::{Broker, link_name, receiver_mode};
use crate::amqp_received::Received;
use crate::args::Global;
use crate::connect::close;
use crate::exit::{Class, End, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, Stopped, note};
use crate::receive::{Next, Until};

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
    // A drain that has one round only asks for all at once.
    let size = if args.drain && !takes_away(args) { 0 } else { args.max_message_size };
    let mut credit = Credit::new(args.credit, args.until.count, size);
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
        // Whoever of the two noticed it.
        RecvError::Detached(DetachReason::Violation(fault) | DetachReason::Remote(fault))
            if fault.condition == ErrorCondition::MESSAGE_SIZE_EXCEEDED =>
        {
            broker_failure(Class::TooLarge, format!("a message is larger than is taken: {fault}"))
                .fault("the message's size, or --max-message-size")
                .retry("does not help until this is corrected")
                .advice("give a larger --max-message-size")
        }
        RecvError::Detached(DetachReason::OverLimit(fault)) => {
            broker_failure(Class::TooLarge, format!("the broker sent more than is held at once: {fault}"))
                .fault("more and larger messages, or more in them, than this command holds at once")
                .retry("may help, with less credit")
                .advice("give a smaller --credit")
        }
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

/// How long a broker may take to give credit back at the end.
const GIVE_BACK: Duration = Duration::from_secs(2);
/// Name and descriptor of the filter that most brokers know for selectors.
const SELECTOR: &str = "apache.org:selector-filter:string";

#[cfg(test)]
mod tests {
    use amqp_transport::RemoteError;

    use super::*;

    #[test]
    fn a_message_beyond_a_limit_of_this_command_is_told_with_the_option_that_sets_it() {
        let fault = |condition| RemoteError::from(Error::new(condition));
        let too_large = || fault(ErrorCondition::MESSAGE_SIZE_EXCEEDED);
        for (reason, advice) in [
            (DetachReason::Violation(too_large()), "give a larger --max-message-size"),
            (DetachReason::Remote(too_large()), "give a larger --max-message-size"),
            (
                DetachReason::OverLimit(fault(ErrorCondition::RESOURCE_LIMIT_EXCEEDED)),
                "give a smaller --credit",
            ),
        ] {
            let failure = over(&RecvError::Detached(reason));
            let text = failure.to_string();
            assert_eq!(failure.class(), Class::TooLarge, "{text}");
            assert!(text.contains(advice), "{text}");
        }
    }
}
