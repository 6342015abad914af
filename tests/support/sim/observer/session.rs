//! A session as seen on the wire by one of its ends.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use amqp_codec::{Attach, Begin, Disposition, Flow, Performative, Role, Transfer};

use super::link::LinkView;
use super::require;

/// One end's session. Transfers are counted from the session's start and never wrap.
#[derive(Debug, Default)]
pub(super) struct SessionView {
    pub(super) local: Option<u16>,
    pub(super) remote: Option<u16>,
    pub(super) begin_sent: Option<Begin>,
    pub(super) begin_heard: Option<Begin>,
    pub(super) end_sent: bool,
    pub(super) end_heard: bool,
    transfers_sent: u64,
    transfers_heard: u64,
    /// How many transfers the peer's window allows; and the highest of it since output was last taken.
    limit: u64,
    limit_of_late: u64,
    /// How many transfers our own window has allowed at most.
    granted: u64,
    next_delivery: Option<u32>,
    next_delivery_heard: Option<u32>,
    links: Vec<LinkView>,
    /// Unsettled deliveries and the place of their link.
    outgoing: BTreeMap<u32, usize>,
    incoming: BTreeMap<u32, usize>,
    /// Deliveries settled or dropped since output was last taken: what was queued about them may still leave.
    gone: BTreeSet<(bool, u32)>,
}

impl SessionView {
    pub(super) fn forget_old_limits(&mut self) {
        self.limit_of_late = self.limit;
        self.gone.clear();
        for link in &mut self.links {
            link.forget_old_limits();
        }
    }

    pub(super) fn unsettled(&self) -> Option<(u16, u16, Vec<u32>, Vec<u32>)> {
        let is_open = !self.end_sent && !self.end_heard;
        let ids = |of: &BTreeMap<u32, usize>| of.keys().copied().collect();
        let ends = self.local.zip(self.remote).filter(|_| is_open)?;
        Some((ends.0, ends.1, ids(&self.outgoing), ids(&self.incoming)))
    }

    /// Whether the link that the peer attaches lives here.
    pub(super) fn has_link(&self, attach: &Attach) -> bool {
        let is_open = !self.end_sent && !self.end_heard;
        let is_this = |link: &LinkView| link.role == attach.role.peer() && link.name() == &*attach.name;
        is_open && self.links.iter().any(|link| is_this(link) && !link.detach_sent && !link.detach_heard)
    }

    // What our end writes

    pub(super) fn judge(&mut self, performative: Performative, payload: &[u8]) -> Result<(), String> {
        match performative {
            Performative::Attach(attach) => self.judge_attach(*attach),
            Performative::Flow(flow) => self.judge_flow(&flow),
            Performative::Transfer(transfer) => self.judge_transfer(&transfer, payload),
            Performative::Disposition(disposition) => self.judge_disposition(&disposition),
            Performative::Detach(detach) => {
                let place = self.attached_here(detach.handle)?;
                self.links[place].detach_sent = true;
                self.drop_if_detached(place);
                Ok(())
            }
            Performative::End(_) => {
                self.end_sent = true;
                Ok(())
            }
            other => Err(format!("{} on a session", other.name())),
        }
    }

    // S-026, L-001, L-004
    fn judge_attach(&mut self, attach: Attach) -> Result<(), String> {
        let highest = self.begin_heard.as_ref().map_or(u32::MAX, |begin| begin.handle_max);
        require(attach.handle <= highest, "a handle above handle-max")?;
        let is_used = self.links.iter().any(|link| link.local == Some(attach.handle) && !link.is_detached());
        require(!is_used, "an attach with a handle in use")?;
        require(
            (attach.role == Role::Sender) == attach.initial_delivery_count.is_some(),
            "initial-delivery-count from a receiver, or none from a sender",
        )?;
        let is_this = |link: &LinkView| link.role == attach.role && link.name() == &*attach.name;
        let is_attached =
            self.links.iter().any(|link| is_this(link) && link.attach_sent.is_some() && !link.detach_sent);
        require(!is_attached, "an attach of a link that is attached")?;
        let asked = self.links.iter().position(|link| is_this(link) && link.attach_sent.is_none());
        let place = asked.unwrap_or_else(|| {
            self.links.push(LinkView::new(attach.role));
            self.links.len() - 1
        });
        let link = &mut self.links[place];
        link.local = Some(attach.handle);
        link.attach_sent = Some(attach);
        Ok(())
    }

