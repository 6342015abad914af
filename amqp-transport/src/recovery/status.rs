//! What a recovering connection is doing, as its owner sees it.

use std::fmt;
use std::time::Duration;

/// The state of a recovering connection. Changes come through [`tokio::sync::watch`]; only the latest is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RecoveryStatus<E> {
    /// The first attempt is under way.
    Connecting,
    /// Connected and authenticated.
    Connected {
        /// How many times it was connected, the first time being 1.
        generation: u64,
    },
    /// Lost, and being connected again. Links and positions are restored afterwards.
    Reconnecting {
        /// The number of the coming attempt, from 1; one attempt tries all addresses once.
        attempt: u32,
        /// What happened to the last connection or attempt.
        cause: E,
        /// The pause before the coming attempt.
        pause: Duration,
    },
    /// Given up: the error will not pass by itself, or the bounds chosen are reached.
    Failed(E),
    /// Closed by its owner.
    Closed,
}

impl<E> RecoveryStatus<E> {
    /// True while connected and authenticated.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// True when nothing will happen any more.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Closed)
    }
}

impl<E: fmt::Display> fmt::Display for RecoveryStatus<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Connected { .. } => f.write_str("connected"),
            Self::Reconnecting { attempt, cause, pause } => {
                write!(f, "reconnecting (attempt {attempt} in {} ms): {cause}", pause.as_millis())
            }
            Self::Failed(error) => write!(f, "failed: {error}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}
