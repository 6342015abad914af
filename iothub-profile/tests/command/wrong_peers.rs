//! The wrong thing at the other end: certificates, closed ports, peers that speak something else or nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{Hub, Ran, iothub, run, start, wait_until};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A listener that does `act` with its first connections; its port.
fn peer(act: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || listener.incoming().flatten().for_each(act));
    port
}

fn send_to(port: u16, more: &[&str]) -> Ran {
    let string = format!("HostName=localhost:{port};DeviceId=dev1;SharedAccessKey={KEY}");
    run(&[&["device", "send", "hello", "--connection-string", &string], more].concat())
}

#[test]
fn an_unknown_authority_is_a_tls_failure() {
    let hub = Hub::start(&["--device", "dev1"]);
    let other = Hub::start(&[]);
    let mut command = iothub(&["device", "send", "hello", "--ca", &other.ca()]);
    command.env("IOTHUB_CONNECTION_STRING", hub.string("device", "dev1"));
    start(command).end(crate::support::DEADLINE).fails_with(4, &["authority that is not trusted", "--ca"]);
}

#[test]
fn a_certificate_for_another_name_is_a_tls_failure() {
    let hub = Hub::start(&["--host", "myhub.example", "--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let to_port = format!("127.0.0.1:{}", hub.port());
    hub.run(&device, &["device", "send", "hello", "--connect-to", &to_port]).succeeds();
    let args = ["monitor", "-o", "raw", "--from", "earliest", "--count", "1", "--connect-to", &to_port];
    assert_eq!(hub.run(&hub.service(), &args).succeeds().stdout, "hello\n", "the redirect goes the same way");
    let renamed = device.replace("myhub.example", "other.example");
    assert_ne!(renamed, device);
    hub.run(&renamed, &["device", "send", "hello", "--connect-to", &to_port]).fails_with(4, &["name"]);
}

#[test]
fn a_ca_file_that_is_none_is_a_usage_error() {
    let file = TestFileText::new();
    send_to(1, &["--ca", "/no/such/file"]).fails_with(2, &["/no/such/file"]);
    send_to(1, &["--ca", file.path()]).fails_with(2, &["certificate"]);
}

#[test]
fn a_closed_port_and_a_name_that_is_not_there_are_unreachable() {
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    send_to(port, &[]).fails_with(5, &["refused"]);
    let string = format!("HostName=no-such-host.invalid;DeviceId=dev1;SharedAccessKey={KEY}");
    run(&["device", "send", "hello", "--connection-string", &string])
        .fails_with(5, &["no-such-host.invalid"]);
}

#[test]
fn a_peer_that_does_not_speak_tls_is_told_from_one_that_does() {
    let http = peer(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    send_to(http, &[])
        .fails_with(4, &["does not speak TLS", "the port of the host", "to do: check the port"]);
    let amqp = peer(|mut stream| {
        let _ = stream.write_all(b"AMQP\x00\x01\x00\x00");
        let _ = stream.read(&mut [0; 1024]);
    });
    send_to(amqp, &[]).fails_with(4, &["TLS"]);
}

#[test]
fn a_peer_that_says_nothing_or_hangs_up_does_not_hold_the_command() {
    let silent = peer(|stream| {
        thread::sleep(Duration::from_secs(60));
        drop(stream);
    });
    send_to(silent, &["--connect-timeout", "1"]).fails_with(5, &["too long"]);
    let closing = peer(drop);
    let ran = send_to(closing, &[]);
    ran.fails_with(4, &["fault: the host or the network", "retry: may help"]);
}

#[test]
fn a_plain_amqp_client_on_the_tls_port_is_closed_and_named_in_the_log() {
    let hub = Hub::start(&["--device", "dev1"]);
    let mut stream = TcpStream::connect(("127.0.0.1", hub.port())).expect("the port is open");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    stream.write_all(b"AMQP\x00\x01\x00\x00").expect("written");
    let mut rest = Vec::new();
    // A reset ends the stream as well as a close does.
    let _ = stream.read_to_end(&mut rest);
    assert!(wait_until(Duration::from_secs(10), || hub.log().contains("AMQP")), "{}", hub.log());
    assert!(hub.log().contains("TLS"), "{}", hub.log());
    hub.run(&hub.string("device", "dev1"), &["device", "send", "still here"]).succeeds();
}

/// A file that holds no certificate.
struct TestFileText(crate::support::TestFile);

impl TestFileText {
    fn new() -> Self {
        Self(crate::support::TestFile::new(b"no certificate at all\n"))
    }

    fn path(&self) -> &str {
        self.0.path()
    }
}
