//! How a hub's links are attached, each time anew.

use std::sync::{Arc, Mutex, PoisonError};

use amqp_codec::{Fields, ReceiverSettleMode, Value};
use amqp_transport::{
    client::{CreditMode, OnDrop, ReceiverOptions, SenderOptions},
    recovery::{Blueprint, Received},
};
use tokio::sync::broadcast;

use super::{
    HubReceiver, Live, Supervisor,
    hooks::{HubContext, HubHooks},
};
use crate::{
    error::Error,
    events::{
        PartitionRestart,
        anew::{self, Place},
    },
};

/// A link that sends.
#[derive(Clone, Debug)]
pub(crate) struct SenderLink {
    address: String,
    product: String,
}

/// A link that receives from a hub's queue: outcomes are confirmed, what is dropped stays unsettled.
#[derive(Debug)]
pub(crate) struct QueueLink {
    address: String,
    ahead: Ahead,
    product: String,
}

/// How many deliveries a hub may send ahead of their being taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ahead {
    /// Up to so many.
    Upto(u32),
    /// None: one is asked for when somebody waits for it.
    OnDemand,
}

/// A link that receives the events of a partition from a position that moves on.
#[derive(Debug)]
pub(crate) struct PartitionLink {
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) group: String,
    pub(crate) partition: Arc<str>,
    pub(crate) prefetch: u32,
    pub(crate) place: Mutex<Place>,
    pub(crate) restarts: broadcast::Sender<PartitionRestart>,
}

impl SenderLink {
    pub(crate) fn new(address: String, supervisor: &Supervisor) -> Self {
        Self { address, product: supervisor.options().product.clone() }
    }
}

impl QueueLink {
    pub(crate) fn new(address: String, ahead: Ahead, supervisor: &Supervisor) -> Self {
        Self { address, ahead, product: supervisor.options().product.clone() }
    }
}

/// The next delivery of a queue, over as many links and connections as it takes.
///
/// # Cancel safety
/// Safe: no delivery is lost.
pub(crate) async fn next_of_queue(queue: &HubReceiver<QueueLink>) -> Result<Received<HubContext>, Error> {
    if queue.blueprint().ahead == Ahead::OnDemand {
        queue.raise_credit(1);
    }
    queue.recv_with_live().await
}

impl Blueprint<HubHooks> for SenderLink {
    type Options = SenderOptions;

    async fn draw(&self, _live: &Live) -> Result<SenderOptions, Error> {
        Ok(SenderOptions::new(link_name(), self.address.clone()).properties(link_properties(&self.product)))
    }
}

impl Blueprint<HubHooks> for QueueLink {
    type Options = ReceiverOptions;

    async fn draw(&self, _live: &Live) -> Result<ReceiverOptions, Error> {
        let credit = match self.ahead {
            Ahead::Upto(deliveries) => CreditMode::Auto(deliveries),
            Ahead::OnDemand => CreditMode::Manual,
        };
        Ok(ReceiverOptions::new(link_name(), self.address.clone())
            .credit(credit)
            .rcv_settle_mode(ReceiverSettleMode::Second)
            .on_drop(OnDrop::LeaveUnsettled)
            .properties(link_properties(&self.product)))
    }
}

impl Blueprint<HubHooks> for PartitionLink {
    type Options = ReceiverOptions;

    async fn draw(&self, live: &Live) -> Result<ReceiverOptions, Error> {
        let options = self.supervisor.options();
        if let Some(restart) = anew::check(&self.place, &self.partition, live, options).await? {
            tracing::warn!(partition = restart.partition, position = %restart.position, "{restart}");
            // Nobody need listen.
            let _ = self.restarts.send(restart);
        }
        let address = match &live.context().event_hub {
            Some(event_hub) => event_hub.partition_address(&self.group, &self.partition),
            None => String::new(),
        };
        let selector = self.place.lock().unwrap_or_else(PoisonError::into_inner).position.selector();
        Ok(ReceiverOptions::new(link_name(), address)
            .credit(CreditMode::Auto(self.prefetch))
            .on_drop(OnDrop::LeaveUnsettled)
            .filter(SELECTOR_FILTER, SELECTOR_FILTER, Value::from(selector))
            .properties(link_properties(&options.product)))
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
