//! Questions about an event hub and its partitions, asked of its `$management` node.

use std::time::SystemTime;

use amqp_codec::{MapRef, Timestamp, Value, ValueRef};
use amqp_transport::{
    Secret,
    client::ManagementClient,
    management::{ManagementRequest, ManagementResponse},
};

use crate::{
    clock::from_unix_millis,
    error::{Error, ErrorKind},
    supervisor::{ClientOptions, Live, Supervisor, failure},
};

/// What an event hub says about one of its partitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionInfo {
    /// The partition's id.
    pub id: String,
    /// The sequence number of the oldest event kept.
    pub begin_sequence_number: i64,
    /// The sequence number of the newest event; -1 where there never was one.
    pub last_enqueued_sequence_number: i64,
    /// The offset of the newest event.
    pub last_enqueued_offset: Option<String>,
    /// When the newest event was taken.
    pub last_enqueued_time: Option<SystemTime>,
    /// Whether nothing is kept there.
    pub is_empty: bool,
}

/// What an event hub says about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EventHubInfo {
    /// The ids of all partitions, at least one.
    pub(crate) partition_ids: Vec<String>,
    /// When it was made, where it says so: what tells an event hub from another of the same name.
    pub(crate) created: Option<Timestamp>,
}

/// What the event hub says about itself.
pub(crate) async fn event_hub_info(live: &Live, options: &ClientOptions) -> Result<EventHubInfo, Error> {
    let response = ask(live, options, EVENT_HUB_TYPE, None).await?;
    let map = response.body.view().as_map();
    let created = map.and_then(|map| map.get_str("created_at")).and_then(|value| value.as_timestamp());
    let ids = map.and_then(|map| map.get_str("partition_ids"));
    let texts = |items: &mut dyn Iterator<Item = ValueRef<'_>>| -> Option<Vec<String>> {
        items.take(MAX_PARTITIONS).map(|item| item.as_text().map(str::to_owned)).collect()
    };
    let ids = match ids {
        Some(ValueRef::Array(array)) => texts(&mut array.iter()),
        Some(ValueRef::List(list)) => texts(&mut list.iter()),
        _ => None,
    };
    let partition_ids = ids.filter(|ids| !ids.is_empty()).ok_or_else(|| unreadable("event hub"))?;
    Ok(EventHubInfo { partition_ids, created })
}

/// What the event hub says about a partition.
pub(crate) async fn partition_info(supervisor: &Supervisor, id: &str) -> Result<PartitionInfo, Error> {
    partition_info_on(&*supervisor.live().await?, supervisor.options(), id).await
}

/// What the event hub at the end of this connection says about a partition.
pub(crate) async fn partition_info_on(
    live: &Live,
    options: &ClientOptions,
    id: &str,
) -> Result<PartitionInfo, Error> {
    let response = ask(live, options, PARTITION_TYPE, Some(id)).await?;
    response
        .body
        .view()
        .as_map()
        .and_then(|map| read_partition(map, id))
        .ok_or_else(|| unreadable("partition"))
}

async fn ask(
    live: &Live,
    options: &ClientOptions,
    entity_type: &'static str,
    partition: Option<&str>,
) -> Result<ManagementResponse, Error> {
    let what = match partition {
        Some(id) => format!("the question about partition {id}"),
        None => "the question about the event hub".to_owned(),
    };
    let request = request(live, options, entity_type, partition)?;
    let node = ManagementClient::open(live.session(), NODE)
        .await
        .map_err(|error| failure::of_attach(&error, NODE))?;
    node.request(&request).await.map_err(|error| failure::of_management(&error, &what))
}

fn request(
    live: &Live,
    options: &ClientOptions,
    entity_type: &'static str,
    partition: Option<&str>,
) -> Result<ManagementRequest, Error> {
    let event_hub = live
        .context()
        .event_hub
        .as_ref()
        .ok_or_else(|| Error::new(ErrorKind::Protocol, "this is no event hub's connection"))?;
    let mut request = ManagementRequest::read(entity_type, event_hub.entity.clone());
    if let Some(id) = partition {
        request = request.with_property("partition", Value::from(id.to_owned()));
    }
    if let Some(token) = live.context().endpoint.token(options)? {
        request = request.with_secret("security_token", &Secret::new(token.expose()));
    }
    Ok(request)
}

fn read_partition(map: MapRef<'_>, id: &str) -> Option<PartitionInfo> {
    let number = |key: &str| map.get_str(key).and_then(|value| value.as_i64());
    let last_enqueued_sequence_number = number("last_enqueued_sequence_number")?;
    Some(PartitionInfo {
        id: id.to_owned(),
        begin_sequence_number: number("begin_sequence_number")?,
        last_enqueued_sequence_number,
        last_enqueued_offset: map
            .get_str("last_enqueued_offset")
            .and_then(|value| value.as_text())
            .map(str::to_owned),
        last_enqueued_time: map
            .get_str("last_enqueued_time_utc")
            .and_then(|value| value.as_timestamp())
            .map(|time| from_unix_millis(time.0)),
        is_empty: map
            .get_str("is_partition_empty")
            .and_then(|value| value.as_bool())
            .unwrap_or(last_enqueued_sequence_number < 0),
    })
}

fn unreadable(what: &str) -> Error {
    Error::new(ErrorKind::Protocol, format!("what the event hub says about the {what} cannot be read"))
}

const NODE: &str = "$management";
const EVENT_HUB_TYPE: &str = "com.microsoft:eventhub";
const PARTITION_TYPE: &str = "com.microsoft:partition";

/// Event Hubs has at most 2,000 partitions in its largest tier.
const MAX_PARTITIONS: usize = 2_000;
