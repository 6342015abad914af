//! A line of receiving links that go on with each other's deliveries, each resumed from what was left of the one before.
//!
//! Owns what an application decides about a delivery whose link is gone: it is told on the link that goes on, noted while
//! there is none, and refused once there will be none. No two locks are held at once, but a link's under a line's to look.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use amqp_codec::{DeliveryState, DeliveryTag};
use tokio::sync::Notify;

use super::error::{DetachReason, SettleError};
use super::options::ReceiverOptions;
use super::receiver::Receiver;
use super::session::Session;
use super::suspended::ResumeError;
use super::suspended_receiver::{SuspendedReceiver, Waiting, adopted};
use crate::driver::link::{LinkInner, too_late};
use crate::driver::slots::LinkPhase;
use crate::driver::survivors::Undecidable;
use crate::engine::DeliveryId;

/// Links that go on with each other.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<LineState>,
    changed: Notify,
}

#[derive(Debug)]
struct LineState {
    stage: Stage,
    /// What was decided while no link goes on, and the link that the delivery came on.
    decisions: Decisions,
}

/// By tag: the link that the delivery came on, and the outcome.
pub(crate) type Decisions = BTreeMap<DeliveryTag, (Weak<LinkInner>, DeliveryState)>;

#[derive(Clone, Debug)]
enum Stage {
    /// This link is the last.
    On(Weak<LinkInner>),
    /// What is left of the last link waits to be resumed.
    Away,
    /// No link will go on.
    Over,
}

impl Line {
    /// A line that begins with this link.
    pub(crate) fn begin(receiver: &Receiver) {
        let link = receiver.link();
        let stage = Stage::On(Arc::downgrade(link));
        let state = LineState { stage, decisions: BTreeMap::new() };
        link.join(&Arc::new(Self { state: Mutex::new(state), changed: Notify::new() }));
    }

