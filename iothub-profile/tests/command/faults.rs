//! The hub goes away in the middle, and comes back.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{DEADLINE, Hub, TestFile, start, wait_until};

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
