//! A link as seen on the wire by one of its ends.

use std::collections::{BTreeMap, BTreeSet};

use amqp_codec::{
    Attach, DecodeLimits, DeliveryState, DeliveryTag, Flow, Map, Role, SenderSettleMode, Transfer, ValueRef,
    from_bytes, to_bytes,
};

use super::require;

/// One end's link. Counts are of deliveries since the link's start and never wrap.
#[derive(Debug)]
pub(super) struct LinkView {
    pub(super) role: Role,
    pub(super) local: Option<u32>,
    pub(super) remote: Option<u32>,
    pub(super) attach_sent: Option<Attach>,
    pub(super) attach_heard: Option<Attach>,
    pub(super) detach_sent: bool,
    pub(super) detach_heard: bool,
    /// Deliveries begun, with those given up by draining.
    count: u64,
    /// Up to how many the receiver has granted; and the highest of it since output was last taken.
    limit: u64,
    limit_of_late: u64,
    /// The delivery whose last frame is still to come.
    pub(super) partial: Option<(u32, bool)>,
    octets: usize,
    /// Tags of unsettled deliveries, by delivery-id.
    tags: BTreeMap<u32, DeliveryTag>,
    /// Tags of deliveries of before, and of those that were resumed.
    resumed: BTreeSet<DeliveryTag>,
}

impl LinkView {
    pub(super) fn new(role: Role) -> Self {
        Self {
            role,
            local: None,
            remote: None,
            attach_sent: None,
            attach_heard: None,
            detach_sent: false,
            detach_heard: false,
            count: 0,
            limit: 0,
            limit_of_late: 0,
            partial: None,
            octets: 0,
            tags: BTreeMap::new(),
            resumed: BTreeSet::new(),
        }
    }

    // D-019, L-037: only what both ends have told goes on, once; and as long as a map is not whole, nothing else starts.
    pub(super) fn judge_resumed(&mut self, transfer: &Transfer) -> Result<(), String> {
        let tag = transfer.delivery_tag.ok_or("a delivery without a tag")?;
        let attaches = [&self.attach_sent, &self.attach_heard].map(Option::as_ref);
        let told = attaches.map(|attach| told(attach?.unsettled.as_ref()?, tag));
        if transfer.resume {
            // Of our own map only a part may have been told.
            let theirs = told[1].clone().ok_or("a delivery resumed that its receiver has not told")?;
            require(self.resumed.insert(tag), "a delivery resumed twice")?;
            //
            let is_decided = theirs.is_some_and(|state| state.is_outcome());
            let is_over = transfer.aborted || (transfer.settled == Some(true) && transfer.state.is_some());
            return require(is_over || !is_decided, "a delivery goes on whose receiver has told its outcome");
        }
        let is_whole = attaches.iter().flatten().all(|attach| !attach.incomplete_unsettled);
        require(is_whole, "a new delivery before the maps were told whole")?;
        let is_free = !told.iter().all(Option::is_some) || self.resumed.contains(&tag);
        require(is_free, "a new delivery with a tag that both ends hold")
    }

    pub(super) fn name(&self) -> &str {
        self.attach_sent.as_ref().or(self.attach_heard.as_ref()).map_or("", |attach| &attach.name)
    }

    pub(super) fn is_detached(&self) -> bool {
        self.detach_sent && self.detach_heard
    }

    pub(super) fn forget_old_limits(&mut self) {
        self.limit_of_late = self.limit;
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.tags.remove(&id);
    }

    /// The sender's first delivery-count, where it is known.
    fn initial(&self) -> Option<u32> {
        let attach = if self.role == Role::Sender { &self.attach_sent } else { &self.attach_heard };
        attach.as_ref()?.initial_delivery_count
    }

    /// The count on the wire, unwrapped near what it should be.
    fn unwrap(&self, delivery_count: u32) -> Result<u64, String> {
        let here = self.initial().unwrap_or(0).wrapping_add(low(self.count));
        let step = delivery_count.wrapping_sub(here).cast_signed();
        // Half the circle away is neither before nor after.
        require(step != i32::MIN, "a count from nowhere")?;
        let step = i64::from(step);
        self.count.checked_add_signed(step).ok_or_else(|| "a count before the first".to_owned())
    }

