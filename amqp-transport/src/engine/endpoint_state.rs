//! The two halves of a connection, session or link: what we have sent, and what the peer has.
//!
//! ```text
//!            local                      remote
//!   Idle ──open──► Open ──close──►   the same, moved by what arrives
//!                  Closed
//! ```
//! An endpoint lives while either half is open, and its number on the wire is free again only when both are closed
//! (L-004, S-007). Discarding is a local half that is closed while the remote one is not.

/// One side's view.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Half {
    /// Neither opened nor closed yet.
    Idle,
    /// Opened (open, begin, attach).
    Open,
    /// Closed (close, end, detach).
    Closed,
}

// C-032, S-011: the states of the standard are the pairs of these.
/// Both sides' views.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) local: Half,
    pub(crate) remote: Half,
}

impl Endpoint {
    pub(crate) const fn new() -> Self {
        Self { local: Half::Idle, remote: Half::Idle }
    }

    pub(crate) const fn opened_here() -> Self {
        Self { local: Half::Open, remote: Half::Idle }
    }

    pub(crate) const fn opened_there() -> Self {
        Self { local: Half::Idle, remote: Half::Open }
    }

    /// Both sides have opened and none has closed.
    pub(crate) fn is_open(self) -> bool {
        self.local == Half::Open && self.remote == Half::Open
    }

    /// We have closed and the peer has not: what comes is dropped.
    pub(crate) fn is_discarding(self) -> bool {
        self.local == Half::Closed && self.remote != Half::Closed
    }
}
