//! Links that come back after their connection was lost.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use amqp_codec::{Fields, ReceiverSettleMode, Value};
use amqp_transport::{
    client::{AttachError, CreditMode, OnDrop, Receiver, ReceiverOptions, Sender, SenderOptions},
    recovery::Backoff,
};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};

use super::{
    ClientOptions, Supervisor,
    failure::{self, LinkEnd},
    live::Live,
};
use crate::{
    error::Error,
    events::{
        PartitionRestart,
        anew::{self, Place},
    },
};

/// How a link is attached, each time anew.
pub(crate) trait LinkKind: fmt::Debug + Send + Sync {
    /// The handle of an attached link.
    type Link: Send + Sync;

    /// The address, for error messages.
    fn address(&self, live: &Live) -> String;

    /// Makes ready for attaching on this connection.
    fn prepare(
        &self,
        _live: &Live,
        _options: &ClientOptions,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        async { Ok(()) }
    }

    /// Attaches the link.
    fn attach(
        &self,
        live: &Live,
        product: &str,
    ) -> impl Future<Output = Result<Self::Link, AttachError>> + Send;

    /// Somebody is about to wait for the next delivery.
    fn waiting(&self, _link: &Self::Link) {}

    /// A delivery was received.
    fn received(&self) {}
}

/// A link that sends.
#[derive(Clone, Debug)]
pub(crate) struct SenderKind {
    pub(crate) address: String,
}

/// A link that receives from a hub's queue: outcomes are confirmed, what is dropped stays unsettled.
#[derive(Debug)]
pub(crate) struct QueueKind {
    address: String,
    ahead: Ahead,
    /// True while the hub may send the one delivery that was asked for.
    is_asked: AtomicBool,
}

/// How many deliveries a hub may send ahead of their being taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ahead {
    /// Up to so many.
    Upto(u32),
    /// None: one is asked for when somebody waits for it.
    OnDemand,
}

impl QueueKind {
    pub(crate) fn new(address: String, ahead: Ahead) -> Self {
        Self { address, ahead, is_asked: AtomicBool::new(false) }
    }
}

/// A link that receives the events of a partition from a position that moves on.
#[derive(Debug)]
pub(crate) struct PartitionKind {
    pub(crate) group: String,
    pub(crate) partition: Arc<str>,
    pub(crate) prefetch: u32,
    pub(crate) place: Mutex<Place>,
    pub(crate) restarts: broadcast::Sender<PartitionRestart>,
}

/// A link on whatever connection there is.
#[derive(Debug)]
pub(crate) struct Restored<K: LinkKind> {
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) kind: K,
    current: Mutex<Option<Attached<K::Link>>>,
    opening: tokio::sync::Mutex<()>,
}

/// A link and the connection it is on.
#[derive(Debug)]
pub(crate) struct Attached<L> {
    pub(crate) live: Arc<Live>,
    pub(crate) link: Arc<L>,
}

impl<L> Clone for Attached<L> {
    fn clone(&self) -> Self {
        Self { live: Arc::clone(&self.live), link: Arc::clone(&self.link) }
    }
}

impl<K: LinkKind> Restored<K> {
    pub(crate) fn new(supervisor: Arc<Supervisor>, kind: K) -> Self {
        Self { supervisor, kind, current: Mutex::new(None), opening: tokio::sync::Mutex::new(()) }
    }

    /// The link, attached where it is not yet. Waits for a connection without limit.
    ///
    /// # Cancel safety
    /// A link that was attached by a dropped call is detached again.
    pub(crate) async fn attached(&self) -> Result<Attached<K::Link>, Error> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let _opening = self.opening.lock().await;
        let mut attempt = 0;
        loop {
            // Another call may have opened it while this one waited.
            if let Some(current) = self.current() {
                return Ok(current);
            }
            let live = self.supervisor.live().await?;
            match self.attach_to(&live).await {
                Ok(link) => {
                    let attached = Attached { live, link: Arc::new(link) };
                    *self.slot() = Some(attached.clone());
                    return Ok(attached);
                }
                Err(LinkEnd::ConnectionGone) => live.condemn(),
                Err(LinkEnd::Final(error)) => return Err(error),
                Err(LinkEnd::Again(error)) => {
                    attempt += 1;
                    if attempt >= ATTACH_ATTEMPTS {
                        return Err(error);
                    }
                    tracing::debug!(attempt, %error, "link not attached");
                    sleep(Backoff::NORMAL.next_delay(attempt.saturating_add(1), 0.5)).await;
                }
            }
        }
    }

    /// Forgets a link that has ended, so that the next call attaches it anew.
    pub(crate) fn forget(&self, ended: &Attached<K::Link>) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|current| Arc::ptr_eq(&current.link, &ended.link)) {
            *slot = None;
        }
    }

    /// Takes the link out, for detaching it.
    pub(crate) fn take(&self) -> Option<Attached<K::Link>> {
        self.slot().take()
    }

    /// The link, where it is on a connection on which something new may begin.
    fn current(&self) -> Option<Attached<K::Link>> {
        self.slot().as_ref().filter(|attached| !attached.live.is_condemned()).cloned()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Attached<K::Link>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attach_to(&self, live: &Live) -> Result<K::Link, LinkEnd> {
        let options = self.supervisor.options();
        let address = self.kind.address(live);
        let attaching = async {
            match self.kind.prepare(live, options).await {
                Ok(()) => {}
                Err(_) if !live.connection.is_open() => return Err(LinkEnd::ConnectionGone),
                Err(error) => return Err(LinkEnd::Again(error)),
            }
            let attached = self.kind.attach(live, &options.product).await;
            attached.map_err(|error| failure::attach_end(&error, &address))
        };
        match timeout(options.operation_timeout, attaching).await {
            Ok(result) => result,
            // A hub that does not answer is as good as gone.
            Err(_) => Err(LinkEnd::ConnectionGone),
        }
    }
}

