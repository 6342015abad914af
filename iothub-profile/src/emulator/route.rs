//! What an address means to the hub.
//!
//! Owns the choice of endpoint, from the address alone: clients put all sorts of properties on their links, also by
//! mistake. Never decides who may use it.

use amqp_codec::{Error, ErrorCondition};

use super::{
    auth::Need,
    registry::Rights,
    scope::{Names, Scope, decodings},
};
use crate::path::{HubAddress, Identity};

/// An endpoint of the hub or of its event hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Cbs,
    /// `$management` of the event hub.
    Management,
    /// Telemetry of a device.
    Telemetry(Subject),
    /// Commands to a device.
    DeviceCommands(Subject),
    /// Commands from a service.
    ServiceCommands,
    Feedback,
    FileNotifications,
    /// The hub's telemetry, which is elsewhere: what follows the event hub's name there.
    Redirect(String),
    /// A partition of the event hub, as a consumer group sees it.
    Partition {
        group: String,
        partition: String,
    },
    /// Sending to the event hub itself.
    EventHubSend,
    /// Twins and methods.
    NotServed(&'static str),
}

/// The device or module an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) device: String,
    pub(crate) module: Option<String>,
    pub(crate) is_registered: bool,
}

/// Finds the endpoint of an address; `exists` tells which devices there are.
pub(crate) fn route(address: &str, names: &Names, exists: impl Fn(&str) -> bool) -> Result<Route, Error> {
    let unknown = || {
        let echo: String = address.chars().take(MAX_ECHO).collect();
        Error::new(ErrorCondition::NOT_FOUND).with_description(format!("there is nothing at {echo:?}"))
    };
    let is_ours = |entity: &str| entity.eq_ignore_ascii_case(&names.entity);
    Ok(match HubAddress::parse(address).map_err(|_| unknown())? {
        HubAddress::Cbs => Route::Cbs,
        HubAddress::Management => Route::Management,
        HubAddress::DeviceEvents(identity) => Route::Telemetry(Subject::of(&identity, exists)),
        HubAddress::DeviceBound(identity) => Route::DeviceCommands(Subject::of(&identity, exists)),
        HubAddress::Twin(_) => Route::NotServed("device twins"),
        HubAddress::Methods(_) => Route::NotServed("direct methods"),
        HubAddress::ServiceDeviceBound => Route::ServiceCommands,
        HubAddress::Feedback => Route::Feedback,
        HubAddress::FileNotifications => Route::FileNotifications,
        HubAddress::Telemetry => Route::Redirect("/".to_owned()),
        HubAddress::TelemetryManagement => Route::Redirect("/$management".to_owned()),
        HubAddress::TelemetryPartition { group, partition } => {
            Route::Redirect(format!("/ConsumerGroups/{group}/Partitions/{partition}"))
        }
        HubAddress::EventHubManagement { entity } if is_ours(entity.as_str()) => Route::Management,
        HubAddress::EventHubPartition { entity, group, partition } if is_ours(entity.as_str()) => {
            Route::Partition { group: group.decoded(), partition: partition.decoded() }
        }
        HubAddress::EventHub { entity }
        | HubAddress::EventHubPartitionSender { entity, .. }
        | HubAddress::EventHubPublisher { entity, .. }
            if is_ours(entity.as_str()) =>
        {
            Route::EventHubSend
        }
        _ => return Err(unknown()),
    })
}

impl Route {
    /// What somebody must be allowed in order to use this endpoint; `None` where everybody may.
    pub(crate) fn need(&self, names: &Names) -> Option<Need> {
        let service =
            |segments: &[&str]| Some(Need { scope: Scope::hub(segments), right: Rights::SERVICE_CONNECT });
        match self {
            Self::Cbs => None,
            Self::Telemetry(subject) => Some(subject.need("events")),
            Self::DeviceCommands(subject) => Some(subject.need("devicebound")),
            Self::ServiceCommands => service(&["messages", "devicebound"]),
            Self::Feedback => service(&["messages", "servicebound", "feedback"]),
            Self::FileNotifications => service(&["messages", "servicebound", "filenotifications"]),
            Self::Redirect(_) => service(&["messages", "events"]),
            // Some clients put a token for the node, others one for the event hub.
            Self::Management => Some(event_hub_need(&[&names.entity, "$management"])),
            Self::Partition { group, partition } => {
                Some(event_hub_need(&[&names.entity, "consumergroups", group, "partitions", partition]))
            }
            Self::EventHubSend => Some(event_hub_need(&[&names.entity])),
            Self::NotServed(_) => None,
        }
    }
}

impl Subject {
    fn of(identity: &Identity, exists: impl Fn(&str) -> bool) -> Self {
        let known = decodings(identity.device.as_str()).into_iter().find(|id| exists(id));
        Self {
            is_registered: known.is_some(),
            device: known.unwrap_or_else(|| identity.device.decoded()),
            module: identity.module.as_ref().map(crate::path::Segment::decoded),
        }
    }

