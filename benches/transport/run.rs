//! One run: two threads, each with a runtime of its own, and the costs of the measured stretch.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use workspace_benches::allocations;
use workspace_benches::calls::Calls;
use workspace_benches::costs::cpu_of_threads;

use crate::options::Options;

/// Any failure: a benchmark stops at the first.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A library under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// This project.
    Ours,
    /// fe2o3-amqp 0.18.
    Fe2o3,
}

/// The figures of one run. Calls and allocations are there only when the run counted them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) messages_per_second: f64,
    pub(crate) cpu_microseconds_per_message: f64,
    pub(crate) write_calls_per_message: f64,
    pub(crate) read_calls_per_message: f64,
    pub(crate) allocations_per_message: f64,
}

/// Marks the ends of the measured stretch; the sending side calls it.
#[derive(Debug)]
pub(crate) struct Meter {
    count: bool,
    messages: usize,
    started: Option<Start>,
    run: Run,
}

#[derive(Debug)]
struct Start {
    instant: Instant,
    cpu: Duration,
    calls: Calls,
}

impl Meter {
    fn new(options: &Options) -> Self {
        Self { count: options.count, messages: options.messages, started: None, run: Run::default() }
    }

    /// The link is warm and nothing is in flight: measuring begins.
    pub(crate) fn start(&mut self) {
        self.started = Some(Start { instant: now(), cpu: cpu_of_threads(), calls: Calls::now() });
        if self.count {
            allocations::start_counting();
        }
    }

    /// The outcome of the last message is here: measuring ends.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn stop(&mut self) {
        let allocations = if self.count { allocations::stop_counting() } else { 0 };
        let Some(start) = self.started.take() else { return };
        let elapsed = now().duration_since(start.instant).as_secs_f64();
        let cpu = cpu_of_threads().saturating_sub(start.cpu).as_secs_f64();
        let calls = Calls::now().since(start.calls);
        let messages = self.messages as f64;
        self.run = Run {
            messages_per_second: messages / elapsed,
            cpu_microseconds_per_message: cpu * 1e6 / messages,
            write_calls_per_message: calls.writes as f64 / messages,
            read_calls_per_message: calls.reads as f64 / messages,
            allocations_per_message: allocations as f64 / messages,
        };
    }
}

/// Runs `serve` on one thread and `send` on another, each in a runtime of one thread, until `send` is done.
///
/// `serve` binds a free port of the loopback, tells it, takes warm-up and measured messages from one connection and returns when its peer goes away.
pub(crate) fn execute<Serve, Serving, Send_, Sending>(
    options: &Options,
    serve: Serve,
    send: Send_,
) -> Result<Run, BoxError>
where
    Serve: FnOnce(mpsc::Sender<SocketAddr>, Options) -> Serving + Send + 'static,
    Serving: Future<Output = Result<(), BoxError>>,
    Send_: FnOnce(SocketAddr, Options, Meter) -> Sending + Send + 'static,
    Sending: Future<Output = Result<Meter, BoxError>>,
{
    let (address_out, address_in) = mpsc::channel();
    let server_options = options.clone();
    let server =
        thread::Builder::new().name("server".to_owned()).spawn(move || -> Result<(), BoxError> {
            Builder::new_current_thread().enable_all().build()?.block_on(serve(address_out, server_options))
        })?;
    let address = address_in.recv()?;
    let (client_options, meter) = (options.clone(), Meter::new(options));
    let client =
        thread::Builder::new().name("client".to_owned()).spawn(move || -> Result<Meter, BoxError> {
            Builder::new_current_thread().enable_all().build()?.block_on(send(address, client_options, meter))
        })?;
    let meter = client.join().map_err(|_| "the client thread panicked")??;
    server.join().map_err(|_| "the server thread panicked")??;
    Ok(meter.run)
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark does")]
fn now() -> Instant {
    Instant::now()
}