impl LinkKind for SenderKind {
    type Link = Sender;

    fn address(&self, _live: &Live) -> String {
        self.address.clone()
    }

    async fn attach(&self, live: &Live, product: &str) -> Result<Sender, AttachError> {
        let options =
            SenderOptions::new(link_name(), self.address.clone()).properties(link_properties(product));
        live.session.attach_sender(options).await
    }
}

impl LinkKind for QueueKind {
    type Link = Receiver;

    fn address(&self, _live: &Live) -> String {
        self.address.clone()
    }

    async fn attach(&self, live: &Live, product: &str) -> Result<Receiver, AttachError> {
        let credit = match self.ahead {
            Ahead::Upto(deliveries) => CreditMode::Auto(deliveries),
            Ahead::OnDemand => CreditMode::Manual,
        };
        self.is_asked.store(false, Ordering::Relaxed);
        let options = ReceiverOptions::new(link_name(), self.address.clone())
            .credit(credit)
            .rcv_settle_mode(ReceiverSettleMode::Second)
            .on_drop(OnDrop::LeaveUnsettled)
            .properties(link_properties(product));
        live.session.attach_receiver(options).await
    }

    fn waiting(&self, link: &Receiver) {
        if self.ahead == Ahead::OnDemand && !self.is_asked.swap(true, Ordering::Relaxed) {
            // A link that has ended is noticed by whoever waits.
            let _ = link.add_credit(1);
        }
    }

    fn received(&self) {
        self.is_asked.store(false, Ordering::Relaxed);
    }
}

impl LinkKind for PartitionKind {
    type Link = Receiver;

    fn address(&self, live: &Live) -> String {
        match &live.event_hub {
            Some(event_hub) => event_hub.partition_address(&self.group, &self.partition),
            None => String::new(),
        }
    }

    async fn prepare(&self, live: &Live, options: &ClientOptions) -> Result<(), Error> {
        if let Some(restart) = anew::check(&self.place, &self.partition, live, options).await? {
            tracing::warn!(partition = restart.partition, position = %restart.position, "{restart}");
            // Nobody need listen.
            let _ = self.restarts.send(restart);
        }
        Ok(())
    }

    async fn attach(&self, live: &Live, product: &str) -> Result<Receiver, AttachError> {
        let selector = self.place.lock().unwrap_or_else(PoisonError::into_inner).position.selector();
        let options = ReceiverOptions::new(link_name(), self.address(live))
            .credit(CreditMode::Auto(self.prefetch))
            .on_drop(OnDrop::LeaveUnsettled)
            .filter(SELECTOR_FILTER, SELECTOR_FILTER, Value::from(selector))
            .properties(link_properties(product));
        live.session.attach_receiver(options).await
    }
}

/// Link names are unique, so that a link left over on the hub's side never clashes with its successor.
fn link_name() -> String {
    uuid::Uuid::new_v4().hyphenated().to_string()
}

fn link_properties(product: &str) -> Fields {
    let mut properties = Fields::default();
    properties.insert("com.microsoft:client-version", Value::from(product.to_owned()));
    properties.insert("com.microsoft:api-version", Value::from(API_VERSION));
    properties
}

/// The name and the type of Apache's selector filter, which Event Hubs understands.
const SELECTOR_FILTER: &str = "apache.org:selector-filter:string";

const API_VERSION: &str = "2021-04-12";

const ATTACH_ATTEMPTS: u32 = 6;