    // S-013 to S-015, S-028, S-030
    fn judge_flow(&mut self, flow: &Flow) -> Result<(), String> {
        let ours = self.begin_sent.as_ref().ok_or("a flow before begin")?;
        let heard = self.begin_heard.as_ref().map(|begin| add(begin.next_outgoing_id, self.transfers_heard));
        require(flow.next_incoming_id == heard, "a flow with a wrong next-incoming-id")?;
        let next = add(ours.next_outgoing_id, self.transfers_sent);
        require(flow.next_outgoing_id == next, "a flow with a wrong next-outgoing-id")?;
        require(flow.incoming_window <= ours.incoming_window, "a window above the one begun with")?;
        self.granted = self.granted.max(self.transfers_heard + u64::from(flow.incoming_window));
        match flow.handle {
            Some(handle) => {
                let place = self.attached_here(handle)?;
                self.links[place].judge_flow(flow)
            }
            None => require(
                flow.delivery_count.is_none() && flow.link_credit.is_none() && !flow.drain,
                "a session's flow with a link's fields",
            ),
        }
    }

    // S-016, D-002 to D-006, D-010
    fn judge_transfer(&mut self, transfer: &Transfer, payload: &[u8]) -> Result<(), String> {
        require(self.transfers_sent < self.limit_of_late, "a transfer through a closed window")?;
        self.transfers_sent += 1;
        let place = self.attached_here(transfer.handle)?;
        let link = &mut self.links[place];
        let (id, is_settled) = match link.partial {
            Some((id, is_settled)) => {
                require(transfer.delivery_id.is_none_or(|other| other == id), "deliveries interleaved")?;
                (id, is_settled)
            }
            None => {
                let id = transfer.delivery_id.ok_or("a delivery without delivery-id")?;
                let first = self.begin_sent.as_ref().map_or(0, |begin| begin.next_outgoing_id);
                let due = self.next_delivery.unwrap_or(first);
                require(id == due, "a delivery-id out of sequence")?;
                self.next_delivery = Some(id.wrapping_add(1));
                link.judge_first(id, transfer)?;
                (id, transfer.settled == Some(true))
            }
        };
        link.judge_transfer(payload.len())?;
        let is_first = link.partial.is_none();
        link.partial = (transfer.more && !transfer.aborted).then_some((id, is_settled));
        if transfer.aborted {
            require(payload.is_empty(), "an aborted delivery with a payload")?;
            link.forget(id);
            self.outgoing.remove(&id);
        } else if is_first && !is_settled {
            self.outgoing.insert(id, place);
        }
        Ok(())
    }

    // D-023, D-025, D-026: only of what has come, and nothing after it is settled.
    fn judge_disposition(&mut self, disposition: &Disposition) -> Result<(), String> {
        let is_receiver = disposition.role == Role::Receiver;
        require(is_receiver || disposition.settled, "a sender's disposition that settles nothing")?;
        for id in range(disposition)? {
            let held = if is_receiver { self.incoming.get(&id) } else { self.outgoing.get(&id) };
            if held.is_none() && !self.gone.contains(&(is_receiver, id)) {
                return Err(format!("a disposition of {id}, which is settled or was never there"));
            }
            if disposition.settled {
                self.settle(is_receiver, id);
                self.gone.remove(&(is_receiver, id));
            }
        }
        Ok(())
    }

    fn attached_here(&self, handle: u32) -> Result<usize, String> {
        self.links
            .iter()
            .position(|link| link.local == Some(handle) && link.attach_sent.is_some() && !link.detach_sent)
            .ok_or_else(|| format!("a frame for handle {handle}, which is not attached"))
    }

    // What our end hears

    pub(super) fn hear_begin(&mut self, begin: Begin) {
        self.limit = u64::from(begin.incoming_window);
        self.limit_of_late = self.limit;
        self.begin_heard = Some(begin);
    }

    pub(super) fn hear(&mut self, performative: Performative, payload: &[u8]) -> Result<(), String> {
        if let Performative::End(_) = performative {
            self.end_heard = true;
            return Ok(());
        }
        if self.end_sent {
            return Ok(());
        }
        match performative {
            Performative::Attach(attach) => self.hear_attach(*attach),
            Performative::Flow(flow) => self.hear_flow(&flow),
            Performative::Transfer(transfer) => self.hear_transfer(&transfer, payload),
            Performative::Disposition(disposition) => self.hear_disposition(&disposition),
            Performative::Detach(detach) => {
                let place = self.attached_there(detach.handle)?;
                self.links[place].detach_heard = true;
                self.drop_if_detached(place);
                Ok(())
            }
            other => Err(format!("{} on a session", other.name())),
        }
    }

    fn hear_attach(&mut self, attach: Attach) -> Result<(), String> {
        let highest = self.begin_sent.as_ref().map_or(u32::MAX, |begin| begin.handle_max);
        require(attach.handle <= highest, "an attach above handle-max")?;
        require(self.attached_there(attach.handle).is_err(), "an attach with a handle in use")?;
        let role = attach.role.peer();
        let is_this = |link: &LinkView| link.role == role && link.name() == &*attach.name;
        let asked = self.links.iter().position(|link| is_this(link) && link.attach_heard.is_none());
        let is_attached =
            self.links.iter().any(|link| is_this(link) && link.attach_heard.is_some() && !link.detach_heard);
        require(!is_attached, "an attach of a link that is attached")?;
        let place = asked.unwrap_or_else(|| {
            self.links.push(LinkView::new(role));
            self.links.len() - 1
        });
        let link = &mut self.links[place];
        link.remote = Some(attach.handle);
        link.attach_heard = Some(attach);
        Ok(())
    }

