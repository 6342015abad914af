//! Who may do what: checks tokens and keys, and turns them into grants.
//!
//! Owns signature, expiry, scope and policy rules. It never sees a link or a socket, and no error of it carries a secret.

use super::{
    registry::{Registry, Rights},
    scope::{Names, Scope},
};
use crate::sas::{self, KeyRule, ParsedToken, SasError, SharedAccessKey};

/// What a good token or key gives: a place, as someone, until some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) scope: Scope,
    pub(crate) holder: Holder,
    /// End in milliseconds since 1970; `None` for a key, which does not end.
    pub(crate) expires_ms: Option<i64>,
}

/// Whose key signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A device's own key.
    Device(String),
    /// A shared access policy's key.
    Policy { name: String, rights: Rights },
}

/// What somebody wants to do, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) scope: Scope,
    pub(crate) right: Rights,
}

/// Why a token or key gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("the token cannot be read: {0}")]
    Malformed(SasError),
    #[error("the token expired at {0} (seconds since 1970)")]
    Expired(u64),
    #[error("device {0:?} is not registered")]
    UnknownDevice(String),
    #[error("there is no shared access policy named {0:?}")]
    UnknownPolicy(String),
    #[error("the signature does not match the key of {0}")]
    Signature(String),
    #[error("the token is for {0:?}, which is not this hub")]
    ForeignHost(String),
    #[error("a token without a policy name must be for a device, not for {0:?}")]
    NoPolicy(String),
    #[error("the token for {resource:?} does not cover {audience:?}")]
    Scope { resource: String, audience: String },
    #[error("the user name {0:?} is neither device@sas.hub nor policy@sas.root.hub")]
    UserName(String),
    #[error("the token is signed by {signer}, not by the user {user:?}")]
    OtherUser { signer: String, user: String },
    #[error("the key does not match policy {0:?}")]
    Key(String),
}

impl AuthError {
    /// Status code of a `put-token` reply (CBS draft, by HTTP's numbers).
    pub(crate) fn status(&self) -> i32 {
        match self {
            Self::Malformed(_) => 400,
            Self::UnknownDevice(_) => 404,
            _ => 401,
        }
    }
}

impl Grant {
    /// Whether this allows `need` at `now_ms`.
    pub(crate) fn allows(&self, need: &Need, now_ms: i64) -> bool {
        self.is_live(now_ms) && self.scope.covers(&need.scope) && self.holder.has(need.right)
    }

    /// This grant as a text, to be carried where only a name can be. It holds no secret.
    pub(crate) fn to_text(&self) -> String {
        let (place, path) = match &self.scope {
            Scope::Hub(path) => ("hub", path),
            Scope::EventHub(path) => ("event-hub", path),
        };
        let (kind, name) = match &self.holder {
            Holder::Device(id) => ("device", id),
            Holder::Policy { name, .. } => ("policy", name),
        };
        serde_json::json!([place, path, kind, name, self.expires_ms]).to_string()
    }

    /// The grant that [`to_text`](Self::to_text) wrote; `None` when its policy has gone meanwhile.
    pub(crate) fn from_text(text: &str, registry: &Registry) -> Option<Self> {
        let (place, path, kind, name, expires_ms): (String, Vec<String>, String, String, Option<i64>) =
            serde_json::from_str(text).ok()?;
        let scope = if place == "hub" { Scope::Hub(path) } else { Scope::EventHub(path) };
        let holder = if kind == "device" {
            Holder::Device(name)
        } else {
            let rights = registry.policy(&name)?.rights;
            Holder::Policy { name, rights }
        };
        Some(Self { scope, holder, expires_ms })
    }

    /// Whether it has not ended at `now_ms`.
    pub(crate) fn is_live(&self, now_ms: i64) -> bool {
        self.expires_ms.is_none_or(|end| now_ms < end)
    }
}

impl Holder {
    fn has(&self, right: Rights) -> bool {
        match self {
            // A device's key opens the device-facing endpoints below its scope and nothing else.
            Self::Device(_) => right == Rights::DEVICE_CONNECT,
            Self::Policy { rights, .. } => rights.contains(right),
        }
    }
}

/// Checks a token. `audience` is the name it was put under; the grant is for the narrower of the two.
///
/// IoT Hub signs with the key's decoded bytes, an event hub with the key's text; the resource decides which it is.
pub(crate) fn check_token(
    registry: &Registry,
    names: &Names,
    text: &str,
    audience: Option<&str>,
    now_ms: i64,
) -> Result<Grant, AuthError> {
    let token = sas::parse(text).map_err(AuthError::Malformed)?;
    let exists = |id: &str| registry.device(id).is_some();
    let resource = Scope::parse(token.resource(), names, exists)
        .ok_or_else(|| AuthError::ForeignHost(token.resource_decoded()))?;
    let holder = check_signature(registry, &token, &resource)?;
    let expires_ms =
        i64::try_from(token.expiry()).ok().and_then(|seconds| seconds.checked_mul(1000)).unwrap_or(i64::MAX);
    if expires_ms <= now_ms {
        return Err(AuthError::Expired(token.expiry()));
    }
    let scope = match audience {
        Some(audience) => narrower(resource, audience, &token, names, exists)?,
        None => resource,
    };
    Ok(Grant { scope, holder, expires_ms: Some(expires_ms) })
}

