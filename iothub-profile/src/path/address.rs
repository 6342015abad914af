//! Typed link addresses.

use std::fmt;

use super::segment::{Identity, Segment};
use crate::host::HostName;

/// A node of a hub, or of the event hub built into it, to which links attach.
///
/// `Display` gives the path in the spelling the documentation uses; reading is by [`HubAddress::parse`].
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum HubAddress {
    /// `/devices/{id}/messages/events`: telemetry from a device or module.
    DeviceEvents(Identity),
    /// `/devices/{id}/messages/devicebound`: commands to a device or module.
    DeviceBound(Identity),
    /// `/devices/{id}/twin`.
    Twin(Identity),
    /// `/devices/{id}/methods/devicebound`.
    Methods(Identity),
    /// `/messages/devicebound`: commands from a service, each naming its device in its `to` property.
    ServiceDeviceBound,
    /// `/messages/serviceBound/feedback`: feedback records to a service.
    Feedback,
    /// `/messages/serviceBound/filenotifications`.
    FileNotifications,
    /// `/messages/events`: the hub's telemetry as a whole, answered with a redirect.
    Telemetry,
    /// `/messages/events/$management`, answered with a redirect.
    TelemetryManagement,
    /// `/messages/events/ConsumerGroups/{group}/Partitions/{id}`, answered with a redirect.
    TelemetryPartition {
        /// The consumer group, `$Default` where nothing else was made.
        group: Segment,
        /// The partition's id.
        partition: Segment,
    },
    /// `$cbs`: tokens are put here.
    Cbs,
    /// `$management`: questions about an event hub and its partitions.
    Management,
    /// `{entity}`: an event hub as a whole.
    EventHub {
        /// The event hub's name.
        entity: Segment,
    },
    /// `{entity}/$management`.
    EventHubManagement {
        /// The event hub's name.
        entity: Segment,
    },
    /// `{entity}/ConsumerGroups/{group}/Partitions/{id}`: events of one partition.
    EventHubPartition {
        /// The event hub's name.
        entity: Segment,
        /// The consumer group.
        group: Segment,
        /// The partition's id.
        partition: Segment,
    },
    /// `{entity}/Partitions/{id}`: a sender to one partition.
    EventHubPartitionSender {
        /// The event hub's name.
        entity: Segment,
        /// The partition's id.
        partition: Segment,
    },
    /// `{entity}/Publishers/{name}`: a sender under a publisher's name.
    EventHubPublisher {
        /// The event hub's name.
        entity: Segment,
        /// The publisher's name.
        publisher: Segment,
    },
}

/// An address with the authority it was written with, if it was an absolute URI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address {
    /// The host of `amqps://host:port/…`; none for a bare path.
    pub host: Option<HostName>,
    /// What is addressed there.
    pub node: HubAddress,
}

/// The text is no address that a hub knows.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// Nothing is addressed.
    #[error("the address is empty")]
    Empty,
    /// The address is longer than any that a hub knows.
    #[error("the address is longer than {MAX_ADDRESS} bytes")]
    TooLong,
    /// The authority of an absolute URI is no host.
    #[error("the address names no valid host")]
    Host,
    /// The path is none of a hub's.
    #[error("the path is none that a hub knows")]
    Unknown,
}

impl HubAddress {
    /// Reads a path or an absolute URI; the authority is dropped.
    ///
    /// # Errors
    /// When the text is empty, too long, or no known path.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Address::parse(text).map(|address| address.node)
    }

    /// The address as an absolute URI on a host: `amqps://{host}:{port}{path}`, the port always printed.
    pub fn to_uri(&self, host: &HostName) -> String {
        let host = host.clone().with_port(host.port_or_default());
        let path = self.to_string();
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("amqps://{host}{slash}{path}")
    }
}

impl Address {
    /// Reads a path (`/messages/events`) or an absolute URI (`amqps://host:5671/messages/events`). Words match in any
    /// case, a trailing slash is ignored, ids are kept as written.
    ///
    /// # Errors
    /// When the text is empty, too long, its authority is no host, or the path is unknown.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_ADDRESS {
            return Err(PathError::TooLong);
        }
        let (host, path) = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                (Some(HostName::parse(authority).map_err(|_| PathError::Host)?), path)
            }
            _ => (None, text),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        let segments: Vec<&str> = path.splitn(MAX_SEGMENTS + 1, '/').collect();
        let node = node_from(&segments).ok_or(PathError::Unknown)?;
        Ok(Self { host, node })
    }
}

