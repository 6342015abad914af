//! A controller of another maker, qpid-proton's Python client, with our coordinator and a queue that keeps its work for the
//! discharge.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use amqp_codec::{Body, Message, Outcome, Role, TxnCapability, Value};
use amqp_transport::client::SendError;
use amqp_transport::server::{
    AcceptOptions, ControlReceiver, Incoming, Listener, ListenerOptions, SaslPolicy, ServerConnection,
};
use amqp_transport::transaction::{
    ControlLink, Coordinator, CoordinatorLimits, Discharged, TransactionFault, WorkPlace, outcome_in,
    transaction_of,
};
use amqp_transport::{Receiver, Sender};
use tokio::process::Command;
use tokio::sync::{Mutex, Notify};

use super::within;

/// What waits for a discharge.
#[derive(Debug)]
enum Work {
    Publish(String),
    Retire(String),
}

/// A queue of texts, and what was done to it.
pub(super) struct Resource {
    coordinator: Mutex<Coordinator<Work>>,
    pub(super) queue: Mutex<Vec<String>>,
    log: Mutex<Vec<String>>,
    filled: Notify,
}

const LINK: ControlLink = ControlLink { link: 0, place: WorkPlace { connection: 0, session: 0 } };

// as another maker's controller understands them.
#[tokio::test]
#[ignore = "needs qpid-proton's Python client; run by tests/interop/run.sh"]
async fn proton_transactions() {
    let options = ListenerOptions::new("ours").sasl(SaslPolicy::open_to_all());
    let listener = Listener::bind("127.0.0.1:0", options).await.unwrap();
    let address = listener.local_addr().unwrap();
    let resource = Arc::new(Resource::new());
    let serving = Arc::clone(&resource);
    let server = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().handshake().await.unwrap();
        serve(&connection, serving).await;
    });
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name}"));
    let mut command = Command::new(variable("INTEROP_PYTHON"));
    command.arg(format!("{}/proton_transactions.py", variable("INTEROP_NODE_CLIENTS")));
    command.arg(address.to_string()).stdin(Stdio::null()).kill_on_drop(true);
    let output = within(command.output()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{printed}{}", String::from_utf8_lossy(&output.stderr));
    let told: Vec<&str> = printed.lines().collect();
    let expected =
        ["declared", "committed", "declared", "aborted", "declared", "took a", "committed", "DONE"];
    assert_eq!(told, expected);
    assert_eq!(*resource.log.lock().await, ["published a", "published b", "dropped c", "retired a"]);
    assert_eq!(*resource.queue.lock().await, ["b"]);
    server.abort();
}

pub(super) async fn serve(connection: &ServerConnection, resource: Arc<Resource>) {
    while let Ok(Incoming::Attach(attach)) = connection.next().await {
        let resource = Arc::clone(&resource);
        if attach.coordinator().is_some() {
            let control = attach.accept_coordinator([TxnCapability::LOCAL_TRANSACTIONS]).unwrap();
            tokio::spawn(async move { resource.control(&control).await });
        } else if attach.attach().role == Role::Sender {
            let receiver = attach.accept_receiver(AcceptOptions::new()).unwrap();
            tokio::spawn(async move { resource.take_in(&receiver).await });
        } else {
            let sender = attach.accept_sender(AcceptOptions::new()).unwrap();
            tokio::spawn(async move { resource.give_out(&sender).await });
        }
    }
}

impl Resource {
    pub(super) fn new() -> Self {
        Self {
            coordinator: Mutex::new(Coordinator::new(CoordinatorLimits::default())),
            queue: Mutex::default(),
            log: Mutex::default(),
            filled: Notify::new(),
        }
    }

    async fn control(&self, control: &ControlReceiver) {
        while let Ok(demand) = control.next().await {
            #[expect(
                clippy::disallowed_methods,
                reason = "the time-out of a transaction is counted from now"
            )]
            let now = Instant::now();
            let handled = self.coordinator.lock().await.handle(LINK, demand.request(), now);
            match handled {
                Ok(Ok(id)) => demand.declared(id).unwrap(),
                Ok(Err(Discharged::Commit(work))) => {
                    self.commit(work).await;
                    demand.discharged().unwrap();
                }
                Ok(Err(Discharged::RollBack(work))) => {
                    for work in work {
                        let Work::Publish(text) = work else { panic!("{work:?}") };
                        self.log.lock().await.push(format!("dropped {text}"));
                    }
                    demand.discharged().unwrap();
                }
                Ok(Err(Discharged::Doomed(_))) => {
                    control.reject(demand, TransactionFault::RolledBack).await.unwrap();
                }
                Err(fault) => control.reject(demand, fault).await.unwrap(),
            }
        }
    }

    async fn commit(&self, work: Vec<Work>) {
        for work in work {
            let done = match work {
                Work::Publish(text) => {
                    self.queue.lock().await.push(text.clone());
                    format!("published {text}")
                }
                Work::Retire(text) => format!("retired {text}"),
            };
            self.log.lock().await.push(done);
        }
        self.filled.notify_one();
    }

    /// Takes what is sent into its transaction.
    async fn take_in(&self, receiver: &Receiver) {
        while let Ok(delivery) = receiver.recv().await {
            let text = text_of(&delivery.message().unwrap());
            let id = delivery.transaction().expect("sent under a transaction").clone();
            let work = Work::Publish(text);
            self.coordinator.lock().await.enlist(&id, LINK.place, work, 1).unwrap();
            delivery.settle_with(outcome_in(id, Outcome::Accepted)).unwrap();
        }
    }

    /// Gives out the first message, whose acceptance is part of a transaction.
    async fn give_out(&self, sender: &Sender) {
        while sender.ready().await.is_ok() {
            if self.queue.lock().await.is_empty() {
                self.filled.notified().await;
                continue;
            }
            let text = self.queue.lock().await.remove(0);
            let message = Message::value(Value::from(text.clone()));
            let receipt = sender.send_with_receipt(&message).await.unwrap();
            // it is retired by the discharge, not by what its consumer says before.
            let SendError::OtherState(state) = receipt.await.unwrap_err() else { panic!("taken for final") };
            let id = transaction_of(&state).expect("accepted under a transaction").clone();
            self.coordinator.lock().await.enlist(&id, LINK.place, Work::Retire(text), 1).unwrap();
        }
    }
}

fn text_of(message: &Message) -> String {
    match &message.body {
        Body::Value(value) => value.as_str().unwrap().to_owned(),
        other => panic!("{other:?}"),
    }
}
