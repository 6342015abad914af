//! A string that never shows itself: keys, passwords and tokens on their way to the wire.

use core::fmt;

use bytes::Bytes;

/// A secret text. `Debug` and `Display` show `<redacted>`; the text comes out through [`Secret::expose`] alone.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must not be printed.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the wire and for signing, never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// Octets that may be a secret, such as a SASL response. `Debug` shows `<redacted>`, not even their length; they come out
/// through [`SecretOctets::expose`] and [`SecretOctets::into_bytes`] alone.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SecretOctets(Bytes);

impl SecretOctets {
    /// The octets themselves: for the wire and for checking, never for a log.
    #[must_use]
    pub fn expose(&self) -> &Bytes {
        &self.0
    }

    /// The octets themselves, as [`expose`](Self::expose).
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Bytes> for SecretOctets {
    fn from(octets: Bytes) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for SecretOctets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret:?} {secret}"), "<redacted> <redacted>");
        assert_eq!(secret.expose(), "hunter2");
        let octets = SecretOctets::from(Bytes::from_static(b"hunter2"));
        assert_eq!(format!("{octets:?}"), "<redacted>");
        assert_eq!(octets.into_bytes(), "hunter2");
    }
}
