//! An emulated hub for tests, and bare AMQP connections to it that know nothing of the profile's clients.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amqp_codec::{ApplicationProperties, Message, MessageId, Properties, Str, Value};
use amqp_transport::{
    Secret,
    client::{
        CbsClient, ConnectOptions, Connection, Receiver, ReceiverOptions, Sasl, Sender, SenderOptions,
        Session, SessionOptions, TlsOptions,
    },
};
use iothub_profile::{
    ConnectionString,
    connection_string::Credential,
    emulator::{Emulator, EmulatorBuilder},
    sas::{self, KeyRule, SharedAccessKey},
    supervisor::ClientOptions,
};

/// The device that every test hub has.
pub const DEVICE: &str = "dev1";

/// A running hub with one device, short waits and a certificate authority of its own.
#[derive(Debug)]
pub struct Hub {
    /// The emulator behind it.
    pub emulator: Emulator,
}

/// Who connects.
#[derive(Clone, Copy, Debug)]
pub enum Role {
    /// The hub's device.
    Device,
    /// A service with the policy `service`.
    Service,
}

/// How a bare connection authenticates.
#[derive(Clone, Copy, Debug)]
pub enum Auth {
    /// A token on `$cbs`.
    Cbs,
    /// SASL PLAIN with the seed page's user names.
    Plain,
}

/// A bare connection with one session, and what keeps its token in place.
#[derive(Debug)]
pub struct Bare {
    /// The connection.
    pub connection: Connection,
    /// Its session.
    pub session: Session,
    /// The links to `$cbs`, where it was used.
    pub cbs: Option<CbsClient>,
}

impl Hub {
    /// A hub whose feedback comes at once.
    pub async fn start() -> Self {
        Self::of(builder()).await
    }

    /// A hub from a description that a test has changed.
    ///
    /// # Panics
    /// When the hub does not start.
    pub async fn of(builder: EmulatorBuilder) -> Self {
        Self { emulator: builder.start().await.expect("the hub starts") }
    }

    /// Options of a client that trusts this hub.
    ///
    /// # Panics
    /// When the hub's authority is malformed.
    pub fn options(&self) -> ClientOptions {
        ClientOptions::new()
            .with_ca_pem(self.emulator.ca_pem().as_bytes())
            .expect("the hub's authority")
            .with_operation_timeout(Duration::from_secs(20))
    }

    /// The connection string of a device.
    ///
    /// # Panics
    /// When there is no such device.
    pub fn device(&self, id: &str) -> ConnectionString {
        self.emulator.device_connection_string(id).expect("the device").parse().expect("a connection string")
    }

    /// The connection string of the policy `service`.
    ///
    /// # Panics
    /// When there is no such policy.
    pub fn service(&self) -> ConnectionString {
        self.emulator.connection_string("service").expect("the policy").parse().expect("a connection string")
    }

    /// A bare connection in a role.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn connect(&self, role: Role, auth: Auth) -> Bare {
        let host = self.emulator.host();
        let short = host.split('.').next().expect("a label");
        let (user, resource, policy, key) = match role {
            Role::Device => {
                let key = key_of(&self.device(DEVICE));
                (format!("{DEVICE}@sas.{short}"), format!("{host}/devices/{DEVICE}"), None, key)
            }
            Role::Service => {
                let key = key_of(&self.service());
                (format!("service@sas.root.{short}"), host.to_owned(), Some("service"), key)
            }
        };
        let token =
            sas::sign(&resource, &key, KeyRule::Base64Decoded, now() + 3600, policy).expect("a token");
        let secret = Secret::new(token.expose());
        let sasl = match auth {
            Auth::Cbs => Sasl::Anonymous,
            Auth::Plain => Sasl::Plain { user, password: secret.clone() },
        };
        let connection = self.open(sasl).await;
        let session = connection.begin(SessionOptions::new()).await.expect("a session");
        let cbs = match auth {
            Auth::Plain => None,
            Auth::Cbs => {
                let cbs = CbsClient::open(&session).await.expect("links to $cbs");
                cbs.put_token("servicebus.windows.net:sastoken", resource, &secret).await.expect("the token");
                Some(cbs)
            }
        };
        Bare { connection, session, cbs }
    }

    /// An open connection with this SASL layer.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn open(&self, sasl: Sasl) -> Connection {
        let tls = TlsOptions::trusting_pem(self.emulator.ca_pem().as_bytes()).expect("the hub's authority");
        let host = self.emulator.host();
        let options =
            ConnectOptions::new("bare").hostname(host.to_owned()).sasl(sasl).tls(tls.server_name(host));
        Connection::connect(("127.0.0.1", self.emulator.port()), options).await.expect("a connection")
    }
}

impl Bare {
    /// A sender link to an address.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn sender(&self, address: &str) -> Sender {
        self.session.attach_sender(SenderOptions::new("sender", address)).await.expect("a sender link")
    }

    /// A receiver link from an address.
    ///
    /// # Panics
    /// When the hub refuses it.
    pub async fn receiver(&self, address: &str) -> Receiver {
        self.session
            .attach_receiver(ReceiverOptions::new("receiver", address))
            .await
            .expect("a receiver link")
    }
}

/// A description of a hub with short waits and the device.
pub fn builder() -> EmulatorBuilder {
    Emulator::builder().device(DEVICE, None).partitions(2).feedback_interval(Duration::from_millis(100))
}

/// A command as the seed page's snippet makes it.
pub fn command(id: &'static str, device: &str, ack: &'static str, body: &'static str) -> Message {
    let mut application_properties = ApplicationProperties::default();
    application_properties.insert("iothub-ack", Value::from(ack));
    let mut message = Message::data(body);
    message.properties = Some(Properties {
        message_id: Some(MessageId::String(Str::from(id))),
        to: Some(Str::from(format!("/devices/{device}/messages/devicebound"))),
        ..Properties::default()
    });
    message.application_properties = Some(application_properties);
    message
}

/// Seconds since 1970.
///
/// # Panics
/// When the clock stands before 1970.
#[expect(clippy::disallowed_methods, reason = "tokens need the wall clock that the hub checks them with")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs()
}

/// The key in a connection string.
///
/// # Panics
/// When it has none.
pub fn key_of(string: &ConnectionString) -> SharedAccessKey {
    match string.credential() {
        Credential::Key(key) | Credential::Policy { key, .. } => key.clone(),
        other => panic!("no key but {other:?}"),
    }
}
