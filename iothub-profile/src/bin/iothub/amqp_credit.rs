//! How much credit `amqp receive` grants: what it wants, as far as the messages find room. Arithmetic alone.

/// Credit: as much as is wanted ahead and finds room, and never for more messages than are wanted in all.
#[derive(Debug)]
pub(crate) struct Credit {
    ahead: u32,
    /// Messages granted and not received.
    outstanding: u32,
    /// Messages still to be granted, where their number is limited.
    left: Option<u64>,
    /// Octets that a message is taken to have: the largest allowed at first, later the largest that came lately.
    size: u64,
}

impl Credit {
    /// For so many messages ahead and so many in all, which are taken to have so many octets until others come.
    pub(crate) fn new(ahead: u32, left: Option<u64>, size: u64) -> Self {
        Self { ahead, outstanding: 0, left, size }
    }

    /// What to grant now, so that credit is renewed at half.
    pub(crate) fn due(&mut self) -> u32 {
        let room = (ROOM / self.size.max(1)).max(1);
        let ahead = self.ahead.min(u32::try_from(room).unwrap_or(u32::MAX));
        if self.outstanding > ahead / 2 {
            return 0;
        }
        let room = ahead.saturating_sub(self.outstanding);
        let wanted = self.left.map_or(u32::MAX, |left| u32::try_from(left).unwrap_or(u32::MAX));
        let grant = room.min(wanted);
        self.left = self.left.map(|left| left.saturating_sub(grant.into()));
        self.outstanding = self.outstanding.saturating_add(grant);
        grant
    }

    /// A message of so many octets came. What was large once is forgotten slowly.
    pub(crate) fn receive(&mut self, octets: usize) {
        self.outstanding = self.outstanding.saturating_sub(1);
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.size = octets.max(self.size.saturating_sub((self.size / 16).max(1)));
    }

    /// Whether every message that was granted has come, so that there may be more.
    pub(crate) fn is_used_up(&self) -> bool {
        self.outstanding == 0
    }
}

/// Octets of messages that credit is granted for, by the sizes seen: well below what the connection holds.
const ROOM: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_renewed_at_half_and_never_granted_for_more_than_is_wanted() {
        let mut credit = Credit { ahead: 4, outstanding: 0, left: Some(6), size: 1 };
        assert_eq!(credit.due(), 4);
        credit.receive(1);
        assert_eq!(credit.due(), 0, "three are still on the way");
        credit.receive(1);
        assert_eq!(credit.due(), 2, "two of six are left to grant");
        (0..4).for_each(|_| credit.receive(1));
        assert_eq!((credit.due(), credit.outstanding), (0, 0));
        let mut endless = Credit { ahead: 1, outstanding: 0, left: None, size: 1 };
        assert_eq!(endless.due(), 1);
        endless.receive(1);
        assert_eq!(endless.due(), 1);
    }

    #[test]
    fn credit_is_granted_for_what_finds_room() {
        const MIB: usize = 1024 * 1024;
        let mut credit = Credit { ahead: 100, outstanding: 0, left: None, size: 64 * 1024 * 1024 };
        assert_eq!(credit.due(), 4, "each may be as large as is allowed");
        (0..100).for_each(|_| credit.receive(10));
        assert_eq!(credit.due(), 100, "small ones came");
        (0..100).for_each(|_| credit.receive(50 * MIB));
        assert_eq!(credit.due(), 5);
        let mut tiny = Credit { ahead: 100, outstanding: 0, left: None, size: 0 };
        assert_eq!(tiny.due(), 100);
        (0..100).for_each(|_| tiny.receive(usize::MAX));
        assert_eq!(tiny.due(), 1, "one at least");
    }
}
