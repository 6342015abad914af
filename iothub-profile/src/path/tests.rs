use proptest::prelude::*;

use super::*;
use crate::host::HostName;

#[test]
fn every_address_is_read_back_from_its_own_text() {
    let identity = || Identity::new("dev+1 a@b", None);
    let module = || Identity::new("d", Some("m%"));
    let segment = |text: &str| Segment::from_id(text);
    let addresses = [
        HubAddress::DeviceEvents(identity()),
        HubAddress::DeviceEvents(module()),
        HubAddress::DeviceBound(identity()),
        HubAddress::Twin(module()),
        HubAddress::Methods(identity()),
        HubAddress::ServiceDeviceBound,
        HubAddress::Feedback,
        HubAddress::FileNotifications,
        HubAddress::Telemetry,
        HubAddress::TelemetryManagement,
        HubAddress::TelemetryPartition { group: Segment::received("$Default"), partition: segment("0") },
        HubAddress::Cbs,
        HubAddress::Management,
        HubAddress::EventHub { entity: segment("hub") },
        HubAddress::EventHubManagement { entity: segment("hub") },
        HubAddress::EventHubPartition {
            entity: segment("hub"),
            group: Segment::received("$Default"),
            partition: segment("3"),
        },
        HubAddress::EventHubPartitionSender { entity: segment("hub"), partition: segment("3") },
        HubAddress::EventHubPublisher { entity: segment("hub"), publisher: segment("p") },
    ];
    let host = HostName::parse("myhub.azure-devices.net").unwrap();
    for address in addresses {
        assert_eq!(HubAddress::parse(&address.to_string()).as_ref(), Ok(&address));
        let uri = address.to_uri(&host);
        assert!(uri.starts_with("amqps://myhub.azure-devices.net:5671/"), "{uri}");
        let read = Address::parse(&uri).unwrap();
        assert_eq!((read.node, read.host.map(|host| host.port())), (address, Some(Some(5671))));
    }
}

#[test]
fn spellings_of_the_sdks_are_one_address() {
    let expected = HubAddress::DeviceBound(Identity { device: Segment::received("dev1"), module: None });
    for text in [
        "/devices/dev1/messages/devicebound",
        "devices/dev1/messages/deviceBound/",
        "amqps://h.example.net:5671/devices/dev1/messages/deviceBound",
        "AMQPS://h/Devices/dev1/Messages/DEVICEBOUND",
    ] {
        assert_eq!(HubAddress::parse(text).as_ref(), Ok(&expected), "{text}");
    }
    for text in ["/messages/serviceBound/feedback", "/messages/servicebound/Feedback"] {
        assert_eq!(HubAddress::parse(text), Ok(HubAddress::Feedback));
    }
    assert_eq!(HubAddress::parse("amqps://h:1/myhub/"), HubAddress::parse("myhub"));
    let slashed = HubAddress::parse("/hub/ConsumerGroups/$Default/Partitions/0");
    assert_eq!(slashed, HubAddress::parse("hub/consumergroups/$Default/partitions/0"));
}

#[test]
fn unknown_paths_are_errors() {
    for (text, error) in [
        ("", PathError::Empty),
        ("/", PathError::Empty),
        ("amqps://h", PathError::Empty),
        ("amqps://h h/messages/events", PathError::Host),
        ("/devices/d", PathError::Unknown),
        ("/devices//messages/events", PathError::Unknown),
        ("/devices/d/messages/sideways", PathError::Unknown),
        ("/messages/events/ConsumerGroups/g", PathError::Unknown),
        ("/a/b/c/d/e/f/g/h/i/j/k/l", PathError::Unknown),
    ] {
        assert_eq!(HubAddress::parse(text), Err(error), "{text}");
    }
    assert_eq!(HubAddress::parse(&"x".repeat(5000)), Err(PathError::TooLong));
}

#[test]
fn a_segment_offers_its_raw_text_first() {
    let candidates = |text: &str| Segment::received(text).candidates().collect::<Vec<_>>();
    assert_eq!(candidates("dev%2B1"), ["dev%2B1", "dev+1"]);
    assert_eq!(candidates("dev+1"), ["dev+1"]);
    assert_eq!(candidates("%"), ["%"]);
    assert_eq!(candidates("%FF"), ["%FF"], "not UTF-8 after decoding");
}

#[test]
fn six_shapes_of_a_resource_are_the_same() {
    let wanted = Resource::parse("h.example.net/devices/dev+1").unwrap();
    for text in [
        "h.example.net/devices/dev%2B1",
        "h.example.net%2Fdevices%2Fdev%2B1",
        "h.example.net%3A5671%2fdevices%2fdev%252B1",
        "amqps://h.example.net:5671/devices/dev%2B1/",
        "https://h.example.net/Devices/dev+1",
        "sb://h.example.net/devices/dev+1",
    ] {
        let resource = Resource::parse(text).unwrap();
        assert!(resource.covers(&wanted) && wanted.covers(&resource), "{text}");
    }
    assert_eq!(Resource::parse(""), None);
    assert_eq!(Resource::parse("a b"), None);
}

#[test]
fn scope_goes_by_whole_segments() {
    let resource = |text: &str| Resource::parse(text).unwrap();
    assert!(resource("h").covers(&resource("h/devices/a")));
    assert!(resource("h/devices/a").covers(&resource("h/devices/a/modules/m")));
    assert!(!resource("h/devices/a").covers(&resource("h/devices/ab")));
    assert!(!resource("h/devices/a").covers(&resource("h")));
    assert!(!resource("h/devices/a").covers(&resource("h/devices/A")), "ids keep their case");
    assert!(!resource("h").covers(&resource("other")));
}

proptest! {
    #[test]
    fn any_id_survives_the_way_through_a_path(device in "[!-.0-~ ]{1,128}", module in proptest::option::of("[!-.0-~]{1,40}")) {
        let address = HubAddress::DeviceEvents(Identity::new(&device, module.as_deref()));
        let HubAddress::DeviceEvents(read) = HubAddress::parse(&address.to_string()).unwrap() else {
            panic!("another address came back");
        };
        prop_assert_eq!(read.device.decoded(), device);
        prop_assert_eq!(read.module.map(|module| module.decoded()), module);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "\\PC{0,200}") {
        let _ = HubAddress::parse(&text);
        let _ = Resource::parse(&text);
    }
}
