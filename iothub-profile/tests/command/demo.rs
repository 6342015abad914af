//! `iothub demo`: the whole of it, and with a file of one's own.

use crate::support::{TestFile, run};

#[test]
fn the_demo_tells_its_story_and_finds_everything() {
    let ran = run(&["demo"]);
    let story = &ran.succeeds().stdout;
    for part in ["1462", "amqp:link:redirect", "Success", "Rejected", "DeliveryCountExceeded", "Expired"] {
        assert!(story.contains(part), "`{part}` is missing in the story:\n{story}");
    }
}

#[test]
fn the_demo_takes_any_file_and_reports_in_json() {
    let file = TestFile::new("{\"t\":21.4}\r\n\n{\"t\":\"\u{b0}C\"}\nlast".as_bytes());
    let ran = run(&["demo", "--file", file.path(), "-o", "jsonl"]);
    let records = ran.succeeds().records();
    let summary = records.last().expect("a summary");
    for (member, value) in [("sent", 4), ("read_back", 4), ("equal", 4), ("feedback_matched", 4)] {
        assert_eq!(summary[member], value, "{member} in {summary}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_usage_error() {
    run(&["demo", "--file", "/no/such/file"]).fails_with(2, &["/no/such/file"]);
}
