//! The task of one connection: octets in, octets out, one timer.
//!
//! Owns the order of one pass, and what a visit to the engine under the lock does. What is read, what is written and when
//! to look again are in files of their own.

mod deadlines;
mod input;
mod output;

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::Sleep;
use tracing::debug;

use super::chunks::Chunks;
use super::clock;
use super::ending::Ending;
use super::shared::{Shared, State};
use super::trace::FrameTrace;
use super::wait::Wakes;
use crate::engine::Transmit;
use crate::error::ConnectionError;
use input::Input;
pub(super) use input::poll_read_into;

/// Moves octets between a stream and the engine until both are done.
pub(crate) struct Driver<IO> {
    pub(super) io: IO,
    pub(super) shared: Arc<Shared>,
    pub(super) chunks: Chunks,
    pub(super) read: Reading,
    pub(super) out: Transmit,
    /// The number of the batch in `out`, and whether an octet of it was written.
    batch: u64,
    written_batch: u64,
    pub(super) needs_flush: bool,
    pub(super) counts: Counts,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the timer goes off; never later than `wanted`.
    armed: Option<Instant>,
    wanted: Option<Instant>,
    /// Since when the stream has taken nothing of what waits to be written, and how long that may last.
    stalled_since: Option<Instant>,
    patience: Option<Duration>,
    /// When to look whether the connection has fallen idle, so that its buffers can be given back; none once they are.
    look_for_idleness: Option<Instant>,
    /// Whether more than heartbeats has moved since that was set.
    is_used: bool,
    pub(super) ending: Ending,
    wakes: Wakes,
    /// Whether the runtime has one thread; not known before it matters.
    is_alone: Option<bool>,
    pub(super) trace: Option<Box<FrameTrace>>,
}

/// What may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whatever comes.
    Open,
    /// Nothing, until the engine has dealt with what it has.
    Blocked,
    /// Nothing, until the peer takes what it is owed.
    Paused,
    /// Nothing that the engine wants; what still comes is thrown away at the end.
    Ignored,
    /// The stream has ended.
    Ended,
}

/// What the last pass's reading and writing did, for the statistics.
#[derive(Debug, Default)]
pub(super) struct Counts {
    bytes_in: usize,
    bytes_out: usize,
    reads: u64,
    writes: u64,
    wakes: u64,
}

