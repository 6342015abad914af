//! The hub goes away in the middle, and comes back.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{DEADLINE, Hub, Proxy, TestFile, start, wait_until};

#[test]
fn a_hub_killed_in_the_middle_of_a_send_leaves_an_honest_count() {
    let mut hub = Hub::start(&["--device", "dev1"]);
    let content: String = (0..300_000).map(|n| format!("{n}\n")).collect();
    let file = TestFile::new(content.as_bytes());
    let args = ["monitor", "-o", "raw", "--from", "earliest"];
    let monitor = start(hub.command(&hub.service(), &args));
    assert!(
        wait_until(Duration::from_secs(10), || monitor.stderr().contains("reading")),
        "{}",
        monitor.stderr()
    );
    let mut command = hub.command(
        &hub.string("device", "dev1"),
        &["device", "send", "--lines", "--file", file.path(), "-o", "jsonl"],
    );
    command.stdin(Stdio::null());
    let sender = start(command);
    assert!(wait_until(DEADLINE, || monitor.stdout().lines().count() > 3_000), "{}", sender.stderr());
    hub.kill();
    let sent = sender.end(DEADLINE);
    sent.fails_with(8, &["accepted", "unknown"]);
    let summary = sent.records().pop().expect("a summary");
    let count = |member: &str| summary[member].as_u64().expect("a count");
    assert!(count("accepted") >= 1_000 && count("accepted") < 300_000, "{summary}");
    assert_eq!(count("accepted") + count("rejected") + count("unknown"), count("sent"), "{summary}");
    assert_eq!(count("sent") + count("not_sent"), 300_000, "{summary}");
    assert_eq!(count("rejected"), 0);
    // What was reported accepted has been seen by the monitor that was attached throughout: once, in order.
    let seen = || -> u64 { monitor.stdout().lines().count().try_into().expect("small") };
    assert!(
        wait_until(Duration::from_secs(10), || seen() >= count("accepted")),
        "{} seen of {summary}",
        seen()
    );
    let numbers = monitor.stdout();
    assert!(numbers.lines().map(|line| line.parse::<u64>().expect("a number")).eq(0..seen()), "a gap");
}

#[test]
fn a_listener_and_a_monitor_outlive_a_cut_connection() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let proxy = Proxy::to(hub.port());
    let way = proxy.address();
    let args = ["monitor", "-o", "raw", "--from", "earliest", "--count", "2", "--connect-to", &way];
    let monitor = start(hub.command(&hub.service(), &args));
    let args = ["device", "listen", "-o", "raw", "--count", "2", "--connect-to", &way];
    let listener = start(hub.command(&device, &args));
    hub.run(&device, &["device", "send", "before"]).succeeds();
    hub.run(&hub.service(), &["c2d", "send", "dev1", "before"]).succeeds();
    let soon = Duration::from_secs(20);
    assert!(wait_until(soon, || monitor.stdout() == "before\n"), "{}", monitor.stderr());
    assert!(wait_until(soon, || listener.stdout() == "before\n"), "{}", listener.stderr());
    assert!(proxy.cut() >= 2, "both went through here");
    for (name, running) in [("monitor", &monitor), ("listener", &listener)] {
        assert!(
            wait_until(soon, || running.stderr().contains("reconnecting")),
            "{name}: {}",
            running.stderr()
        );
    }
    hub.run(&device, &["device", "send", "after"]).succeeds();
    hub.run(&hub.service(), &["c2d", "send", "dev1", "after"]).succeeds();
    assert_eq!(monitor.end(DEADLINE).succeeds().stdout, "before\nafter\n");
    assert_eq!(listener.end(DEADLINE).succeeds().stdout, "before\nafter\n");
}

#[test]
fn a_send_whose_link_is_stolen_counts_its_next_line_as_not_sent() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let mut command = hub.command(&device, &["device", "send", "--stdin", "--lines"]);
    command.stdin(Stdio::piped());
    let mut sender = start(command);
    let mut input = sender.stdin();
    input.write_all(b"one\n").expect("a pipe");
    assert!(wait_until(Duration::from_secs(20), || hub.telemetry().len() == 1), "{}", sender.stderr());
    hub.run(&device, &["device", "send", "thief"]).succeeds();
    // The command may have noticed already, and have ended.
    let _ = input.write_all(b"two\n");
    drop(input);
    let ran = sender.end(DEADLINE);
    ran.fails_with(6, &["stolen", "line 2: ", "sent 1, accepted 1, rejected 0, unknown 0, not sent 1"]);
    assert_eq!(hub.telemetry().len(), 2, "one, and the thief's");
}

#[test]
fn a_send_whose_connection_is_cut_ends_while_its_input_is_silent() {
    let hub = Hub::start(&["--device", "dev1"]);
    let proxy = Proxy::to(hub.port());
    let args = ["device", "send", "--stdin", "--lines", "--connect-to", &proxy.address(), "-o", "jsonl"];
    let mut command = hub.command(&hub.string("device", "dev1"), &args);
    command.stdin(Stdio::piped());
    let mut sender = start(command);
    let mut input = sender.stdin();
    input.write_all(b"one\ntwo\n").expect("a pipe");
    assert!(wait_until(Duration::from_secs(20), || hub.telemetry().len() == 2), "{}", sender.stderr());
    assert!(proxy.cut() >= 1);
    // Nothing more is written, and the pipe stays open: the loss is noticed all the same.
    let sent = sender.end(DEADLINE);
    sent.fails_with(5, &["accepted 2"]);
    let summary = sent.records().pop().expect("a summary");
    drop(input);
    assert_eq!(summary["accepted"], 2, "{summary}");
    assert_eq!(hub.telemetry().len(), 2);
}

#[test]
fn a_monitor_tells_that_a_restarted_hub_counts_anew_and_prints_all_of_it() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate = TestFile::new(made.cert.pem().as_bytes());
    let key = TestFile::new(made.signing_key.serialize_pem().as_bytes());
    let args = [
        "--tls-cert",
        certificate.path(),
        "--tls-key",
        key.path(),
        "--device",
        "dev1=a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
        "--policy",
        "service=a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
        "--partitions",
        "1",
    ];
    let mut first = Hub::start(&args);
    let words = ["monitor", "-o", "raw", "--from", "earliest", "--count", "4"];
    let monitor = start(first.command(&first.string("policy", "service"), &words));
    let device = first.string("device", "dev1");
    for text in ["a", "b"] {
        first.run(&device, &["device", "send", text]).succeeds();
    }
    let soon = Duration::from_secs(20);
    assert!(wait_until(soon, || monitor.stdout() == "a\nb\n"), "{}", monitor.stderr());
    first.kill();
    let second = Hub::start_on(first.port(), &args);
    for text in ["c", "d"] {
        second.run(&device, &["device", "send", text]).succeeds();
    }
    let ran = monitor.end(DEADLINE);
    assert_eq!(ran.succeeds().stdout, "a\nb\nc\nd\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("partition 0 counts anew: reading from its start"), "{}", ran.stderr);
}
