//! What an application chooses about recovery: where to connect, how long to try, what waits meanwhile.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

/// A host and a port to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PeerAddress {
    host: String,
    port: u16,
}

/// How a connection is kept and got back. The defaults try for ever, as a service wants it that runs unattended.
#[derive(Clone)]
pub struct RecoveryOptions {
    pub(super) attempts: Option<u32>,
    pub(super) time: Option<Duration>,
    pub(super) attempt_timeout: Duration,
    pub(super) operation_timeout: Duration,
    pub(super) settled_after: Duration,
    pub(super) drain_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) link_attempts: u32,
    pub(super) while_down: WhileDown,
    jitter: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// What an operation does that finds no connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum WhileDown {
    /// It waits for the next, up to its own time-out.
    #[default]
    Wait,
    /// It fails at once with what keeps the connection away.
    Fail,
}

impl PeerAddress {
    /// A host name or IP address, and a port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<(&str, u16)> for PeerAddress {
    fn from((host, port): (&str, u16)) -> Self {
        Self::new(host, port)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl RecoveryOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: None,
            time: None,
            attempt_timeout: DEFAULT_ATTEMPT_TIMEOUT,
            operation_timeout: DEFAULT_OPERATION_TIMEOUT,
            settled_after: DEFAULT_SETTLED_AFTER,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
            close_timeout: DEFAULT_CLOSE_TIMEOUT,
            link_attempts: DEFAULT_LINK_ATTEMPTS,
            while_down: WhileDown::default(),
            jitter: Arc::new(seeded),
        }
    }

    /// Rounds through all addresses in one outage before giving up; 0 never connects again after a loss. Default no
    /// bound. An outage ends once a connection has lasted for [`settled_after`](Self::settled_after).
    #[must_use]
    pub fn attempts(mut self, rounds: u32) -> Self {
        self.attempts = Some(rounds);
        self
    }

    /// The longest outage before giving up, whatever is under way then. Default no bound.
    #[must_use]
    pub fn time(mut self, longest: Duration) -> Self {
        self.time = Some(longest);
        self
    }

    /// The longest that one attempt at one address may take, the work of [`Hooks::connect`](super::Hooks::connect)
    /// included. Default 60 s.
    #[must_use]
    pub fn attempt_timeout(mut self, time_out: Duration) -> Self {
        self.attempt_timeout = time_out;
        self
    }

    /// The longest that a send waits to be handed over and a link waits to be attached. Default 4 minutes.
    #[must_use]
    pub fn operation_timeout(mut self, time_out: Duration) -> Self {
        self.operation_timeout = time_out;
        self
    }

    /// How long a connection must last to be taken for sound: until then the back-off goes on where it was, so that a
    /// peer that accepts and hangs up is not hammered. Default 2 s.
    #[must_use]
    pub fn settled_after(mut self, life: Duration) -> Self {
        self.settled_after = life;
        self
    }

    /// How long what is under way may take to end when a connection is closed or replaced on purpose. Default 10 s.
    #[must_use]
    pub fn drain_timeout(mut self, time_out: Duration) -> Self {
        self.drain_timeout = time_out;
        self
    }

    /// How long a peer may take to answer `close`. Default 5 s.
    #[must_use]
    pub fn close_timeout(mut self, time_out: Duration) -> Self {
        self.close_timeout = time_out;
        self
    }

    /// How often in a row one operation attaches a link that comes to nothing on a live connection, at least once; and how
    /// often one is resumed that brings none of what is [unsettled](super::Unsettled::Resume) to its end. Default 6.
    #[must_use]
    pub fn link_attempts(mut self, attempts: u32) -> Self {
        self.link_attempts = attempts.max(1);
        self
    }

    /// What operations do that find no connection. Default [`WhileDown::Wait`].
    #[must_use]
    pub fn while_down(mut self, while_down: WhileDown) -> Self {
        self.while_down = while_down;
        self
    }

    /// Where the random numbers from 0 to 1 come from that spread the pauses. Default the seeds of the standard library's
    /// hash maps, which differ from call to call and are no secret.
    #[must_use]
    pub fn jitter(mut self, source: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.jitter = Arc::new(source);
        self
    }

    pub(super) fn random(&self) -> f64 {
        (self.jitter)()
    }
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RecoveryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryOptions")
            .field("attempts", &self.attempts)
            .field("time", &self.time)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("operation_timeout", &self.operation_timeout)
            .field("while_down", &self.while_down)
            .finish_non_exhaustive()
    }
}

fn seeded() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    let low = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
    f64::from(low) / f64::from(u32::MAX)
}

const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
const DEFAULT_OPERATION_TIMEOUT: Duration = Duration::from_secs(240);
const DEFAULT_SETTLED_AFTER: Duration = Duration::from_secs(2);
const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_LINK_ATTEMPTS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_jitter_is_spread_over_its_range() {
        let drawn: Vec<f64> = (0..200).map(|_| RecoveryOptions::new().random()).collect();
        assert!(drawn.iter().all(|number| (0.0..=1.0).contains(number)));
        assert!(drawn.iter().any(|number| *number < 0.3) && drawn.iter().any(|number| *number > 0.7));
    }

    #[test]
    fn an_address_is_told_as_people_write_it() {
        assert_eq!(PeerAddress::new("broker", 5672).to_string(), "broker:5672");
        assert_eq!(PeerAddress::new("::1", 5672).to_string(), "[::1]:5672");
    }
}
