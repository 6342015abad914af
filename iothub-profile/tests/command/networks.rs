//! Networks that let little out: WebSockets, and proxies that work or do not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Hub, start};

/// An HTTP proxy that wants these credentials (in base64), connects on, and keeps what it was asked.
fn proxy(credentials: &'static str) -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let asked = Arc::new(Mutex::new(String::new()));
    let log = Arc::clone(&asked);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let log = Arc::clone(&log);
            thread::spawn(move || serve(client, credentials, &log));
        }
    });
    (port, asked)
}

fn serve(mut client: TcpStream, credentials: &str, log: &Mutex<String>) {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut octet).expect("a whole head");
        head.push(octet[0]);
    }
    let head = String::from_utf8(head).expect("text");
    log.lock().expect("not poisoned").push_str(&head);
    if !head.contains(&format!("Proxy-Authorization: Basic {credentials}\r\n")) {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").expect("it reads");
        return;
    }
    let target = head.split(' ').nth(1).expect("a target");
    let mut server = TcpStream::connect(target).expect("the hub");
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it reads");
    let (mut back, mut answers) =
        (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
    // Either way ends when its side does.
    thread::spawn(move || drop(std::io::copy(&mut answers, &mut back)));
    drop(std::io::copy(&mut client, &mut server));
}

const SEND: [&str; 3] = ["device", "send", "hello"];
const READ: [&str; 7] = ["monitor", "-o", "raw", "--from", "earliest", "--count", "1"];

// WS-001, WS-002: the hub's path and the event hub's, the latter behind a redirect.
#[test]
fn a_websocket_carries_devices_and_readers() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    hub.run(&device, &[&SEND[..], &["--websocket"]].concat()).succeeds();
    let read = hub.run(&hub.service(), &[&READ[..], &["--websocket"]].concat());
    assert_eq!(read.succeeds().stdout, "hello\n");
}

#[test]
fn everything_goes_through_the_proxy_that_is_given() {
    let hub = Hub::start(&["--device", "dev1"]);
    // Aladdin:open sesame
    let (port, asked) = proxy("QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    let url = format!("http://Aladdin:open%20sesame@127.0.0.1:{port}");
    let device = hub.string("device", "dev1");
    hub.run(&device, &[&SEND[..], &["--proxy", &url]].concat()).succeeds();
    hub.run(&device, &[&SEND[..], &["--proxy", &url, "--websocket"]].concat()).succeeds();
    let read = hub.run(&hub.service(), &[&READ[..], &["--proxy", &url]].concat());
    assert_eq!(read.succeeds().stdout, "hello\n");
    let asked = asked.lock().expect("not poisoned").clone();
    // Two devices, the hub that redirects, and the event hub.
    assert_eq!(
        asked.matches(&format!("CONNECT localhost:{} HTTP/1.1\r\n", hub.port())).count(),
        4,
        "{asked}"
    );

    let mut command = hub.command(&device, &[&SEND[..], &["--proxy", "env"]].concat());
    command.env("HTTPS_PROXY", &url).env_remove("NO_PROXY").env_remove("no_proxy");
    start(command).end(crate::support::DEADLINE).succeeds();
}

// A proxy that cannot be used is an error, and the hub is never asked directly. Passwords are not repeated.
#[test]
fn a_proxy_that_cannot_be_used_is_told_and_not_passed_by() {
    let hub = Hub::start(&["--device", "dev1"]);
    let device = hub.string("device", "dev1");
    let run =
        |url: &str| hub.run(&device, &[&SEND[..], &["--proxy", url, "--connect-timeout", "3"]].concat());
    let (port, _asked) = proxy("none");
    run(&format!("http://me:hunter2@127.0.0.1:{port}")).fails_with(2, &["other credentials"]);
    run(&format!("http://127.0.0.1:{port}")).fails_with(2, &["wants credentials", "user:password"]);
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    run(&format!("http://127.0.0.1:{nobody}")).fails_with(5, &["cannot reach the proxy"]);
    for url in ["socks5://me:hunter2@h:1", "http://me:hunter2@h:99999"] {
        let failed = run(url);
        failed.fails_with(2, &["proxy"]);
        assert!(!failed.stderr.contains("hunter2"), "{}", failed.stderr);
    }
    assert!(!hub.log().contains("connection opened"), "{}", hub.log());
}
