//! Where a client connects and how it authenticates there.

use std::sync::Arc;

use amqp_codec::Symbol;
use amqp_transport::{
    Secret,
    client::{
        CbsClient, ConnectOptions, Connection, Sasl, SessionOptions, Subprotocol, TlsOptions,
        WebSocketOptions,
    },
    recovery::Established,
};

use crate::{
    clock::unix_seconds,
    connection_string::{
        ConnectionString, Credential, DeviceString, EventHubsString, EventHubsTransport, ServiceString,
    },
    credential::{CredentialError, CredentialProvider, TokenRequest},
    error::{Error, ErrorKind},
    events::redirect::EventHub,
    host::{AMQPS_PORT, HostName},
    sas::{KeyRule, SasToken},
    supervisor::{
        failure,
        hooks::HubContext,
        options::{AuthMode, Carrier, ClientOptions, ProxySetting},
    },
};

/// What a client keeps connected to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A hub, as a device or as a service.
    Hub(Endpoint),
    /// The event hub that a hub redirects this consumer group to, found anew at each connect.
    Telemetry {
        /// The hub that is asked.
        hub: Endpoint,
        /// The consumer group.
        group: String,
    },
    /// An event hub that is known.
    EventHub(Endpoint, EventHub),
}

/// A host to connect to and a resource to authenticate for.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// The name that the certificate must carry; also sent in `open`.
    pub(crate) host: HostName,
    /// What is connected to.
    pub(crate) address: HostName,
    /// What tokens are signed for.
    pub(crate) resource: String,
    /// How the host derives HMAC keys.
    pub(crate) rule: KeyRule,
    /// Where tokens come from; none with a client certificate.
    pub(crate) provider: Option<Arc<dyn CredentialProvider>>,
    /// The user name for SASL PLAIN; none for claims-based security.
    pub(crate) sasl_user: Option<String>,
    /// Whether there is TLS below AMQP.
    pub(crate) transport: EventHubsTransport,
}

impl Endpoint {
    /// A hub as a device or module sees it.
    pub(crate) fn device(string: &DeviceString, options: &ClientOptions) -> Self {
        let host = string.gateway.as_ref().unwrap_or(&string.host);
        let sasl_user = (options.auth == AuthMode::SaslPlain).then(|| {
            let module = string.module_id.as_ref().map(|module| format!("/{module}")).unwrap_or_default();
            format!("{}{module}@sas.{}", string.device_id, string.host.short_name())
        });
        Self {
            host: host.clone(),
            address: options.address.as_ref().unwrap_or(host).clone(),
            resource: string.resource(),
            rule: KeyRule::Base64Decoded,
            provider: provider_of(&string.credential, options),
            sasl_user,
            transport: EventHubsTransport::Tls,
        }
    }

    /// A hub as a service sees it.
    ///
    /// # Errors
    /// When SASL PLAIN is wanted and the policy's name is not known.
    pub(crate) fn service(string: &ServiceString, options: &ClientOptions) -> Result<Self, Error> {
        let provider = provider_of(&string.credential, options);
        let sasl_user = match options.auth {
            AuthMode::Cbs => None,
            AuthMode::SaslPlain => {
                let of_provider = provider.as_ref().and_then(|provider| provider.policy());
                let policy = of_provider.or(string.policy.as_deref()).ok_or_else(|| {
                    Error::new(
                        ErrorKind::Credential,
                        "SASL PLAIN needs the policy's name, which the token lacks (skn)",
                    )
                })?;
                Some(format!("{policy}@sas.root.{}", string.host.short_name()))
            }
        };
        Ok(Self {
            host: string.host.clone(),
            address: options.address.as_ref().unwrap_or(&string.host).clone(),
            resource: string.resource(),
            rule: KeyRule::Base64Decoded,
            provider,
            sasl_user,
            transport: EventHubsTransport::Tls,
        })
    }

    /// An event hub of a namespace.
    pub(crate) fn event_hubs(
        string: &EventHubsString,
        event_hub: &EventHub,
        options: &ClientOptions,
    ) -> Self {
        let endpoint = match (string.transport, string.endpoint.port()) {
            (EventHubsTransport::DevelopmentEmulator, None) => string.endpoint.clone().with_port(PLAIN_PORT),
            _ => string.endpoint.clone(),
        };
        Self {
            host: string.endpoint.clone(),
            address: options.address.clone().unwrap_or(endpoint),
            resource: event_hub.audience(),
            rule: KeyRule::Text,
            provider: provider_of(&string.credential, options),
            sasl_user: None,
            transport: string.transport,
        }
    }

