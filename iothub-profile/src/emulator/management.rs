//! The event hub's `$management`: what it tells about itself and its partitions.

use amqp_codec::{Array, Body, Map, Message, Timestamp, Value, ValueRef};
use amqp_transport::{
    management::ManagementRequest,
    request_response::{Correlation, Dialect, Status, reply},
};

use super::hub::Hub;

/// Answers a request, whatever it is. Keys and types are exactly Event Hubs', since clients read them by type.
pub(crate) fn respond(hub: &Hub, request: &Message) -> Message {
    let asked = ManagementRequest::from_message(request).map_err(|error| error.status());
    let (status, body) = match asked.and_then(|asked| read(hub, &asked)) {
        Ok(body) => (Status::new(200, "OK"), Value::Map(body)),
        Err(status) => (status, Value::Null),
    };
    // Event Hubs correlates by the message id alone.
    let answer = reply(request, Correlation::MessageId, &status, Dialect::Hyphens);
    answer.with_body(Body::Value(body))
}

fn read(hub: &Hub, asked: &ManagementRequest) -> Result<Map, Status> {
    if asked.operation != "READ" {
        return Err(Status::new(
            501,
            format!("the operation {:?} is not supported", asked.operation.as_str()),
        ));
    }
    let name = asked.name.as_deref().unwrap_or_default();
    if !name.eq_ignore_ascii_case(&hub.names.entity) {
        return Err(Status::new(404, format!("there is no event hub {name:?}")));
    }
    match asked.entity_type.as_str() {
        "com.microsoft:eventhub" => event_hub(hub),
        "com.microsoft:partition" => partition(hub, asked),
        other => Err(Status::new(400, format!("the type {other:?} is neither an event hub nor a partition"))),
    }
}

fn event_hub(hub: &Hub) -> Result<Map, Status> {
    let ids = (0..hub.partitions.len()).map(|id| Value::from(id.to_string())).collect();
    let ids = Array::new(ids).map_err(|error| Status::new(500, error.to_string()))?;
    let count = i32::try_from(hub.partitions.len()).unwrap_or(i32::MAX);
    Ok(map([
        ("name", Value::from(hub.names.entity.clone())),
        ("type", Value::from("com.microsoft:eventhub")),
        ("created_at", Value::Timestamp(Timestamp(hub.created_ms))),
        ("partition_count", Value::Int(count)),
        ("partition_ids", Value::from(ids)),
        ("georeplication_factor", Value::Int(1)),
    ]))
}

fn partition(hub: &Hub, asked: &ManagementRequest) -> Result<Map, Status> {
    // Some clients write the id as a number.
    let id = match asked.properties.get("partition") {
        Some(ValueRef::String(text)) => text.to_string(),
        Some(number) => number.as_i64().map(|id| id.to_string()).unwrap_or_default(),
        None => String::new(),
    };
    let index = partition_index(&id, hub.partitions.len());
    let slot = index.and_then(|index| hub.partitions.get(index));
    let slot = slot.ok_or_else(|| Status::new(404, format!("there is no partition {id:?}")))?;
    let info = slot.with(super::partition::Partition::info);
    let (sequence_number, offset, time) = match info.last {
        Some(stamp) => (stamp.sequence_number, stamp.offset.to_string(), stamp.enqueued_ms),
        None => (-1, "-1".to_owned(), NEVER_MS),
    };
    Ok(map([
        ("name", Value::from(hub.names.entity.clone())),
        ("type", Value::from("com.microsoft:partition")),
        ("partition", Value::from(id)),
        ("begin_sequence_number", Value::Long(info.begin_sequence_number)),
        ("last_enqueued_sequence_number", Value::Long(sequence_number)),
        ("last_enqueued_offset", Value::from(offset)),
        ("last_enqueued_time_utc", Value::Timestamp(Timestamp(time))),
        ("is_partition_empty", Value::Boolean(info.is_empty)),
    ]))
}

/// The partition of an id, in the only spelling ids have.
pub(crate) fn partition_index(id: &str, partitions: usize) -> Option<usize> {
    let index: usize = id.parse().ok()?;
    (index < partitions && index.to_string() == id).then_some(index)
}

fn map<const N: usize>(entries: [(&'static str, Value); N]) -> Map {
    entries.into_iter().collect()
}

/// The first moment of year 1, which Event Hubs gives as the time of an event that never was.
const NEVER_MS: i64 = -62_135_596_800_000;
