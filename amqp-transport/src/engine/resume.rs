//! Suspending links and resuming them: what both ends still hold is compared, and each delivery told, sent again or ended
//! (AMQP 1.0 §2.6.13).

use std::collections::BTreeMap;
use std::mem;

use amqp_codec::{DeliveryState, DeliveryTag, Encode, Map, Role, Transfer};
use bytes::Bytes;

use super::config::{DetachKind, Retention};
use super::connection::Connection;
use super::event::{DetachCause, Event};
use super::ids::LinkId;
use super::link::{Link, LinkKind};
use super::output::{HEAD_ROOM, limit};
use super::resume_table::{Action, TheirState, action, octets_before};
use super::retained::{Resuming, Retained, Step, Survivors, Termini};
use super::sender::{Large, OutgoingEntry};
use super::session::without_details;
use super::suspended::{Repeats, SuspendedLink, read_unsettled_map};

impl Link {
    /// Prepares a link for being resumed later, or now.
    pub(crate) fn retain(
        &mut self,
        retention: Retention,
        resume: Option<Box<SuspendedLink>>,
        termini: Termini,
    ) {
        let budget = match retention {
            Retention::Keep { payload_octets } => payload_octets,
            Retention::Forget if resume.is_none() => return,
            Retention::Forget => 0,
        };
        let resume = resume.map(|resume| *resume);
        match &mut self.kind {
            LinkKind::Sender(sender) => sender.retained = Some(Box::new(Retained::new(budget, resume))),
            LinkKind::Receiver(receiver) => receiver.survivors = Some(Box::new(Survivors::new(resume))),
        }
        self.termini = Some(Box::new(termini));
    }
}

impl Connection {
    /// Both attaches are exchanged: what the peer holds is compared with what we hold.
    pub(super) fn begin_resuming(&mut self, id: LinkId, theirs: Option<&Map>, is_incomplete: bool) {
        let Some(link) = self.links.checked_mut(id.index, id.generation) else { return };
        let is_resumable = match &link.kind {
            LinkKind::Sender(sender) => sender.retained.is_some(),
            LinkKind::Receiver(receiver) => receiver.survivors.is_some(),
        };
        if !is_resumable {
            // L-037: one that has nothing to resume may send nothing at all by such a map. Its own map was whole, so that
            // the receiver has nothing unsettled left to tell when it attaches again.
            if is_incomplete && matches!(link.kind, LinkKind::Sender(_)) && link.is_usable() {
                // Nothing can be wrong with a link that is usable.
                let _ = self.detach_link(id, DetachKind::Suspended, None, DetachCause::Incomplete);
            }
            return;
        }
        let theirs: BTreeMap<DeliveryTag, Option<DeliveryState>> =
            theirs.map(read_unsettled_map).unwrap_or_default().into_iter().collect();
        match &mut link.kind {
            LinkKind::Sender(_) => self.begin_resuming_sender(id, &theirs, is_incomplete),
            LinkKind::Receiver(receiver) => {
                let Some(survivors) = &mut receiver.survivors else { return };
                if is_incomplete {
                    return; // R-16, D-033
                }
                // R-02, D-032: the sender has settled what it does not tell.
                let settled = survivors.awaited.extract_if(.., |tag, _| !theirs.contains_key(tag));
                for (tag, _) in settled {
                    self.events.push(Event::SettledBefore { link: id, tag, state: None });
                }
                if survivors.awaited.is_empty() {
                    // Nothing of before is left, told or not: what comes now is new (L-037).
                    survivors.is_incomplete = false;
                }
            }
        }
    }

