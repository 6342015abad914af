//! What can be seen of one connection: what its task has done, and what the engine holds.

use crate::engine::Stats;

/// What a connection has done so far and what it holds this moment. Counters start at 0 and only grow; gauges say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Octets read from the stream.
    pub bytes_in: u64,
    /// Octets written to the stream.
    pub bytes_out: u64,
    /// Read calls that gave octets.
    pub reads: u64,
    /// Write calls, vectored ones counted once.
    pub writes: u64,
    /// Times the connection's task ran.
    pub wakes: u64,
    /// Messages handed over for sending.
    pub messages_sent: u64,
    /// Whole messages received.
    pub messages_received: u64,
    /// Messages among them that were released because too many octets waited for the application
    /// ([`Limits::inbox_bytes`](crate::engine::Limits)), or too many deliveries were unsettled
    /// ([`Limits::unsettled`](crate::engine::Limits)): their senders keep them.
    pub messages_turned_away: u64,
    /// Gauge: messages handed over that have no outcome yet.
    pub undecided_messages: usize,
    /// Gauge: octets of messages received that the application has not taken, over all links.
    pub inbox_octets: usize,
    /// Gauge: links whose credit is withheld because of that.
    pub withheld_links: usize,
    /// Gauge: links whose credit is kept back because too many deliveries of their session are unsettled.
    pub crowded_links: usize,
    /// Frames, stalls, sessions, links and queues as the protocol engine counts them.
    pub engine: Stats,
}
