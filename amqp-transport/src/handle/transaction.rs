//! Transactions of a controller: work on links of one session that takes effect together or not at all
//! (`AMQP 1.0 §4`).

use std::sync::Arc;

use amqp_codec::{
    Coordinator, DeliveryState, Message, Outcome, SenderSettleMode, Source, Str, Symbol, TargetArchetype,
    to_bytes,
};
use bytes::Bytes;

use super::delivery::Delivery;
use super::error::{AttachError, EndError, RecvError, SendError, SettleError};
use super::receiver::Receiver;
use super::sender::Sender;
use super::session::Session;
use crate::engine::{LinkConfig, Settlement};
use crate::error::RemoteError;
use crate::transaction::{ControlRequest, outcome_in, posted_in};

/// A control link: declares transactions at the peer. Clones are the same link; when the last one and the last
/// transaction are gone, the link is closed.
///
/// # Examples
/// Messages moved from one queue to another, each of them wholly or not at all:
/// ```no_run
/// use amqp_codec::{Outcome, TxnCapability};
/// use amqp_transport::{CreditMode, ReceiverOptions, SenderOptions, Session};
///
/// # async fn example(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
/// let transactions = session.transactions("mover", [TxnCapability::LOCAL_TRANSACTIONS]).await?;
/// let from = session.attach_receiver(ReceiverOptions::new("from", "new").credit(CreditMode::Manual)).await?;
/// let to = session.attach_sender(SenderOptions::new("to", "done")).await?;
/// loop {
///     from.add_credit(1)?;
///     let delivery = from.recv().await?;
///     let message = delivery.message()?;
///     let transaction = transactions.declare().await?;
///     match transaction.send(&to, &message).await? {
///         Outcome::Accepted => transaction.accept(delivery)?,
///         refused => return Err(format!("not moved: {refused:?}").into()), // dropped, all of it is rolled back
///     }
///     match transaction.commit().await {
///         Err(error) if error.is_rolled_back() => eprintln!("it stays where it was: {error}"),
///         ended => ended?,
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Transactions {
    control: Arc<Sender>,
}

/// A transaction under way (`AMQP 1.0 §4.2`).
///
/// What is sent, settled and acquired under it takes effect when it is [committed](Self::commit). Dropped, it is rolled
/// back: at once where the peer has granted credit for that, otherwise with the next use of its [`Transactions`], or when
/// these are gone.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    control: Arc<Sender>,
    id: Bytes,
    is_over: bool,
}

/// Why a transaction was not declared, committed or rolled back.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// The coordinator refused, with its error: `amqp:transaction:rollback`, `amqp:transaction:unknown-id` and
    /// `amqp:transaction:timeout` among others. A commit that is refused so was rolled back.
    #[error("the coordinator refused: {0}")]
    Refused(RemoteError),
    /// The coordinator refused without an error: a declare, then nothing was begun; a discharge, then it is not known what
    /// became of the transaction.
    #[error("the coordinator refused without saying why")]
    RefusedSilently,
    /// The request did not reach the coordinator, or its answer did not come. A commit whose outcome is unknown may have
    /// taken effect; a transaction whose control link ended before the commit was rolled back.
    #[error(transparent)]
    Send(SendError),
}

impl TransactionError {
    /// The peer's own error, if it gave one.
    #[must_use]
    pub fn remote(&self) -> Option<&RemoteError> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Send(error) => error.remote(),
            Self::RefusedSilently => None,
        }
    }

    /// Whether it is certain that nothing of the transaction has taken effect.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            // X-005: a discharge that fails is rejected; any other outcome says nothing of the work.
            Self::RefusedSilently => false,
            Self::Send(error) => error.is_not_sent(),
        }
    }
}