    /// The event hub that this hub redirects to, with the same credential under the event hub's key rule.
    /// Where that is the hub's own host and port, it is reached by the same address as the hub.
    pub(crate) fn redirected(&self, event_hub: &EventHub, network_host: HostName) -> Self {
        let is_hub_itself = network_host.name().eq_ignore_ascii_case(self.host.name())
            && network_host.port_or_default() == self.host.port_or_default();
        Self {
            host: event_hub.host.clone(),
            address: if is_hub_itself { self.address.clone() } else { network_host },
            resource: event_hub.audience(),
            rule: KeyRule::Text,
            provider: self.provider.clone(),
            sasl_user: None,
            transport: EventHubsTransport::Tls,
        }
    }

    /// A fresh token for this endpoint; none where a client certificate authenticates.
    pub(crate) fn token(&self, options: &ClientOptions) -> Result<Option<SasToken>, Error> {
        let Some(provider) = &self.provider else { return Ok(None) };
        let request = TokenRequest {
            resource: &self.resource,
            rule: self.rule,
            now: options.clock.now(),
            lifetime: options.token_lifetime,
        };
        let token = provider.token(&request)?;
        let now = unix_seconds(options.clock.now());
        if token.is_expired_at(now) {
            return Err(CredentialError::Expired { ago: now.saturating_sub(token.expiry()) }.into());
        }
        Ok(Some(token))
    }

    /// Connects, authenticates and begins a session.
    pub(crate) async fn connect(&self, options: &ClientOptions) -> Result<Established<HubContext>, Error> {
        let token = self.token(options)?;
        let connection = self.open_connection(token.as_ref(), options).await?;
        let session =
            connection.begin(SessionOptions::new()).await.map_err(|error| failure::of_begin(&error))?;
        let cbs = match &token {
            Some(token) if self.sasl_user.is_none() => {
                let cbs =
                    CbsClient::open(&session).await.map_err(|error| failure::of_attach(&error, "$cbs"))?;
                self.put_token(&cbs, token).await?;
                Some(cbs)
            }
            _ => None,
        };
        let context = HubContext { endpoint: self.clone(), cbs, token, event_hub: None };
        Ok(Established::new(connection, session, context))
    }

    /// Puts a token for this endpoint's resource.
    pub(crate) async fn put_token(&self, cbs: &CbsClient, token: &SasToken) -> Result<(), Error> {
        let secret = Secret::new(token.expose());
        cbs.put_token(TOKEN_TYPE, self.resource.clone(), &secret)
            .await
            .map_err(|error| failure::of_cbs(&error, &self.resource))
    }

    async fn open_connection(
        &self,
        token: Option<&SasToken>,
        options: &ClientOptions,
    ) -> Result<Connection, Error> {
        let sasl = match (&self.sasl_user, token) {
            (Some(user), Some(token)) => {
                Sasl::Plain { user: user.clone(), password: Secret::new(token.expose()) }
            }
            (None, Some(_)) => Sasl::Anonymous,
            (_, None) => Sasl::None,
        };
        let container = uuid::Uuid::new_v4().hyphenated().to_string();
        let mut connect = ConnectOptions::new(container)
            .hostname(self.host.name().to_owned())
            .sasl(sasl)
            .desired_capabilities([Symbol::from_static(REDIRECT_CAPABILITY)])
            .connect_timeout(options.connect_timeout);
        if self.transport == EventHubsTransport::Tls {
            connect = connect.tls(TlsOptions::new(options.tls()?).server_name(self.host.name()));
        }
        let mut address = self.address.clone();
        if options.carrier == Carrier::WebSocket {
            let websocket = WebSocketOptions::new(self.websocket_path());
            connect = connect.websocket(websocket.subprotocols([Subprotocol::AmqpWsb10]));
            if matches!(address.port(), None | Some(AMQPS_PORT)) {
                address = address.with_port(HTTPS_PORT);
            }
        }
        connect = match &options.proxy {
            ProxySetting::None => connect,
            ProxySetting::Via(proxy) => connect.proxy(proxy.clone()),
            ProxySetting::ByRules(rules) => connect.proxy_rules(rules.clone()),
        };
        Connection::connect((address.name(), address.port_or_default()), connect)
            .await
            .map_err(|error| failure::of_connect(&error, &address))
    }

    /// Where a hub, and where an event hub, serves AMQP over WebSocket.
    fn websocket_path(&self) -> &'static str {
        match self.rule {
            KeyRule::Text => "/$servicebus/websocket/",
            _ => "/$iothub/websocket",
        }
    }
}

impl Target {
    /// Where connecting begins.
    pub(crate) fn address(&self) -> &HostName {
        match self {
            Self::Hub(endpoint) | Self::Telemetry { hub: endpoint, .. } | Self::EventHub(endpoint, _) => {
                &endpoint.address
            }
        }
    }

