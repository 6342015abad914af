//! Transactions from a controller's handle to a coordinator's, with a resource that keeps its work for the discharge.

use std::time::{Duration, Instant};

use amqp_codec::{Declared, DeliveryState, ErrorCondition, Outcome, TxnCapability};
use amqp_transport::client::{
    AttachError, CreditMode, DetachReason, ReceiverOptions, SendError, SenderOptions, Session, Transaction,
    TransactionError, Transactions,
};
use amqp_transport::server::{AcceptOptions, ControlReceiver, ServerConnection};
use amqp_transport::transaction::{
    ControlLink, Coordinator, CoordinatorLimits, Discharged, TransactionFault, WorkPlace, outcome_in,
    posted_in, transaction_of,
};
use amqp_transport::{Connection, Receiver, RecvError, Sender, Settlement};
use bytes::Bytes;

use crate::cancelling::{at_every_await_point, dropped_after, settle_down};
use crate::support::*;

/// What waits for a discharge.
#[derive(Debug, PartialEq)]
enum Work {
    Publish(u32),
    Retire(u32, Outcome),
}

/// A resource with one queue: what was published, what was retired, and what was put back.
struct Resource {
    coordinator: Coordinator<Work>,
    queue: Vec<u32>,
    retired: Vec<(u32, Outcome)>,
    put_back: Vec<u32>,
    /// Whether what is committed cannot be done.
    is_broken: bool,
    clock: Instant,
}

const LINK: ControlLink = ControlLink { link: 0, place: WorkPlace { connection: 0, session: 0 } };

impl Resource {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
    fn new() -> Self {
        Self {
            coordinator: Coordinator::new(CoordinatorLimits::default()),
            queue: Vec::new(),
            retired: Vec::new(),
            put_back: Vec::new(),
            is_broken: false,
            clock: Instant::now(),
        }
    }

    fn undo(&mut self, work: Vec<Work>) {
        for work in work {
            match work {
                Work::Publish(_) => {}
                Work::Retire(number, _) => self.put_back.push(number),
            }
        }
    }

    /// Answers one request.
    async fn serve(&mut self, control: &ControlReceiver) -> bool {
        let Ok(demand) = control.next().await else {
            let work = self.coordinator.release_link(LINK.link);
            self.undo(work);
            return false;
        };
        let work = self.coordinator.expire(self.clock);
        self.undo(work);
        match self.coordinator.handle(LINK, &demand.request().clone(), self.clock) {
            Ok(Ok(id)) => demand.declared(id).unwrap(),
            Ok(Err(Discharged::Doomed(work))) => {
                self.undo(work);
                control.reject(demand, TransactionFault::RolledBack).await.unwrap();
            }
            Ok(Err(Discharged::Commit(work))) if self.is_broken => {
                self.undo(work);
                control.reject(demand, TransactionFault::RolledBack).await.unwrap();
            }
            Ok(Err(Discharged::Commit(work))) => {
                for work in work {
                    match work {
                        Work::Publish(number) => self.queue.push(number),
                        Work::Retire(number, outcome) => self.retired.push((number, outcome)),
                    }
                }
                demand.discharged().unwrap();
            }
            Ok(Err(Discharged::RollBack(work))) => {
                self.undo(work);
                demand.discharged().unwrap();
            }
            Err(fault) => control.reject(demand, fault).await.unwrap(),
        }
        true
    }

    /// Takes one message into its transaction.
    async fn take(&mut self, receiver: &Receiver) {
        let delivery = receiver.recv().await.unwrap();
        let number = number_of(&delivery.message().unwrap());
        let id = delivery.transaction().unwrap().clone();
        match self.coordinator.enlist(&id, LINK.place, Work::Publish(number), 4) {
            Ok(()) => delivery.settle_with(outcome_in(id, Outcome::Accepted)).unwrap(),
            // X-012
            Err((fault, _)) => delivery.reject(Some(fault.to_wire())).unwrap(),
        }
    }
}

struct Setting {
    _client: Connection,
    server: ServerConnection,
    session: Session,
    transactions: Transactions,
    control: ControlReceiver,
    resource: Resource,
}

