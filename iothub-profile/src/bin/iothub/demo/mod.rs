//! `iothub demo`: a hub, a device and a service, end to end over TLS sockets on this machine, told as a short story.
//!
//! The hub runs in this process, and is spoken to through its port alone. What each chapter finds is counted, and the
//! demo fails when anything is missing.

mod commands;
mod story;
mod telemetry;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use iothub_profile::ConnectionString;
use iothub_profile::clock::{Clock, SystemClock};
use iothub_profile::emulator::Emulator;
use iothub_profile::supervisor::ClientOptions;

use self::story::{Findings, Story};
use crate::args::Global;
use crate::connect::failure;
use crate::emulator;
use crate::exit::{Class, End, Failure};
use crate::hub_args::DemoArgs;
use crate::input::{Bodies, Cut, MAX_BODY, Source};
use crate::interrupt::Interrupt;
use crate::output::ended;

/// Tells the story.
///
/// # Errors
/// The file cannot be read, a chapter fails, or something is missing at the end.
pub(crate) async fn run(global: &Global, args: &DemoArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let data = DataFile::load(args.file.as_deref()).await?;
    let mut story = Story::new(global.output);
    let mut findings = Findings::default();
    match interrupt.unless(tell(&mut story, &mut findings, &data)).await {
        None => Ok(End::Interrupted),
        Some(Err(failure)) => {
            ended(story.summary(&findings))?;
            Err(failure)
        }
        Some(Ok(())) => {
            ended(story.summary(&findings))?;
            if findings.is_complete() {
                return Ok(End::Done);
            }
            Err(Failure::new(Class::Failed, "the demo is incomplete; the summary shows what is missing"))
        }
    }
}

async fn tell(story: &mut Story, findings: &mut Findings, data: &DataFile) -> Result<(), Failure> {
    story.begin("1. A hub starts on this machine.");
    let stage = Stage::build().await?;
    story.tell(&format!(
        "   It listens on {}:{}, shows a certificate of an authority made just now, and knows one device, {DEVICE}.",
        stage.emulator.host(),
        stage.emulator.port()
    ));
    story.end("hub started", 0);
    telemetry::send(story, findings, data, &stage).await?;
    telemetry::read_back(story, findings, data, &stage).await?;
    commands::run(story, findings, &stage).await?;
    // What is not over in time ends with the process.
    let _ = tokio::time::timeout(Duration::from_secs(2), stage.emulator.stop()).await;
    Ok(())
}

/// The hub, and how the others reach it.
struct Stage {
    emulator: Emulator,
    device: ConnectionString,
    service: ConnectionString,
    started: SystemTime,
}

impl Stage {
    async fn build() -> Result<Self, Failure> {
        let started = SystemClock.now();
        let emulator = Emulator::builder()
            .device(DEVICE, None)
            .feedback_interval(FEEDBACK_INTERVAL)
            .max_delivery_count(MAX_DELIVERIES)
            .start()
            .await
            .map_err(emulator::failure)?;
        let parse = |text: Option<String>| {
            ConnectionString::parse(&text.unwrap_or_default()).map_err(|error| failure(&error.into()))
        };
        let device = parse(emulator.device_connection_string(DEVICE))?;
        let service = parse(emulator.connection_string("service"))?;
        Ok(Self { emulator, device, service, started })
    }

    /// The way every client of the story connects: with the hub's authority as the only addition.
    fn options(&self) -> Result<ClientOptions, Failure> {
        ClientOptions::new()
            .with_ca_pem(self.emulator.ca_pem().as_bytes())
            .map(|options| options.with_operation_timeout(PATIENCE))
            .map_err(|error| failure(&error))
    }
}

/// The file whose lines are sent.
struct DataFile {
    name: String,
    content_type: &'static str,
    lines: Vec<Bytes>,
}

impl DataFile {
    async fn load(path: Option<&Path>) -> Result<Self, Failure> {
        let (name, source) = match path {
            None => (BUILT_IN_NAME.to_owned(), Source::Text(BUILT_IN.to_owned())),
            Some(path) => {
                let length = fs::metadata(path).map_or(0, |meta| meta.len());
                if length > MAX_FILE {
                    let what =
                        format!("{} has more than the {MAX_FILE} bytes the demo takes", path.display());
                    return Err(Failure::new(Class::Usage, what)
                        .advice("send large files with `iothub device send --file FILE --lines`"));
                }
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
                (name, Source::File(path.to_owned()))
            }
        };
        let content_type = match Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            Some("csv") => "text/csv",
            Some("json" | "jsonl" | "ndjson") => "application/json",
            _ => "text/plain",
        };
        let mut bodies = Bodies::open(&source, Cut::Lines, None, MAX_BODY)?;
        let mut lines = Vec::new();
        while let Some(line) = bodies.next().await? {
            lines.push(line);
        }
        if lines.is_empty() {
            return Err(
                Failure::new(Class::Usage, format!("{name} has no lines")).advice("give a file with lines")
            );
        }
        Ok(Self { name, content_type, lines })
    }
}

/// A length as a count.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The device of the story.
const DEVICE: &str = "weather-station";
/// Short waits, so that the story is short.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(200);
const MAX_DELIVERIES: u8 = 5;
/// How long any single step may wait before the story is called off.
const PATIENCE: Duration = Duration::from_secs(10);
/// The series that is sent when no file is named: public-domain weather records, see tests/data/seattle-weather.md.
const BUILT_IN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/seattle-weather.csv"));
const BUILT_IN_NAME: &str = "seattle-weather.csv";
/// A file is held in memory to be compared with what comes back.
const MAX_FILE: u64 = 256 * 1024 * 1024;
