//! Runs the command and the emulator as children, with deadlines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How a run of the command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Asserts the exit code and that standard error names every one of `words`.
    #[track_caller]
    pub(crate) fn fails_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        let told = self.stderr.to_lowercase();
        for word in words {
            assert!(told.contains(&word.to_lowercase()), "`{word}` is not named in: {}", self.stderr);
        }
        for part in ["fault: ", "retry: ", "to do: "] {
            assert!(code == 2 || told.contains(part), "`{part}` is missing in: {}", self.stderr);
        }
    }

    /// Asserts that the run succeeded.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// The JSON objects on standard output.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}

/// The command with `args`, nothing of the caller's environment, and nothing on standard input.
pub(crate) fn iothub(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iothub"));
    command.args(args).stdin(Stdio::null());
    for name in [
        "IOTHUB_CONNECTION_STRING",
        "IOTHUB_LOG",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "RUST_LOG",
        "AMQP_TRACE_FRAMES",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs the command to its end.
#[track_caller]
pub(crate) fn run(args: &[&str]) -> Ran {
    start(iothub(args)).end(DEADLINE)
}

/// A command that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
}

/// Starts a command whose output is gathered.
#[track_caller]
pub(crate) fn start(mut command: Command) -> Running {
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    let (stdout, stderr) = (Arc::default(), Arc::default());
    let readers = vec![
        gather(child.stdout.take().expect("piped"), Arc::clone(&stdout)),
        gather(child.stderr.take().expect("piped"), Arc::clone(&stderr)),
    ];
    Running { child, stdout, stderr, readers }
}

impl Running {
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input was asked to be a pipe")
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What standard output holds so far.
    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What standard error holds so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// Waits for the end; a run that has not ended by the deadline is killed and fails the test.
    #[track_caller]
    pub(crate) fn end(mut self, deadline: Duration) -> Ran {
        let mut code = None;
        let ended =
            wait_until(deadline, || match self.child.try_wait().expect("a child can be waited for") {
                Some(status) => {
                    code = Some(status.code());
                    true
                }
                None => false,
            });
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("not ended after {deadline:?}\nstdout: {}\nstderr: {}", self.stdout(), self.stderr());
        }
        for reader in self.readers.drain(..) {
            reader.join().expect("the reader does not panic");
        }
        Ran { code: code.flatten(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a child the signal that Ctrl-C sends.
#[cfg(unix)]
pub(crate) fn interrupt(id: u32) {
    let status = Command::new("kill").args(["-INT", &id.to_string()]).status().expect("kill runs");
    assert!(status.success());
}

/// Looks again and again until `done`, at most for `deadline`; tells whether it was done in time.
pub(crate) fn wait_until(deadline: Duration, mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..deadline.as_millis() / LOOK_AGAIN.as_millis() {
        if done() {
            return true;
        }
        thread::sleep(LOOK_AGAIN);
    }
    done()
}

/// The emulator as a child, with what it printed.
#[derive(Debug)]
pub(crate) struct Hub {
    child: Child,
    log: Arc<Mutex<Vec<u8>>>,
    records: Vec<Value>,
}

impl Hub {
    /// Starts an emulator on a free port and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_on(0, args)
    }

    /// Starts an emulator on `port` and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_on(port: u16, args: &[&str]) -> Self {
        let mut command = iothub(&["emulator", "-o", "jsonl", "--port", &port.to_string()]);
        let mut child = command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let log = Arc::default();
        let stderr: ChildStderr = child.stderr.take().expect("piped");
        gather(stderr, Arc::clone(&log));
        let mut records: Vec<Value> = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("the emulator writes UTF-8");
            records.push(serde_json::from_str(&line).expect(&line));
            if records.last().is_some_and(|record| record["kind"] == "ready") {
                return Self { child, log, records };
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        panic!("the emulator ended before it was ready: {}", text(&log));
    }

    /// The connection string of a device or a policy.
    #[track_caller]
    pub(crate) fn string(&self, kind: &str, id: &str) -> String {
        let found = self.records.iter().find(|record| record["kind"] == kind && record["id"] == id);
        found.expect("the emulator printed it")["connection_string"].as_str().expect("a string").into()
    }

    pub(crate) fn service(&self) -> String {
        self.string("policy", "iothubowner")
    }

    pub(crate) fn port(&self) -> u16 {
        let port = self.records.last().expect("ready")["port"].as_u64().expect("a number");
        u16::try_from(port).expect("a port")
    }

    /// Path of the authority's certificate, or of the one that was given.
    pub(crate) fn ca(&self) -> String {
        let found =
            self.records.iter().find(|record| record["kind"] == "ca" || record["kind"] == "certificate");
        found.expect("the emulator printed it")["file"].as_str().expect("a string").into()
    }

    /// What the emulator logged so far.
    pub(crate) fn log(&self) -> String {
        text(&self.log)
    }

    /// Runs a verb with a connection string of this hub and its authority.
    #[track_caller]
    pub(crate) fn run(&self, connection_string: &str, args: &[&str]) -> Ran {
        start(self.command(connection_string, args)).end(DEADLINE)
    }

    /// A verb with a connection string of this hub and its authority.
    pub(crate) fn command(&self, connection_string: &str, args: &[&str]) -> Command {
        let mut command = iothub(args);
        command.args(["--ca", &self.ca()]).env("IOTHUB_CONNECTION_STRING", connection_string);
        command
    }

    /// Everything the hub holds, read from the start.
    #[track_caller]
    pub(crate) fn telemetry(&self) -> Vec<Value> {
        let args = ["monitor", "-o", "jsonl", "--from", "earliest", "--until-idle", "0.7"];
        self.run(&self.service(), &args).succeeds().records()
    }

    /// Ends the emulator at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.kill();
        let made_here = self.records.iter().filter(|record| record["kind"] == "ca");
        for file in made_here.filter_map(|record| record["file"].as_str()) {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// A way to a hub that can be cut.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    sockets: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `port`.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own_port = listener.local_addr().expect("bound").port();
        let sockets: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let held = Arc::clone(&sockets);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(hub) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let clone = |socket: &TcpStream| socket.try_clone().expect("a socket can be cloned");
                pass_on(clone(&client), clone(&hub));
                pass_on(clone(&hub), clone(&client));
                held.lock().expect("not poisoned").extend([client, hub]);
            }
        });
        Self { port: own_port, sockets }
    }

    /// Where to connect to.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts every connection; tells how many there were.
    pub(crate) fn cut(&self) -> usize {
        let sockets = std::mem::take(&mut *self.sockets.lock().expect("not poisoned"));
        for socket in &sockets {
            // One that has ended already needs no end.
            let _ = socket.shutdown(Shutdown::Both);
        }
        sockets.len() / 2
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// A file of this test's own that goes away with it.
#[derive(Debug)]
pub(crate) struct TestFile(PathBuf);

impl TestFile {
    pub(crate) fn new(content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("iothub-test-{}", uuid::Uuid::new_v4()));
        let mut file = std::fs::File::create_new(&path).expect("a new file");
        file.write_all(content).expect("the file takes the content");
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().expect("a path in UTF-8")
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn gather(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            into.lock().expect("not poisoned").extend_from_slice(&chunk[..read]);
        }
    })
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("not poisoned")).into_owned()
}

/// The longest any run may take; generous, because a machine under test is busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