async fn setting() -> Setting {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let local = [TxnCapability::LOCAL_TRANSACTIONS, TxnCapability::MULTI_TXNS_PER_SSN];
    let accepting = async {
        let attach = next_attach(&server).await;
        assert!(attach.coordinator().is_some());
        attach.accept_coordinator(local.clone()).unwrap()
    };
    let attaching = session.transactions("control", [TxnCapability::LOCAL_TRANSACTIONS]);
    let (transactions, control) = tokio::join!(attaching, accepting);
    let transactions = transactions.unwrap();
    assert_eq!(transactions.capabilities(), local);
    Setting { _client: client, server, session, transactions, control, resource: Resource::new() }
}

impl Setting {
    async fn declare(&mut self) -> Transaction {
        let (declared, _) = tokio::join!(self.transactions.declare(), self.resource.serve(&self.control));
        declared.unwrap()
    }

    async fn sending(&self) -> (Sender, Receiver) {
        sending(&self.session, &self.server, SenderOptions::new("s", "/q"), AcceptOptions::new()).await
    }

    async fn commit(&mut self, transaction: Transaction) -> Result<(), TransactionError> {
        tokio::join!(transaction.commit(), self.resource.serve(&self.control)).0
    }
}

// Scenario 88, X-001, X-002, X-005, X-008, X-009: posted together, published together.
#[tokio::test(start_paused = true)]
async fn messages_sent_under_a_transaction_appear_when_it_is_committed() {
    let mut setting = setting().await;
    let (sender, receiver) = setting.sending().await;
    let transaction = setting.declare().await;
    assert!(!transaction.id().is_empty() && transaction.id().len() <= 32);
    for number in 0..2 {
        let message = numbered(number);
        let (outcome, ()) =
            tokio::join!(transaction.send(&sender, &message), setting.resource.take(&receiver));
        assert_eq!(outcome.unwrap(), Outcome::Accepted);
    }
    let message = numbered(2);
    let (sent, ()) =
        tokio::join!(transaction.send_settled(&sender, &message), setting.resource.take(&receiver));
    sent.unwrap();
    assert_eq!(setting.resource.queue, [] as [u32; 0]);
    setting.commit(transaction).await.unwrap();
    assert_eq!(setting.resource.queue, [0, 1, 2]);
}

// X-005, X-006: rolled back by its controller, by being dropped, by its coordinator.
#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_not_committed_leaves_nothing() {
    let mut setting = setting().await;
    let (sender, receiver) = setting.sending().await;
    let message = numbered(1);
    let transaction = setting.declare().await;
    let _ = tokio::join!(transaction.send(&sender, &message), setting.resource.take(&receiver));
    let (rolled_back, _) = tokio::join!(transaction.rollback(), setting.resource.serve(&setting.control));
    rolled_back.unwrap();
    let transaction = setting.declare().await;
    let _ = tokio::join!(transaction.send(&sender, &message), setting.resource.take(&receiver));
    drop(transaction);
    setting.resource.serve(&setting.control).await;
    assert!(setting.resource.coordinator.is_empty());
    let transaction = setting.declare().await;
    setting.resource.is_broken = true;
    let error = setting.commit(transaction).await.unwrap_err();
    assert_eq!(error.remote().unwrap().condition, ErrorCondition::TRANSACTION_ROLLBACK);
    assert!(error.is_rolled_back());
    assert_eq!(setting.resource.queue, [] as [u32; 0]);
}

