//! `iothub device send`: telemetry from the command line, a file or standard input.

use std::time::Duration;

use bytes::Bytes;
use iothub_profile::Error;
use iothub_profile::device::{DeviceClient, SendReceipt};
use iothub_profile::message::TelemetryMessage;
use iothub_profile::supervisor::{ConnectionStatus, ReconnectPolicy};
use serde_json::Value;
use tokio::sync::watch;

use crate::args::Global;
use crate::connect::{close, device_string, failure, options};
use crate::exit::{Class, End, Failure};
use crate::hub_args::{BodyArgs, SendArgs};
use crate::input::{Bodies, Cut, MAX_BODY, Source};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::properties;
use crate::sending::{Answer, Handed, Pace, Peer, Place, send};
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
    // The end of the input is not the end of the send where a number is given.
    let progress = Progress::new(bodies.progress().1.filter(|_| args.count.is_none()));
    let pace = Pace { has_lines: args.lines, most: args.in_flight, rate: None, patience: LAST_ANSWERS };
    let mut hub = Hub { client: &client, status: client.status(), args };
    let result = send(&mut hub, bodies, progress, pace, global, interrupt).await;
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

/// The hub, as a device sends to it.
struct Hub<'a> {
    client: &'a DeviceClient,
    status: watch::Receiver<ConnectionStatus>,
    args: &'a SendArgs,
}

impl Peer for Hub<'_> {
    type Receipt = SendReceipt;

    async fn hand_over(&mut self, body: Bytes, place: Place, tally: &mut Tally) -> Handed<SendReceipt> {
        let is_one = !self.args.lines && self.args.count.is_none();
        let number = (!is_one).then_some(place.index);
        let message = match properties::telemetry(TelemetryMessage::new(body), &self.args.properties, number)
        {
            Ok(message) => message,
            Err(failure) => {
                tally.skip(1);
                tally.stop(failure);
                return Handed::Broken;
            }
        };
        let receipt = self.client.send_with_receipt(&message).await;
        tally.hand_over();
        match receipt {
            Ok(receipt) => Handed::OnTheWay(receipt),
            Err(error) => Handed::ended(tally.fail(&error, place)),
        }
    }

    fn count(&self, answer: Answer<Result<(), Error>>, tally: &mut Tally) -> bool {
        match &answer.outcome {
            Ok(()) => {
                tally.accept(answer.bytes);
                true
            }
            Err(error) => tally.fail(error, answer.place),
        }
    }

    async fn gone(&mut self) -> Failure {
        match self.status.wait_for(ConnectionStatus::is_final).await.as_deref() {
            Ok(ConnectionStatus::Failed(error)) => failure(error),
            _ => Failure::new(Class::Unreachable, "the connection is closed"),
        }
    }

    fn unanswered(&self) -> Failure {
        Failure::new(Class::OutcomeUnknown, "the hub did not answer in time")
    }

    fn text(&self, tally: &Tally, took: Duration) -> String {
        tally.text(took)
    }

    fn json(&self, tally: &Tally, took: Duration) -> Value {
        tally.json(took)
    }
}

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(60);