/// Whether a pass moved anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Some,
    None,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    pub(crate) fn new(io: IO, shared: Arc<Shared>) -> Self {
        // Poisoned: there will be no frames.
        let last_frames = shared.with(|state| state.last_frames).unwrap_or_default();
        let trace = FrameTrace::if_wanted(last_frames);
        Self {
            io,
            shared,
            chunks: Chunks::new(),
            read: Reading::Open,
            out: Transmit::new(),
            batch: 0,
            written_batch: 0,
            needs_flush: false,
            counts: Counts::default(),
            timer: None,
            armed: None,
            wanted: None,
            stalled_since: None,
            patience: None,
            look_for_idleness: None,
            is_used: false,
            ending: Ending::Running,
            wakes: Wakes::default(),
            is_alone: None,
            trace,
        }
    }

    /// One visit to the engine under the lock: input, time, events, output. `true` when somebody was woken by it.
    fn visit(
        &mut self,
        cx: &Context<'_>,
        input: Input,
        broken: Option<io::Error>,
    ) -> Result<bool, ConnectionError> {
        let now = clock::now();
        let shared = Arc::clone(&self.shared);
        let mut guard = shared.lock()?;
        let state = &mut *guard;
        self.arrive(state, cx);
        self.feed(state, now, input);
        if let Some(error) = broken {
            self.cut(state, lost(&error));
        }
        if state.engine.poll_timeout().is_some_and(|deadline| deadline <= now) {
            state.engine.handle_timeout(now);
        }
        state.stop_parting(now);
        state.stop_waiting(now);
        self.rest_when_idle(state, now);
        state.dispatch_all();
        state.grant_kept_back();
        // Whatever has been asked for up to here, by this task too, leaves now.
        state.is_touched = false;
        self.collect(state, now);
        self.look_after_deadlines(state, now);
        self.keep_last_frames(state);
        self.shared.note_settled(state);
        state.seen_output = state.engine.queued_output();
        std::mem::swap(&mut state.wakes, &mut self.wakes);
        drop(guard);
        let has_woken = !self.wakes.is_empty();
        self.wakes.fire();
        Ok(has_woken)
    }

    /// Tells the handles that the driver is looking, and what it has done since it last did.
    fn arrive(&mut self, state: &mut State, cx: &Context<'_>) {
        state.is_driver_notified = false;
        state.is_touched = false;
        std::mem::swap(&mut state.wakes, &mut self.wakes);
        if !state.driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
            && let Some(old) = state.driver.replace(cx.waker().clone())
        {
            state.wakes.discard(old);
        }
        state.written_batch = self.written_batch;
        self.counts.add_to(&mut state.stats);
    }

    /// Gives the connection up with all that it has not written, so that what was not is known not to have been.
    fn cut(&mut self, state: &mut State, reason: ConnectionError) {
        self.out = Transmit::new();
        self.stalled_since = None;
        state.is_cut = true;
        state.engine.abort(reason);
    }

    /// What was said last before a connection failed goes with its failure. One that is not open yet may be given up at
    /// any moment.
    fn keep_last_frames(&self, state: &mut State) {
        let Some(heads) = self.trace.as_ref().and_then(|trace| trace.heads.as_ref()) else { return };
        if state.failure.is_none() {
            state.heads = state.remote_open.is_none().then(|| heads.clone());
            return;
        }
        let is_fault = |reason: &ConnectionError| {
            !matches!(reason, ConnectionError::Closed | ConnectionError::ClosedByPeer)
        };
        if let Some(reason) = state.failure.as_ref().filter(|reason| is_fault(reason))
            && !state.are_heads_final
        {
            debug!(%reason, "{heads}");
            state.heads = Some(heads.clone());
            state.are_heads_final = true;
        }
    }

    /// Lets all other tasks have a turn before this one is polled again.
    fn give_turn(&mut self, cx: &mut Context<'_>) {
        let is_alone = *self.is_alone.get_or_insert_with(|| {
            let flavor = Handle::try_current().map(|runtime| runtime.runtime_flavor());
            matches!(flavor, Ok(RuntimeFlavor::CurrentThread))
        });
        if is_alone {
            // A task that only wakes itself would be run many times before the future that its runtime was entered with.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        } else {
            // Another worker may go on with this task while this worker's is with the application.
            cx.waker().wake_by_ref();
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Future for Driver<IO> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.counts.wakes = this.counts.wakes.saturating_add(1);
        let mut broken = None;
        for _ in 0..PASSES {
            if this.ending != Ending::Running {
                return this.poll_ending(cx);
            }
            let could_read = this.read == Reading::Open;
            let input = this.poll_read(cx);
            let was_read = !matches!(input, Input::Nothing);
            let Ok(has_woken) = this.visit(cx, input, broken.take()) else {
                this.finish();
                return Poll::Ready(());
            };
            let written = match this.poll_write(cx) {
                Ok(progress) => progress,
                Err(error) => {
                    // Nothing more can be written; the engine is told in the next pass.
                    this.out = Transmit::new();
                    broken = Some(error);
                    continue;
                }
            };
            let is_due = this.poll_timer(cx);
            // Reading that was held back and may go on has not been asked for its waker yet.
            let may_read_again = !could_read && this.read == Reading::Open;
            let has_written = written == Progress::Some && !this.out.has_remaining();
            let is_moving = was_read || is_due || may_read_again || has_written;
            if !is_moving && this.ending == Ending::Running {
                return Poll::Pending;
            }
            if has_woken {
                // Whoever was woken works on this while the peer prepares what comes next: with all that is there read
                // first, the two ends would take turns.
                break;
            }
        }
        if let Some(error) = broken {
            // Not lost between two polls.
            let _ = Arc::clone(&this.shared).with(|state| {
                state.written_batch = this.written_batch;
                this.cut(state, lost(&error));
                state.dispatch_all();
            });
        }
        // Others have their turn.
        this.give_turn(cx);
        Poll::Pending
    }
}

impl<IO> Drop for Driver<IO> {
    /// The task is gone, by its own end or because the runtime stops: nobody may wait any more.
    fn drop(&mut self) {
        // Poisoned: nobody waits any more.
        let _ = self.shared.with(|state| {
            state.written_batch = self.written_batch;
            state.is_cut = true;
            let stopped = io::Error::other("the connection's task was stopped");
            state.fail(&ConnectionError::io(&stopped));
            state.finish_socket();
        });
    }
}

impl Counts {
    pub(super) fn add_to(&mut self, stats: &mut crate::handle::stats::ConnectionStats) {
        let octets = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        stats.bytes_in = stats.bytes_in.saturating_add(octets(self.bytes_in));
        stats.bytes_out = stats.bytes_out.saturating_add(octets(self.bytes_out));
        stats.reads = stats.reads.saturating_add(self.reads);
        stats.writes = stats.writes.saturating_add(self.writes);
        stats.wakes = stats.wakes.saturating_add(self.wakes);
        *self = Self::default();
    }
}

// TLS: an end without close_notify comes as `UnexpectedEof` and is a loss, not an end.
fn lost(error: &io::Error) -> ConnectionError {
    #[cfg(feature = "tls")]
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return ConnectionError::Tls { detail: tls.to_string() };
    }
    ConnectionError::io(error)
}

/// Passes of one poll before other tasks have their turn.
pub(super) const PASSES: usize = 16;
/// Octets of an empty frame.
const HEARTBEAT: usize = 8;