// Scenario 88, X-006, X-012, X-014
#[tokio::test(start_paused = true)]
async fn a_transaction_that_lapsed_is_refused_with_its_reason() {
    let mut setting = setting().await;
    let (sender, receiver) = setting.sending().await;
    let transaction = setting.declare().await;
    setting.resource.clock += Duration::from_secs(61);
    let error = setting.commit(transaction).await.unwrap_err();
    assert_eq!(error.remote().unwrap().condition, ErrorCondition::TRANSACTION_TIMEOUT);
    // Nobody's transaction.
    let stray = posted_in(Bytes::from_static(b"stray"));
    let sending = async {
        let receipt = sender.send_in(amqp_codec::to_bytes(&numbered(1)), stray, Settlement::Unsettled).await;
        receipt.unwrap().await.unwrap()
    };
    let (outcome, ()) = tokio::join!(sending, setting.resource.take(&receiver));
    let Outcome::Rejected(Some(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
}

// X-007
#[tokio::test(start_paused = true)]
async fn a_control_link_that_closes_rolls_its_transactions_back() {
    let mut setting = setting().await;
    let (sender, receiver) = setting.sending().await;
    let transaction = setting.declare().await;
    let message = numbered(1);
    let _ = tokio::join!(transaction.send(&sender, &message), setting.resource.take(&receiver));
    setting.transactions.close().await.unwrap();
    assert!(!setting.resource.serve(&setting.control).await);
    assert!(setting.resource.coordinator.is_empty());
    assert!(matches!(transaction.commit().await, Err(TransactionError::Send(SendError::Detached(_)))));
    assert!(matches!(setting.transactions.declare().await, Err(TransactionError::Send(_))));
}

// X-010, X-011: acquired and retired under a transaction; not final at the resource before the discharge.
#[tokio::test(start_paused = true)]
async fn an_outcome_under_a_transaction_waits_for_the_discharge() {
    let mut setting = setting().await;
    let options = ReceiverOptions::new("r", "/q").credit(CreditMode::Manual);
    let (receiver, sender) =
        receiving(&setting.session, &setting.server, options, AcceptOptions::new()).await;
    for is_committed in [true, false] {
        let transaction = setting.declare().await;
        transaction.acquire(&receiver, 1).unwrap();
        sender.ready().await.unwrap();
        assert_eq!(sender.acquiring().as_ref(), Some(transaction.id()));
        let state = posted_in(sender.acquiring().unwrap());
        let payload = amqp_codec::to_bytes(&numbered(5));
        let receipt = sender.send_in(payload, state, Settlement::Unsettled).await.unwrap();
        assert_eq!(sender.acquiring(), None, "its credit is used up");
        let delivery = receiver.recv().await.unwrap();
        assert_eq!(delivery.transaction(), Some(transaction.id()));
        transaction.accept(delivery).unwrap();
        assert_eq!(receipt.await.unwrap(), Outcome::Accepted);
        setting
            .resource
            .coordinator
            .enlist(transaction.id(), LINK.place, Work::Retire(5, Outcome::Accepted), 0)
            .unwrap();
        if is_committed {
            setting.commit(transaction).await.unwrap();
        } else {
            drop(transaction);
            setting.resource.serve(&setting.control).await;
        }
    }
    assert_eq!(setting.resource.retired, [(5, Outcome::Accepted)]);
    assert_eq!(setting.resource.put_back, [5]);
    // Not acquired under it, and yet retired so: a plain receipt does not take it for final.
    receiver.add_credit(1).unwrap();
    let receipt = sender.send_with_receipt(&numbered(6)).await.unwrap();
    let transaction = setting.declare().await;
    transaction.accept(receiver.recv().await.unwrap()).unwrap();
    let SendError::OtherState(state) = receipt.await.unwrap_err() else { panic!("taken for final") };
    assert_eq!(transaction_of(&state), Some(transaction.id()));
}

// What there is no room for would be granted later, and not under the transaction.
#[tokio::test(start_paused = true)]
async fn credit_under_a_transaction_is_granted_whole_or_not_at_all() {
    let mut setting = setting().await;
    let options = ReceiverOptions::new("r", "/q").credit(CreditMode::Manual);
    let (receiver, sender) =
        receiving(&setting.session, &setting.server, options, AcceptOptions::new()).await;
    let transaction = setting.declare().await;
    assert!(matches!(transaction.acquire(&receiver, 65_536), Err(RecvError::NoRoom)));
    transaction.acquire(&receiver, 1).unwrap();
    sender.ready().await.unwrap();
    assert_eq!((sender.credit(), sender.acquiring().as_ref()), (1, Some(transaction.id())));
}

// X-003, X-013
#[tokio::test(start_paused = true)]
async fn what_a_coordinator_does_not_do_is_refused() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let refusing = async {
        let refused = next_attach(&server).await.accept_coordinator([TxnCapability::LOCAL_TRANSACTIONS]);
        assert!(matches!(refused, Err(AttachError::Invalid(_))));
    };
    let attaching = session.transactions("control", [TxnCapability::DISTRIBUTED_TRANSACTIONS]);
    let (attached, ()) = tokio::join!(attaching, refusing);
    let Err(AttachError::Refused(error)) = attached else { panic!("accepted") };
    assert_eq!(error.condition, ErrorCondition::NOT_IMPLEMENTED);
}

// A declare given up midway left a transaction open for ever.
#[tokio::test(start_paused = true)]
async fn a_transaction_declared_for_nobody_is_rolled_back() {
    let mut setting = setting().await;
    {
        let mut declaring = Box::pin(setting.transactions.declare());
        assert!(is_stuck(&mut declaring).await);
    }
    setting.resource.serve(&setting.control).await;
    assert_eq!(setting.resource.coordinator.len(), 1);
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (declared, ()) = tokio::join!(setting.transactions.declare(), async {
        setting.resource.serve(&setting.control).await;
        setting.resource.serve(&setting.control).await;
    });
    assert_eq!(setting.resource.coordinator.len(), 1);
    drop(declared.unwrap());
    setting.resource.serve(&setting.control).await;
    assert!(setting.resource.coordinator.is_empty());
}

impl Setting {
    /// Answers requests until none comes any more.
    async fn serve_all(&mut self) {
        while let Ok(true) =
            tokio::time::timeout(Duration::from_millis(20), self.resource.serve(&self.control)).await
        {
        }
    }
}

// cancels handle::transaction: transactions, declare, close
#[tokio::test(start_paused = true)]
async fn what_is_dropped_on_the_way_to_a_transaction_leaves_none() {
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        let session = session(&client).await;
        let accepting = async {
            let attach = tokio::time::timeout(Duration::from_millis(20), next_attach(&server)).await.ok()?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            attach.accept_coordinator([TxnCapability::LOCAL_TRANSACTIONS]).ok()
        };
        let attaching = dropped_after(polls, session.transactions("control", []));
        let (transactions, _control) = tokio::join!(attaching, accepting);
        settle_down().await;
        let transactions = transactions.map(|transactions| transactions.unwrap());
        assert_eq!(client.stats().engine.links, usize::from(transactions.is_some()));
        transactions.is_some()
    })
    .await;
    at_every_await_point(async |polls| {
        let mut setting = setting().await;
        let is_ready = {
            let Setting { transactions, control, resource, .. } = &mut setting;
            let serving = tokio::time::timeout(Duration::from_millis(20), resource.serve(control));
            let (declared, _) = tokio::join!(dropped_after(polls, transactions.declare()), serving);
            declared.map(|declared| declared.unwrap()).is_some()
        };
        settle_down().await;
        let (declared, ()) = tokio::join!(setting.transactions.declare(), async {
            let (control, resource) = (&setting.control, &mut setting.resource);
            while let Ok(true) =
                tokio::time::timeout(Duration::from_millis(20), resource.serve(control)).await
            {}
        });
        let declared = declared.unwrap();
        assert_eq!(setting.resource.coordinator.len(), 1, "dropped after {polls}: only the new one is left");
        drop(declared);
        is_ready
    })
    .await;
    at_every_await_point(async |polls| {
        let setting = setting().await;
        let closed = dropped_after(polls, setting.transactions.close()).await;
        settle_down().await;
        assert_eq!(setting.control.receiver().is_attached(), polls == 0, "once polled it goes on");
        closed.map(|closed| closed.unwrap()).is_some()
    })
    .await;
}

