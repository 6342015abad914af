//! Session windows and link credit: the only file with this arithmetic.
//!
//! All ids and counts are serial numbers that wrap at 2^32 (RFC 1982); windows and credits are plain counts that never
//! go below zero.

use amqp_codec::SerialNumber;

/// The six numbers of a session's flow control (S-013). The unit is the transfer frame.
#[derive(Clone, Debug)]
pub(crate) struct SessionWindow {
    initial_outgoing_id: SerialNumber,
    next_outgoing_id: SerialNumber,
    outgoing_window: u32,
    remote_incoming_window: u32,
    next_incoming_id: SerialNumber,
    incoming_window: u32,
    incoming_window_max: u32,
    remote_outgoing_window: u32,
}

/// What a peer did to a window that it must not do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WindowError {
    /// More transfers than the incoming window allowed (S-018).
    Exceeded,
    /// The peer's next-outgoing-id lies behind what has been received (S-019).
    Rewound,
    /// The peer says it has received transfers that were never sent.
    Ahead,
}

impl SessionWindow {
    pub(crate) fn new(next_outgoing_id: u32, outgoing_window: u32, incoming_window: u32) -> Self {
        Self {
            initial_outgoing_id: SerialNumber(next_outgoing_id),
            next_outgoing_id: SerialNumber(next_outgoing_id),
            outgoing_window,
            remote_incoming_window: 0,
            next_incoming_id: SerialNumber(0),
            incoming_window,
            incoming_window_max: incoming_window,
            remote_outgoing_window: 0,
        }
    }

    /// Takes our own settings for a session that the peer began; the peer's half stays.
    pub(crate) fn configure(&mut self, next_outgoing_id: u32, outgoing_window: u32, incoming_window: u32) {
        self.initial_outgoing_id = SerialNumber(next_outgoing_id);
        self.next_outgoing_id = SerialNumber(next_outgoing_id);
        self.outgoing_window = outgoing_window;
        self.incoming_window = incoming_window;
        self.incoming_window_max = incoming_window;
    }

    // S-022: the peer's begin gives its half.
    pub(crate) fn on_begin(&mut self, next_outgoing_id: u32, incoming_window: u32, outgoing_window: u32) {
        self.next_incoming_id = SerialNumber(next_outgoing_id);
        self.remote_incoming_window = incoming_window;
        self.remote_outgoing_window = outgoing_window;
    }

    // S-016
    pub(crate) fn can_send(&self) -> bool {
        self.remote_incoming_window > 0
    }

    // S-014, S-015: one transfer frame leaves.
    // S-025: nothing else is counted.
    pub(crate) fn on_sent(&mut self) {
        debug_assert!(self.can_send(), "a transfer left through a closed window");
        self.next_outgoing_id = self.next_outgoing_id.next();
        self.remote_incoming_window = self.remote_incoming_window.saturating_sub(1);
    }

    // S-017, S-018: one transfer frame came.
    pub(crate) fn on_received(&mut self) -> Result<(), WindowError> {
        self.incoming_window = self.incoming_window.checked_sub(1).ok_or(WindowError::Exceeded)?;
        self.next_incoming_id = self.next_incoming_id.next();
        self.remote_outgoing_window = self.remote_outgoing_window.saturating_sub(1);
        Ok(())
    }

    // S-024: the peer's view of our window is refreshed when half of it is used.
    pub(crate) fn is_low(&self) -> bool {
        self.incoming_window <= self.incoming_window_max / 2
    }

    /// Opens our window wholly; a flow that says so must follow.
    pub(crate) fn replenish(&mut self) {
        self.incoming_window = self.incoming_window_max;
    }

    // S-019 to S-021, S-023
    pub(crate) fn on_flow(
        &mut self,
        next_incoming_id: Option<u32>,
        incoming_window: u32,
        next_outgoing_id: u32,
        outgoing_window: u32,
    ) -> Result<(), WindowError> {
        let theirs = SerialNumber(next_outgoing_id);
        // A distance of exactly 2^31 is undefined and counts as behind.
        if theirs.signed_distance_from(self.next_incoming_id) < 0 {
            return Err(WindowError::Rewound);
        }
        let received = next_incoming_id.map_or(self.initial_outgoing_id, SerialNumber);
        let in_flight = u32::try_from(self.next_outgoing_id.signed_distance_from(received))
            .map_err(|_| WindowError::Ahead)?;
        self.next_incoming_id = theirs;
        self.remote_outgoing_window = outgoing_window;
        self.remote_incoming_window = incoming_window.saturating_sub(in_flight);
        Ok(())
    }

