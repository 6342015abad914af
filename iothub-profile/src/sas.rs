//! Shared access signatures: signing, reading and verifying tokens.
//!
//! Owns every use of HMAC and base64 in this crate. Keys and tokens never appear in `Debug` or `Display`; a check
//! runs over the resource and expiry exactly as received and in constant time.
//! IoT Hub: "Control access to IoT Hub by using shared access signatures".

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ring::{hmac, rand::SecureRandom as _};

/// How the bytes of the HMAC key come from a key's text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyRule {
    /// IoT Hub: the text is base64 and its decoded bytes are the key.
    Base64Decoded,
    /// Event Hubs, also the one built into a hub: the bytes of the text itself are the key.
    Text,
}

/// A shared access key as configured. Its text is shown by [`SharedAccessKey::expose`] alone.
#[derive(Clone, Eq, PartialEq)]
pub struct SharedAccessKey(String);

/// A token ready to be presented: its text (secret), the resource it was signed for and when it ends.
#[derive(Clone, Eq, PartialEq)]
pub struct SasToken {
    text: String,
    resource: String,
    expiry: u64,
}

/// The fields of a token, still encoded as they came.
#[derive(Clone, Eq, PartialEq)]
pub struct ParsedToken {
    resource: String,
    signature: String,
    expiry_text: String,
    expiry: u64,
    policy: Option<String>,
}

/// Why a token cannot be made, read or believed. Never carries key or token text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SasError {
    /// The key should be base64 and is not.
    #[error("the shared access key is not valid base64")]
    KeyNotBase64,
    /// The text does not begin with `SharedAccessSignature`.
    #[error("the token does not begin with \"SharedAccessSignature\"")]
    NotAToken,
    /// A field that every token has is missing.
    #[error("the token has no field \"{0}\"")]
    MissingField(&'static str),
    /// A field stands there twice.
    #[error("the token has the field \"{0}\" twice")]
    DuplicateField(&'static str),
    /// The expiry is not a number of seconds since 1970.
    #[error("the token's expiry (se) is not a number of seconds")]
    Expiry,
    /// The signature is not base64, or not made with this key over these fields.
    #[error("the token's signature does not match the key")]
    Signature,
}

impl SharedAccessKey {
    /// Takes a key's text as it is; nothing is checked here.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The key whose base64 form stands for these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(STANDARD.encode(bytes))
    }

    /// A fresh random key of 32 bytes, `None` where the system gives no randomness.
    pub fn random() -> Option<Self> {
        let mut bytes = [0_u8; 32];
        ring::rand::SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self::from_bytes(&bytes))
    }

    /// The key's text. Handle it as a secret.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True where the text is base64, as hub keys must be.
    pub fn is_base64(&self) -> bool {
        STANDARD.decode(&self.0).is_ok_and(|bytes| !bytes.is_empty())
    }

    fn hmac_key(&self, rule: KeyRule) -> Result<hmac::Key, SasError> {
        Ok(match rule {
            KeyRule::Base64Decoded => {
                let bytes = STANDARD.decode(&self.0).map_err(|_| SasError::KeyNotBase64)?;
                hmac::Key::new(hmac::HMAC_SHA256, &bytes)
            }
            KeyRule::Text => hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()),
        })
    }
}

impl fmt::Debug for SharedAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAccessKey(***)")
    }
}

/// Signs a token for a resource (host and path without a scheme for a hub, a full URI for an event hub), valid until
/// `expiry` (seconds since 1970 UTC), by the policy's key when `policy` is given, else by the device's own.
///
/// # Errors
/// [`SasError::KeyNotBase64`] when the rule wants base64 and the key is not.
pub fn sign(
    resource: &str,
    key: &SharedAccessKey,
    rule: KeyRule,
    expiry: u64,
    policy: Option<&str>,
) -> Result<SasToken, SasError> {
    let encoded = percent_encode(resource);
    let tag = hmac::sign(&key.hmac_key(rule)?, string_to_sign(&encoded, &expiry.to_string()).as_bytes());
    let signature = percent_encode(&STANDARD.encode(tag));
    let mut text = format!("{TOKEN_WORD} sr={encoded}&sig={signature}&se={expiry}");
    if let Some(policy) = policy {
        text.push_str("&skn=");
        text.push_str(&percent_encode(policy));
    }
    Ok(SasToken { text, resource: resource.to_owned(), expiry })
}

