//! What a token is for: the hub, one device, the built-in event hub, or something below them.
//!
//! Owns the normalising of the many spellings in which clients write a resource. Never decides whether a token is good.

use crate::{host::HostName, sas::percent_decode};

/// The names the emulator answers to.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Host names of the hub, lower-case, without port.
    pub(crate) hub: Vec<String>,
    /// Host name of the built-in event hub, lower-case, without port; may be one of the hub's.
    pub(crate) event_hub: String,
    /// The built-in event hub's own name, lower-case: the first segment of its paths.
    pub(crate) entity: String,
}

impl Names {
    /// Names for a hub `host`, whose event hub is at `event_hub`; loopback's names are always answered to.
    pub(crate) fn new(host: &str, event_hub: Option<&str>) -> Self {
        let host = host.to_ascii_lowercase();
        let event_hub = event_hub.map_or_else(|| host.clone(), str::to_ascii_lowercase);
        let entity = format!("iothub-ehub-{}", short_name(&host));
        let mut hub = vec![host];
        for name in LOOPBACK {
            if !hub.iter().any(|known| known == name) {
                hub.push(name.to_owned());
            }
        }
        Self { hub, event_hub, entity }
    }

    /// Whether `name` is the short name of the hub, as SASL PLAIN users carry it: the first label and no more.
    pub(crate) fn is_short_hub_name(&self, name: &str) -> bool {
        self.hub.iter().any(|host| {
            let short = if host.parse::<std::net::IpAddr>().is_ok() { host } else { short_name(host) };
            short.eq_ignore_ascii_case(name)
        })
    }
}

/// A place in the hub or in its event hub, and everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The hub's own tree: `devices/{id}/…` or `messages/…`.
    Hub(Vec<String>),
    /// The event hub's tree; its first segment is the event hub's name.
    EventHub(Vec<String>),
}

impl Scope {
    /// Everything of one device.
    pub(crate) fn device(id: &str) -> Self {
        Self::Hub(vec!["devices".to_owned(), id.to_owned()])
    }

    /// A path of the hub given by segments; words may be in any case.
    pub(crate) fn hub(segments: &[&str]) -> Self {
        Self::Hub(hub_path(segments))
    }

    /// A path of the event hub given by segments, the event hub's name first.
    pub(crate) fn event_hub(segments: &[&str]) -> Self {
        Self::EventHub(segments.iter().map(|segment| segment.to_ascii_lowercase()).collect())
    }

    /// Reads a resource in any spelling seen: raw, encoded as a whole or by parts, as a form field (`+` for a space), with
    /// scheme, port or trailing slash. Device ids may hold `%` and `+` themselves, so the reading whose device exists wins;
    /// `exists` tells. `None` when it names a host the emulator does not answer to.
    pub(crate) fn parse(text: &str, names: &Names, exists: impl Fn(&str) -> bool) -> Option<Self> {
        if text.len() > MAX_RESOURCE {
            return None;
        }
        let readings: Vec<Self> = decodings(text).iter().filter_map(|text| Self::read(text, names)).collect();
        let known = readings.iter().find(|scope| scope.device_id().is_none_or(&exists));
        known.or_else(|| readings.first()).cloned()
    }

    /// The device this is about, if it is about one.
    pub(crate) fn device_id(&self) -> Option<&str> {
        match self {
            Self::Hub(path) => match path.as_slice() {
                [devices, id, ..] if devices == "devices" => Some(id),
                _ => None,
            },
            Self::EventHub(_) => None,
        }
    }

    /// Whether `other` is this place or below it, by whole segments: `/a/b` covers `/a/b/c`, not `/a/bc`.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Hub(mine), Self::Hub(theirs)) | (Self::EventHub(mine), Self::EventHub(theirs)) => {
                theirs.starts_with(mine)
            }
            _ => false,
        }
    }

    fn read(text: &str, names: &Names) -> Option<Self> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = HostName::parse(authority).ok()?;
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let is_hub_host = names.hub.iter().any(|name| name == host.name());
        let is_event_hub_host = names.event_hub == host.name();
        let is_entity = segments.first().is_some_and(|segment| segment.eq_ignore_ascii_case(&names.entity));
        let is_namespace = segments.is_empty() && scheme.eq_ignore_ascii_case("sb");
        // One listener serves both: the event hub's name, or `sb://` in front of nothing, tells them apart.
        if (is_hub_host || is_event_hub_host) && (is_entity || is_namespace) {
            Some(Self::event_hub(&segments))
        } else if is_hub_host {
            Some(Self::hub(&segments))
        } else {
            is_event_hub_host.then(|| Self::event_hub(&segments))
        }
    }
}