impl Session {
    /// Attaches a control link under this name to the peer's coordinator (`AMQP 1.0 §4.1`). `capabilities` are those that
    /// must be there, such as [`TxnCapability::MULTI_TXNS_PER_SSN`](amqp_codec::TxnCapability::MULTI_TXNS_PER_SSN).
    ///
    /// # Errors
    /// As [`attach_sender`](Self::attach_sender); a peer without transactions refuses.
    ///
    /// # Cancel safety
    /// As [`attach_sender`](Self::attach_sender).
    // X-001
    pub async fn transactions(
        &self,
        name: impl Into<Str>,
        capabilities: impl IntoIterator<Item = Symbol>,
    ) -> Result<Transactions, AttachError> {
        let mut config = LinkConfig::sender(name, amqp_codec::Target::default());
        let name = config.name.clone();
        config.target = Some(TargetArchetype::Coordinator(Coordinator {
            capabilities: capabilities.into_iter().collect(),
        }));
        config.source = Some(Source {
            outcomes: OUTCOMES.iter().map(|outcome| Symbol::from_static(outcome)).collect(),
            ..Source::default()
        });
        config.snd_settle_mode = SenderSettleMode::Unsettled;
        let link = self.attach(config).await?;
        Ok(Transactions { control: Arc::new(Sender::new(link, name, SenderSettleMode::Unsettled)) })
    }
}

impl Transactions {
    /// Begins a transaction (`AMQP 1.0 §4.2`).
    ///
    /// # Errors
    /// [`TransactionError::Refused`] by the coordinator; when the link or connection is gone.
    ///
    /// # Cancel safety
    /// Safe: a transaction that is declared for nobody is rolled back with the next use of the link.
    // X-002
    pub async fn declare(&self) -> Result<Transaction, TransactionError> {
        roll_back_abandoned(&self.control).await?;
        let error = match request(&self.control, &ControlRequest::declare()).await {
            Err(SendError::OtherState(state)) => match *state {
                DeliveryState::Declared(declared) => {
                    let control = Arc::clone(&self.control);
                    return Ok(Transaction { control, id: declared.txn_id, is_over: false });
                }
                other => TransactionError::Send(SendError::OtherState(Box::new(other))),
            },
            Ok(outcome) => refusal(outcome).unwrap_or(TransactionError::RefusedSilently),
            Err(error) => TransactionError::Send(error),
        };
        Err(error)
    }

