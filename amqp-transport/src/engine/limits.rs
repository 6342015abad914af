//! Every bound the engine puts on what a peer, or a careless caller, can make it hold. All have finite defaults.

use std::time::Duration;

/// Bounds of one connection.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest frame accepted before the peer's open has been read, in octets. Default 8 KiB: room for a SASL PLAIN
    /// with a long token, and little for a stranger to fill.
    pub pre_open_frame_size: u32,
    /// Time for headers, SASL and open together. Default 30 s.
    pub handshake_time_out: Duration,
    /// Time one started frame may take to arrive whole. Default 60 s.
    pub frame_time_out: Duration,
    /// Time to wait for the peer's close after ours (C-019). Default 10 s.
    pub close_time_out: Duration,
    /// Time to wait for the peer's answer to a begin, an attach, a detach or an end. What has not come by then is waited
    /// for no more: a session that was begun is ended, a link that was attached is detached, and what was to be over is,
    /// on this side. An answer that comes late is taken for what it is; until then the peer's own half lives, and the
    /// channel, the handle and the name are not used anew. The engine alone does not wait: see
    /// [`give_up_link`](super::Connection::give_up_link). Default 60 s.
    pub answer_time_out: Duration,
    /// Time that large messages get to leave whose frames still wait for the peer's window or the socket when this side
    /// detaches their link, ends their session or closes the connection. What has not left by then is cut off, and ends
    /// as unknown. The engine alone does not wait. Default 10 s.
    pub leave_time_out: Duration,
    /// Time the rest of a large message has to leave whose link or session nobody holds any more: then it is cut off, which
    /// the log tells. Default 5 min. The engine alone knows no handles.
    pub abandon_time_out: Duration,
    /// Shortest time between two heartbeats, whatever idle time-out the peer announces. Default 100 ms.
    pub min_heartbeat_interval: Duration,
    /// Shortest time between two flows of a session that only answer echoes of the peer's; what it asks for meanwhile is
    /// answered together at its end. Default 10 ms.
    pub echo_interval: Duration,
    /// Rounds of a SASL exchange. Default 16.
    pub sasl_rounds: u32,
    /// Octets queued for output above which [`try_send`](super::Connection::try_send) answers `OutputFull`. Default 1 MiB.
    pub output_high_water: usize,
    /// Octets of frames we owe the peer (answers, dispositions, flows) above which reading pauses. Default 1 MiB.
    pub owed_output: usize,
    /// Events waiting to be polled above which input waits. Default 65,536.
    pub pending_events: usize,
    /// Octets of payload, and of begins, in events waiting to be polled above which input waits. Default 16 MiB.
    pub buffered_bytes: usize,
    /// Octets of whole messages that wait in the inboxes of a connection's receivers, each with a little for its
    /// keeping, above which no link is granted credit by itself but one that has nothing waiting, and that one message at
    /// a time. Twice as much is what links are granted credit for by themselves, all together: messages as large as a link
    /// takes them at first, later as large as they came. Four times as much is held at most: what comes then is released,
    /// and where its sender has settled it, the link is detached. The engine alone has no inboxes. Default 16 MiB.
    pub inbox_bytes: usize,
    /// Octets held of deliveries whose last frame has not come yet, over all links. Default 4 MiB.
    pub partial_delivery_bytes: usize,
    /// Transfer frames one delivery may be split into. Default 262,144.
    pub transfers_per_delivery: u32,
    /// Deliveries that a receiving link puts up with between two grants although it granted no credit for them, before it is
    /// detached (L-022). For peers that know this fault: RabbitMQ 3 grants what is on its way a second time when credit is
    /// renewed. Default 0.
    pub credit_overrun: u32,
    /// Links of the connection, attached or on their way there. Default 16,384.
    pub links: usize,
    /// Octets of the peer's attaches that are kept of a connection's links, above which an attach is refused with
    /// `amqp:resource-limit-exceeded`: encoded while the link lasts, twice as much while one waits for its answer. 512
    /// octets of each are not counted. Default 4 MiB.
    pub attach_bytes: usize,
    /// Octets of the peer's begins that are kept of a connection's sessions, above which a begin is answered, and its
    /// session ended, with `amqp:resource-limit-exceeded`: properties and capabilities may fill a frame each
    /// (AMQP 1.0 §2.7.2). Encoded, from the begin to the end; 512 octets of each are not counted, as
    /// [`channel_max`](super::ConnectionConfig::channel_max) bounds those. Default 1 MiB.
    pub begin_bytes: usize,
    /// Octets of the properties that a link's flow may carry, encoded: what the peer tells beyond detaches the link with
    /// `amqp:resource-limit-exceeded` (AMQP 1.0 §2.7.4). Default 1 KiB.
    pub link_state_bytes: usize,
    /// Unsettled deliveries of a session, each direction by itself. A link sends for half of what the session's other
    /// links leave of it, a link alone for 32,768, and is granted credit by itself for half of what they leave of about three
    /// quarters of it, so that links that settle quickly are not held up by those that do not. The engine grants what it is told to: a caller of [`set_credit`](super::Connection::set_credit) keeps
    /// within [`unsettled_room`](super::Connection::unsettled_room). A peer that has the credit for more and uses it has its
    /// session ended with `amqp:resource-limit-exceeded`. Default 65,536.
    pub unsettled: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pre_open_frame_size: 8 * 1024,
            handshake_time_out: Duration::from_secs(30),
            frame_time_out: Duration::from_secs(60),
            close_time_out: Duration::from_secs(10),
            answer_time_out: Duration::from_secs(60),
            leave_time_out: Duration::from_secs(10),
            abandon_time_out: Duration::from_secs(300),
            min_heartbeat_interval: Duration::from_millis(100),
            echo_interval: Duration::from_millis(10),
            sasl_rounds: 16,
            output_high_water: 1024 * 1024,
            owed_output: 1024 * 1024,
            pending_events: 65_536,
            buffered_bytes: 16 * 1024 * 1024,
            inbox_bytes: 16 * 1024 * 1024,
            partial_delivery_bytes: 4 * 1024 * 1024,
            transfers_per_delivery: 262_144,
            credit_overrun: 0,
            links: 16_384,
            attach_bytes: 4 * 1024 * 1024,
            begin_bytes: 1024 * 1024,
            link_state_bytes: 1024,
            unsettled: 65_536,
        }
    }
}
