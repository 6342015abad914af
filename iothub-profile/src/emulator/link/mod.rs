//! Links: from a client's attach to the task that serves it.
//!
//! Owns the order of the checks (the address, the right, the rest) and how a link ends. Each kind of link has a file of
//! its own below; none of them decides about rights.

mod device_commands;
mod feedback;
mod reader;
mod request;
mod service_commands;
mod telemetry;

use std::{sync::Arc, time::Duration};

use amqp_codec::{
    Attach, DeliveryState, Error, ErrorCondition, Fields, Outcome, ReceiverSettleMode, Role,
    SenderSettleMode, Symbol, Value,
};
use amqp_transport::{
    CreditMode, Delivery, OnDrop, Receipt, Receiver, SendError, Sender, Settling,
    server::{AcceptOptions, IncomingAttach},
};
use tokio::task::JoinSet;

use super::{
    auth::Need,
    commands::LockLost,
    peer::{Peer, ReplyNode, unauthorized},
    route::{Route, Subject, route},
    settings::{MAX_LINK_MESSAGE_SIZE, MAX_LINKS, MAX_UNKNOWN_LINKS},
};

/// Answers an attach, and serves the link in a task of its own when it was accepted.
pub(crate) fn attach(peer: &Arc<Peer>, incoming: IncomingAttach, tasks: &mut JoinSet<()>) {
    let asked = incoming.attach();
    let (role, name) = (asked.role, asked.name.clone());
    let address = match role {
        Role::Sender => asked.target.as_ref().and_then(|target| target.address()).cloned(),
        Role::Receiver => asked.source.as_ref().and_then(|source| source.address.clone()),
    };
    let address = address.unwrap_or_default();
    let exists = |id: &str| peer.hub.with_registry(|registry| registry.device(id).is_some());
    let most = if peer.is_known() { MAX_LINKS } else { MAX_UNKNOWN_LINKS };
    let checked = match tasks.len() < most {
        true => route(&address, &peer.hub.names, exists).and_then(|route| check(peer, role, route)),
        false => {
            let words = format!("this connection can have at most {most} links");
            Err(Error::new(ErrorCondition::RESOURCE_LIMIT_EXCEEDED).with_description(words))
        }
    };
    match checked {
        Ok(Checked { route, need }) => {
            tracing::info!(peer = %peer.address, ?role, address = address.as_str(), link = name.as_str(), "link attached");
            serve(peer, incoming, role, route, need, tasks);
        }
        Err(error) => {
            let is_redirect = error.condition == ErrorCondition::LINK_REDIRECT;
            if is_redirect {
                tracing::info!(peer = %peer.address, address = address.as_str(), "reader redirected to the event hub");
            } else {
                tracing::warn!(peer = %peer.address, ?role, address = address.as_str(), %error, "link refused");
            }
            incoming.refuse(error);
        }
    }
}

struct Checked {
    route: Route,
    /// What must stay allowed while the link lives.
    need: Option<Need>,
}

fn check(peer: &Peer, role: Role, route: Route) -> Result<Checked, Error> {
    // A device that reports feedback itself needs to be a device, not a service.
    let is_device_feedback = route == Route::Feedback && role == Role::Sender;
    if is_device_feedback {
        return match peer.devices().is_empty() {
            true => Err(unauthorized("only a device sends feedback")),
            false => Ok(Checked { route, need: None }),
        };
    }
    let need = route.need(&peer.hub.names);
    if let Some(need) = &need {
        peer.require(need)?;
    }
    match (&route, role) {
        (Route::Redirect(path), _) => Err(redirect(peer, path)),
        (Route::NotServed(what), _) => {
            Err(Error::new(ErrorCondition::NOT_IMPLEMENTED)
                .with_description(format!("{what} are not emulated")))
        }
        (Route::EventHubSend, _) => Err(unauthorized("the hub's policies may only listen at its event hub")),
        (Route::Telemetry(subject) | Route::DeviceCommands(subject), _) if !subject.is_registered => {
            let words = format!("device {:?} is not registered", subject.device);
            Err(Error::new(ErrorCondition::NOT_FOUND).with_description(words))
        }
        (Route::Telemetry(_) | Route::ServiceCommands, Role::Receiver) => {
            Err(wrong_way("only takes messages"))
        }
        (Route::DeviceCommands(_) | Route::FileNotifications | Route::Partition { .. }, Role::Sender) => {
            Err(wrong_way("only gives messages"))
        }
        _ => Ok(Checked { route, need }),
    }
}