/// Reads a token's fields, in any order. Unknown fields are ignored, an empty `skn` is none.
///
/// # Errors
/// When the leading word or a field is missing, a field is doubled, or the expiry is no number.
pub fn parse(text: &str) -> Result<ParsedToken, SasError> {
    let text = text.trim();
    let (word, fields) = text.split_once(|c: char| c.is_ascii_whitespace()).ok_or(SasError::NotAToken)?;
    if !word.eq_ignore_ascii_case(TOKEN_WORD) {
        return Err(SasError::NotAToken);
    }
    let mut found: [(&'static str, Option<&str>); 4] =
        [("sr", None), ("sig", None), ("se", None), ("skn", None)];
    for field in fields.trim_start().split('&') {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if let Some((known, slot)) = found.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name))
            && slot.replace(value).is_some()
        {
            return Err(SasError::DuplicateField(known));
        }
    }
    let [(_, resource), (_, signature), (_, expiry), (_, policy)] = found;
    let required = |value: Option<&str>, name| {
        value.filter(|value| !value.is_empty()).map(str::to_owned).ok_or(SasError::MissingField(name))
    };
    let expiry_text = required(expiry, "se")?;
    if !expiry_text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(SasError::Expiry);
    }
    Ok(ParsedToken {
        resource: required(resource, "sr")?,
        signature: required(signature, "sig")?,
        expiry: expiry_text.parse().map_err(|_| SasError::Expiry)?,
        expiry_text,
        policy: policy.filter(|policy| !policy.is_empty()).map(percent_decode),
    })
}

/// Checks a token's signature with a key, over its resource and expiry exactly as received and in constant time.
/// Expiry and scope are the caller's to check.
///
/// # Errors
/// [`SasError::Signature`] when it does not match, [`SasError::KeyNotBase64`] when the key does not fit the rule.
pub fn verify(token: &ParsedToken, key: &SharedAccessKey, rule: KeyRule) -> Result<(), SasError> {
    let signed = string_to_sign(&token.resource, &token.expiry_text);
    // A raw `+` is the sign of base64 itself here: no space can stand in a signature.
    let signature = percent_decode(&token.signature).replace(' ', "+");
    let tag = STANDARD.decode(signature).map_err(|_| SasError::Signature)?;
    hmac::verify(&key.hmac_key(rule)?, signed.as_bytes(), &tag).map_err(|_| SasError::Signature)
}

/// Percent-encodes everything but letters, digits and `-._~`, as tokens and paths want it.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED_KEPT).to_string()
}

/// Decodes `%xx` of either case; what is not UTF-8 afterwards is replaced.
pub fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl SasToken {
    /// Wraps a token made elsewhere.
    ///
    /// # Errors
    /// When the text is not a token, as [`parse`] says.
    pub fn from_text(text: impl Into<String>) -> Result<Self, SasError> {
        let text = text.into();
        let parsed = parse(&text)?;
        Ok(Self { text: text.trim().to_owned(), resource: parsed.resource_decoded(), expiry: parsed.expiry })
    }

    /// The whole text, from `SharedAccessSignature` on. Handle it as a secret.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The resource the token is for, decoded.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// When the token ends, in seconds since 1970 UTC.
    pub fn expiry(&self) -> u64 {
        self.expiry
    }

    /// True when the token has ended at this time (seconds since 1970 UTC).
    pub fn is_expired_at(&self, now: u64) -> bool {
        self.expiry <= now
    }
}

impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SasToken")
            .field("resource", &self.resource)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

impl ParsedToken {
    /// The resource (`sr`) exactly as received, percent-encoded or not.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The resource decoded once; a `+` stays a `+`.
    pub fn resource_decoded(&self) -> String {
        percent_decode(&self.resource)
    }

    /// The resource decoded as a form field, where `+` means a space (the spelling of .NET and Python's `quote_plus`).
    pub fn resource_form_decoded(&self) -> String {
        percent_decode(&self.resource.replace('+', " "))
    }

    /// The policy's name (`skn`), decoded; none for a device's own key.
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// When the token ends, in seconds since 1970 UTC.
    pub fn expiry(&self) -> u64 {
        self.expiry
    }
}

impl fmt::Debug for ParsedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParsedToken")
            .field("resource", &self.resource)
            .field("expiry", &self.expiry)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

fn string_to_sign(resource: &str, expiry: &str) -> String {
    format!("{resource}\n{expiry}")
}

const TOKEN_WORD: &str = "SharedAccessSignature";

const UNRESERVED_KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests;
