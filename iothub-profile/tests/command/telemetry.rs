//! Files sent line by line and read back; positions, partitions, groups.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{DEADLINE, Hub, TestFile, start, wait_until};

#[test]
fn a_file_sent_by_lines_is_read_back_byte_for_byte_once_and_in_order() {
    let hub = Hub::start(&["--device", "dev1"]);
    let content: String = (0..MANY).map(|n| format!("{{\"n\":{n},\"text\":\"reading {n} °C\"}}\n")).collect();
    let file = TestFile::new(content.as_bytes());
    let args = ["device", "send", "--lines", "--file", file.path()];
    let sender = start(hub.command(&hub.string("device", "dev1"), &args));
    let peak = peak_memory(sender.id());
    let sent = sender.end(DEADLINE);
    assert!(sent.succeeds().stderr.contains(&format!("accepted {MANY}")), "{}", sent.stderr);
    // The input is read as it is sent: its length does not show in the sender's memory.
    assert!(peak.is_none_or(|peak| peak < 64 * 1024), "the sender took {peak:?} KiB");
    let count = MANY.to_string();
    let args = ["monitor", "-o", "raw", "--from", "earliest", "--count", &count];
    let read = start(hub.command(&hub.service(), &args)).end(DEADLINE);
    assert!(read.succeeds().stdout == content, "what was read back differs from the file");
}

#[test]
fn lines_follow_the_documented_rules() {
    let hub = Hub::start(&["--device", "dev1"]);
    let mut command = hub.command(&hub.string("device", "dev1"), &["device", "send", "--stdin", "--lines"]);
    command.stdin(Stdio::piped());
    let mut sender = start(command);
    std::io::Write::write_all(&mut sender.stdin(), b"crlf\r\n\n\xff\xfe\nlast").expect("a pipe");
    sender.end(DEADLINE).succeeds();
    let events = hub.telemetry();
    let bodies: Vec<_> = events.iter().map(|event| (&event["body"], &event["body_base64"])).collect();
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(bodies[0].0, "crlf");
    assert_eq!(bodies[1].0, "", "an empty line is an empty message");
    assert_eq!(bodies[2].1, "//4=", "what is no UTF-8 is base64, and marked so");
    assert_eq!(bodies[3].0, "last", "a last line without an end counts");
}

#[test]
fn a_monitor_starts_where_it_is_told() {
    let hub = Hub::start(&["--device", "dev1", "--partitions", "2"]);
    let device = hub.string("device", "dev1");
    hub.run(&device, &["device", "send", "a\nb\nc\nd", "--lines", "-p", "unit=C"]).succeeds();
    let events = hub.telemetry();
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["properties"]["unit"], "C");
    let partition = events[2]["partition"].as_str().expect("a partition");
    let from = |position: &str| -> String {
        let args =
            ["monitor", "-o", "raw", "--until-idle", "0.5", "--from", position, "--partition", partition];
        hub.run(&hub.service(), &args).succeeds().stdout.clone()
    };
    assert_eq!(from(&format!("seq:{}", events[2]["sequence_number"])), "c\nd\n");
    assert_eq!(from(&format!("offset:{}", events[2]["offset"].as_str().expect("text"))), "d\n");
    assert_eq!(from(&format!("time:{}", events[0]["enqueued_time"].as_str().expect("text"))), "a\nb\nc\nd\n");
    assert_eq!(from("time:2100-01-01T00:00:00Z"), "");
    assert_eq!(from("latest"), "");
}

#[test]
fn a_monitor_from_latest_sees_only_what_comes_after_it() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    hub.run(&device, &["device", "send", "before"]).succeeds();
    let monitor = start(hub.command(&hub.service(), &["monitor", "-o", "raw", "--count", "1"]));
    assert!(
        wait_until(Duration::from_secs(10), || monitor.stderr().contains("reading")),
        "{}",
        monitor.stderr()
    );
    hub.run(&device, &["device", "send", "after"]).succeeds();
    assert_eq!(monitor.end(DEADLINE).succeeds().stdout, "after\n");
}

/// The most memory a process has held while it ran, in KiB; `None` where the system does not tell.
fn peak_memory(id: u32) -> Option<u64> {
    let path = format!("/proc/{id}/status");
    let mut peak = None;
    // A process that has ended has no memory any more, and its line is gone.
    wait_until(DEADLINE, || {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok());
        peak = peak.max(now);
        now.is_none()
    });
    peak
}

/// Lines of the file that is sent and read back.
const MANY: u32 = 200_000;
