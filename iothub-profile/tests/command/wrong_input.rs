//! Requests the hub refuses: sizes, quotas, partitions, groups and positions.

use crate::support::{DEADLINE, Hub, TestFile, run, start, wait_until};

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
    ran.fails_with(7, &["line 2: ", "size", "accepted 2, rejected 1, unknown 0"]);
    assert!(!ran.stderr.contains("stopped by"), "nothing stopped it: {}", ran.stderr);
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
fn a_partition_named_twice_is_read_once() {
    let hub = Hub::start(&["--device", "dev1", "--partitions", "1"]);
    hub.run(&hub.string("device", "dev1"), &["device", "send", "hello"]).succeeds();
    let twice = ["--partition", "0", "--partition", "0"];
    let args = [&["monitor", "-o", "raw", "--from", "earliest", "--until-idle", "0.7"][..], &twice].concat();
    let ran = hub.run(&hub.service(), &args);
    assert_eq!(ran.succeeds().stdout, "hello\n");
    assert!(ran.stderr.contains("reading partitions 0 as"), "{}", ran.stderr);
}

#[test]
fn the_sixth_reader_is_told_of_readers_and_not_of_waiting_commands() {
    let hub = Hub::start(&["--device", "dev1", "--partitions", "1"]);
    let reader = || start(hub.command(&hub.service(), &["monitor"]));
    let readers: Vec<_> = (0..5).map(|_| reader()).collect();
    for reader in &readers {
        assert!(wait_until(DEADLINE, || reader.stderr().contains("reading")), "{}", reader.stderr());
    }
    let refused = hub.run(&hub.service(), &["monitor", "--until-idle", "1"]);
    refused.fails_with(7, &["5 readers", "another reader"]);
    assert!(!refused.stderr.contains("commands"), "{}", refused.stderr);
}

#[test]
fn a_file_that_is_no_key_or_no_certificate_is_named_by_its_option() {
    let own = TestFile::new(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let start = |certificate: &str, key: &str| {
        run(&["emulator", "--port", "0", "--tls-cert", certificate, "--tls-key", key])
    };
    start(own.path(), own.path()).fails_with(2, &[own.path(), "no private key", "--tls-key"]);
    let key = TestFile::new(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    start(key.path(), key.path()).fails_with(2, &[key.path(), "no certificate", "--tls-cert"]);
    start(own.path(), key.path()).fails_with(2, &[own.path(), key.path(), "unusable"]);
}

#[test]
fn bad_positions_and_values_are_usage_errors() {
    for position in ["seq:abc", "offset:1' OR '1'='1", "time:noon", "yesterday"] {
        run(&["monitor", "--from", position]).fails_with(2, &["--from"]);
    }
    run(&["device", "send"]).fails_with(2, &["required"]);
    run(&["emulator", "--port", "0", "--retention-events", "0"]).fails_with(2, &["retention"]);
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