    /// How many steps connecting takes at most, each of which may take the connect timeout.
    pub(crate) fn steps(&self) -> u32 {
        match self {
            Self::Telemetry { .. } => STEPS_TO_EVENT_HUB,
            Self::Hub(_) | Self::EventHub(..) => STEPS_TO_HUB,
        }
    }

    /// What a device's or module's connection string leads to.
    pub(crate) fn device(string: &DeviceString, options: &ClientOptions) -> Self {
        Self::Hub(Endpoint::device(string, options))
    }

    /// What a service's connection string leads to.
    pub(crate) fn service(string: &ServiceString, options: &ClientOptions) -> Result<Self, Error> {
        Ok(Self::Hub(Endpoint::service(string, options)?))
    }

    /// The event hub that a connection string leads to, for reading as a consumer group.
    pub(crate) fn telemetry(
        string: &ConnectionString,
        group: &str,
        options: &ClientOptions,
    ) -> Result<Self, Error> {
        match string {
            ConnectionString::Service(service) => {
                Ok(Self::Telemetry { hub: Endpoint::service(service, options)?, group: group.to_owned() })
            }
            ConnectionString::EventHubs(event_hubs) => {
                let entity = event_hubs.entity_path.clone().ok_or_else(|| {
                    Error::new(
                        ErrorKind::Usage,
                        "the connection string has no EntityPath, the event hub's name",
                    )
                })?;
                let event_hub = EventHub { host: event_hubs.endpoint.clone(), entity };
                let endpoint = Endpoint::event_hubs(event_hubs, &event_hub, options);
                Ok(Self::EventHub(endpoint, event_hub))
            }
            ConnectionString::Device(_) => Err(Error::new(
                ErrorKind::Usage,
                "a device's connection string cannot read telemetry",
            )
            .with_hint(
                "use the connection string of a policy with the right to read: service or iothubowner",
            )),
        }
    }
}

fn provider_of(credential: &Credential, options: &ClientOptions) -> Option<Arc<dyn CredentialProvider>> {
    options.provider.clone().or_else(|| credential.provider())
}

/// The transport up to `open`, then the session and the token: each may take the connect timeout.
const STEPS_TO_HUB: u32 = 2;

/// The same for the hub and for up to three hosts that it redirects to.
const STEPS_TO_EVENT_HUB: u32 = 8;

/// The kind of token that hubs and event hubs take.
const TOKEN_TYPE: &str = "servicebus.windows.net:sastoken";

/// Says that this side understands redirects of links; hubs redirect without being told so.
const REDIRECT_CAPABILITY: &str = "amqp:link:redirect";

/// The port of AMQP without TLS.
const PLAIN_PORT: u16 = 5672;

/// The port of WebSockets over TLS.
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn endpoint(text: &str, options: &ClientOptions) -> Endpoint {
        match ConnectionString::parse(&text.replace("KEY", KEY)).unwrap() {
            ConnectionString::Device(device) => Endpoint::device(&device, options),
            ConnectionString::Service(service) => Endpoint::service(&service, options).unwrap(),
            ConnectionString::EventHubs(_) => panic!("no hub"),
        }
    }

    #[test]
    fn sasl_plain_users_are_named_after_the_hubs_first_label() {
        let plain = ClientOptions::new().with_auth(AuthMode::SaslPlain);
        for (text, user) in [
            ("HostName=myhub.azure-devices.net;DeviceId=d;SharedAccessKey=KEY", "d@sas.myhub"),
            ("HostName=localhost:1;DeviceId=d;ModuleId=m;SharedAccessKey=KEY", "d/m@sas.localhost"),
            (
                "HostName=myhub.azure-devices.net;SharedAccessKeyName=service;SharedAccessKey=KEY",
                "service@sas.root.myhub",
            ),
        ] {
            assert_eq!(endpoint(text, &plain).sasl_user.as_deref(), Some(user));
            assert_eq!(endpoint(text, &ClientOptions::new()).sasl_user, None);
        }
    }

    #[test]
    fn a_gateway_takes_the_hubs_place_on_the_network_and_nowhere_else() {
        let text = "HostName=myhub.azure-devices.net;GatewayHostName=edge;DeviceId=d;SharedAccessKey=KEY";
        let endpoint = endpoint(text, &ClientOptions::new());
        assert_eq!((endpoint.host.name(), endpoint.address.name()), ("edge", "edge"));
        assert_eq!(endpoint.resource, "myhub.azure-devices.net/devices/d");
    }

    #[test]
    fn a_device_cannot_read_telemetry() {
        let string = format!("HostName=h;DeviceId=d;SharedAccessKey={KEY}").parse().unwrap();
        let error = Target::telemetry(&string, "$Default", &ClientOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