// cancels handle::transaction: send, send_settled, commit, rollback
#[tokio::test(start_paused = true)]
async fn dropped_work_is_done_once_or_not_at_all() {
    for is_settled in [false, true] {
        at_every_await_point(async |polls| {
            let mut setting = setting().await;
            let (sender, receiver) = setting.sending().await;
            let transaction = setting.declare().await;
            let taking = tokio::time::timeout(Duration::from_millis(20), setting.resource.take(&receiver));
            let sending = async {
                match is_settled {
                    true => transaction.send_settled(&sender, &numbered(1)).await,
                    false => transaction.send(&sender, &numbered(1)).await.map(drop),
                }
            };
            let (sent, _) = tokio::join!(dropped_after(polls, sending), taking);
            let is_ready = sent.map(|sent| sent.unwrap()).is_some();
            setting.commit(transaction).await.unwrap();
            let queue = &setting.resource.queue;
            assert!(queue.len() <= 1 && (!is_ready || *queue == [1]) && (polls > 0 || queue.is_empty()));
            is_ready
        })
        .await;
    }
    for is_commit in [true, false] {
        at_every_await_point(async |polls| {
            let mut setting = setting().await;
            let (sender, receiver) = setting.sending().await;
            let transaction = setting.declare().await;
            let message = numbered(1);
            let (sent, ()) =
                tokio::join!(transaction.send(&sender, &message), setting.resource.take(&receiver));
            sent.unwrap();
            let ending = async {
                match is_commit {
                    true => transaction.commit().await,
                    false => transaction.rollback().await,
                }
            };
            let serving =
                tokio::time::timeout(Duration::from_millis(20), setting.resource.serve(&setting.control));
            let (ended, _) = tokio::join!(dropped_after(polls, ending), serving);
            setting.serve_all().await;
            let published: &[u32] = if is_commit && polls > 0 { &[1] } else { &[] };
            assert_eq!(setting.resource.queue, published, "dropped after {polls}");
            ended.map(|ended| ended.unwrap()).is_some()
        })
        .await;
    }
}