    // S-019 to S-021, S-023
    fn hear_flow(&mut self, flow: &Flow) -> Result<(), String> {
        let theirs = self.begin_heard.as_ref().map_or(0, |begin| begin.next_outgoing_id);
        require(flow.next_outgoing_id == add(theirs, self.transfers_heard), "a flow that lost count")?;
        let ours = self.begin_sent.as_ref().map_or(0, |begin| begin.next_outgoing_id);
        let seen = flow.next_incoming_id.map_or(0, |id| u64::from(id.wrapping_sub(ours)));
        require(seen <= self.transfers_sent || self.begin_sent.is_none(), "a flow ahead of what was sent")?;
        self.limit = seen + u64::from(flow.incoming_window);
        self.limit_of_late = self.limit_of_late.max(self.limit);
        if let Some(handle) = flow.handle {
            let place = self.attached_there(handle)?;
            self.links[place].hear_flow(flow)?;
        }
        Ok(())
    }

    fn hear_transfer(&mut self, transfer: &Transfer, payload: &[u8]) -> Result<(), String> {
        let begun = self.begin_sent.as_ref().map_or(0, |begin| u64::from(begin.incoming_window));
        require(self.transfers_heard < self.granted.max(begun), "a transfer beyond the window")?;
        self.transfers_heard += 1;
        let place = self.attached_there(transfer.handle)?;
        let link = &mut self.links[place];
        require(link.role == Role::Receiver, "a transfer to a sender")?;
        let (id, is_settled) = match link.partial {
            Some((id, is_settled)) => {
                require(transfer.delivery_id.is_none_or(|other| other == id), "deliveries interleaved")?;
                require(transfer.delivery_tag.is_none(), "a tag on a continuation")?;
                (id, is_settled || transfer.settled == Some(true))
            }
            None => {
                let id = transfer.delivery_id.ok_or("a delivery without delivery-id")?;
                let is_due = self.next_delivery_heard.is_none_or(|due| due == id);
                require(is_due, "a delivery-id out of sequence")?;
                self.next_delivery_heard = Some(id.wrapping_add(1));
                link.hear_first();
                (id, transfer.settled == Some(true))
            }
        };
        let is_first = link.partial.is_none();
        link.partial = (transfer.more && !transfer.aborted).then_some((id, is_settled));
        if transfer.aborted || is_settled {
            require(payload.is_empty() || !transfer.aborted, "an aborted delivery with a payload")?;
            self.incoming.remove(&id);
        } else if is_first && !link.detach_sent {
            self.incoming.insert(id, place);
        }
        Ok(())
    }

    fn hear_disposition(&mut self, disposition: &Disposition) -> Result<(), String> {
        // Of deliveries that crossed our own settlement or detach nothing is known any more.
        for id in range(disposition)? {
            if disposition.settled {
                self.settle(disposition.role == Role::Sender, id);
            }
        }
        Ok(())
    }

    fn attached_there(&self, handle: u32) -> Result<usize, String> {
        self.links
            .iter()
            .position(|link| link.remote == Some(handle) && link.attach_heard.is_some() && !link.detach_heard)
            .ok_or_else(|| format!("handle {handle} is not attached"))
    }

    fn settle(&mut self, is_incoming: bool, id: u32) {
        let held = if is_incoming { &mut self.incoming } else { &mut self.outgoing };
        if let Some(place) = held.remove(&id) {
            self.gone.insert((is_incoming, id));
            self.links[place].forget(id);
        }
    }

    /// A link that is detached both ways takes its deliveries along.
    fn drop_if_detached(&mut self, place: usize) {
        if !self.links[place].is_detached() {
            return;
        }
        for (is_incoming, held) in [(true, &mut self.incoming), (false, &mut self.outgoing)] {
            let (dropped, kept): (BTreeMap<_, _>, _) =
                mem::take(held).into_iter().partition(|(_, link)| *link == place);
            *held = kept;
            self.gone.extend(dropped.into_keys().map(|id| (is_incoming, id)));
        }
    }
}

fn range(disposition: &Disposition) -> Result<impl Iterator<Item = u32> + use<>, String> {
    let first = disposition.first;
    let span = disposition.last.unwrap_or(first).wrapping_sub(first);
    require(span < 100_000, "a disposition of very many")?;
    Ok((0..=span).map(move |step| first.wrapping_add(step)))
}

fn add(first: u32, count: u64) -> u32 {
    first.wrapping_add(u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0))
}
