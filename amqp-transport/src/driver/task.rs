//! The task of one connection: octets in, octets out, one timer.

use std::future::Future;
use std::io::{self, IoSlice};
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
use super::shared::{Role, Shared, State};
use super::trace::FrameTrace;
use super::wait::Wakes;
use crate::engine::{InputStatus, Transmit};
use crate::error::ConnectionError;
use crate::handle::stream::Spoken;

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

/// What reading gave.
enum Input {
    /// Octets, in the current chunk.
    Octets,
    /// Nothing at this moment.
    Nothing,
    End,
    Failed(io::Error),
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

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Input {
        if self.read != Reading::Open {
            return Input::Nothing;
        }
        self.chunks.make_room();
        let chunk = &mut self.chunks.current;
        let room = chunk.capacity().saturating_sub(chunk.len());
        match poll_read_into(Pin::new(&mut self.io), cx, chunk) {
            Poll::Pending => Input::Nothing,
            Poll::Ready(Ok(0)) => {
                self.read = Reading::Ended;
                Input::End
            }
            Poll::Ready(Ok(count)) => {
                self.counts.bytes_in = self.counts.bytes_in.saturating_add(count);
                self.counts.reads = self.counts.reads.saturating_add(1);
                if let Some(trace) = &mut self.trace {
                    let before = self.chunks.current.len().saturating_sub(count);
                    trace.inward(self.chunks.current.get(before..).unwrap_or_default());
                }
                self.chunks.note_read(count, room);
                self.is_used |= count > HEARTBEAT;
                Input::Octets
            }
            Poll::Ready(Err(error)) => {
                self.read = Reading::Ended;
                Input::Failed(error)
            }
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

    /// Gives the buffers back once nothing has moved for a while. Traffic only sets a mark; the one timer looks at it
    /// now and then, and an idle connection has no such deadline at all.
    fn rest_when_idle(&mut self, state: &mut State, now: Instant) {
        match self.look_for_idleness {
            Some(at) if at <= now => {
                self.look_for_idleness = None;
                if !self.is_used {
                    self.chunks.rest();
                    self.out.shrink();
                    state.shrink();
                }
            }
            _ => {}
        }
        if self.is_used && self.look_for_idleness.is_none() {
            self.is_used = false;
            self.look_for_idleness = now.checked_add(LOOK_FOR_IDLENESS);
        }
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

    fn feed(&mut self, state: &mut State, now: Instant, input: Input) {
        if matches!(input, Input::Octets) || self.read == Reading::Blocked {
            self.read = loop {
                match state.engine.handle_input(now, &mut self.chunks.current) {
                    InputStatus::NeedMore => break Reading::Open,
                    InputStatus::Finished => break Reading::Ignored,
                    InputStatus::Blocked => {
                        if !state.dispatch_next() {
                            break Reading::Blocked;
                        }
                        state.dispatch_all();
                    }
                }
            };
        }
        match input {
            Input::End => {
                self.name_short_answer(state, now);
                state.engine.handle_eof(now);
            }
            Input::Failed(error) => self.cut(state, lost(&error)),
            Input::Octets | Input::Nothing => {}
        }
    }

    /// A peer that speaks TLS answers a plain header with an alert, one octet shorter than a header, and leaves. Filled
    /// up it is the wrong header that it is meant to be, which says more than that the stream ended.
    fn name_short_answer(&mut self, state: &mut State, now: Instant) {
        let answer = &mut self.chunks.current;
        let is_short = answer.len() < PROTOCOL_HEADER && Spoken::recognise(answer) == Spoken::Tls;
        if is_short && matches!(state.role, Role::Client) && state.remote_open.is_none() {
            answer.resize(PROTOCOL_HEADER, 0);
            // The header decides; nothing follows it.
            let _ = state.engine.handle_input(now, answer);
        }
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

    /// Takes the next batch of output when the last one is written.
    fn collect(&mut self, state: &mut State, now: Instant) {
        if state.is_cut || !self.out.is_empty() || !state.engine.poll_transmit(now, &mut self.out) {
            return;
        }
        state.taken_batch = state.taken_batch.saturating_add(1);
        self.batch = state.taken_batch;
        if let Some(trace) = &mut self.trace {
            trace.outward(&self.out);
        }
        // What the engine wants to say once output has gone, such as that senders may go on.
        state.dispatch_all();
    }

    fn look_after_deadlines(&mut self, state: &mut State, now: Instant) {
        let is_paused = state.engine.is_read_paused();
        self.read = match self.read {
            Reading::Open if is_paused => Reading::Paused,
            Reading::Paused if !is_paused => Reading::Open,
            other => other,
        };
        self.patience = patience(self.read, state);
        if self.stall_ends().is_some_and(|at| at <= now) && self.ending == Ending::Running {
            // Nothing can be said to a peer that reads nothing, its close included.
            self.cut(state, ConnectionError::Timeout { what: "reading what is sent to it" });
            state.dispatch_all();
        }
        let soonest = earliest(state.engine.poll_timeout(), state.partings.due());
        let soonest = earliest(soonest, state.answers.due());
        self.wanted = earliest(soonest, self.look_for_idleness);
        if state.engine.is_finished() && self.ending == Ending::Running {
            if state.failure.is_none() {
                state.fail(&ConnectionError::Closed);
            }
            self.ending = Ending::Writing(now.checked_add(END_WITHIN).unwrap_or(now));
        }
        if let Ending::Writing(until) | Ending::Lingering(until) = self.ending {
            self.wanted = Some(until);
        }
    }

    /// When a peer that takes nothing is given up. C-030: our heartbeats do not reach it either, so that it has heard
    /// nothing for as long as it said it would bear.
    fn stall_ends(&self) -> Option<Instant> {
        self.stalled_since?.checked_add(self.patience?)
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

    /// Writes all that is pending, as much at once as the stream takes.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Progress> {
        let mut progress = Progress::None;
        while self.out.has_remaining() {
            let Poll::Ready(written) = self.poll_write_once(cx) else { break };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.advance(written);
            self.written_batch = self.batch;
            self.stalled_since = None;
            self.is_used |= written > HEARTBEAT;
            self.counts.bytes_out = self.counts.bytes_out.saturating_add(written);
            self.counts.writes = self.counts.writes.saturating_add(1);
            self.needs_flush = true;
            progress = Progress::Some;
        }
        if self.needs_flush
            && !self.out.has_remaining()
            && let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(cx)
        {
            flushed?;
            self.needs_flush = false;
        }
        if !self.needs_flush && !self.out.has_remaining() {
            self.stalled_since = None;
        } else if self.stalled_since.is_none() {
            self.stalled_since = Some(clock::now());
        }
        Ok(progress)
    }

    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        if self.out.chunk().len() == self.out.remaining() || !io.is_write_vectored() {
            return io.poll_write(cx, self.out.chunk());
        }
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let count = self.out.chunks_vectored(&mut pieces);
        io.poll_write_vectored(cx, pieces.get(..count).unwrap_or_default())
    }

    /// Arms the one timer; `true` when it has gone off.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let stall_ends = self.stall_ends().filter(|_| self.ending == Ending::Running);
        let Some(wanted) = earliest(self.wanted, stall_ends) else { return false };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wanted.into())));
        // A deadline that moved away is looked at when the timer goes off, not each time it moves.
        if self.armed.is_none_or(|armed| wanted < armed) {
            timer.as_mut().reset(wanted.into());
            self.armed = Some(wanted);
        }
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            if wanted <= clock::now() {
                self.armed = None;
                return true;
            }
            timer.as_mut().reset(wanted.into());
            self.armed = Some(wanted);
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

/// Reads into the spare room of a buffer, without giving it up when nothing comes.
pub(super) fn poll_read_into<IO: AsyncRead>(
    io: Pin<&mut IO>,
    cx: &mut Context<'_>,
    chunk: &mut bytes::BytesMut,
) -> Poll<io::Result<usize>> {
    // `tokio_util`'s way without `unsafe`: read through the future of `read_buf`, which keeps no state.
    let mut io = io;
    let read = tokio::io::AsyncReadExt::read_buf(&mut io, chunk);
    tokio::pin!(read);
    read.poll(cx)
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// How long a peer may take nothing of what is written to it: the silence that it bears by its own word, or else as much
/// as we would bear; less where it is owed so much that we no longer read what it says.
fn patience(read: Reading, state: &State) -> Option<Duration> {
    if read == Reading::Paused {
        return Some(WRITE_STALL);
    }
    let asked = state.remote_open.as_ref()?.idle_time_out.filter(|asked| *asked > 0);
    let asked = asked.map(|asked| Duration::from_millis(asked.into()));
    asked.or_else(|| state.engine.config().idle_time_out).map(|borne| borne.max(WRITE_STALL))
}

// TLS: an end without close_notify comes as `UnexpectedEof` and is a loss, not an end.
fn lost(error: &io::Error) -> ConnectionError {
    #[cfg(feature = "tls")]
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return ConnectionError::Tls { detail: tls.to_string() };
    }
    ConnectionError::io(error)
}

/// Octets of a protocol header.
const PROTOCOL_HEADER: usize = 8;
/// Passes of one poll before other tasks have their turn.
pub(super) const PASSES: usize = 16;
/// Pieces of one vectored write.
const PIECES: usize = 64;
/// Octets of an empty frame.
const HEARTBEAT: usize = 8;
/// How often a connection that is in use is asked whether it still is.
const LOOK_FOR_IDLENESS: Duration = Duration::from_secs(1);
/// How long a peer may always take nothing of what is written to it, and longest where it is owed too much.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Time for the last octets, the shutdown and the peer's end.
const END_WITHIN: Duration = Duration::from_secs(2);