    // L-017 to L-019, L-025, L-028
    pub(super) fn judge_flow(&mut self, flow: &Flow) -> Result<(), String> {
        let credit = u64::from(flow.link_credit.ok_or("a link's flow without credit")?);
        if self.role == Role::Sender {
            let count = self.unwrap(flow.delivery_count.ok_or("a sender's flow without its count")?)?;
            require(count >= self.count, "a sender's count that goes back")?;
            require(count <= self.count.max(self.limit_of_late), "a sender's count beyond its credit")?;
            self.count = count;
            return require(credit == self.limit.saturating_sub(count), "a sender that miscounts its credit");
        }
        require(
            flow.delivery_count.is_some() == self.attach_heard.is_some(),
            "a receiver's count before the sender's attach, or none after",
        )?;
        let count = flow.delivery_count.map_or(Ok(0), |count| self.unwrap(count))?;
        require(count == self.count, "a receiver that miscounts deliveries")
    }

    pub(super) fn hear_flow(&mut self, flow: &Flow) -> Result<(), String> {
        let count = flow.delivery_count.map_or(Ok(0), |count| self.unwrap(count))?;
        if self.role == Role::Sender {
            require(count <= self.count, "a receiver that counts more than was sent")?;
            // More than half the circle cannot be given back in one step.
            require(flow.link_credit.is_none_or(|credit| credit < 1 << 31), "a credit beyond measure")?;
            // Without credit it speaks of the session only.
            let Some(credit) = flow.link_credit else { return Ok(()) };
            self.limit = count + u64::from(credit);
            self.limit_of_late = self.limit_of_late.max(self.limit);
        } else {
            require(count >= self.count, "a sender that counts less than has come")?;
            self.count = count;
        }
        Ok(())
    }

    /// The first frame of a delivery of ours.
    // L-008, L-021, D-001, D-003, D-007, D-008
    pub(super) fn judge_first(&mut self, id: u32, transfer: &Transfer) -> Result<(), String> {
        let tag = transfer.delivery_tag.ok_or("a delivery without a tag")?;
        require(self.count < self.limit_of_late, "a delivery beyond the link's credit")?;
        self.count += 1;
        self.judge_resumed(transfer)?;
        let is_settled = transfer.settled == Some(true);
        let mode = self.attach_sent.as_ref().map(|attach| attach.snd_settle_mode);
        require(
            mode != Some(SenderSettleMode::Settled) || is_settled,
            "an unsettled delivery in mode settled",
        )?;
        require(
            mode != Some(SenderSettleMode::Unsettled) || !is_settled || transfer.resume,
            "a settled delivery in mode unsettled",
        )?;
        if !is_settled {
            require(!self.tags.values().any(|other| *other == tag), "a tag in use")?;
            self.tags.insert(id, tag);
        }
        self.octets = 0;
        Ok(())
    }

    // L-008, L-039
    pub(super) fn judge_transfer(&mut self, octets: usize) -> Result<(), String> {
        require(self.role == Role::Sender, "a transfer from a receiver")?;
        let theirs = self.attach_heard.as_ref().ok_or("a transfer before the peer's attach")?;
        require(theirs.target.is_some(), "a transfer to a link that is being refused")?;
        let ours = self.attach_sent.as_ref().ok_or("a transfer before our attach")?;
        require(ours.source.is_some(), "a transfer on a link that we refuse")?;
        self.octets += octets;
        match theirs.max_message_size.filter(|limit| *limit > 0) {
            Some(limit) => require(self.octets as u64 <= limit, "a message above max-message-size"),
            None => Ok(()),
        }
    }

    pub(super) fn hear_first(&mut self) {
        self.count += 1;
    }
}

/// What a map says of a tag, if it names it.
fn told(map: &Map, tag: DeliveryTag) -> Option<Option<DeliveryState>> {
    let is_this = |key: &ValueRef<'_>| matches!(key, ValueRef::Binary(octets) if *octets == tag.as_slice());
    let (_, state) = map.iter().find(|(key, _)| is_this(key))?;
    let state = state.as_described().map(|state| to_bytes(&state));
    Some(state.and_then(|octets| from_bytes(&octets, &DecodeLimits::message()).ok()))
}

fn low(count: u64) -> u32 {
    u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0)
}
