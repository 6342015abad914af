//! Requests the hub refuses: sizes, quotas, partitions, groups and positions.

use crate::support::{Hub, TestFile, run};

#[test]
fn a_message_over_256_kib_is_refused_and_named() {
    let hub = Hub::start(&["--device", "dev1"]);
    let file = TestFile::new(&vec![b'x'; 256 * 1024 + 1]);
    let device = hub.string("device", "dev1");
    hub.run(&device, &["device", "send", "--file", file.path()]).fails_with(7, &["size"]);
    let fits = TestFile::new(&vec![b'x'; 255 * 1024]);
    hub.run(&device, &["device", "send", "--file", fits.path()]).succeeds();
    let huge = TestFile::new(&vec![b'x'; 3 * 1024 * 1024]);
    hub.run(&device, &["device", "send", "--file", huge.path()]).fails_with(7, &["1048576"]);
}

#[test]
fn a_large_line_among_small_ones_is_the_only_one_refused() {
    let hub = Hub::start(&["--device", "dev1"]);
    let file = TestFile::new(format!("a\n{}\nb\n", "x".repeat(300 * 1024)).as_bytes());
    let ran = hub.run(&hub.string("device", "dev1"), &["device", "send", "--lines", "--file", file.path()]);
    ran.fails_with(7, &["size", "accepted 2, rejected 1, unknown 0"]);
}

#[test]
fn a_command_over_64_kib_and_one_to_an_unknown_device_are_refused() {
    let hub = Hub::start(&["--device", "dev1"]);
    let file = TestFile::new(&vec![b'x'; 64 * 1024 + 1]);
    hub.run(&hub.service(), &["c2d", "send", "dev1", "--file", file.path()]).fails_with(7, &["size"]);
    hub.run(&hub.service(), &["c2d", "send", "nobody", "x"]).fails_with(6, &["not-found"]);
}

#[test]
fn the_51st_pending_command_is_over_the_quota() {
    let hub = Hub::start(&["--device", "dev1"]);
    let ran = hub.run(&hub.service(), &["c2d", "send", "dev1", "x", "--count", "51"]);
    ran.fails_with(7, &["accepted 50", "rejected 1"]);
}

#[test]
fn unknown_partitions_and_groups_are_refused_and_named() {
    let hub = Hub::start(&["--device", "dev1", "--partitions", "2"]);
    let monitor = |args: &[&str]| {
        let args = [&["monitor", "--until-idle", "1"], args].concat();
        hub.run(&hub.service(), &args)
    };
    monitor(&["--partition", "7"]).fails_with(6, &["7"]);
    monitor(&["--group", "nobody"]).fails_with(6, &["nobody"]);
    monitor(&["--from", "offset:no-such-offset"]).fails_with(6, &["filter"]);
}

#[test]
fn bad_positions_and_values_are_usage_errors() {
    for position in ["seq:abc", "offset:1' OR '1'='1", "time:noon", "yesterday"] {
        run(&["monitor", "--from", position]).fails_with(2, &["--from"]);
    }
    run(&["device", "send"]).fails_with(2, &["required"]);
    run(&["emulator", "--partitions", "0"]).fails_with(2, &["--partitions"]);
    run(&["emulator", "--port", "0", "--device", "dev1=%%%"]).fails_with(2, &["base64"]);
    run(&["emulator", "--port", "0", "--tls-cert", "x.pem"]).fails_with(2, &["--tls-key"]);
    run(&["emulator", "--port", "0", "--tls-cert", "/no/cert", "--tls-key", "/no/key"])
        .fails_with(2, &["/no/cert"]);
    run(&["nonsense"]).fails_with(2, &["nonsense"]);
}

#[test]
fn help_documents_the_exit_codes() {
    let ran = run(&["--help"]);
    assert!(ran.succeeds().stdout.contains("Exit codes"));
}
