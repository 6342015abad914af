//! `iothub c2d send`: a service's message to a device.

use iothub_profile::clock::{Clock, SystemClock};
use iothub_profile::message::{Ack as HubAck, C2dMessage};
use iothub_profile::service::ServiceClient;
use iothub_profile::supervisor::ReconnectPolicy;
use serde_json::{Value, json};

use crate::args::Global;
use crate::connect::{close, failure, options, service_string};
use crate::device_send::source;
use crate::exit::{End, Failure};
use crate::hub_args::{Ack, C2dSendArgs};
use crate::input::{Bodies, Cut, MAX_BODY};
use crate::interrupt::Interrupt;
use crate::output::{Output, Record, ended, note};
use crate::properties;
use crate::sending::Place;
use crate::tally::Tally;

/// Sends the message as often as asked, and stops at the first that the hub does not take.
///
/// # Errors
/// The input, the connection, or a message that the hub did not accept.
pub(crate) async fn run(global: &Global, args: &C2dSendArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let string = service_string(global)?;
    let mut bodies = Bodies::open(&source(&args.body), Cut::Whole, Some(args.count), MAX_BODY)?;
    let options = options(global, &args.auth)?.with_reconnect(ReconnectPolicy::Never);
    let Some(client) = interrupt.unless(ServiceClient::open(&string, options)).await else {
        return Ok(End::Interrupted);
    };
    let client = client.map_err(|error| failure(&error))?;
    let started = tokio::time::Instant::now();
    let mut tally = Tally::default();
    let mut output = Output::stdout(global.output);
    let sent = interrupt.unless(send(&client, args, &mut bodies, &mut tally, &mut output)).await;
    let is_interrupted = sent.is_none();
    if let Some(Err(failure)) = sent {
        tally.keep(failure);
    }
    if tally.waiting() > 0 {
        // Given up on by Ctrl-C after it was handed over.
        tally.give_up("interrupted before the hub answered");
    }
    if let Ok(Some(rest)) = bodies.count_rest().await {
        tally.skip(rest);
    }
    note(&tally.text(started.elapsed()));
    close(client.close()).await;
    match tally.failure() {
        Some(failure) => Err(failure),
        None if is_interrupted => Ok(End::Interrupted),
        None => Ok(End::Done),
    }
}

async fn send(
    client: &ServiceClient,
    args: &C2dSendArgs,
    bodies: &mut Bodies,
    tally: &mut Tally,
    output: &mut Output<std::io::Stdout>,
) -> Result<(), Failure> {
    while let Some(body) = bodies.next().await? {
        let bytes = body.len();
        let number = if args.count == 1 { None } else { Some(tally.sent) };
        let mut command = properties::command(C2dMessage::new(body), &args.properties, number)?;
        if args.ack != Ack::None {
            command = command.with_ack(hub_ack(args.ack));
        }
        if let Some(expiry) = args.ttl.and_then(|ttl| SystemClock.now().checked_add(ttl)) {
            command = command.with_expiry(expiry);
        }
        tally.hand_over();
        if let Err(error) = client.send_command(&args.device, &command).await {
            tally.fail(&error, Place::default());
            return Ok(());
        }
        tally.accept(bytes);
        let message_id = command.message_id().unwrap_or_default().to_owned();
        let sent = Sent { device_id: args.device.clone(), message_id };
        ended(output.record(&sent).and_then(|()| output.flush()))?;
    }
    Ok(())
}

fn hub_ack(ack: Ack) -> HubAck {
    match ack {
        Ack::None => HubAck::None,
        Ack::Positive => HubAck::Positive,
        Ack::Negative => HubAck::Negative,
        Ack::Full => HubAck::Full,
    }
}

/// A message the hub has queued; feedback names it by its id.
struct Sent {
    device_id: String,
    message_id: String,
}

impl Record for Sent {
    const COLUMNS: &'static [(&'static str, usize)] = &[("DEVICE", 16), ("MESSAGE ID", 0)];

    fn cells(&self) -> Vec<String> {
        vec![self.device_id.clone(), self.message_id.clone()]
    }

    fn json(&self) -> Value {
        json!({ "device_id": self.device_id, "message_id": self.message_id })
    }

    fn raw(&self) -> Vec<u8> {
        self.message_id.clone().into_bytes()
    }
}
