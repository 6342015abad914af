//! Counters of one connection.

/// What a connection has done so far. All counters start at 0 and only grow.
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
}
