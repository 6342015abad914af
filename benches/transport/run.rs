//! One run: the two ends where the case wants them, and the costs of the measured stretch.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use workspace_benches::allocations;
use workspace_benches::calls::Calls;
use workspace_benches::costs::cpu_of_threads;

use crate::cases::{Case, Placement};

/// Any failure: a benchmark stops at the first.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What both ends of a run have to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) case: Case,
    /// Messages sent before measuring, on the same link.
    pub(crate) warm_up: usize,
    /// Count allocations and calls on the sockets in the measured stretch (and so spoil its timing).
    pub(crate) count: bool,
    /// Units in one write of the bare peer.
    pub(crate) batch: usize,
}

impl Plan {
    pub(crate) const fn new(case: Case) -> Self {
        Self { case, warm_up: case.messages / 10, count: false, batch: 1 }
    }
}

/// The figures of one run. Calls and allocations are there only when the run counted them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) messages_per_second: f64,
    pub(crate) cpu_microseconds_per_message: f64,
    pub(crate) write_calls_per_message: f64,
    pub(crate) allocations_per_message: f64,
}

/// Marks the ends of the measured stretch.
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
    /// A meter for the sending end, whose word is the run's.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self { count: plan.count, messages: plan.case.messages, started: None, run: Run::default() }
    }

    /// A meter for the receiving end: it matters only where that is a process of its own.
    fn of_receiver(plan: &Plan) -> Self {
        Self { count: false, ..Self::new(plan) }
    }

    /// The link is warm: measuring begins.
    pub(crate) fn start(&mut self) {
        self.started = Some(Start { instant: now(), cpu: cpu_of_threads(), calls: Calls::now() });
        if self.count {
            allocations::start_counting();
        }
    }

    /// The last message has arrived: measuring ends.
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
            allocations_per_message: allocations as f64 / messages,
        };
    }
}

/// Runs both ends until the sending one is done.
///
/// `serve` binds a free port of the loopback, tells it, takes warm-up and measured messages from one connection and
/// returns when its peer goes away.
pub(crate) fn execute<Serve, Serving, Send_, Sending>(
    plan: Plan,
    serve: Serve,
    send: Send_,
) -> Result<Run, BoxError>
where
    Serve: FnOnce(mpsc::Sender<SocketAddr>, Plan, Meter) -> Serving + Send + 'static,
    Serving: Future<Output = Result<Meter, BoxError>> + 'static,
    Send_: FnOnce(SocketAddr, Plan, Meter) -> Sending + Send + 'static,
    Sending: Future<Output = Result<Meter, BoxError>>,
{
    if plan.case.placement == Placement::OneThread {
        return on_one_thread(plan, serve, send);
    }
    let (address_out, address_in) = mpsc::channel();
    let server =
        thread::Builder::new().name("server".to_owned()).spawn(move || serving(address_out, plan, serve))?;
    let address = address_in.recv()?;
    let client =
        thread::Builder::new().name("client".to_owned()).spawn(move || sending(address, plan, send))?;
    let run = client.join().map_err(|_| "the client thread panicked")??;
    server.join().map_err(|_| "the server thread panicked")??;
    Ok(run)
}

/// The receiving end, on a runtime of this thread.
pub(crate) fn serving<Serve, Serving>(
    bound: mpsc::Sender<SocketAddr>,
    plan: Plan,
    serve: Serve,
) -> Result<Run, BoxError>
where
    Serve: FnOnce(mpsc::Sender<SocketAddr>, Plan, Meter) -> Serving,
    Serving: Future<Output = Result<Meter, BoxError>>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(serve(bound, plan, Meter::of_receiver(&plan)))?.run)
}

/// The sending end, on a runtime of this thread.
pub(crate) fn sending<Send_, Sending>(address: SocketAddr, plan: Plan, send: Send_) -> Result<Run, BoxError>
where
    Send_: FnOnce(SocketAddr, Plan, Meter) -> Sending,
    Sending: Future<Output = Result<Meter, BoxError>>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(send(address, plan, Meter::new(&plan)))?.run)
}

fn on_one_thread<Serve, Serving, Send_, Sending>(
    plan: Plan,
    serve: Serve,
    send: Send_,
) -> Result<Run, BoxError>
where
    Serve: FnOnce(mpsc::Sender<SocketAddr>, Plan, Meter) -> Serving,
    Serving: Future<Output = Result<Meter, BoxError>> + 'static,
    Send_: FnOnce(SocketAddr, Plan, Meter) -> Sending,
    Sending: Future<Output = Result<Meter, BoxError>>,
{
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async move {
        let (address_out, address_in) = mpsc::channel();
        let server = tokio::task::spawn_local(serve(address_out, plan, Meter::of_receiver(&plan)));
        let address = loop {
            match address_in.try_recv() {
                Ok(address) => break address,
                Err(mpsc::TryRecvError::Empty) => tokio::task::yield_now().await,
                Err(error) => return Err(error.into()),
            }
        };
        let meter = send(address, plan, Meter::new(&plan)).await?;
        server.await??;
        Ok(meter.run)
    })
}

#[expect(clippy::disallowed_methods, reason = "measuring time is what a benchmark does")]
fn now() -> Instant {
    Instant::now()
}
