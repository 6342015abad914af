//! The connection's deadlines: an array, and the nearest of them.

use std::time::Instant;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// Headers, SASL and open must be through.
    Handshake,
    /// The peer must have been heard.
    PeerSilence,
    /// We must be heard.
    Heartbeat,
    /// A frame begun must be whole.
    Frame,
    /// The peer must have answered our close.
    Close,
    /// A flow that the peer asked for too soon after the last may leave.
    Echo,
}

/// The order in which due timers fire.
const ALL: [Timer; 6] =
    [Timer::Close, Timer::Handshake, Timer::PeerSilence, Timer::Frame, Timer::Echo, Timer::Heartbeat];

/// One optional deadline a timer.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    handshake: Option<Instant>,
    peer_silence: Option<Instant>,
    heartbeat: Option<Instant>,
    frame: Option<Instant>,
    close: Option<Instant>,
    echo: Option<Instant>,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        *self.slot(timer) = at;
    }

    pub(crate) fn get(&self, timer: Timer) -> Option<Instant> {
        match timer {
            Timer::Handshake => self.handshake,
            Timer::PeerSilence => self.peer_silence,
            Timer::Heartbeat => self.heartbeat,
            Timer::Frame => self.frame,
            Timer::Close => self.close,
            Timer::Echo => self.echo,
        }
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let due = ALL.into_iter().find(|timer| self.get(*timer).is_some_and(|at| at <= now))?;
        self.set(due, None);
        Some(due)
    }

    /// The nearest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        ALL.into_iter().filter_map(|timer| self.get(timer)).min()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    fn slot(&mut self, timer: Timer) -> &mut Option<Instant> {
        match timer {
            Timer::Handshake => &mut self.handshake,
            Timer::PeerSilence => &mut self.peer_silence,
            Timer::Heartbeat => &mut self.heartbeat,
            Timer::Frame => &mut self.frame,
            Timer::Close => &mut self.close,
            Timer::Echo => &mut self.echo,
        }
    }
}