    pub(crate) fn next_incoming_id(&self) -> u32 {
        self.next_incoming_id.0
    }

    pub(crate) fn next_outgoing_id(&self) -> u32 {
        self.next_outgoing_id.0
    }

    pub(crate) fn incoming_window(&self) -> u32 {
        self.incoming_window
    }

    pub(crate) fn outgoing_window(&self) -> u32 {
        self.outgoing_window
    }

    pub(crate) fn remote_incoming_window(&self) -> u32 {
        self.remote_incoming_window
    }

    pub(crate) fn remote_outgoing_window(&self) -> u32 {
        self.remote_outgoing_window
    }
}

/// A sender's half of link flow control (L-017).
#[derive(Clone, Debug)]
pub(crate) struct SenderCredit {
    initial_delivery_count: SerialNumber,
    delivery_count: SerialNumber,
    credit: u32,
    /// The credit last given back.
    given_back: u32,
    /// The receiver's drain flag, as last seen.
    pub(crate) drain: bool,
    /// What the application says it has waiting.
    pub(crate) available: u32,
}

impl SenderCredit {
    pub(crate) fn new(initial_delivery_count: u32) -> Self {
        Self {
            initial_delivery_count: SerialNumber(initial_delivery_count),
            delivery_count: SerialNumber(initial_delivery_count),
            credit: 0,
            given_back: 0,
            drain: false,
            available: 0,
        }
    }

    /// Moves the start of counting, keeping credit that came before our attach left.
    pub(crate) fn start_at(&mut self, initial_delivery_count: u32) {
        self.initial_delivery_count = SerialNumber(initial_delivery_count);
        self.delivery_count = self.initial_delivery_count;
    }

    pub(crate) fn credit(&self) -> u32 {
        self.credit
    }

    pub(crate) fn delivery_count(&self) -> u32 {
        self.delivery_count.0
    }

    // L-020, L-021: one delivery starts.
    pub(crate) fn on_send(&mut self) {
        debug_assert!(self.credit > 0, "a delivery started without credit");
        self.delivery_count = self.delivery_count.next();
        self.credit = self.credit.saturating_sub(1);
    }

    // L-018, L-019, L-026
    pub(crate) fn on_flow(&mut self, delivery_count: Option<u32>, link_credit: u32, drain: bool) {
        let seen = delivery_count.map_or(self.initial_delivery_count, SerialNumber);
        let since = self.delivery_count.signed_distance_from(seen);
        let sent_since = self.delivery_count.distance_from(seen);
        self.credit = match u32::try_from(since) {
            Ok(sent_since) => link_credit.saturating_sub(sent_since),
            // So much credit was given back that serial numbers call it ahead: the flow was on its way meanwhile.
            Err(_) if self.given_back >= HALF && sent_since >= self.given_back => {
                link_credit.saturating_sub(sent_since)
            }
            Err(_) => link_credit.saturating_add(since.unsigned_abs()),
        };
        self.drain = drain;
    }

    // L-025: what is left of the credit is given back.
    pub(crate) fn give_back(&mut self) {
        self.delivery_count = self.delivery_count.add(self.credit);
        self.given_back = std::mem::take(&mut self.credit);
    }
}

/// A receiver's half of link flow control (L-017).
#[derive(Clone, Debug)]
pub(crate) struct ReceiverCredit {
    delivery_count: SerialNumber,
    credit: u32,
    /// Deliveries that may still come under a higher credit granted before (L-026).
    slack: u32,
    /// Whether the sender has said that it knows of no more than was granted last.
    is_confirmed: bool,
    /// Deliveries put up with since the last grant that no credit was granted for.
    overrun: u32,
    /// Whether we wait for the sender to use the credit up.
    pub(crate) draining: bool,
    /// What the sender says it has.
    pub(crate) available: u32,
}

/// A delivery came that no credit was granted for (L-022).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct CreditExceeded;

impl ReceiverCredit {
    pub(crate) fn new() -> Self {
        Self {
            delivery_count: SerialNumber(0),
            credit: 0,
            slack: 0,
            is_confirmed: false,
            overrun: 0,
            draining: false,
            available: 0,
        }
    }

