//! When the task looks again: the one timer, and the deadlines it serves.
//!
//! Owns how long a peer may take nothing of what is written to it, and when a connection has fallen idle.

use std::future::Future;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Driver, Reading};
use crate::driver::clock;
use crate::driver::ending::Ending;
use crate::driver::shared::State;
use crate::error::ConnectionError;

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// Gives the buffers back once nothing has moved for a while. Traffic only sets a mark; the one timer looks at it
    /// now and then, and an idle connection has no such deadline at all.
    pub(super) fn rest_when_idle(&mut self, state: &mut State, now: Instant) {
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

    pub(super) fn look_after_deadlines(&mut self, state: &mut State, now: Instant) {
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
    pub(super) fn stall_ends(&self) -> Option<Instant> {
        self.stalled_since?.checked_add(self.patience?)
    }

    /// Arms the one timer; `true` when it has gone off.
    pub(in crate::driver) fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
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

/// How often a connection that is in use is asked whether it still is.
const LOOK_FOR_IDLENESS: Duration = Duration::from_secs(1);
/// How long a peer may always take nothing of what is written to it, and longest where it is owed too much.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// Time for the last octets, the shutdown and the peer's end.
const END_WITHIN: Duration = Duration::from_secs(2);