    fn need(&self, what: &str) -> Need {
        let scope = match &self.module {
            None => Scope::hub(&["devices", &self.device, "messages", what]),
            Some(module) => Scope::hub(&["devices", &self.device, "modules", module, "messages", what]),
        };
        Need { scope, right: Rights::DEVICE_CONNECT }
    }
}

fn event_hub_need(segments: &[&str]) -> Need {
    // The event hub built into a hub lets those listen who may connect to the hub as a service.
    Need { scope: Scope::event_hub(segments), right: Rights::SERVICE_CONNECT }
}

/// Most characters of an unknown address that are repeated to its sender.
const MAX_ECHO: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn find(address: &str) -> Result<Route, ErrorCondition> {
        let names = Names::new("myhub.azure-devices.net", None);
        route(address, &names, |id| ["dev1", "dev+1 a@b", "100%"].contains(&id))
            .map_err(|error| error.condition)
    }

    fn telemetry(device: &str, module: Option<&str>, is_registered: bool) -> Result<Route, ErrorCondition> {
        Ok(Route::Telemetry(Subject {
            device: device.to_owned(),
            module: module.map(str::to_owned),
            is_registered,
        }))
    }

    #[test]
    fn device_addresses_in_every_spelling_find_their_device() {
        for address in [
            "/devices/dev+1 a@b/messages/events",
            "/devices/dev%2B1%20a%40b/messages/events",
            "amqps://myhub.azure-devices.net:5671/devices/dev%2B1+a%40b/Messages/Events",
        ] {
            assert_eq!(find(address), telemetry("dev+1 a@b", None, true), "{address}");
        }
        assert_eq!(find("/devices/100%/messages/events"), telemetry("100%", None, true));
        assert_eq!(find("/devices/dev1/modules/m/messages/events"), telemetry("dev1", Some("m"), true));
        assert_eq!(find("/devices/dev9/messages/events"), telemetry("dev9", None, false));
    }

    #[test]
    fn telemetry_at_the_hub_is_elsewhere() {
        let redirect = |text: &str| Ok(Route::Redirect(text.to_owned()));
        let partition = "/ConsumerGroups/$Default/Partitions/0";
        assert_eq!(find(&format!("amqps://test-hub/messages/events{partition}")), redirect(partition));
        assert_eq!(find("amqps://test-hub/messages/events/$management"), redirect("/$management"));
        assert_eq!(find("/messages/events/"), redirect("/"));
    }

    #[test]
    fn the_event_hub_is_known_by_its_name() {
        let partition = Route::Partition { group: "$Default".to_owned(), partition: "0".to_owned() };
        for address in [
            "iothub-ehub-myhub/ConsumerGroups/$Default/Partitions/0",
            "/iothub-ehub-myhub/consumergroups/%24Default/partitions/0",
            "amqps://localhost:5671/iothub-ehub-myhub/ConsumerGroups/$Default/Partitions/0",
        ] {
            assert_eq!(find(address), Ok(partition.clone()), "{address}");
        }
        assert_eq!(find("another/ConsumerGroups/$Default/Partitions/0"), Err(ErrorCondition::NOT_FOUND));
        assert_eq!(find("iothub-ehub-myhub/Partitions/1"), Ok(Route::EventHubSend));
        assert_eq!(find("$management"), Ok(Route::Management));
        assert_eq!(find("nonsense"), Err(ErrorCondition::NOT_FOUND));
    }

    #[test]
    fn every_endpoint_but_cbs_needs_a_right() {
        let names = Names::new("myhub.azure-devices.net", None);
        for address in [
            "/devices/dev1/messages/events",
            "/devices/dev1/messages/deviceBound",
            "/messages/devicebound",
            "/messages/serviceBound/feedback",
            "/messages/servicebound/filenotifications",
            "/messages/events",
            "$management",
            "iothub-ehub-myhub/ConsumerGroups/g/Partitions/0",
            "iothub-ehub-myhub",
        ] {
            assert!(find(address).unwrap().need(&names).is_some(), "{address}");
        }
        assert_eq!(find("$cbs").unwrap().need(&names), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_of_a_peer_panics(text in "\\PC{0,80}", path in "[a-z%/$:@+ 0-9]{0,80}") {
            let names = Names::new("myhub.azure-devices.net", None);
            for text in [text, format!("/devices/{path}"), format!("amqps://{path}"), path] {
                let _ = route(&text, &names, |_| false);
                let _ = Scope::parse(&text, &names, |_| false);
                let _ = crate::emulator::filter::parse(&text);
                let _ = crate::emulator::filter::parse(&format!("amqp.annotation.x-opt-offset > {text}"));
            }
        }
    }
}