    // L-027: counting starts where the sender says.
    pub(crate) fn start_at(&mut self, initial_delivery_count: u32) {
        self.delivery_count = SerialNumber(initial_delivery_count);
    }

    pub(crate) fn credit(&self) -> u32 {
        self.credit
    }

    pub(crate) fn delivery_count(&self) -> u32 {
        self.delivery_count.0
    }

    /// Grants exactly this much from now on. More than half the circle cannot be told from going back, once it is
    /// given back, and no link lasts long enough to use it up between two grants.
    pub(crate) fn grant(&mut self, credit: u32) {
        let credit = credit.min(HALF - 1);
        self.slack = self.credit.saturating_add(self.slack).saturating_sub(credit);
        self.credit = credit;
        self.is_confirmed = false;
        self.overrun = 0;
    }

    // L-020, L-022, L-024: one delivery starts. So many without credit are put up with between two grants.
    pub(crate) fn on_delivery(&mut self, most_overrun: u32) -> Result<(), CreditExceeded> {
        if self.credit > 0 {
            self.credit -= 1;
        } else if self.slack > 0 {
            self.slack -= 1;
        } else if self.overrun < most_overrun {
            self.overrun += 1;
        } else {
            return Err(CreditExceeded);
        }
        self.delivery_count = self.delivery_count.next();
        self.available = self.available.saturating_sub(1);
        Ok(())
    }

    /// The sender's flow: it may have moved its count ahead, using credit up without messages.
    pub(crate) fn on_flow(&mut self, delivery_count: Option<u32>, available: Option<u32>) {
        if let Some(theirs) = delivery_count.map(SerialNumber)
            && let Ok(advanced) = u32::try_from(theirs.signed_distance_from(self.delivery_count))
        {
            self.credit = self.credit.saturating_sub(advanced);
            self.delivery_count = theirs;
        }
        self.available = available.unwrap_or(0);
    }

    /// Whether the sender knows of no more credit than there is.
    pub(crate) fn is_known(&self) -> bool {
        self.slack == 0 || self.is_confirmed
    }

    /// The sender knows that credit ends at `told`, or before it. What it may use all the same is put up with: its flow may
    /// have been an older one.
    pub(crate) fn confirm(&mut self, told: SerialNumber) {
        self.is_confirmed = told.signed_distance_from(self.limit()) <= 0;
    }

    /// Where the credit ends, as a count of deliveries.
    pub(crate) fn limit(&self) -> SerialNumber {
        self.delivery_count.add(self.credit)
    }

    /// An end of credit that is no older than what has come: the largest credit reaches no further from it than serial
    /// numbers can tell.
    pub(crate) fn at_least(&self, limit: SerialNumber) -> SerialNumber {
        later(limit, self.delivery_count)
    }

    /// Whether the sender's flow knows of credit beyond `limit`. Without credit it knows of none, however far deliveries
    /// that were on their way have brought its count, and so it is with a sender that does not tell.
    // L-018, L-026
    pub(crate) fn is_beyond(
        &self,
        limit: SerialNumber,
        delivery_count: Option<u32>,
        link_credit: Option<u32>,
    ) -> bool {
        let credit = link_credit.unwrap_or(0);
        let theirs = delivery_count.map_or(self.delivery_count, SerialNumber).add(credit);
        credit > 0 && theirs.signed_distance_from(self.at_least(limit)) > 0
    }
}

/// How many unsettled deliveries more a link may have in a session that has room for `limit` and holds `held`, `of_link` of
/// them this link's: half of what the others leave, rounded up. However many links fill their share, the next finds room.
pub(crate) fn room(limit: usize, held: usize, of_link: usize) -> usize {
    limit.saturating_sub(held).saturating_add(1).saturating_sub(of_link) / 2
}

/// How many unsettled deliveries a session is to hold of those that it has room for: what is left is for what comes before
/// a peer hears that it is to stop.
pub(crate) fn ceiling(limit: usize) -> usize {
    limit - (limit / 8).max(usize::from(limit > 1))
}

/// The one of two counts that lies ahead.
pub(crate) fn later(one: SerialNumber, other: SerialNumber) -> SerialNumber {
    if other.signed_distance_from(one) > 0 { other } else { one }
}

/// Half the circle of serial numbers.
const HALF: u32 = 0x8000_0000;

#[cfg(test)]
mod tests;