fn serve(
    peer: &Arc<Peer>,
    incoming: IncomingAttach,
    role: Role,
    route: Route,
    need: Option<Need>,
    tasks: &mut JoinSet<()>,
) {
    let peer = Arc::clone(peer);
    match (route, role) {
        (Route::Cbs, Role::Sender) => request::serve(peer, ReplyNode::Cbs, None, incoming, tasks),
        (Route::Management, Role::Sender) => {
            request::serve(peer, ReplyNode::Management, need, incoming, tasks)
        }
        (Route::Cbs, Role::Receiver) => request::serve_replies(peer, ReplyNode::Cbs, incoming, tasks),
        (Route::Management, Role::Receiver) => {
            request::serve_replies(peer, ReplyNode::Management, incoming, tasks)
        }
        (Route::Telemetry(subject), _) => telemetry::serve(peer, subject, need, incoming, tasks),
        (Route::DeviceCommands(subject), _) => device_commands::serve(peer, subject, need, incoming, tasks),
        (Route::ServiceCommands, _) => service_commands::serve(peer, need, incoming, tasks),
        (Route::Feedback, Role::Sender) => feedback::serve_device(peer, incoming, tasks),
        (Route::Feedback, Role::Receiver) => feedback::serve_service(peer, need, incoming, tasks),
        (Route::FileNotifications, _) => feedback::serve_nothing(peer, need, incoming, tasks),
        (Route::Partition { group, partition }, _) => {
            reader::serve(peer, reader::Place { group, partition }, need, incoming, tasks);
        }
        // Refused by `check` already.
        (Route::Redirect(_) | Route::EventHubSend | Route::NotServed(_), _) => {
            incoming.refuse(Error::new(ErrorCondition::NOT_ALLOWED));
        }
    }
}

/// `amqp:link:redirect` to the event hub: the same path below the event hub's name, on the same port.
fn redirect(peer: &Peer, path: &str) -> Error {
    let (host, port) = (&peer.hub.names.event_hub, peer.hub.port);
    let address = format!("amqps://{host}:{port}/{}{path}", peer.hub.names.entity);
    let info: Fields = [
        ("hostname", Value::from(host.clone())),
        ("network-host", Value::from(host.clone())),
        // The specification says ushort; Azure sends an int, and that is what clients read.
        ("port", Value::Int(i32::from(port))),
        ("address", Value::from(address)),
    ]
    .into_iter()
    .map(|(key, value)| (Symbol::from_static(key), value))
    .collect();
    Error::new(ErrorCondition::LINK_REDIRECT).with_info(info)
}

fn wrong_way(words: &str) -> Error {
    Error::new(ErrorCondition::NOT_ALLOWED).with_description(format!("this address {words}"))
}

/// What every link announces on which the hub gives.
fn giving() -> AcceptOptions {
    AcceptOptions::new().max_message_size(MAX_LINK_MESSAGE_SIZE)
}

/// As [`giving`], for messages that are locked for their receiver: what it makes of one counts when the hub has recorded it.
fn lending(asked: &Attach) -> AcceptOptions {
    let options = giving().settling(Settling::ByApplication);
    match asked.snd_settle_mode {
        // What is lent needs an outcome: such a receiver is told that it gets unsettled messages all the same.
        SenderSettleMode::Settled => options.snd_settle_mode(SenderSettleMode::Unsettled),
        _ => options,
    }
}

/// What every link announces on which the hub takes, with messages the client may have on the way. The hub settles with
/// its outcome, also for clients that asked to settle last: uAMQP asks for that and then waits for a settled outcome.
///
/// What it had no time to settle is not given back, since it may have been stored.
fn taking(credit: u32) -> AcceptOptions {
    giving()
        .rcv_settle_mode(ReceiverSettleMode::First)
        .credit(CreditMode::Auto(credit))
        .on_drop(OnDrop::LeaveUnsettled)
}

/// Why the hub ends a link.
enum End {
    /// The client ended it, or the connection is gone.
    Over,
    /// The hub ends it.
    Because(Error),
}

impl End {
    fn token_expired() -> Self {
        Self::Because(unauthorized("the token for this link has expired"))
    }