/// Checks a SASL PLAIN user and password.
///
/// `{device}@sas.{hub}`, `{device}/{module}@sas.{hub}` and `{policy}@sas.root.{hub}` carry a token as the password; any
/// other user is a policy of the event hub with its key. `{hub}` is the short name; the full host name is refused, as
/// Azure refuses it.
pub(crate) fn check_plain(
    registry: &Registry,
    names: &Names,
    user: &str,
    password: &str,
    now_ms: i64,
) -> Result<Grant, AuthError> {
    let Some((subject, hub)) = user.rsplit_once("@sas.") else {
        return check_event_hub_key(registry, user, password);
    };
    let user_name = || AuthError::UserName(user.to_owned());
    let (hub, is_policy) = match hub.get(..5) {
        Some(root) if root.eq_ignore_ascii_case("root.") => (hub.get(5..).unwrap_or(""), true),
        _ => (hub, false),
    };
    if !names.is_short_hub_name(hub) {
        return Err(user_name());
    }
    let grant = check_token(registry, names, password, None, now_ms)?;
    let other_user = |signer: String| AuthError::OtherUser { signer, user: user.to_owned() };
    if is_policy {
        return match &grant.holder {
            Holder::Policy { name, .. } if name == subject => Ok(grant),
            Holder::Policy { name, .. } => Err(other_user(format!("policy {name:?}"))),
            Holder::Device(id) => Err(other_user(format!("device {id:?}"))),
        };
    }
    let (device, module) = match subject.split_once('/') {
        Some((device, module)) => (device, Some(module)),
        None => (subject, None),
    };
    if registry.device(device).is_none() {
        return Err(AuthError::UnknownDevice(device.to_owned()));
    }
    let whole = Scope::device(device);
    let own =
        module.map_or_else(|| whole.clone(), |module| Scope::hub(&["devices", device, "modules", module]));
    if grant.scope.covers(&own) {
        Ok(Grant { scope: own, ..grant })
    } else if own.covers(&grant.scope) {
        Ok(grant)
    } else {
        Err(AuthError::Scope { resource: format!("{:?}", grant.scope), audience: device.to_owned() })
    }
}

fn check_event_hub_key(registry: &Registry, user: &str, key: &str) -> Result<Grant, AuthError> {
    let policy = registry.policy(user).ok_or_else(|| AuthError::UnknownPolicy(user.to_owned()))?;
    let given = SharedAccessKey::new(key);
    let matches =
        [&policy.primary_key, &policy.secondary_key].into_iter().any(|known| same_key(known, &given));
    if !matches {
        return Err(AuthError::Key(user.to_owned()));
    }
    let holder = Holder::Policy { name: user.to_owned(), rights: policy.rights };
    Ok(Grant { scope: Scope::EventHub(Vec::new()), holder, expires_ms: None })
}

/// Compares two keys in constant time, by what each makes of the same text.
fn same_key(known: &SharedAccessKey, given: &SharedAccessKey) -> bool {
    sas::sign("comparison", given, KeyRule::Text, 1, None)
        .and_then(|token| sas::parse(token.expose()))
        .and_then(|token| sas::verify(&token, known, KeyRule::Text))
        .is_ok()
}

fn check_signature(registry: &Registry, token: &ParsedToken, resource: &Scope) -> Result<Holder, AuthError> {
    let rule = match resource {
        Scope::Hub(_) => KeyRule::Base64Decoded,
        Scope::EventHub(_) => KeyRule::Text,
    };
    let signed_by = |primary: &SharedAccessKey, secondary: &SharedAccessKey| {
        [primary, secondary].into_iter().any(|key| sas::verify(token, key, rule).is_ok())
    };
    if let Some(name) = token.policy() {
        let policy = registry.policy(name).ok_or_else(|| AuthError::UnknownPolicy(name.to_owned()))?;
        if !signed_by(&policy.primary_key, &policy.secondary_key) {
            return Err(AuthError::Signature(format!("policy {name:?}")));
        }
        return Ok(Holder::Policy { name: name.to_owned(), rights: policy.rights });
    }
    let id = resource.device_id().ok_or_else(|| AuthError::NoPolicy(token.resource_decoded()))?;
    let device = registry.device(id).ok_or_else(|| AuthError::UnknownDevice(id.to_owned()))?;
    if !signed_by(&device.primary_key, &device.secondary_key) {
        return Err(AuthError::Signature(format!("device {id:?}")));
    }
    Ok(Holder::Device(id.to_owned()))
}

fn narrower(
    resource: Scope,
    audience: &str,
    token: &ParsedToken,
    names: &Names,
    exists: impl Fn(&str) -> bool,
) -> Result<Scope, AuthError> {
    let asked =
        Scope::parse(audience, names, exists).ok_or_else(|| AuthError::ForeignHost(audience.to_owned()))?;
    if resource.covers(&asked) {
        Ok(asked)
    } else if asked.covers(&resource) {
        Ok(resource)
    } else {
        Err(AuthError::Scope { resource: token.resource_decoded(), audience: audience.to_owned() })
    }
}

#[cfg(test)]
mod tests;
