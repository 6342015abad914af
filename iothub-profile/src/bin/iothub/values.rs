//! Values on the command line that need more than a number: positions, properties, keys, addresses, times.
//! Pure: text in, value or complaint out. A complaint never repeats a key.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use iothub_profile::HostName;

/// Where `monitor` starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The oldest event kept.
    Earliest,
    /// Only what comes from now on.
    Latest,
    /// The event with this sequence number, and what follows.
    Sequence(i64),
    /// What follows the event at this offset.
    Offset(String),
    /// What was enqueued at or after this time, in milliseconds since 1970.
    Time(i64),
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "earliest" => Ok(Self::Earliest),
            None if text == "latest" => Ok(Self::Latest),
            Some(("seq", number)) => match number.parse::<i64>() {
                Ok(number) if number >= 0 => Ok(Self::Sequence(number)),
                _ => Err(format!("`{number}` is not a sequence number (0, 1, 2, …)")),
            },
            Some(("offset", "")) => Err("the offset is empty".into()),
            // The offset travels inside a quoted selector; a quote would end it early.
            Some(("offset", offset)) if offset.contains(['\'', '"']) => {
                Err("an offset holds no quotes".into())
            }
            Some(("offset", offset)) => Ok(Self::Offset(offset.into())),
            Some(("time", time)) => time_ms(time).map(Self::Time),
            _ => Err("a position is earliest, latest, seq:N, offset:X or time:T".into()),
        }
    }
}

/// Milliseconds since 1970 of an RFC 3339 time, or of a plain number, which is taken as just that.
fn time_ms(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return if ms >= 0 { Ok(ms) } else { Err("a time lies after 1970".into()) };
    }
    let time = text.parse::<jiff::Timestamp>();
    time.map(jiff::Timestamp::as_millisecond).map_err(|_| {
        format!("`{text}` is neither an RFC 3339 time (2026-01-31T12:00:00Z) nor milliseconds since 1970")
    })
}

/// RFC 3339 text of milliseconds since 1970.
pub(crate) fn time_text(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => ms.to_string(),
    }
}

/// An application property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Property {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok(Self { name: name.into(), value: value.into() }),
            _ => Err("a property is NAME=VALUE"),
        }
    }
}

/// A device of the emulator, and its key where one is given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DeviceKey {
    pub(crate) id: String,
    pub(crate) key: Option<String>,
}

impl FromStr for DeviceKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, key) = text.split_once('=').map_or((text, None), |(id, key)| (id, Some(key)));
        if id.is_empty() || key == Some("") {
            return Err("a device is ID or ID=KEY");
        }
        Ok(Self { id: id.into(), key: key.map(Into::into) })
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A policy of the emulator with its key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PolicyKey {
    pub(crate) name: String,
    pub(crate) key: String,
}

impl FromStr for PolicyKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, key)) if !name.is_empty() && !key.is_empty() => {
                Ok(Self { name: name.into(), key: key.into() })
            }
            _ => Err("a policy is NAME=KEY"),
        }
    }
}

impl fmt::Debug for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A duration in seconds, fractions allowed, above zero and at most a year.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let complaint = || format!("`{text}` is not a number of seconds above 0 and at most {MAX_SECONDS}");
    let seconds: f64 = text.parse().map_err(|_| complaint())?;
    if !(seconds > 0.0 && seconds <= MAX_SECONDS) {
        return Err(complaint());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| complaint())
}

/// An address with its port.
pub(crate) fn host_and_port(text: &str) -> Result<HostName, String> {
    let host = HostName::parse(text).map_err(|error| error.to_string())?;
    if host.port().is_none() { Err(format!("`{text}` has no port")) } else { Ok(host) }
}

/// A year: no wait on this command line is meant to be longer.
const MAX_SECONDS: f64 = 31_536_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_every_form() {
        let read = |text: &str| text.parse::<Position>();
        assert_eq!(read("earliest"), Ok(Position::Earliest));
        assert_eq!(read("latest"), Ok(Position::Latest));
        assert_eq!(read("seq:2995"), Ok(Position::Sequence(2995)));
        assert_eq!(read("offset:12_3:4"), Ok(Position::Offset("12_3:4".into())));
        assert_eq!(read("time:1500"), Ok(Position::Time(1500)));
        assert_eq!(read("time:1970-01-01T00:00:01.5Z"), Ok(Position::Time(1500)));
        assert_eq!(read("time:1970-01-01T01:00:01.5+01:00"), Ok(Position::Time(1500)));
    }

    #[test]
    fn a_bad_position_is_refused_before_it_reaches_a_filter() {
        for text in [
            "",
            "first",
            "seq:",
            "seq:x",
            "seq:-1",
            "offset:",
            "offset:1' OR '1",
            "time:noon",
            "time:-5",
            "ago:1",
        ] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        assert_eq!(time_text(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(time_ms(&time_text(1_795_000_123_456)), Ok(1_795_000_123_456));
        assert_eq!(time_text(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn a_device_comes_with_its_key_or_without() {
        let read = |text: &str| text.parse::<DeviceKey>().map(|device| (device.id, device.key));
        assert_eq!(read("dev1"), Ok(("dev1".into(), None)));
        assert_eq!(read("dev1=QUJD"), Ok(("dev1".into(), Some("QUJD".into()))));
        assert_eq!(read("dev1=QUI="), Ok(("dev1".into(), Some("QUI=".into()))));
        assert_eq!(read("dev+1 a@b=QQ=="), Ok(("dev+1 a@b".into(), Some("QQ==".into()))));
        assert!(read("=QQ==").is_err());
        assert!(read("dev1=").is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn keys_do_not_show_in_debug_text() {
        let device: DeviceKey = "dev1=U0VDUkVU".parse().unwrap();
        let policy: PolicyKey = "service=U0VDUkVU".parse().unwrap();
        assert!(!format!("{device:?}{policy:?}").contains("U0VDUkVU"));
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "nan", "inf", "1e300", "two", ""] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        let address = host_and_port("localhost:5671").unwrap();
        assert_eq!((address.name(), address.port()), ("localhost", Some(5671)));
        for text in ["localhost", ":5671", "localhost:99999"] {
            assert!(host_and_port(text).is_err(), "{text}");
        }
    }
}
