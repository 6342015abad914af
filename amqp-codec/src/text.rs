//! Text that shares the buffer it was read from.
//!
//! Owns the two text types of AMQP. Both keep their invariant (UTF-8, ASCII) from construction on, and never copy when
//! decoded or cloned.

use alloc::string::String;
use core::{cmp::Ordering, fmt, hash, ops::Deref, str::FromStr};

use bytes::Bytes;

use crate::{
    cursor::{Cursor, Decode, Result},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    primitive::encode_sized,
    sink::{Encode, Sink},
};

/// A UTF-8 string over shared octets (AMQP 1.0 §1.6.20). Cloning costs one reference count.
#[derive(Clone, Default)]
pub struct Str(Bytes);

/// An ASCII symbol over shared octets (AMQP 1.0 §1.6.21). Cloning costs one reference count.
#[derive(Clone, Default)]
pub struct Symbol(Bytes);

/// A text offered as a symbol has characters outside ASCII; the caller's fault, a retry does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("symbol is not ASCII")]
pub struct NotAscii;

impl Str {
    /// A string over static text, without a copy.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// A string with its own copy of `text`.
    pub fn copy_from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }

    /// A string over shared octets.
    ///
    /// # Errors
    /// The octets are not UTF-8.
    pub fn from_utf8(octets: Bytes) -> core::result::Result<Self, core::str::Utf8Error> {
        core::str::from_utf8(&octets)?;
        Ok(Self(octets))
    }
}

impl Symbol {
    /// A symbol over static text, without a copy.
    ///
    /// # Panics
    /// If `text` is not ASCII: at compile time where the symbol is a constant.
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.is_ascii(), "symbols are ASCII");
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// A symbol from text that is only known at run time.
    ///
    /// # Errors
    /// [`NotAscii`] if it has other characters.
    pub fn new(text: impl Into<String>) -> core::result::Result<Self, NotAscii> {
        let text = text.into();
        if text.is_ascii() { Ok(Self(Bytes::from(text.into_bytes()))) } else { Err(NotAscii) }
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text.
            #[inline]
            pub fn as_str(&self) -> &str {
                // Checked at construction; the fallback cannot be reached.
                core::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// The octets of the text.
            #[inline]
            pub fn as_octets(&self) -> &[u8] {
                &self.0
            }

            /// The shared buffer of the text.
            #[inline]
            pub fn into_bytes(self) -> Bytes {
                self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            #[inline]
            fn deref(&self) -> &str {
                self.as_str()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl core::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }

        impl hash::Hash for $name {
            fn hash<H: hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl PartialEq<str> for $name {
            #[inline]
            fn eq(&self, other: &str) -> bool {
                self.as_octets() == other.as_bytes()
            }
        }

        impl PartialEq<&str> for $name {
            #[inline]
            fn eq(&self, other: &&str) -> bool {
                self.as_octets() == other.as_bytes()
            }
        }

        impl PartialEq<$name> for str {
            fn eq(&self, other: &$name) -> bool {
                other == self
            }
        }

        impl PartialEq<$name> for &str {
            fn eq(&self, other: &$name) -> bool {
                other == self
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.as_str(), f)
            }
        }

        impl From<&'static str> for $name {
            fn from(text: &'static str) -> Self {
                Self::from_static(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                Self::from(text.as_str())
            }
        }
    };
}

text_type!(Str);
text_type!(Symbol);

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl From<Symbol> for Str {
    fn from(symbol: Symbol) -> Self {
        Self(symbol.0)
    }
}

impl FromStr for Str {
    type Err = core::convert::Infallible;

    fn from_str(text: &str) -> core::result::Result<Self, Self::Err> {
        Ok(Self::copy_from(text))
    }
}

impl TryFrom<String> for Symbol {
    type Error = NotAscii;

    fn try_from(text: String) -> core::result::Result<Self, NotAscii> {
        Self::new(text)
    }
}

impl TryFrom<Str> for Symbol {
    type Error = NotAscii;

    fn try_from(text: Str) -> core::result::Result<Self, NotAscii> {
        if text.0.is_ascii() { Ok(Self(text.0)) } else { Err(NotAscii) }
    }
}

impl FromStr for Symbol {
    type Err = NotAscii;

    fn from_str(text: &str) -> core::result::Result<Self, NotAscii> {
        Self::new(text)
    }
}

impl Decode for Str {
    #[inline]
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let octets = cursor.read_sized(code::STRING8, code::STRING32, "string")?;
        Self::shared(cursor, octets)
    }
}

impl Decode for Symbol {
    #[inline]
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let octets = cursor.read_sized(code::SYMBOL8, code::SYMBOL32, "symbol")?;
        Self::shared(cursor, octets)
    }
}

impl Str {
    // T-032: well-formed UTF-8 only.
    #[inline]
    pub(crate) fn shared<'a>(cursor: &Cursor<'a>, octets: &'a [u8]) -> Result<Self> {
        match core::str::from_utf8(octets) {
            Ok(_) => Ok(Self(cursor.share(octets))),
            Err(_) => Err(cursor.error(DecodeErrorKind::InvalidUtf8, "string")),
        }
    }
}

impl Symbol {
    // T-034: seven bits only.
    #[inline]
    pub(crate) fn shared<'a>(cursor: &Cursor<'a>, octets: &'a [u8]) -> Result<Self> {
        if octets.is_ascii() {
            Ok(Self(cursor.share(octets)))
        } else {
            Err(cursor.error(DecodeErrorKind::InvalidAscii, "symbol"))
        }
    }
}

impl Encode for Str {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        encode_sized(out, code::STRING8, code::STRING32, &self.0);
    }
}

impl Encode for Symbol {
    #[inline]
    fn encode(&self, out: &mut impl Sink) {
        encode_sized(out, code::SYMBOL8, code::SYMBOL32, &self.0);
    }
}
