//! `iothub emulator`: runs a hub until Ctrl-C, and prints how to reach it.
//!
//! Standard output carries the authority's file, the connection strings and one last line that begins with `ready`;
//! what happens afterwards is logged on standard error.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use iothub_profile::emulator::{Emulator, EmulatorBuilder, EmulatorError, Rights};
use serde_json::{Map, Value, json};

use crate::args::{EmulatorArgs, Form, Global};
use crate::connect::read;
use crate::exit::{Class, End, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, Record, Stopped, ended, note};

/// Runs the hub.
///
/// # Errors
/// A setting, file or key that cannot be used, or a port that cannot be opened.
pub(crate) async fn run(global: &Global, args: &EmulatorArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let emulator = builder(args)?.start().await.map_err(failure)?;
    let authority = match &args.tls_cert {
        Some(_) => None,
        None => Some(Authority::write(args.ca_out.as_deref(), emulator.ca_pem())?),
    };
    // Scripts read these lines, so that they keep their form in a pipe unless another is asked for.
    let mut output = Output::stdout(Some(global.output.unwrap_or(Form::Raw)));
    ended(introduce(&emulator, authority.as_ref(), args, &mut output))?;
    note("Ctrl-C ends the hub; everything in it lives in memory and goes with it");
    interrupt.wait().await;
    emulator.stop().await;
    Ok(End::Done)
}

fn builder(args: &EmulatorArgs) -> Result<EmulatorBuilder, Failure> {
    let mut builder =
        Emulator::builder().host(&args.host).address(args.bind).port(args.port).partitions(args.partitions);
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        builder = builder.tls(read(certificate, "the certificate")?, read(key, "the certificate's key")?);
    }
    for device in &args.devices {
        builder = builder.device(&device.id, device.key.as_deref());
    }
    if args.devices.is_empty() {
        builder = builder.device(DEFAULT_DEVICE, None);
    }
    for policy in &args.policies {
        let rights = Rights::of_well_known(&policy.name).unwrap_or(Rights::ALL);
        builder = builder.policy(&policy.name, &policy.key, rights);
    }
    for group in &args.groups {
        builder = builder.consumer_group(group);
    }
    if let Some(interval) = args.feedback_interval {
        builder = builder.feedback_interval(interval);
    }
    if let Some(duration) = args.lock_duration {
        builder = builder.lock_duration(duration);
    }
    if let Some(ttl) = args.default_ttl {
        builder = builder.default_ttl(ttl);
    }
    if let Some(count) = args.max_delivery_count {
        builder = builder.max_delivery_count(count);
    }
    Ok(builder)
}

fn introduce(
    emulator: &Emulator,
    authority: Option<&Authority>,
    args: &EmulatorArgs,
    output: &mut Output<std::io::Stdout>,
) -> Result<(), Stopped> {
    let trust = authority.map(|authority| authority.path.as_path()).or(args.tls_cert.as_deref());
    if let Some(path) = trust {
        output.record(&Line { kind: "ca", id: None, name: "file", value: path.display().to_string() })?;
    }
    for policy in emulator.policies() {
        let strings = [
            ("policy", emulator.connection_string(&policy)),
            ("event-hub", emulator.event_hub_connection_string(&policy)),
        ];
        let reads =
            Rights::of_well_known(&policy).is_none_or(|rights| rights.contains(Rights::SERVICE_CONNECT));
        for (kind, value) in strings.into_iter().filter(|(kind, _)| reads || *kind == "policy") {
            if let Some(value) = value {
                output.record(&Line { kind, id: Some(policy.clone()), name: "connection_string", value })?;
            }
        }
    }
    for device in emulator.devices() {
        if let Some(value) = emulator.device_connection_string(&device) {
            output.record(&Line { kind: "device", id: Some(device), name: "connection_string", value })?;
        }
    }
    let ready = Ready { host: emulator.host().to_owned(), port: emulator.port() };
    output.record(&ready)?;
    output.flush()
}

/// The authority's certificate in a file; one that was put among the temporary files goes away with the emulator.
#[derive(Debug)]
struct Authority {
    path: PathBuf,
    is_temporary: bool,
}

impl Authority {
    fn write(wanted: Option<&Path>, pem: &str) -> Result<Self, Failure> {
        let path = wanted.map_or_else(
            || std::env::temp_dir().join(format!("iothub-ca-{}.pem", uuid::Uuid::new_v4())),
            Path::to_owned,
        );
        // A new name among the temporary files must not follow a link that somebody laid there.
        let file = if wanted.is_some() { File::create(&path) } else { File::create_new(&path) };
        file.and_then(|mut file| file.write_all(pem.as_bytes())).map_err(|error| {
            Failure::new(Class::Failed, format!("cannot write {}: {error}", path.display()))
                .advice("name a file that can be written with --ca-out")
        })?;
        Ok(Self { path, is_temporary: wanted.is_none() })
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if self.is_temporary {
            // Best effort: a file left behind holds no secret.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// One line about how to reach the hub.
struct Line {
    kind: &'static str,
    id: Option<String>,
    name: &'static str,
    value: String,
}

impl Record for Line {
    const COLUMNS: &'static [(&'static str, usize)] = &[("KIND", 9), ("ID", 18), ("VALUE", 0)];

    fn cells(&self) -> Vec<String> {
        vec![self.kind.into(), self.id.clone().unwrap_or_default(), self.value.clone()]
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("kind".into(), self.kind.into());
        if let Some(id) = &self.id {
            object.insert("id".into(), id.clone().into());
        }
        object.insert(self.name.into(), self.value.clone().into());
        object.into()
    }

    fn raw(&self) -> Vec<u8> {
        let id = self.id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
        format!("{}{id}: {}", self.kind, self.value).into_bytes()
    }
}

/// The last line.
struct Ready {
    host: String,
    port: u16,
}

impl Record for Ready {
    const COLUMNS: &'static [(&'static str, usize)] = Line::COLUMNS;

    fn cells(&self) -> Vec<String> {
        vec!["ready".into(), String::new(), format!("{}:{}", self.host, self.port)]
    }

    fn json(&self) -> Value {
        json!({ "kind": "ready", "host": self.host, "port": self.port })
    }

    fn raw(&self) -> Vec<u8> {
        format!("ready: {}:{}", self.host, self.port).into_bytes()
    }
}

/// What a failure of the emulator means for the person who started it.
pub(crate) fn failure(error: EmulatorError) -> Failure {
    match error {
        EmulatorError::Listen { address, source } => {
            Failure::new(Class::Failed, format!("cannot listen on {address}: {source}"))
                .retry("helps when the port is free again")
                .advice("choose another port with --port; 0 takes a free one")
        }
        other => Failure::new(Class::Usage, other.to_string()),
    }
}

/// The device of a hub for which none is named.
const DEFAULT_DEVICE: &str = "device1";
