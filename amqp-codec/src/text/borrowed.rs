//! Text where it lies: checked, but neither copied nor counted.

use core::{fmt, ops::Deref};

use bytes::Bytes;

use super::{
    Str, Symbol,
    octets::{Kind, STRING, SYMBOL, Text, is_ascii},
};
use crate::{
    cursor::{Cursor, Result},
    format_code as code,
};

/// Text in the buffer it was received in: checked, but neither copied nor counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextRef<'a>(&'a [u8]);

impl<'a> TextRef<'a> {
    /// Text whose octets have been checked to be UTF-8.
    #[inline(always)]
    pub(crate) const fn checked(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &'a str {
        // Checked at construction; the fallback cannot be reached.
        core::str::from_utf8(self.0).unwrap_or_default()
    }

    /// The octets of the text.
    #[inline]
    pub const fn as_octets(&self) -> &'a [u8] {
        self.0
    }

    /// The text as a string with octets of its own.
    pub fn to_str(&self) -> Str {
        Str(Text::copy_from(code::STRING8, self.0))
    }

    /// A string, constructor included.
    #[inline]
    pub(crate) fn read_string(cursor: &mut Cursor<'a>) -> Result<Self> {
        Self::read(cursor, &STRING)
    }

    /// A symbol, constructor included.
    #[inline]
    pub(crate) fn read_symbol(cursor: &mut Cursor<'a>) -> Result<Self> {
        Self::read(cursor, &SYMBOL)
    }

    #[inline(always)]
    fn read(cursor: &mut Cursor<'a>, kind: &Kind) -> Result<Self> {
        let octets = cursor.read_sized(kind.small, kind.large, kind.name)?;
        if !is_ascii(octets) && !(kind.is_valid)(octets) {
            return Err(cursor.error(kind.fault, kind.name));
        }
        Ok(Self(octets))
    }

    /// The text as a symbol with octets of its own; only that of a symbol is known to be ASCII.
    pub(crate) fn to_symbol(self) -> Symbol {
        Symbol(Text::copy_from(code::SYMBOL8, self.0))
    }

    /// The text as a string, in place or shared by `share`.
    pub(crate) fn to_str_with(self, share: impl FnOnce(&'a [u8]) -> Bytes) -> Str {
        Str(Text::short(code::STRING8, self.0).unwrap_or_else(|| Text::Shared(share(self.0))))
    }

    /// The text as a symbol, in place or shared by `share`.
    pub(crate) fn to_symbol_with(self, share: impl FnOnce(&'a [u8]) -> Bytes) -> Symbol {
        Symbol(Text::short(code::SYMBOL8, self.0).unwrap_or_else(|| Text::Shared(share(self.0))))
    }
}

impl Deref for TextRef<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for TextRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TextRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for TextRef<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for TextRef<'_> {
    #[inline]
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}
