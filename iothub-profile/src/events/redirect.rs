//! From a hub to the event hub built into it.
//!
//! Owns the decision whether credentials may go where a redirect leads: only to the hub's own host, to Azure's
//! event hubs or to hosts its caller named, over TLS, and over a few hosts at most.

use amqp_transport::{
    Redirect,
    client::{AttachError, CreditMode, ReceiverOptions},
    recovery::Established,
};

use crate::{
    error::{Error, ErrorKind},
    host::HostName,
    path::{Address, HubAddress, Segment},
    supervisor::{ClientOptions, endpoint::Endpoint, failure, hooks::HubContext},
};

/// An event hub of a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct EventHub {
    /// The namespace's host, with the port where it is another than 5671.
    pub(crate) host: HostName,
    /// The event hub's name.
    pub(crate) entity: String,
}

impl EventHub {
    /// What tokens for the event hub and everything in it are signed for.
    pub(crate) fn audience(&self) -> String {
        format!("sb://{}/{}", self.host.name(), self.entity)
    }

    /// The address of a partition as an absolute URI.
    pub(crate) fn partition_address(&self, group: &str, partition: &str) -> String {
        let address = HubAddress::EventHubPartition {
            entity: Segment::received(self.entity.as_str()),
            group: Segment::received(group),
            partition: Segment::received(partition),
        };
        address.to_uri(&self.host)
    }
}

/// Asks a hub where a consumer group's events are, connects there and authenticates with the event hub's key rule.
pub(crate) async fn follow(
    hub: &Endpoint,
    group: &str,
    options: &ClientOptions,
) -> Result<Established<HubContext>, Error> {
    let mut at = hub.connect(options).await?;
    let asked = HubAddress::TelemetryPartition {
        group: Segment::received(group),
        partition: Segment::received(PROBED_PARTITION),
    };
    let mut address = asked.to_string();
    for _ in 0..=MAX_HOPS {
        let probe = ReceiverOptions::new(uuid::Uuid::new_v4().hyphenated().to_string(), address.clone())
            .credit(CreditMode::Manual);
        let redirect = match at.session.attach_receiver(probe).await {
            Err(AttachError::Redirect(redirect)) => redirect,
            Err(error) => return Err(failure::of_attach(&error, &address)),
            Ok(link) => {
                // The events are here: what was asked is answered by the one who has them.
                let _ = link.detach().await;
                if at.context.event_hub.is_none() {
                    return Err(Error::new(ErrorKind::Protocol, "the hub did not name its event hub"));
                }
                return Ok(at);
            }
        };
        let (event_hub, network_host) = destination(&hub.host, &redirect, options)?;
        tracing::debug!(host = %event_hub.host, entity = event_hub.entity, "following a redirect");
        let next = hub.redirected(&event_hub, network_host);
        let _ = at.connection.close().await;
        address = event_hub.partition_address(group, PROBED_PARTITION);
        at = next.connect(options).await.map_err(|error| error.during("following the hub's redirect"))?;
        at.context.event_hub = Some(event_hub);
    }
    Err(Error::new(ErrorKind::Refused, format!("the hub redirected more than {MAX_HOPS} times")))
}

/// Where a redirect leads, if credentials may go there.
fn destination(
    hub: &HostName,
    redirect: &Redirect,
    options: &ClientOptions,
) -> Result<(EventHub, HostName), Error> {
    let malformed = |what: &str| Error::new(ErrorKind::Protocol, format!("the hub's redirect {what}"));
    let hostname = redirect.hostname.as_deref().ok_or_else(|| malformed("names no host"))?;
    let mut host = HostName::parse(hostname).map_err(|_| malformed("names no valid host"))?;
    if let Some(port) = redirect.port {
        host = host.with_port(port);
    }
    let network_host = match redirect.network_host.as_deref() {
        Some(name) => HostName::parse(name).map_err(|_| malformed("names no valid network host"))?,
        None => host.clone(),
    };
    let network_host = network_host.with_port(host.port_or_default());
    // A shared parent domain proves nothing: strangers are neighbours under azure-devices.net as under co.uk.
    let is_trusted = host.name() == hub.name()
        || host.is_azure_event_hub()
        || options.redirect_hosts.iter().any(|trusted| trusted.name() == host.name());
    if !is_trusted {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("the hub redirects to {}, which is not trusted with credentials", host.name()),
        )
        .with_hint("allow this host explicitly if it is yours"));
    }
    let address = redirect.address.as_deref().ok_or_else(|| malformed("has no address"))?;
    let address = Address::parse(address).map_err(|_| malformed("has an address that is none"))?;
    // A token is signed for what the address says, so it must be of the host that the token is shown to.
    if address.host.as_ref().is_some_and(|named| named.name() != host.name()) {
        return Err(malformed("has an address on another host than it names"));
    }
    let entity = match address.node {
        HubAddress::EventHub { entity }
        | HubAddress::EventHubManagement { entity }
        | HubAddress::EventHubPartition { entity, .. } => entity.as_str().to_owned(),
        _ => return Err(malformed("leads to no event hub")),
    };
    Ok((EventHub { host, entity }, network_host))
}

