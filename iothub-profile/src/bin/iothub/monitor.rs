//! `iothub monitor`: prints the telemetry of all devices.

use std::time::Duration;

use iothub_profile::clock::from_unix_millis;
use iothub_profile::events::{EventsReader, PartitionRestart, ReaderOptions, StartPosition};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::args::Global;
use crate::connect::{close, failure, narrate, options, reader_string};
use crate::exit::{End, Failure};
use crate::hub_args::MonitorArgs;
use crate::interrupt::Interrupt;
use crate::output::{Output, Stopped, note};
use crate::receive::{Next, Until};
use crate::values::Position;

/// Prints events until it has seen enough.
///
/// # Errors
/// The connection, or a partition, group or position that the event hub refuses.
pub(crate) async fn run(global: &Global, args: &MonitorArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let string = reader_string(global)?;
    let options = options(global, &args.auth)?;
    let mut reading = ReaderOptions::new().with_group(args.group.clone()).with_position(position(&args.from));
    // A partition named twice is read once, and its events are printed once.
    let mut named: Vec<String> = Vec::new();
    for partition in &args.partitions {
        if !named.contains(partition) {
            named.push(partition.clone());
        }
    }
    if !named.is_empty() {
        reading = reading.with_partitions(named.clone());
    }
    let Some(opened) = interrupt.unless(EventsReader::open(&string, options, reading)).await else {
        return Ok(End::Interrupted);
    };
    let mut reader = opened.map_err(|error| failure(&error))?;
    narrate(reader.status());
    narrate_restarts(reader.restarts());
    let partitions = if named.is_empty() { reader.partition_ids() } else { &named };
    note(&format!("reading partitions {} as {}; Ctrl-C ends it", partitions.join(", "), args.group));
    let mut until = Until::new(&args.until, interrupt);
    let result = read(&mut reader, &mut until, global).await;
    close(reader.close()).await;
    note(&format!("read {} events", until.received()));
    match result {
        Ok(end) => Ok(end),
        Err(Stopped::ReaderGone) => Ok(End::Done),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

async fn read(reader: &mut EventsReader, until: &mut Until<'_>, global: &Global) -> Result<End, Stopped> {
    let mut output = Output::stdout(global.output);
    loop {
        if let Some(end) = until.end() {
            output.flush()?;
            return Ok(end);
        }
        // While events are at hand they are printed without a pause; as soon as none is, all are shown.
        let at_hand = tokio::select! {
            biased;
            event = reader.recv() => Some(event),
            () = std::future::ready(()) => None,
        };
        let event = match at_hand {
            Some(event) => event,
            None => {
                output.flush()?;
                match until.next(reader.recv()).await {
                    Next::Item(event) => event,
                    Next::End(end) => return Ok(end),
                }
            }
        };
        output.record(&event.map_err(|error| Stopped::Failed(failure(&error)))?)?;
        until.count();
    }
}

/// Tells a person that what is printed from now on is not what follows on what was printed before.
fn narrate_restarts(mut restarts: broadcast::Receiver<PartitionRestart>) {
    tokio::spawn(async move {
        loop {
            match restarts.recv().await {
                Ok(restart) => note(&restart.to_string()),
                Err(RecvError::Lagged(missed)) => note(&format!("{missed} more partitions count anew")),
                Err(RecvError::Closed) => return,
            }
        }
    });
}

fn position(from: &Position) -> StartPosition {
    match from {
        Position::Earliest => StartPosition::Earliest,
        Position::Latest => StartPosition::Latest,
        Position::Sequence(number) => StartPosition::FromSequenceNumber(*number),
        Position::Offset(offset) => StartPosition::AfterOffset(offset.clone()),
        // Times are whole milliseconds, and an event of that very time is wanted, too.
        Position::Time(ms) => StartPosition::AfterTime(from_unix_millis(*ms) - Duration::from_millis(1)),
    }
}