    // D-030, D-031: each pair of states decides; what the receiver does not hold is sent anew, or settled.
    fn begin_resuming_sender(
        &mut self,
        id: LinkId,
        theirs: &BTreeMap<DeliveryTag, Option<DeliveryState>>,
        is_incomplete: bool,
    ) {
        let Some(link) = self.links.get_mut(id.index) else { return };
        let LinkKind::Sender(sender) = &mut link.kind else { return };
        let Some(retained) = &mut sender.retained else { return };
        retained.is_incomplete |= is_incomplete;
        retained.pass_by(theirs.keys());
        for mut delivery in mem::take(&mut retained.undecided) {
            let their_state = match theirs.get(&delivery.tag) {
                _ if delivery.is_absent_there => TheirState::Absent,
                Some(state) => TheirState::Held(state.as_ref()),
                None if is_incomplete => TheirState::NotTold,
                None => TheirState::Absent,
            };
            let user = delivery.user;
            // its transaction is over, and outside of it the message must not take effect. Whether it was
            // discharged in time only the receiver knows.
            let is_work = matches!(delivery.state, Some(DeliveryState::TransactionalState(_)));
            let step = match action(delivery.state.as_ref(), their_state) {
                Action::End(state) => {
                    if !delivery.is_concluded {
                        self.events.push_settled(id, user, Some(&state));
                    }
                    continue;
                }
                Action::Wait => {
                    retained.undecided.push(delivery);
                    continue;
                }
                Action::SendAnew if is_work => {
                    self.events.push(Event::Unresolved { link: id, user });
                    continue;
                }
                Action::Resume(_) if is_work => {
                    self.events.push(Event::Unresolved { link: id, user });
                    Step::Abort
                }
                // The receiver may have taken, settled and forgotten it: only its sender's owner may choose to repeat it.
                Action::SendAnew if retained.repeats == Repeats::Forbidden && !delivery.is_absent_there => {
                    self.events.push(Event::Unresolved { link: id, user });
                    continue;
                }
                // L-037: nothing new while a map is not whole.
                Action::SendAnew if retained.is_incomplete => {
                    delivery.is_absent_there = true;
                    retained.undecided.push(delivery);
                    continue;
                }
                Action::SendAnew if delivery.payload.is_none() => {
                    self.events.push(Event::Unresolved { link: id, user });
                    continue;
                }
                Action::SendAnew => {
                    delivery.is_absent_there = false;
                    Step::Anew
                }
                // D-020: without a payload.
                Action::Settle(state) => {
                    if !delivery.is_concluded {
                        self.events.push_settled(id, user, Some(&state));
                    }
                    Step::Settle(state)
                }
                Action::Resume(place) => {
                    let message = delivery.payload.as_ref();
                    let before = place.and_then(|place| octets_before(message?, place));
                    match (message, before) {
                        (Some(_), Some(before)) => Step::Resume(place, before),
                        // From its start, too where the message has no such place, as some tell of one they have whole.
                        (Some(_), None) if delivery.state.is_none() => Step::Resume(None, 0),
                        _ => {
                            self.events.push(Event::Unresolved { link: id, user });
                            Step::Abort
                        }
                    }
                }
                Action::Abort => {
                    self.events.push(Event::Unresolved { link: id, user });
                    Step::Abort
                }
            };
            retained.resuming.push_back(Resuming { delivery, step });
        }
        self.go_on_resuming(id);
    }

    /// Sends what waits to be resumed, as far as credit, window and output allow. `true` when nothing waits any more.
    pub(super) fn go_on_resuming(&mut self, id: LinkId) -> bool {
        loop {
            let Some(link) = self.links.checked_mut(id.index, id.generation) else { return true };
            let is_usable = link.is_usable();
            let LinkKind::Sender(sender) = &mut link.kind else { return true };
            let Some(retained) = &mut sender.retained else { return true };
            if retained.resuming.is_empty() {
                self.end_incomplete(id.index);
                return true;
            }
            if !is_usable || self.claim_turn(id).is_err() {
                return false;
            }
            self.resume_next(id);
        }
    }

