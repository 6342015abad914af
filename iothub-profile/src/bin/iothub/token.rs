//! `iothub token`: a shared access signature made from the connection string's key.

use std::time::Duration;

use iothub_profile::ConnectionString;
use iothub_profile::clock::{Clock, SystemClock};
use iothub_profile::credential::TokenRequest;
use iothub_profile::sas::{KeyRule, SasToken};
use serde_json::{Value, json};

use crate::args::Global;
use crate::connect::{connection_string, failure};
use crate::exit::{Class, End, Failure};
use crate::hub_args::TokenArgs;
use crate::output::{Output, Record, ended};
use crate::values::time_text;

/// Prints a token for what the connection string names, or for the audience given.
///
/// # Errors
/// The connection string is missing or malformed, or its credential cannot sign for the audience.
pub(crate) fn run(global: &Global, args: &TokenArgs) -> Result<End, Failure> {
    let string = connection_string(global)?;
    let token = sign(&string, args)?;
    let mut output = Output::stdout(global.output);
    ended(output.record(&Printed(token)).and_then(|()| output.flush()))?;
    Ok(End::Done)
}

fn sign(string: &ConnectionString, args: &TokenArgs) -> Result<SasToken, Failure> {
    let (own_resource, own_rule) = match string {
        ConnectionString::Device(device) => (Some(device.resource()), KeyRule::Base64Decoded),
        ConnectionString::Service(service) => (Some(service.resource()), KeyRule::Base64Decoded),
        ConnectionString::EventHubs(hub) => {
            let entity = hub.entity_path.as_deref().unwrap_or_default();
            (Some(format!("sb://{}/{entity}", hub.endpoint.name())), KeyRule::Text)
        }
        _ => (None, KeyRule::Base64Decoded),
    };
    let resource = args.audience.clone().or(own_resource).ok_or_else(|| {
        Failure::new(Class::Usage, "this connection string does not say what the token is for")
            .advice("say it with --audience")
    })?;
    let rule = if args.event_hubs { KeyRule::Text } else { own_rule };
    let provider = string.credential().provider().ok_or_else(|| {
        Failure::new(Class::Usage, "this connection string has no key to sign with")
            .advice("use one with a SharedAccessKey")
    })?;
    let lifetime = Duration::from_secs(args.ttl.as_secs().max(1));
    let request = TokenRequest { resource: &resource, rule, now: SystemClock.now(), lifetime };
    provider.token(&request).map_err(|error| failure(&error.into()))
}

/// A token as it is printed: showing it is what the verb is for.
struct Printed(SasToken);

impl Printed {
    fn expires(&self) -> String {
        time_text(i64::try_from(self.0.expiry().saturating_mul(1_000)).unwrap_or(i64::MAX))
    }
}

impl Record for Printed {
    const COLUMNS: &'static [(&'static str, usize)] = &[("EXPIRES", 24), ("RESOURCE", 40), ("TOKEN", 0)];

    fn cells(&self) -> Vec<String> {
        vec![self.expires(), self.0.resource().to_owned(), self.0.expose().to_owned()]
    }

    fn json(&self) -> Value {
        json!({ "expires": self.expires(), "resource": self.0.resource(), "token": self.0.expose() })
    }

    fn raw(&self) -> Vec<u8> {
        self.0.expose().as_bytes().to_vec()
    }
}
