//! Connection strings, keys and tokens that cannot work: each named, each with its exit code, none shown.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{DEADLINE, Hub, TestFile, iothub, run, start};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn send_with(connection_string: &str) -> crate::support::Ran {
    run(&["device", "send", "hello", "--connection-string", connection_string])
}

#[test]
fn a_malformed_connection_string_is_named_by_its_fault() {
    send_with("").fails_with(2, &["connection string"]);
    send_with("nonsense").fails_with(2, &["connection string"]);
    send_with(&format!("DeviceId=d;SharedAccessKey={KEY}")).fails_with(2, &["HostName"]);
    send_with("HostName=h.example;DeviceId=d").fails_with(2, &["SharedAccessKey"]);
    send_with(&format!("HostName=h.example;DeviceId=d;DeviceId=e;SharedAccessKey={KEY}"))
        .fails_with(2, &["DeviceId"]);
    send_with(&format!("HostName=h.example;DeviceId=d;Colour=red;SharedAccessKey={KEY}"))
        .fails_with(2, &["Colour"]);
}

#[test]
fn a_key_that_is_not_base64_is_named_and_not_shown() {
    let ran = send_with("HostName=h.example;DeviceId=d;SharedAccessKey=!!not-base64!!");
    ran.fails_with(2, &["base64"]);
    assert!(!ran.stderr.contains("!!not-base64!!"), "{}", ran.stderr);
}

#[test]
fn without_a_connection_string_the_command_says_where_it_looks() {
    run(&["monitor"]).fails_with(2, &["--connection-string", "IOTHUB_CONNECTION_STRING"]);
    run(&["monitor", "--connection-string-file", "/no/such/file"]).fails_with(2, &["/no/such/file"]);
}

#[test]
fn a_device_string_does_not_read_telemetry_and_a_policy_is_no_device() {
    let device = format!("HostName=h.example;DeviceId=d;SharedAccessKey={KEY}");
    run(&["monitor", "--connection-string", &device]).fails_with(2, &["connection string"]);
    let policy = format!("HostName=h.example;SharedAccessKeyName=service;SharedAccessKey={KEY}");
    run(&["device", "listen", "--connection-string", &policy]).fails_with(2, &["connection string"]);
}

#[test]
fn wrong_keys_unknown_devices_and_unknown_policies_are_refused_as_credentials() {
    let hub = Hub::start(&["--device", "dev1"]);
    let host = format!("HostName=localhost:{}", hub.port());
    let wrong_key = hub.run(&format!("{host};DeviceId=dev1;SharedAccessKey={KEY}"), &["device", "send", "x"]);
    wrong_key.fails_with(3, &["signature", "dev1"]);
    assert!(!wrong_key.stderr.contains(KEY) && !wrong_key.stderr.contains("sig="), "{}", wrong_key.stderr);
    hub.run(&format!("{host};DeviceId=nobody;SharedAccessKey={KEY}"), &["device", "send", "x"])
        .fails_with(3, &["nobody"]);
    hub.run(
        &format!("{host};DeviceId=dev1;SharedAccessKey={KEY}"),
        &["device", "send", "x", "--auth", "plain"],
    )
    .fails_with(3, &[]);
    let policy = |name: &str| format!("{host};SharedAccessKeyName={name};SharedAccessKey={KEY}");
    hub.run(&policy("service"), &["c2d", "send", "dev1", "x"]).fails_with(3, &["signature", "service"]);
    hub.run(&policy("nobody"), &["c2d", "send", "dev1", "x"]).fails_with(3, &["nobody"]);
    hub.run(&policy("nobody"), &["monitor", "--until-idle", "1"]).fails_with(3, &["nobody"]);
    hub.run(&policy("service"), &["feedback", "--until-idle", "1"]).fails_with(3, &[]);
}

#[test]
fn a_policy_without_the_right_is_refused() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device_policy = hub.string("policy", "device");
    hub.run(&device_policy, &["c2d", "send", "dev1", "x"]).fails_with(3, &["unauthorized"]);
    hub.run(&device_policy, &["monitor", "--until-idle", "1"]).fails_with(3, &["unauthorized"]);
    let registry = hub.string("policy", "registryRead");
    let words = ["registryRead", "lacks the right", "ServiceConnect"];
    hub.run(&registry, &["monitor", "--until-idle", "1"]).fails_with(3, &words);
    hub.run(&registry, &["c2d", "send", "dev1", "x"]).fails_with(3, &words);
}

#[test]
fn an_expired_token_is_told_from_a_wrong_one() {
    let hub = Hub::start(&["--device", &format!("dev1={KEY}")]);
    let (head, _) = hub
        .string("device", "dev1")
        .split_once(";SharedAccessKey=")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a key");
    let token = "SharedAccessSignature sr=localhost%2Fdevices%2Fdev1&sig=i%2BYmMcSSZc4KzBi6ejz3l0iL%2B2sN0CE3q6vSm837h2g%3D&se=1700000000";
    let ran = hub.run(&format!("{head};SharedAccessSignature={token}"), &["device", "send", "x"]);
    ran.fails_with(3, &["expired"]);
    assert!(!ran.stderr.contains("i%2BYmMcSSZc4KzBi6ejz3l0iL"), "{}", ran.stderr);
}

#[test]
fn a_ready_made_token_that_expires_during_a_send_is_a_credential_that_ended() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let printed = run(&["token", "--connection-string", &device, "--ttl", "3", "-o", "raw"]);
    let (head, _) = device.split_once(";SharedAccessKey=").expect("a key");
    let with_token = format!("{head};SharedAccessSignature={}", printed.succeeds().stdout.trim_end());
    let mut command = hub.command(&with_token, &["device", "send", "--stdin", "--lines"]);
    command.stdin(Stdio::piped());
    let mut sender = start(command);
    let mut input = sender.stdin();
    let feeder = std::thread::spawn(move || {
        // Ends when the sender does, or after a while.
        (0..30)
            .take_while(|n| {
                std::thread::sleep(Duration::from_millis(500));
                writeln!(input, "{n}").is_ok()
            })
            .count()
    });
    let ran = sender.end(DEADLINE);
    ran.fails_with(3, &["expired", "rejected 0, unknown 0"]);
    assert!(!ran.stderr.contains("HostName"), "{}", ran.stderr);
    assert!(!hub.telemetry().is_empty(), "it was good at first");
    feeder.join().expect("the feeder does not panic");
}

#[test]
fn a_file_or_the_environment_may_hold_the_connection_string() {
    let hub = Hub::start(&["--device", "dev1"]);
    let file = TestFile::new(format!("{}\n", hub.string("device", "dev1")).as_bytes());
    let mut command = iothub(&["device", "send", "hello", "--connection-string-file", file.path()]);
    command.env("SSL_CERT_FILE", hub.ca());
    start(command).end(DEADLINE).succeeds();
    assert_eq!(hub.telemetry().len(), 1);
}