/// The `to` property that routes a command: `/devices/{encoded id}/messages/devicebound`.
pub fn devicebound_path(device_id: &str, module_id: Option<&str>) -> String {
    HubAddress::DeviceBound(Identity::new(device_id, module_id)).to_string()
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceEvents(identity) => write!(f, "{identity}/messages/events"),
            Self::DeviceBound(identity) => write!(f, "{identity}/messages/devicebound"),
            Self::Twin(identity) => write!(f, "{identity}/twin"),
            Self::Methods(identity) => write!(f, "{identity}/methods/devicebound"),
            Self::ServiceDeviceBound => f.write_str("/messages/devicebound"),
            Self::Feedback => f.write_str("/messages/serviceBound/feedback"),
            Self::FileNotifications => f.write_str("/messages/serviceBound/filenotifications"),
            Self::Telemetry => f.write_str("/messages/events"),
            Self::TelemetryManagement => f.write_str("/messages/events/$management"),
            Self::TelemetryPartition { group, partition } => {
                write!(f, "/messages/events/ConsumerGroups/{group}/Partitions/{partition}")
            }
            Self::Cbs => f.write_str("$cbs"),
            Self::Management => f.write_str("$management"),
            Self::EventHub { entity } => write!(f, "{entity}"),
            Self::EventHubManagement { entity } => write!(f, "{entity}/$management"),
            Self::EventHubPartition { entity, group, partition } => {
                write!(f, "{entity}/ConsumerGroups/{group}/Partitions/{partition}")
            }
            Self::EventHubPartitionSender { entity, partition } => {
                write!(f, "{entity}/Partitions/{partition}")
            }
            Self::EventHubPublisher { entity, publisher } => write!(f, "{entity}/Publishers/{publisher}"),
        }
    }
}

fn node_from(segments: &[&str]) -> Option<HubAddress> {
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    match segments {
        [word] if is(word, "$cbs") => Some(HubAddress::Cbs),
        [word] if is(word, "$management") => Some(HubAddress::Management),
        [devices, device, module_word, module, rest @ ..]
            if is(devices, "devices") && is(module_word, "modules") =>
        {
            device_node(identity(device, Some(module)), rest)
        }
        [devices, device, rest @ ..] if is(devices, "devices") => device_node(identity(device, None), rest),
        [messages, rest @ ..] if is(messages, "messages") => messages_node(rest),
        [entity, rest @ ..] => event_hub_node(entity, rest),
        [] => None,
    }
}

fn identity(device: &str, module: Option<&str>) -> Identity {
    Identity { device: Segment::received(device), module: module.map(Segment::received) }
}

fn device_node(identity: Identity, rest: &[&str]) -> Option<HubAddress> {
    match rest {
        [messages, events] if is(messages, "messages") && is(events, "events") => {
            Some(HubAddress::DeviceEvents(identity))
        }
        [messages, bound] if is(messages, "messages") && is(bound, "devicebound") => {
            Some(HubAddress::DeviceBound(identity))
        }
        [twin] if is(twin, "twin") => Some(HubAddress::Twin(identity)),
        [methods, bound] if is(methods, "methods") && is(bound, "devicebound") => {
            Some(HubAddress::Methods(identity))
        }
        _ => None,
    }
}

fn messages_node(rest: &[&str]) -> Option<HubAddress> {
    match rest {
        [bound] if is(bound, "devicebound") => Some(HubAddress::ServiceDeviceBound),
        [bound, what] if is(bound, "servicebound") && is(what, "feedback") => Some(HubAddress::Feedback),
        [bound, what] if is(bound, "servicebound") && is(what, "filenotifications") => {
            Some(HubAddress::FileNotifications)
        }
        [events] if is(events, "events") => Some(HubAddress::Telemetry),
        [events, management] if is(events, "events") && is(management, "$management") => {
            Some(HubAddress::TelemetryManagement)
        }
        [events, groups, group, partitions, partition]
            if is(events, "events") && is(groups, "consumergroups") && is(partitions, "partitions") =>
        {
            Some(HubAddress::TelemetryPartition {
                group: Segment::received(*group),
                partition: Segment::received(*partition),
            })
        }
        _ => None,
    }
}

fn event_hub_node(entity: &str, rest: &[&str]) -> Option<HubAddress> {
    let entity = Segment::received(entity);
    match rest {
        [] => Some(HubAddress::EventHub { entity }),
        [management] if is(management, "$management") => Some(HubAddress::EventHubManagement { entity }),
        [groups, group, partitions, partition]
            if is(groups, "consumergroups") && is(partitions, "partitions") =>
        {
            Some(HubAddress::EventHubPartition {
                entity,
                group: Segment::received(*group),
                partition: Segment::received(*partition),
            })
        }
        [partitions, partition] if is(partitions, "partitions") => {
            Some(HubAddress::EventHubPartitionSender { entity, partition: Segment::received(*partition) })
        }
        [publishers, publisher] if is(publishers, "publishers") => {
            Some(HubAddress::EventHubPublisher { entity, publisher: Segment::received(*publisher) })
        }
        _ => None,
    }
}

/// Words of paths match in any case: SDKs write `devicebound` and `deviceBound`. `$` may come encoded.
fn is(segment: &str, word: &str) -> bool {
    if segment.eq_ignore_ascii_case(word) {
        return true;
    }
    match (segment.strip_prefix("%24"), word.strip_prefix('$')) {
        (Some(rest), Some(word)) => rest.eq_ignore_ascii_case(word),
        _ => false,
    }
}

fn is_scheme(text: &str) -> bool {
    ["amqps", "amqp", "sb", "https", "http", "wss"].iter().any(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// No address of a hub is longer: two ids of 128 characters, each encoded threefold, and the words between.
const MAX_ADDRESS: usize = 4096;

/// The longest path has nine segments; one more shows that a path is too long to be known.
const MAX_SEGMENTS: usize = 9;