// cancels server::control: next, reject
#[tokio::test(start_paused = true)]
async fn a_dropped_wait_for_a_request_loses_none_and_a_dropped_refusal_is_given() {
    at_every_await_point(async |polls| {
        let mut setting = setting().await;
        let declaring = setting.transactions.declare();
        let serving = async {
            let demand = dropped_after(polls, setting.control.next()).await;
            let is_ready = demand.is_some();
            settle_down().await;
            match demand {
                Some(demand) => demand.unwrap().declared(vec![1].into()).unwrap(),
                None => assert!(setting.resource.serve(&setting.control).await),
            }
            is_ready
        };
        let (declared, is_ready) = tokio::join!(declaring, serving);
        drop(declared.unwrap());
        is_ready
    })
    .await;
    at_every_await_point(async |polls| {
        let setting = setting().await;
        let refusing = async {
            let demand = setting.control.next().await.unwrap();
            dropped_after(polls, setting.control.reject(demand, TransactionFault::RolledBack)).await
        };
        let (declared, refused) = tokio::join!(setting.transactions.declare(), refusing);
        assert!(declared.is_err(), "dropped after {polls}");
        refused.map(|refused| refused.unwrap()).is_some()
    })
    .await;
}

// X-009: a peer that knows nothing of transactions takes the message at once.
#[tokio::test(start_paused = true)]
async fn a_message_taken_outside_its_transaction_is_no_success() {
    let mut setting = setting().await;
    let (sender, receiver) = setting.sending().await;
    let transaction = setting.declare().await;
    let other = outcome_in(Bytes::from_static(b"another"), Outcome::Accepted);
    for state in [DeliveryState::Accepted, other] {
        let message = numbered(1);
        let taking = async { receiver.recv().await.unwrap().settle_with(state.clone()).unwrap() };
        let (outcome, ()) = tokio::join!(transaction.send(&sender, &message), taking);
        assert!(matches!(outcome, Err(SendError::OtherState(found)) if *found == state));
    }
}

// X-005: the work may have been done before the answer was forgotten.
#[tokio::test(start_paused = true)]
async fn a_discharge_that_nobody_answers_is_not_told_to_be_rolled_back() {
    let mut setting = setting().await;
    let transaction = setting.declare().await;
    let forgetting = async { drop(setting.control.next().await.unwrap()) };
    let (committed, ()) = tokio::join!(transaction.commit(), forgetting);
    let error = committed.unwrap_err();
    let TransactionError::Send(SendError::OutcomeUnknown(DetachReason::Remote(why))) = &error else {
        panic!("{error:?}")
    };
    assert_eq!(why.condition, ErrorCondition::INTERNAL_ERROR);
    assert!(!error.is_rolled_back());
    // X-007: the link is over, and with it the transaction.
    assert!(!setting.resource.serve(&setting.control).await);
    assert!(setting.resource.coordinator.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_declare_that_nobody_answers_begins_nothing() {
    let mut setting = setting().await;
    let forgetting = async { drop(setting.control.next().await.unwrap()) };
    let (declared, ()) = tokio::join!(setting.transactions.declare(), forgetting);
    assert!(matches!(declared, Err(TransactionError::RefusedSilently)));
    drop(setting.declare().await);
}

// A coordinator of another maker that releases a discharge says nothing of the work.
#[tokio::test(start_paused = true)]
async fn a_discharge_that_is_released_is_not_certain_to_be_rolled_back() {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accepting = async { next_attach(&server).await.accept_receiver(AcceptOptions::new()).unwrap() };
    let (transactions, control) = tokio::join!(session.transactions("control", []), accepting);
    let transactions = transactions.unwrap();
    let declared = DeliveryState::Declared(Declared { txn_id: Bytes::from_static(b"t") });
    let declaring = async { control.recv().await.unwrap().settle_with(declared).unwrap() };
    let (transaction, ()) = tokio::join!(transactions.declare(), declaring);
    let releasing = async { control.recv().await.unwrap().release().unwrap() };
    let (committed, ()) = tokio::join!(transaction.unwrap().commit(), releasing);
    let error = committed.unwrap_err();
    assert!(matches!(error, TransactionError::RefusedSilently) && !error.is_rolled_back());
}