    /// Sends the next delivery that is resumed; it is its turn.
    fn resume_next(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(id.index) else { return };
        let LinkKind::Sender(sender) = &mut link.kind else { return };
        let Some(session) = self.sessions.get_mut(link.session) else { return };
        let Some(Resuming { delivery, step }) =
            sender.retained.as_mut().and_then(|retained| retained.resuming.pop_front())
        else {
            return;
        };
        let delivery_id = session.outgoing.next_id();
        let mut transfer = Transfer {
            handle: link.local_handle,
            delivery_id: Some(delivery_id),
            delivery_tag: Some(delivery.tag),
            message_format: Some(delivery.message_format),
            resume: !matches!(step, Step::Anew),
            ..Transfer::default()
        };
        let message = delivery.payload.clone().unwrap_or_default();
        let payload = match step {
            Step::Anew => message,
            Step::Resume(place, before) => {
                // D-034: where the octets that follow belong.
                transfer.state = place.map(|place| Box::new(DeliveryState::Received(place)));
                message.slice(before.min(message.len())..)
            }
            Step::Settle(state) => {
                // F-025: the receiver's own words may be longer than a frame that it takes.
                let fits = HEAD_ROOM + state.encoded_len() <= limit(self.output.frame_limit());
                let state = if fits { state } else { without_details(state) };
                (transfer.settled, transfer.state) = (Some(true), Some(Box::new(state)));
                Bytes::new()
            }
            // D-012
            Step::Abort => {
                transfer.aborted = true;
                Bytes::new()
            }
        };
        let is_over = transfer.settled == Some(true) || transfer.aborted;
        let user = delivery.user;
        if let Some(retained) = &mut sender.retained
            && !is_over
        {
            let number = retained.keep_again(delivery);
            session.outgoing.push(OutgoingEntry::new(id, user, number));
            link.unsettled += 1;
        } else {
            session.outgoing.skip();
        }
        sender.octets = sender.octets.wrapping_add(payload.len() as u64);
        sender.credit.on_send();
        let mut large = Box::new(Large::new(transfer, payload, user));
        if large.cut(session, &mut self.output) {
            sender.large = Some(large);
            self.sending.push_back(id);
        }
    }

    /// Tells a sender's owner that it may go on, once nothing of before waits.
    pub(super) fn tell_writable(&mut self, id: LinkId) {
        if self.go_on_resuming(id) {
            self.events.push(Event::Writable { link: id });
        }
    }

    /// what could be concluded from maps that were not whole is through; the maps are to be told anew.
    pub(super) fn end_incomplete(&mut self, index: u32) {
        let Some(link) = self.links.get(index) else { return };
        let id = link.id;
        let is_due = match &link.kind {
            LinkKind::Sender(sender) => sender.retained.as_ref().is_some_and(|retained| {
                retained.is_incomplete && retained.resuming.is_empty() && link.unsettled == 0
            }),
            LinkKind::Receiver(_) => false,
        };
        if is_due && link.is_usable() {
            // Nothing can be wrong with a link that is usable.
            let cause = DetachCause::Incomplete;
            let _ = self.detach_link(id, DetachKind::Suspended, None, cause);
            self.events.push(Event::LinkFailed { link: id, role: Role::Sender, cause, error: None });
        }
    }

    /// Takes out of a link what its successor needs, if it may have one.
    pub(super) fn suspend(&mut self, index: u32) -> Option<Box<SuspendedLink>> {
        let partial = self.take_partial(index);
        let link = self.links.get_mut(index)?;
        let termini = link.termini.take()?;
        let mut suspended = SuspendedLink::new(link.name().clone(), link.kind.role());
        (suspended.source, suspended.target) = (termini.source, termini.target);
        suspended.snd_settle_mode = link.snd_settle_mode;
        suspended.rcv_settle_mode = link.rcv_settle_mode;
        match &mut link.kind {
            LinkKind::Sender(sender) => {
                suspended.delivery_count = sender.credit.delivery_count();
                sender.retained.take()?.into_suspended(&mut suspended);
            }
            LinkKind::Receiver(receiver) => {
                suspended.delivery_count = receiver.credit.delivery_count();
                receiver.survivors.take()?.into_suspended(&mut suspended);
                if let Some(partial) = partial {
                    suspended.deliveries.retain(|delivery| delivery.tag != partial.tag);
                    suspended.deliveries.push(partial);
                }
            }
        }
        Some(Box::new(suspended))
    }

    /// The connection ends: links that may be resumed are handed out.
    pub(super) fn suspend_all(&mut self) {
        for index in self.links.indices().collect::<Vec<_>>() {
            let Some(link) = self.links.get(index).filter(|link| !link.is_closing()) else { continue };
            let id = link.id;
            if let Some(state) = self.suspend(index) {
                self.events.push(Event::LinkSuspended { link: id, state });
            }
        }
    }
}
