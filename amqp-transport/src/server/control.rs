//! The server's end of a control link: requests of a controller, each to be answered (`AMQP 1.0 §4.1`).

use amqp_codec::{
    Coordinator, Declared, DeliveryState, Error, ErrorCondition, Role, Str, Symbol, TargetArchetype,
};
use bytes::Bytes;

use super::accept::AcceptOptions;
use super::incoming::IncomingAttach;
use crate::engine::SessionId;
use crate::handle::delivery::Delivery;
use crate::handle::error::{AttachError, EndError, RecvError, SettleError};
use crate::handle::options::OnDrop;
use crate::handle::receiver::Receiver;
use crate::transaction::{ControlRequest, TransactionFault};

/// A control link that a peer attached: what it asks goes to a [`Coordinator`](crate::transaction::Coordinator), which
/// must be told, too, when this link is over ([`release_link`](crate::transaction::Coordinator::release_link)).
#[derive(Debug)]
pub struct ControlReceiver {
    receiver: Receiver,
    session: SessionId,
    /// Whether the controller understands `rejected`.
    takes_rejected: bool,
}

/// A request of a controller, to be answered by one of its consuming methods.
///
/// A declare that is dropped is released: nothing was done. A discharge that is dropped may have been done, so that no
/// outcome is true of it: the link is detached with `amqp:internal-error`, and the controller does not know. One that came
/// settled wants no answer.
#[derive(Debug)]
#[must_use = "the controller waits for an answer"]
pub struct ControlDemand {
    /// Until it is answered.
    delivery: Option<Delivery>,
    request: ControlRequest,
}

impl IncomingAttach {
    /// What the peer wants of a coordinator, if that is what it attaches to.
    #[must_use]
    pub fn coordinator(&self) -> Option<&Coordinator> {
        match &self.attach().target {
            Some(TargetArchetype::Coordinator(coordinator)) if self.attach().role == Role::Sender => {
                Some(coordinator)
            }
            _ => None,
        }
    }

    /// Accepts a control link. `capabilities` are all that the coordinator can do.
    ///
    /// # Errors
    /// As [`accept_receiver`](Self::accept_receiver); and the link is refused with `amqp:not-implemented` when the peer
    /// wants what is not among the capabilities, or no coordinator.
    //
    pub fn accept_coordinator(
        self,
        capabilities: impl IntoIterator<Item = Symbol>,
    ) -> Result<ControlReceiver, AttachError> {
        let capabilities: Vec<Symbol> = capabilities.into_iter().collect();
        let wanted = self.coordinator().map(|coordinator| coordinator.capabilities.clone());
        if !wanted.is_some_and(|wanted| wanted.into_iter().all(|one| capabilities.contains(&one))) {
            self.refuse(TransactionFault::NotDistributed.to_wire());
            return Err(AttachError::Invalid("a coordinator of another kind is wanted".to_owned()));
        }
        let session = self.session_id();
        let outcomes =
            self.attach().source.as_ref().map(|source| source.outcomes.clone()).unwrap_or_default();
        let takes_rejected = outcomes.is_empty() || outcomes.contains_symbol("amqp:rejected:list");
        let options = AcceptOptions::new().on_drop(OnDrop::Release).coordinator(capabilities);
        Ok(ControlReceiver { receiver: self.accept_receiver(options)?, session, takes_rejected })
    }
}

impl ControlReceiver {
    /// The next request. One that is none is answered by itself: rejected, or with a detach.
    ///
    /// # Errors
    /// When the link is over; its transactions must be rolled back then.
    ///
    /// # Cancel safety
    /// Safe: no request is lost.
    pub async fn next(&self) -> Result<ControlDemand, RecvError> {
        loop {
            let delivery = self.receiver.recv().await?;
            match ControlRequest::from_message(delivery.payload(), delivery.is_settled()) {
                Ok(request) => return Ok(ControlDemand { delivery: Some(delivery), request }),
                // there is no other way to tell.
                Err(fault) if delivery.is_settled() || !self.takes_rejected => {
                    drop(delivery);
                    self.refuse(fault).await?;
                }
                Err(fault) => drop(delivery.reject(Some(fault.to_wire()))),
            }
        }
    }

    /// Answers a request with a fault: rejected where the controller understands that, otherwise the link is detached.
    ///
    /// # Errors
    /// When the link or connection is gone.
    ///
    /// # Cancel safety
    /// Safe: the answer is given at the first poll.
    //
    pub async fn reject(&self, demand: ControlDemand, fault: TransactionFault) -> Result<(), RecvError> {
        let mut demand = demand;
        let Some(delivery) = demand.delivery.take() else { return Ok(()) };
        if self.takes_rejected {
            // Gone: the next request says so.
            let _ = delivery.reject(Some(fault.to_wire()));
            return Ok(());
        }
        delivery.leave_unsettled();
        self.refuse(fault).await
    }

    /// The session of the link.
    #[must_use]
    pub fn session_id(&self) -> SessionId {
        self.session
    }

    /// The link itself.
    #[must_use]
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    async fn refuse(&self, fault: TransactionFault) -> Result<(), RecvError> {
        let error: Error = fault.to_wire();
        match self.receiver.detach_with_error(error).await {
            Err(EndError::Lost(error)) => Err(RecvError::Lost(error)),
            // It has been told; whether it answers is its own affair.
            _ => Ok(()),
        }
    }
}

impl ControlDemand {
    /// What is asked.
    #[must_use]
    pub fn request(&self) -> &ControlRequest {
        &self.request
    }

    /// Answers a declare: the transaction has this id, of at most 32 octets.
    ///
    /// # Errors
    /// When the link or connection is gone.
    //
    pub fn declared(self, txn_id: Bytes) -> Result<(), SettleError> {
        self.answer(DeliveryState::Declared(Declared { txn_id }))
    }

    /// Answers a discharge: it is done.
    ///
    /// # Errors
    /// When the link or connection is gone.
    //
    pub fn discharged(self) -> Result<(), SettleError> {
        self.answer(DeliveryState::Accepted)
    }

    fn answer(mut self, state: DeliveryState) -> Result<(), SettleError> {
        self.delivery.take().map_or(Ok(()), |delivery| delivery.settle_with(state))
    }
}

impl Drop for ControlDemand {
    fn drop(&mut self) {
        // A declare is released by its delivery's own drop.
        if let (Some(delivery), ControlRequest::Discharge { .. }) = (self.delivery.take(), &self.request) {
            let description = Some(Str::from("the coordinator gave no answer to the discharge".to_owned()));
            let condition = ErrorCondition::INTERNAL_ERROR;
            delivery.detach_link(Error { condition, description, info: None });
        }
    }
}