    /// A message could not be sent. A link that still stands is ended with the reason, never in silence.
    fn unsent(error: &SendError) -> Self {
        let condition = match error {
            SendError::Detached(_) | SendError::Lost(_) | SendError::OutcomeUnknown(_) => return Self::Over,
            SendError::TooLarge { .. } => ErrorCondition::MESSAGE_SIZE_EXCEEDED,
            _ => ErrorCondition::INTERNAL_ERROR,
        };
        Self::Because(Error::new(condition).with_description(error.to_string()))
    }

    fn stolen() -> Self {
        let words = "the device opened this link on another connection";
        Self::Because(Error::new(ErrorCondition::STOLEN).with_description(words))
    }
}

/// Settles a delivery: accepted, or rejected for a reason.
fn settle(delivery: Delivery, verdict: Result<(), Error>) {
    let told = match verdict {
        Ok(()) => delivery.accept(),
        Err(error) => delivery.reject(Some(error)),
    };
    // Too late to tell: the link is gone, and its client will find the outcome unknown.
    if let Err(error) = told {
        tracing::debug!(%error, "an outcome could not be told");
    }
}

/// Records what a receiver makes of a message that was lent to it, and only then answers: with its own outcome, or, when the
/// message is not lent to it any more, with the refusal that Microsoft's SDKs take for a lost lock.
async fn record_outcome(mut receipt: Receipt, record: impl FnOnce(&Outcome) -> Result<(), LockLost>) {
    // Nothing was said before the link ended: the lock lapses.
    let Ok(wanted) = receipt.decide().await else { return };
    match record(wanted.outcome()) {
        Ok(()) => {
            wanted.concur();
        }
        Err(lost) => {
            let error = Error::new(ErrorCondition::NOT_FOUND).with_description(lost.to_string());
            wanted.settle(DeliveryState::rejected(error));
        }
    }
}

/// Sees to it that what a receiver told before its link ended still counts: the transport says of every message what
/// became of it once its link is over.
async fn take_last(mut outcomes: JoinSet<()>) {
    let all = async { while outcomes.join_next().await.is_some() {} };
    if tokio::time::timeout(OUTCOME_PATIENCE, all).await.is_err() {
        outcomes.detach_all();
    }
}

/// Waits until the right behind a link ends; a link that needs none waits forever.
async fn revoked(peer: &Peer, need: Option<&Need>) -> End {
    match need {
        Some(need) => peer.revoked(need).await,
        None => std::future::pending().await,
    }
    End::token_expired()
}

async fn finish_sender(peer: &Peer, sender: &Sender, end: End) {
    if let End::Because(error) = end {
        tracing::warn!(peer = %peer.address, link = sender.name(), %error, "link ended by the hub");
        // The connection may be gone by now, which ends the link as well.
        let _ = sender.detach_with_error(error).await;
    }
}

async fn finish_receiver(peer: &Peer, receiver: &Receiver, end: End) {
    if let End::Because(error) = end {
        tracing::warn!(peer = %peer.address, link = receiver.name(), %error, "link ended by the hub");
        let _ = receiver.detach_with_error(error).await;
    }
}

/// The place in the table of device links, given up when dropped.
struct DeviceLink {
    peer: Arc<Peer>,
    device: String,
    kind: super::steal::LinkKind,
    id: u64,
    stolen: super::steal::Stolen,
}

impl DeviceLink {
    fn take(peer: &Arc<Peer>, subject: &Subject, kind: super::steal::LinkKind) -> Self {
        // Modules are connections of their own: they do not take links from their device.
        let device = match &subject.module {
            None => subject.device.clone(),
            Some(module) => format!("{}/{module}", subject.device),
        };
        let id = peer.hub.next_id();
        let stolen = super::hub::lock(&peer.hub.device_links).take(&device, kind, peer.connection, id);
        Self { peer: Arc::clone(peer), device, kind, id, stolen }
    }

    async fn stolen(&self) -> End {
        self.stolen.notified().await;
        End::stolen()
    }
}

impl Drop for DeviceLink {
    fn drop(&mut self) {
        super::hub::lock(&self.peer.hub.device_links).leave(&self.device, self.kind, self.id);
    }
}

/// How long a link that ended waits for the outcomes of what it lent; beyond it they are waited for without it.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(4);