/// Everything a text may stand for, most literal first. Clients encode once, twice or not at all, and some write `+` for
/// a space.
pub(crate) fn decodings(text: &str) -> Vec<String> {
    let form = |text: &str| percent_decode(&text.replace('+', " "));
    let once = percent_decode(text);
    let as_form = form(text);
    let again = [percent_decode(&once), form(&once), percent_decode(&as_form)];
    let mut all = vec![text.to_owned()];
    for candidate in [once, as_form].into_iter().chain(again) {
        if !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

/// The first label of a host name.
pub(crate) fn short_name(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

fn hub_path(segments: &[&str]) -> Vec<String> {
    let first = segments.first().map(|segment| segment.to_ascii_lowercase());
    match first.as_deref() {
        // Ids keep their case, words do not.
        Some("devices") => segments
            .iter()
            .enumerate()
            .map(|(at, segment)| {
                if is_id_position(at, segments) {
                    (*segment).to_owned()
                } else {
                    segment.to_ascii_lowercase()
                }
            })
            .collect(),
        // The SAS page of the documentation leaves `messages` out before these two.
        Some("devicebound" | "servicebound") => std::iter::once("messages".to_owned())
            .chain(segments.iter().map(|segment| segment.to_ascii_lowercase()))
            .collect(),
        _ => segments.iter().map(|segment| segment.to_ascii_lowercase()).collect(),
    }
}

fn is_id_position(at: usize, segments: &[&str]) -> bool {
    at == 1 || (at == 3 && segments.get(2).is_some_and(|word| word.eq_ignore_ascii_case("modules")))
}

/// No resource of a hub is longer.
const MAX_RESOURCE: usize = 4096;

/// Names of this machine that a client on it may use for any hub.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Scope> {
        let names = Names::new("MyHub.azure-devices.net", None);
        Scope::parse(text, &names, |id| ["dev1", "dev+1 a@b", "100%", "dev%201"].contains(&id))
    }

    #[test]
    fn six_spellings_of_a_hub_are_one() {
        for text in [
            "myhub.azure-devices.net",
            "MYHUB.azure-devices.net:5671",
            "amqps://myhub.azure-devices.net:5671/",
            "https://myhub.azure-devices.net",
            "amqps%3A%2F%2Fmyhub.azure-devices.net%3A5671%2F",
            "localhost%3A15671",
        ] {
            assert_eq!(parse(text), Some(Scope::Hub(vec![])), "{text}");
        }
        assert_eq!(parse("other.azure-devices.net"), None);
    }

    #[test]
    fn ids_that_need_encoding_are_found_in_every_encoding() {
        let expected = Some(Scope::device("dev+1 a@b"));
        for text in [
            "myhub.azure-devices.net/devices/dev+1 a@b",
            "myhub.azure-devices.net%2Fdevices%2Fdev%2B1%20a%40b",
            "myhub.azure-devices.net%2fdevices%2fdev%2b1+a%40b",
            "amqps://myhub.azure-devices.net:5671/Devices/dev%2B1%20a%40b",
            "myhub.azure-devices.net%2Fdevices%2Fdev%252B1%2520a%2540b",
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("myhub.azure-devices.net/devices/100%"), Some(Scope::device("100%")));
        assert_eq!(parse("myhub.azure-devices.net/devices/dev%201"), Some(Scope::device("dev%201")));
    }

    #[test]
    fn event_hub_audiences_are_told_from_the_hubs() {
        let entity = || Scope::event_hub(&["iothub-ehub-myhub"]);
        assert_eq!(parse("sb://myhub.azure-devices.net/iothub-ehub-myhub"), Some(entity()));
        let partition =
            parse("amqps://localhost:5671/iothub-ehub-myhub/ConsumerGroups/$Default/Partitions/0").unwrap();
        assert!(entity().covers(&partition) && !Scope::Hub(vec![]).covers(&partition));
        assert_eq!(parse("sb://localhost/"), Some(Scope::EventHub(vec![])));
        let legacy = parse("sb://localhost/messages/events/$management").unwrap();
        assert_eq!(legacy, Scope::hub(&["messages", "events", "$management"]));
    }

    #[test]
    fn a_scope_covers_by_whole_segments() {
        let device = Scope::device("dev1");
        assert!(device.covers(&Scope::hub(&["Devices", "dev1", "Messages", "Events"])));
        assert!(!device.covers(&Scope::device("dev11")));
        assert!(!device.covers(&Scope::device("DEV1")));
        assert!(Scope::hub(&["servicebound", "feedback"]).covers(&Scope::hub(&[
            "messages",
            "serviceBound",
            "feedback"
        ])));
    }

    #[test]
    fn short_names_are_the_first_label_only() {
        let names = Names::new("myhub.azure-devices.net", None);
        assert!(names.is_short_hub_name("MyHub") && names.is_short_hub_name("localhost"));
        assert!(!names.is_short_hub_name("myhub.azure-devices.net"));
    }
}