    /// What the coordinator can do, as it says.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Symbol> {
        let attach = self.control.remote_attach();
        match attach.as_ref().and_then(|attach| attach.target.as_ref()) {
            Some(TargetArchetype::Coordinator(coordinator)) => {
                coordinator.capabilities.clone().into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Closes the control link and waits for the peer's answer: transactions that are under way are rolled back.
    ///
    /// # Errors
    /// As [`Sender::detach`].
    ///
    /// # Cancel safety
    /// Safe: once polled, closing goes on in the connection's task.
    // X-007
    pub async fn close(&self) -> Result<(), EndError> {
        self.control.detach().await
    }
}

impl Transaction {
    /// Its id, as the coordinator gave it.
    #[must_use]
    pub fn id(&self) -> &Bytes {
        &self.id
    }

    /// Sends a message under the transaction and waits for its outcome (`AMQP 1.0 §4.4.1`), which is final only once the
    /// transaction is committed. The sender's link must be on the session of the control link, unless the coordinator can
    /// do more.
    ///
    /// # Errors
    /// As [`Sender::send`].
    ///
    /// # Cancel safety
    /// As [`Sender::send`]; what was handed over is part of the transaction.
    // X-008, X-009
    pub async fn send(&self, sender: &Sender, message: &Message) -> Result<Outcome, SendError> {
        let payload = to_bytes(message);
        sender.send_in(payload, posted_in(self.id.clone()), sender.settlement()).await?.await
    }

    /// Sends a message under the transaction and settled, so that its only outcome is the transaction's.
    ///
    /// # Errors
    /// As [`Sender::send_settled`].
    ///
    /// # Cancel safety
    /// As [`Sender::send_settled`].
    // X-009
    pub async fn send_settled(&self, sender: &Sender, message: &Message) -> Result<(), SendError> {
        let state = posted_in(self.id.clone());
        sender.send_in(to_bytes(message), state, Settlement::Settled).await?.await.map(drop)
    }

    /// Accepts a received message under the transaction (`AMQP 1.0 §4.4.2`): rolled back, it is as if it had not been
    /// settled.
    ///
    /// # Errors
    /// When the link or connection is gone.
    pub fn accept(&self, delivery: Delivery) -> Result<(), SettleError> {
        self.settle(delivery, Outcome::Accepted)
    }

    /// Gives a received message any outcome under the transaction. Otherwise as [`accept`](Self::accept).
    ///
    /// # Errors
    /// When the link or connection is gone.
    // X-010
    pub fn settle(&self, delivery: Delivery, outcome: Outcome) -> Result<(), SettleError> {
        delivery.settle_with(outcome_in(self.id.clone(), outcome))
    }

    /// Grants credit for so many further messages, which are acquired under the transaction (`AMQP 1.0 §4.4.3`), until
    /// the credit is used up or other credit is granted. For receivers in
    /// [`CreditMode::Manual`](crate::CreditMode::Manual), and peers that support it.
    ///
    /// # Errors
    /// [`RecvError::NoRoom`] when the session holds too many unsettled deliveries for all of it; otherwise when the link is
    /// detached.
    // X-011
    pub fn acquire(&self, receiver: &Receiver, messages: u32) -> Result<(), RecvError> {
        receiver.acquire(messages, self.id.clone())
    }

    /// Ends the transaction so that all its work takes effect (`AMQP 1.0 §4.3`).
    ///
    /// # Errors
    /// [`TransactionError::Refused`] when it was rolled back instead; see [`TransactionError::is_rolled_back`].
    ///
    /// # Cancel safety
    /// Dropped before the request is handed over, the transaction is rolled back; dropped after it, it may be committed.
    // X-005
    pub async fn commit(self) -> Result<(), TransactionError> {
        let request = ControlRequest::commit(self.id.clone());
        self.discharge(request).await
    }

    /// Ends the transaction so that none of its work takes effect (`AMQP 1.0 §4.3`).
    ///
    /// # Errors
    /// [`TransactionError::Refused`] when the coordinator does not know it, among others.
    ///
    /// # Cancel safety
    /// Safe: the transaction is rolled back all the same.
    // X-005
    pub async fn rollback(self) -> Result<(), TransactionError> {
        let request = ControlRequest::roll_back(self.id.clone());
        self.discharge(request).await
    }

    async fn discharge(mut self, request: ControlRequest) -> Result<(), TransactionError> {
        let message = request.to_message();
        let receipt = self.control.send_with_receipt(&message).await.map_err(TransactionError::Send)?;
        // From here on a drop must not contradict what was asked.
        self.is_over = true;
        match receipt.await {
            Ok(outcome) => refusal(outcome).map_or(Ok(()), Err),
            Err(error) => Err(TransactionError::Send(error)),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let message = ControlRequest::roll_back(self.id.clone()).to_message();
        if let Err(SendError::WouldBlock(_)) = self.control.try_send(&message).map(drop) {
            self.control.abandon_transaction(self.id.clone());
        }
    }
}

/// Hands a request over and waits for its answer.
async fn request(control: &Sender, request: &ControlRequest) -> Result<Outcome, SendError> {
    control.send(&request.to_message()).await
}

/// Rolls back what nobody has discharged.
async fn roll_back_abandoned(control: &Sender) -> Result<(), TransactionError> {
    while let Some(id) = control.next_abandoned() {
        let message = ControlRequest::roll_back(id.clone()).to_message();
        let mut kept = Abandoned { control, id: Some(id) };
        let receipt = control.send_with_receipt(&message).await.map_err(TransactionError::Send)?;
        kept.id = None;
        drop(receipt);
    }
    Ok(())
}

/// Puts a transaction back among the abandoned when its roll-back could not be handed over.
struct Abandoned<'a> {
    control: &'a Sender,
    id: Option<Bytes>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.control.abandon_transaction(id);
        }
    }
}

/// What a coordinator's outcome says against a request; `None` for success.
fn refusal(outcome: Outcome) -> Option<TransactionError> {
    match outcome {
        Outcome::Accepted => None,
        Outcome::Rejected(Some(error)) => Some(TransactionError::Refused(RemoteError::from(error))),
        _ => Some(TransactionError::RefusedSilently),
    }
}

/// The outcomes that a control link understands.
const OUTCOMES: [&str; 5] = [
    "amqp:accepted:list",
    "amqp:rejected:list",
    "amqp:released:list",
    "amqp:modified:list",
    "amqp:declared:list",
];
