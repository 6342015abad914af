//! The demo's telemetry: a device sends every line, a service reads every line back.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use iothub_profile::device::DeviceClient;
use iothub_profile::events::{EventsReader, ReaderOptions, StartPosition};
use iothub_profile::message::{ReceivedEvent, TelemetryMessage};
use tokio::time::timeout;

use super::story::{Findings, Story};
use super::{DEVICE, DataFile, PATIENCE, Stage, count};
use crate::connect::{close, failure};
use crate::exit::{Class, Failure};

/// The device sends every line.
pub(super) async fn send(
    story: &mut Story,
    findings: &mut Findings,
    data: &DataFile,
    stage: &Stage,
) -> Result<(), Failure> {
    findings.lines = count(data.lines.len());
    story.begin(&format!("2. The device sends every line of {} as telemetry.", data.name));
    let client =
        DeviceClient::open(&stage.device, stage.options()?).await.map_err(|error| failure(&error))?;
    story.tell("   It connected over TLS and proved who it is with a SAS token, put on $cbs.");
    let mut in_flight = VecDeque::new();
    for (number, line) in data.lines.iter().enumerate() {
        if in_flight.len() >= IN_FLIGHT {
            settle(&mut in_flight, findings).await?;
        }
        let message = message(data, number, line)?;
        in_flight.push_back(client.send_with_receipt(&message).await.map_err(|error| failure(&error))?);
    }
    while !in_flight.is_empty() {
        settle(&mut in_flight, findings).await?;
    }
    let took = story.end("telemetry sent", findings.sent);
    story.tell(&format!(
        "   {} lines sent, each a message with an id, a content type and application properties; the hub accepted {} of \
         them in {:.2} s.",
        findings.lines,
        findings.sent,
        took.as_secs_f64()
    ));
    close(client.close()).await;
    Ok(())
}

async fn settle<R>(in_flight: &mut VecDeque<R>, findings: &mut Findings) -> Result<(), Failure>
where
    R: Future<Output = Result<(), iothub_profile::Error>>,
{
    if let Some(receipt) = in_flight.pop_front() {
        receipt.await.map_err(|error| failure(&error))?;
        findings.sent = findings.sent.saturating_add(1);
    }
    Ok(())
}

fn message(data: &DataFile, number: usize, line: &bytes::Bytes) -> Result<TelemetryMessage, Failure> {
    let unsendable =
        |error| Failure::new(Class::Failed, format!("a constant property cannot be sent: {error}"));
    let mut message = TelemetryMessage::new(line.clone())
        .with_message_id(message_id(number))
        .with_property("file", data.name.clone())
        .with_property("line", number.to_string())
        .with_content_type(data.content_type)
        .map_err(unsendable)?;
    if std::str::from_utf8(line).is_ok() {
        message = message.with_content_encoding("utf-8").map_err(unsendable)?;
    }
    Ok(message)
}

fn message_id(number: usize) -> String {
    format!("line-{number}")
}

/// The service follows the hub's redirect and reads everything back, then a part of it once more.
pub(super) async fn read_back(
    story: &mut Story,
    findings: &mut Findings,
    data: &DataFile,
    stage: &Stage,
) -> Result<(), Failure> {
    story.begin("3. A service reads the telemetry back.");
    let since = stage.started.checked_sub(Duration::from_millis(1)).unwrap_or(SystemTime::UNIX_EPOCH);
    let options = ReaderOptions::new().with_position(StartPosition::AfterTime(since));
    let mut reader = open(stage, options).await?;
    story.tell(&format!(
        "   The hub answered amqp:link:redirect, and the service followed to the event hub built into it, whose\n   \
         $management names the partitions {}. It reads all of them from the time the demo began.",
        reader.partition_ids().join(", ")
    ));
    let mut last = None;
    while findings.read_back < findings.lines {
        let Some(event) = next(&mut reader).await? else { break };
        let number = usize::try_from(findings.read_back).unwrap_or(usize::MAX);
        findings.read_back = findings.read_back.saturating_add(1);
        if is_equal(&event, data, number) {
            findings.equal = findings.equal.saturating_add(1);
        }
        last = Some(event);
    }
    let took = story.end("telemetry read back", findings.read_back);
    story.tell(&format!(
        "   {} events came back in {:.2} s; {} equal their line, in order, with their properties.",
        findings.read_back,
        took.as_secs_f64(),
        findings.equal
    ));
    close(reader.close()).await;
    if let Some(last) = last {
        read_end_again(story, findings, data, stage, &last).await?;
    }
    Ok(())
}

/// Reads the last few events once more, by the sequence number of the first of them.
async fn read_end_again(
    story: &mut Story,
    findings: &mut Findings,
    data: &DataFile,
    stage: &Stage,
    last: &ReceivedEvent,
) -> Result<(), Failure> {
    let wanted = AGAIN.min(findings.lines);
    let newest = last.sequence_number().unwrap_or_default();
    let first = newest.saturating_sub(i64::try_from(wanted).unwrap_or(i64::MAX)).saturating_add(1);
    let options = ReaderOptions::new()
        .with_position(StartPosition::FromSequenceNumber(first))
        .with_partitions([last.partition()]);
    let mut reader = open(stage, options).await?;
    findings.reread_wanted = wanted;
    while findings.reread < wanted {
        let Some(event) = next(&mut reader).await? else { break };
        let number = findings.lines.saturating_sub(wanted).saturating_add(findings.reread);
        if !is_equal(&event, data, usize::try_from(number).unwrap_or(usize::MAX)) {
            break;
        }
        findings.reread = findings.reread.saturating_add(1);
    }
    story.end("last ones read again", findings.reread);
    story.tell(&format!(
        "   Asked again for partition {} from sequence number {first}: the last {} came once more.",
        last.partition(),
        findings.reread
    ));
    close(reader.close()).await;
    Ok(())
}

async fn open(stage: &Stage, options: ReaderOptions) -> Result<EventsReader, Failure> {
    EventsReader::open(&stage.service, stage.options()?, options).await.map_err(|error| failure(&error))
}

/// The next event, or `None` when none comes for too long.
async fn next(reader: &mut EventsReader) -> Result<Option<ReceivedEvent>, Failure> {
    match timeout(PATIENCE, reader.recv()).await {
        Ok(event) => event.map(Some).map_err(|error| failure(&error)),
        Err(_) => Ok(None),
    }
}

fn is_equal(event: &ReceivedEvent, data: &DataFile, number: usize) -> bool {
    let property = |name: &str| event.property(name).and_then(|value| value.as_str());
    event.device_id() == Some(DEVICE)
        && data.lines.get(number).is_some_and(|line| *line == event.body())
        && event.message_id() == Some(message_id(number))
        && event.content_type() == Some(data.content_type)
        && property("file") == Some(data.name.as_str())
        && property("line") == Some(number.to_string().as_str())
}

/// Messages on the way at once.
const IN_FLIGHT: usize = 1_000;
/// Events read a second time.
const AGAIN: u64 = 10;