    /// Nothing goes on after the last link any more.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.stage = Stage::Over;
        let decisions = mem::take(&mut state.decisions);
        drop(state);
        drop(decisions);
        self.changed.notify_waiters();
    }

    /// Decides about a delivery whose own link does not take that any more, for the reason given.
    pub(crate) fn decide(
        &self,
        own: &Arc<LinkInner>,
        tag: &DeliveryTag,
        outcome: DeliveryState,
        error: SettleError,
    ) -> Result<(), SettleError> {
        let birth = Arc::downgrade(own);
        let mut asked: Option<(Weak<LinkInner>, Undecidable)> = None;
        loop {
            let mut state = self.lock();
            let last = match &state.stage {
                Stage::Over => return Err(error),
                Stage::Away => None,
                Stage::On(last) => Some(Weak::clone(last)),
            };
            let is_last_over = match (&last, &asked) {
                (None, _) => false,
                (Some(last), _) if Weak::ptr_eq(last, &birth) => is_over(own),
                (Some(last), Some((of, Undecidable::Over))) if Weak::ptr_eq(last, of) => true,
                (Some(last), Some((of, _))) if Weak::ptr_eq(last, of) => false,
                (Some(last), _) => {
                    let last = Weak::clone(last);
                    drop(state);
                    match ask(&last, &birth, tag, outcome.clone()) {
                        Ok(()) => return Ok(()),
                        Err(Undecidable::Overruled(state)) => return Err(SettleError::Overruled(state)),
                        Err(other) => asked = Some((last, other)),
                    }
                    continue;
                }
            };
            if is_last_over {
                return Err(error);
            }
            state.decisions.insert(*tag, (birth, outcome));
            return Ok(());
        }
    }

    /// Waits until it is known on which link, and under which id, a delivery can be decided about whose own link is gone.
    pub(crate) async fn adopt(
        &self,
        own: &Arc<LinkInner>,
        tag: DeliveryTag,
    ) -> Result<(Arc<LinkInner>, DeliveryId), SettleError> {
        loop {
            // Before the look, so that a change between the two is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let last = match &self.lock().stage {
                Stage::Over => return Err(gone(own)),
                Stage::Away => None,
                Stage::On(last) => Some(last.upgrade().ok_or_else(|| gone(own))?),
            };
            if let Some(last) = last.filter(|last| !Arc::ptr_eq(last, own)) {
                match adopted(&last, Some(own), tag).await {
                    Ok(id) => return Ok((last, id)),
                    Err(SettleError::Lost(_) | SettleError::Detached(_)) => {}
                    Err(other) => return Err(other),
                }
            }
            changed.await;
        }
    }

    /// Another link goes on.
    fn go_on(self: &Arc<Self>, link: &Arc<LinkInner>) {
        link.join(self);
        let mut state = self.lock();
        state.stage = Stage::On(Arc::downgrade(link));
        let late = mem::take(&mut state.decisions);
        drop(state);
        let last = Arc::downgrade(link);
        for (tag, (birth, outcome)) in late {
            if let Err(Undecidable::Suspended) = ask(&last, &birth, &tag, outcome.clone()) {
                // Lost again already: it goes with what is left.
                self.lock().decisions.insert(tag, (birth, outcome));
            }
        }
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a receiver that is the last of a line. Dropped, the line is over.
#[derive(Debug)]
#[expect(unnameable_types, reason = "only this crate's recovering receivers keep one")]
pub struct LineRest {
    line: Arc<Line>,
    left: Option<Box<SuspendedReceiver>>,
}

impl LineRest {
    /// Takes what is left of a link that is detached, where something is. Messages that wait on it stay there.
    pub(crate) fn take(receiver: &Receiver) -> Option<Self> {
        let line = receiver.link().line()?;
        let mut state = line.lock();
        let left = SuspendedReceiver::take(receiver.link(), Waiting::Stay)?;
        state.stage = Stage::Away;
        drop(state);
        Some(Self { line: Arc::clone(line), left: Some(Box::new(left)) })
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.left.as_ref().map(|left| left.name().as_str())
    }

    /// Deliveries that are unsettled.
    pub(crate) fn unsettled(&self) -> usize {
        self.left.as_ref().map_or(0, |left| left.tags().count())
    }

    /// Attaches the next link of the line, with what was decided meanwhile.
    pub(crate) async fn resume(
        mut self,
        session: &Session,
        options: ReceiverOptions,
    ) -> Result<Receiver, ResumeError<Self>> {
        let Some(mut left) = self.left.take() else {
            let error = super::error::AttachError::Invalid("nothing is left of the link".to_owned());
            return Err(ResumeError { error, suspended: None });
        };
        let decisions = mem::take(&mut self.line.lock().decisions);
        left.decide(decisions);
        match session.resume_receiver(options, *left).await {
            Ok(receiver) => {
                self.line.go_on(receiver.link());
                Ok(receiver)
            }
            Err(ResumeError { error, suspended }) => {
                self.left = suspended;
                Err(ResumeError { error, suspended: Some(Box::new(self)) })
            }
        }
    }
}

impl Drop for LineRest {
    fn drop(&mut self) {
        let is_away = matches!(self.line.lock().stage, Stage::Away);
        if is_away {
            self.line.end();
        }
    }
}

/// Whether a link has ended with nothing left of it to be resumed.
fn is_over(link: &LinkInner) -> bool {
    let over = link.look(|slot| matches!(slot.phase, LinkPhase::Detached(_)) && slot.suspended.is_none());
    over.unwrap_or(true)
}

fn ask(
    last: &Weak<LinkInner>,
    birth: &Weak<LinkInner>,
    tag: &DeliveryTag,
    outcome: DeliveryState,
) -> Result<(), Undecidable> {
    let Some(last) = last.upgrade() else { return Err(Undecidable::Over) };
    let decided = last.connection.shared.with(|state| state.decide(last.key, birth, tag, outcome));
    decided.unwrap_or(Err(Undecidable::Over))
}

/// Why a link is over whose line is, too.
fn gone(link: &LinkInner) -> SettleError {
    let reason = link.look(|slot| match &slot.phase {
        LinkPhase::Detached(end) => Some(end.reason.clone()),
        _ => None,
    });
    too_late(&reason.flatten().unwrap_or(DetachReason::Local))
}
