//! Commands, answers and feedback through the verbs, and device ids that need encoding.

use std::time::Duration;

use crate::support::{DEADLINE, Hub, TestFile, run, start, wait_until};

#[test]
fn a_command_is_received_completed_and_reported() {
    let hub = Hub::start(&["--device", "dev1", "--feedback-interval", "0.1"]);
    let device = hub.string("device", "dev1");
    let feedback = start(hub.command(&hub.service(), &["feedback", "-o", "jsonl", "--count", "1"]));
    let args =
        ["c2d", "send", "dev1", "close the valve", "--ack", "full", "--message-id", "m-1", "-p", "level=3"];
    hub.run(&hub.service(), &args).succeeds();
    let listened = hub.run(&device, &["device", "listen", "-o", "jsonl", "--count", "1"]);
    let command = &listened.succeeds().records()[0];
    assert_eq!(command["body"], "close the valve");
    assert_eq!(command["message_id"], "m-1");
    assert_eq!(command["properties"]["level"], "3");
    let record = &feedback.end(DEADLINE).succeeds().records()[0];
    assert_eq!(record["original_message_id"], "m-1");
    assert_eq!(record["status"], "Success");
    assert_eq!(record["device_id"], "dev1");
}

#[test]
fn a_listener_that_has_enough_leaves_the_next_command_to_the_next_listener() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    hub.run(&hub.service(), &["c2d", "send", "dev1", "x", "--count", "2", "--message-id", "m"]).succeeds();
    for id in ["m-1", "m-2"] {
        let ran =
            hub.run(&device, &["device", "listen", "-o", "jsonl", "--count", "1", "--until-idle", "20"]);
        assert_eq!(ran.succeeds().records()[0]["message_id"], id);
    }
}

#[test]
fn device_ids_that_need_encoding_work_in_both_directions() {
    for id in ["dev+1 a@b", "%", "#", "50%25"] {
        let hub = Hub::start(&["--device", id]);
        let device = hub.string("device", id);
        hub.run(&device, &["device", "send", "hello"]).succeeds();
        let events = hub.telemetry();
        assert_eq!(events.len(), 1, "{id}: {events:?}");
        assert_eq!(events[0]["device_id"], id);
        hub.run(&hub.service(), &["c2d", "send", id, "back"]).succeeds();
        let listened = hub.run(&device, &["device", "listen", "-o", "raw", "--count", "1"]);
        assert_eq!(listened.succeeds().stdout, "back\n", "{id}");
    }
}

#[test]
fn a_certificate_that_was_given_is_not_called_an_authority() {
    let names = vec!["localhost".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).expect("a certificate");
    let (certificate, key) =
        (TestFile::new(cert.pem().as_bytes()), TestFile::new(signing_key.serialize_pem().as_bytes()));
    let args = ["emulator", "--port", "0", "--tls-cert", certificate.path(), "--tls-key", key.path()];
    let emulator = start(crate::support::iothub(&args));
    assert!(wait_until(DEADLINE, || emulator.stdout().contains("\nready")), "{}", emulator.stderr());
    let told = emulator.stdout();
    assert!(told.starts_with(&format!("certificate: {}\n", certificate.path())), "{told}");
    assert!(!told.contains("ca: "), "{told}");
}

#[test]
fn a_device_may_authenticate_with_sasl_plain() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    hub.run(&device, &["device", "send", "hello", "--auth", "plain"]).succeeds();
    assert_eq!(hub.telemetry()[0]["body"], "hello");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_listener_and_the_emulator_in_order() {
    let hub = Hub::start(&["--device", "dev1"]);
    let listener = start(hub.command(&hub.string("device", "dev1"), &["device", "listen"]));
    assert!(wait_until(Duration::from_secs(10), || listener.stderr().contains("listening")));
    crate::support::interrupt(listener.id());
    let ran = listener.end(Duration::from_secs(10));
    assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    assert!(ran.stderr.contains("received 0"), "{}", ran.stderr);

    let emulator = start(crate::support::iothub(&["emulator", "--port", "0"]));
    assert!(wait_until(Duration::from_secs(10), || emulator.stdout().contains("\nready")));
    crate::support::interrupt(emulator.id());
    emulator.end(Duration::from_secs(10)).succeeds();
}

#[test]
fn a_token_printed_by_the_command_opens_a_connection() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let printed = run(&["token", "--connection-string", &device, "-o", "raw"]);
    let token = printed.succeeds().stdout.trim_end();
    assert!(token.starts_with("SharedAccessSignature "), "not a token");
    let (head, _) = device.split_once(";SharedAccessKey=").expect("a key");
    let with_token = format!("{head};SharedAccessSignature={token}");
    hub.run(&with_token, &["device", "send", "hello"]).succeeds();
    assert_eq!(hub.telemetry().len(), 1);
}

#[test]
fn frames_are_traced_as_text_or_json_and_without_bodies_and_tokens() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let body = "nobody-is-told-this";
    let traced = |option: &str, environment: &str| {
        let mut command = hub.command(&device, &["device", "send", body]);
        if !option.is_empty() {
            command.arg(option);
        }
        let ran = start_with(command, environment);
        ran.succeeds();
        for secret in [body, "sig=", "SharedAccessKey"] {
            assert!(!ran.stderr.contains(secret), "{secret} is told:\n{}", ran.stderr);
        }
        ran.stderr
    };
    for (option, environment) in [("--trace-frames", ""), ("", "1"), ("--trace-frames=text", "1")] {
        let text = traced(option, environment);
        let opens = text.lines().filter(|line| line.contains(" -> 0: @open(16) ")).count();
        assert_eq!(opens, 1, "{option} {environment}: each frame is told once\n{text}");
        assert!(text.lines().any(|line| line.starts_with("amqp[1] <- ")), "{text}");
    }
    for (option, environment) in [("--trace-frames=json", ""), ("", "json")] {
        let text = traced(option, environment);
        let frames: Vec<serde_json::Value> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let sent = frames.iter().find(|frame| frame["performative"] == "transfer").expect("a transfer");
        assert_eq!((&sent["direction"], &sent["connection"]), (&"out".into(), &1.into()));
        assert!(sent["size"].as_u64().unwrap() > 20 && sent["frame"].as_str().unwrap().contains("octets)"));
    }
    assert!(!traced("", "").contains("@open"));
}

fn start_with(mut command: std::process::Command, trace: &str) -> crate::support::Ran {
    command.env("AMQP_TRACE_FRAMES", trace);
    start(command).end(DEADLINE)
}
