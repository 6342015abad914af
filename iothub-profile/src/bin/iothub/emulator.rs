//! `iothub emulator`: runs a hub until Ctrl-C, and prints how to reach it.
//!
//! Standard output carries the authority's file (or the certificate that was given), the connection strings and one last line that begins with `ready`;
//! what happens afterwards is logged on standard error.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use iothub_profile::emulator::{Emulator, EmulatorBuilder, EmulatorError, Rights};
use serde_json::{Map, Value, json};

use crate::args::{Form, Global};
use crate::connect::read;
use crate::exit::{Class, End, Failure};
use crate::hub_args::EmulatorArgs;
use crate::interrupt::Interrupt;
use crate::output::{Output, Record, Stopped, ended, note};

/// Runs the hub.
///
/// # Errors
/// A setting, file or key that cannot be used, or a port that cannot be opened.
pub(crate) async fn run(global: &Global, args: &EmulatorArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let emulator = builder(args)?.start().await.map_err(|error| told(error, args))?;
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
        let chain = pem(certificate, "the certificate", "--tls-cert", "CERTIFICATE-----")?;
        builder = builder.tls(chain, pem(key, "the certificate's key", "--tls-key", "PRIVATE KEY-----")?);
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
    Ok(builder
        .feedback_interval(args.feedback_interval)
        .lock_duration(args.lock_duration)
        .default_ttl(args.default_ttl)
        .max_delivery_count(args.max_delivery_count)
        .retention_bytes(args.retention_bytes)
        .retention_events(args.retention_events))
}

/// The text of a PEM file that must hold a section whose first line ends with `label`.
fn pem(path: &Path, what: &str, option: &str, label: &str) -> Result<String, Failure> {
    let text = read(path, what)?;
    if text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(label)) {
        return Ok(text);
    }
    let missing = label.trim_end_matches('-').to_ascii_lowercase();
    Err(Failure::new(Class::Usage, format!("{} holds no {missing} in PEM form", path.display()))
        .advice(format!("name the file that holds one with {option}")))
}

/// What a failure to start means, with the files it may be about.
fn told(error: EmulatorError, args: &EmulatorArgs) -> Failure {
    match (error, &args.tls_cert, &args.tls_key) {
        (EmulatorError::Certificate { reason }, Some(certificate), Some(key)) => {
            let (certificate, key) = (certificate.display(), key.display());
            Failure::new(Class::Usage, format!("{certificate} with the key {key} is unusable: {reason}"))
                .advice("give a certificate chain, leaf first, with --tls-cert, and its leaf's key with --tls-key")
        }
        (error, ..) => failure(error),
    }
}

fn introduce(
    emulator: &Emulator,
    authority: Option<&Authority>,
    args: &EmulatorArgs,
    output: &mut Output<std::io::Stdout>,
) -> Result<(), Stopped> {
    // Whether a chain that was given ends in an authority is not known here, so that it is not called one.
    let shown = match (authority, &args.tls_cert) {
        (Some(authority), _) => Some(("ca", &authority.path)),
        (None, given) => given.as_ref().map(|path| ("certificate", path)),
    };
    if let Some((kind, path)) = shown {
        output.record(&Line { kind, id: None, name: "file", value: path.display().to_string() })?;
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
    const COLUMNS: &'static [(&'static str, usize)] = &[("KIND", 11), ("ID", 18), ("VALUE", 0)];

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