/// Hops from the hub on.
const MAX_HOPS: usize = 3;

/// Every event hub has this partition.
const PROBED_PARTITION: &str = "0";

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(hostname: &str, address: &str) -> Redirect {
        let mut redirect = Redirect::default();
        redirect.hostname = Some(hostname.to_owned());
        redirect.port = Some(5671);
        redirect.address = Some(address.to_owned());
        redirect
    }

    fn lead(hub: &str, redirect: &Redirect) -> Result<(EventHub, HostName), Error> {
        destination(&HostName::parse(hub).unwrap(), redirect, &ClientOptions::new())
    }

    #[test]
    fn azures_own_redirect_is_followed() {
        let host = "iothub-ns-myhub-1-0123456789.servicebus.windows.net";
        for suffix in ["ConsumerGroups/$Default/Partitions/0", "$management", ""] {
            let address = format!("amqps://{host}:5671/myhub/{suffix}");
            let (event_hub, network_host) =
                lead("myhub.azure-devices.net", &redirect(host, &address)).unwrap();
            assert_eq!(event_hub.audience(), format!("sb://{host}/myhub"));
            assert_eq!(network_host.to_string(), format!("{host}:5671"));
            assert_eq!(
                event_hub.partition_address("$Default", "3"),
                format!("amqps://{host}:5671/myhub/ConsumerGroups/$Default/Partitions/3")
            );
        }
    }

    #[test]
    fn credentials_do_not_go_to_strangers() {
        let stranger = redirect("evil.example.org", "amqps://evil.example.org:5671/h");
        let error = lead("myhub.azure-devices.net", &stranger).unwrap_err();
        assert!(error.hint().is_some());
        assert_eq!(error.kind(), ErrorKind::Refused);
        let options = ClientOptions::new().with_redirect_host(HostName::parse("evil.example.org").unwrap());
        let hub = HostName::parse("myhub.azure-devices.net").unwrap();
        assert!(destination(&hub, &stranger, &options).is_ok(), "unless the caller says so");
        let victim = redirect("a.servicebus.windows.net", "amqps://victim.servicebus.windows.net:5671/h");
        assert_eq!(lead("myhub.azure-devices.net", &victim).unwrap_err().kind(), ErrorKind::Protocol);
        assert!(lead("localhost:1", &redirect("localhost", "amqps://localhost:5671/h")).is_ok());
    }

    #[test]
    fn a_neighbour_under_the_same_parent_domain_is_a_stranger() {
        for (hub, neighbour) in [
            ("a.co.uk", "b.co.uk"),
            ("a.example.com", "b.example.com"),
            ("mine.azure-devices.net", "another.azure-devices.net"),
            ("hub.example.com", "example.com"),
            ("10.0.0.1", "10.0.0.2"),
        ] {
            let there = redirect(neighbour, &format!("amqps://{neighbour}:5671/h"));
            assert_eq!(lead(hub, &there).unwrap_err().kind(), ErrorKind::Refused, "{hub} to {neighbour}");
            let home = redirect(hub, &format!("amqps://{hub}:5671/h"));
            assert!(lead(hub, &home).is_ok(), "{hub}");
        }
    }

    #[test]
    fn malformed_redirects_are_errors() {
        let host = "a.servicebus.windows.net";
        let no_entity = format!("amqps://{host}/devices/d/twin");
        for bad in [
            Redirect::default(),
            redirect("no host", "amqps://x/h"),
            redirect(host, ""),
            redirect(host, &no_entity),
        ] {
            assert_eq!(lead("h", &bad).unwrap_err().kind(), ErrorKind::Protocol, "{bad:?}");
        }
    }
}
