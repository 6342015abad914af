//! README's code, compiled and run: its Rust blocks are the functions below, word for word, and its shell lines are
//! given to a shell with the built command in its path.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and the examples print"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use iothub_profile::Error;
use iothub_profile::device::{CommandOptions, DeviceClient};
use iothub_profile::emulator::Emulator;
use iothub_profile::events::{EventsReader, ReaderOptions};
use iothub_profile::message::{Ack, C2dMessage, TelemetryMessage};
use iothub_profile::service::ServiceClient;
use iothub_profile::supervisor::ClientOptions;

async fn device(connection_string: &str, options: ClientOptions) -> Result<(), Error> {
    let device = DeviceClient::open(&connection_string.parse()?, options).await?;
    let reading = TelemetryMessage::new(r#"{"temperature":21.4}"#).with_property("room", "kitchen");
    device.send(&reading).await?; // returns when the hub has accepted it

    let commands = device.commands(CommandOptions::new()).await?;
    let command = commands.recv().await?;
    println!("{}", String::from_utf8_lossy(&command.message().body()));
    command.complete().await?; // or reject, or abandon
    device.close().await;
    Ok(())
}

async fn service(connection_string: &str, options: ClientOptions) -> Result<(), Error> {
    let connection_string = connection_string.parse()?;
    let mut events = EventsReader::open(&connection_string, options.clone(), ReaderOptions::new()).await?;
    let event = events.recv().await?; // of any partition; the redirect to the event hub is followed
    println!("{:?} says {}", event.device_id(), String::from_utf8_lossy(&event.body()));

    let service = ServiceClient::open(&connection_string, options).await?;
    let command = C2dMessage::new("open the window").with_message_id("command-1").with_ack(Ack::Full);
    service.send_command("device1", &command).await?;
    let feedback = service.feedback().await?.recv().await?;
    println!("{} ended as {}", feedback.records()[0].original_message_id, feedback.records()[0].status);
    feedback.complete().await
}

#[test]
fn every_rust_block_is_code_of_this_file() {
    let code = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readme.rs")).unwrap();
    let blocks = blocks("rust");
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        assert!(code.contains(&block), "this is not in tests/readme.rs:\n{block}");
    }
}

#[tokio::test]
async fn the_device_and_the_service_talk() {
    let emulator = emulator().await;
    let options = ClientOptions::new().with_ca_pem(emulator.ca_pem().as_bytes()).unwrap();
    let device_string = emulator.device_connection_string("device1").unwrap();
    let service_string = emulator.connection_string("service").unwrap();
    let both = async {
        tokio::try_join!(device(&device_string, options.clone()), service(&service_string, options.clone()))
    };
    tokio::time::timeout(PATIENCE, both).await.expect("in time").unwrap();
    emulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shell_line_does_what_it_says() {
    let emulator = emulator().await;
    let folder = std::env::temp_dir().join(format!("readme-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("ca.pem"), emulator.ca_pem()).unwrap();
    let device = emulator.device_connection_string("device1").unwrap();
    let service = emulator.connection_string("service").unwrap();

    let mut exports = String::new();
    let mut ran = 0;
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        match line.split_whitespace().next() {
            // The demo and the emulator have tests of their own; running the tests from a test has no end.
            Some("cargo") => assert!(COMMANDS.contains(&line), "{line} is not checked"),
            Some("iothub") if line.starts_with("iothub emulator") => understood(line),
            Some("export") => exports = format!("{exports}{line}\n"),
            _ => {
                let output = shell(&format!("{exports}{line}"), &folder, &device, &service).await;
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    output.status.success(),
                    "{line}\n{printed}\n{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                if let Some((_, expected)) = PRINTED.iter().find(|(part, _)| line.contains(part)) {
                    for word in *expected {
                        assert!(printed.contains(word), "{line} printed no {word}:\n{printed}");
                    }
                }
                ran += 1;
            }
        }
    }
    assert_eq!(ran, 7);
    fs::remove_dir_all(folder).unwrap();
    emulator.stop().await;
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = Command::new(env!("CARGO_BIN_EXE_iothub")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, codes) = help.split_once("Exit codes:").expect("the help lists exit codes");
    let documented: Vec<_> =
        codes.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u8>().ok()).collect();
    let readme = readme();
    let (_, table) = readme.split_once("| exit code |").expect("README has a table of exit codes");
    let (table, _) = table.split_once("\n\n").unwrap();
    let in_readme: Vec<_> =
        table.lines().filter_map(|line| line.split('|').nth(1)?.trim().parse::<u8>().ok()).collect();
    assert_eq!(in_readme, documented);
}

/// Asks the command whether it understands a line that would run without end.
fn understood(line: &str) {
    let arguments = line.split_whitespace().skip(1);
    let output = Command::new(env!("CARGO_BIN_EXE_iothub")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn shell(script: &str, folder: &Path, device: &str, service: &str) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_iothub")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = tokio::process::Command::new("sh");
    command.args(["-c", script]).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    command
        .env("PATH", path)
        .env("DEVICE", device)
        .env("SERVICE", service)
        .env_remove("IOTHUB_CONNECTION_STRING");
    tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap_or_else(|_| panic!("no end: {script}"))
        .unwrap()
}

async fn emulator() -> Emulator {
    let builder = Emulator::builder().device("device1", None).feedback_interval(Duration::from_millis(100));
    builder.start().await.unwrap()
}

fn readme() -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    fs::read_to_string(path).unwrap()
}

/// README's code blocks of one language.
fn blocks(language: &str) -> Vec<String> {
    let readme = readme();
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// What a line of README prints, by a part of the line.
const PRINTED: &[(&str, &[&str])] = &[
    ("monitor", &["hello", "one", "two"]),
    ("device listen", &["open the window"]),
    ("feedback", &["Success", "device1"]),
    ("token", &["SharedAccessSignature sr="]),
];

/// README's lines for cargo, which CI runs.
const COMMANDS: &[&str] = &[
    "cargo run --release --features cli -- demo",
    "cargo test --workspace --all-features",
    "cargo install --path iothub-profile --features cli",
];

const PATIENCE: Duration = Duration::from_secs(60);
