//! Maps that are read entry by entry where they lie.

use bytes::Bytes;

use super::{check::Keys, map::read_map_constructor};
use crate::{
    cursor::{Cursor, Result, Scope},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    limits::DecodeLimits,
    quick,
    text::{TextRef, is_ascii},
    value_ref::ValueRef,
};

/// The entries of an encoded map that has not been checked, in order, without copying or allocating. Ends at the first error.
///
/// Each entry is checked when it is reached, nested values and all, so what is handed out can be walked like any
/// [`MapRef`](super::MapRef). Two things that concern the map as a whole are left out, because both would take a pass over
/// it: keys are not compared with each other, so a map with equal keys, which every owned form refuses, is read to its end;
/// and entries are not counted against [`max_nodes`](DecodeLimits::max_nodes), since their number is bounded by the octets
/// and none is kept. What is nested in values is counted.
#[derive(Debug)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    scope: Scope<'a>,
    left: usize,
    keys: Keys,
}

impl<'a> Entries<'a> {
    /// The entries of a map that starts at the first of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// [`DecodeError`] if no map starts there.
    pub fn new(bytes: &'a Bytes, limits: &'a DecodeLimits) -> core::result::Result<Self, DecodeError> {
        Self::open(Cursor::new(bytes, limits), Keys::Any)
    }

    #[inline]
    pub(crate) fn open(mut cursor: Cursor<'a>, keys: Keys) -> Result<Self> {
        let width = read_map_constructor(&mut cursor)?;
        let scope = cursor.open_counted(width, "map")?;
        // T-037: keys and values come in pairs.
        if !scope.count.is_multiple_of(2) {
            return Err(cursor.error(DecodeErrorKind::OddMapCount, "map"));
        }
        let left = scope.count / 2;
        // T-036: a map without entries has nothing after which its end could be looked at.
        if left == 0 {
            cursor.close(&scope, "map")?;
        }
        Ok(Self { cursor, scope, left, keys })
    }

    /// How many entries are left.
    pub const fn remaining(&self) -> usize {
        self.left
    }

    /// The next entry, if key and value have their usual forms and another one follows.
    #[inline(always)]
    fn read_usual(&mut self) -> Option<(ValueRef<'a>, ValueRef<'a>)> {
        if self.left == 0 {
            return None;
        }
        let octets = self.cursor.peek_all();
        let constructor = match self.keys {
            Keys::Any | Keys::Strings => code::STRING8,
            Keys::Symbols | Keys::Annotations => code::SYMBOL8,
        };
        let (key, rest) = quick::short_text(octets, constructor)?;
        let (value, rest) = quick::value(rest)?;
        if !is_ascii(key) {
            return None;
        }
        let key = TextRef::checked(key);
        let key = if constructor == code::SYMBOL8 { ValueRef::Symbol(key) } else { ValueRef::String(key) };
        self.cursor.advance_to(rest);
        Some((key, value))
    }

    #[inline(never)]
    fn read(&mut self) -> Result<(ValueRef<'a>, ValueRef<'a>)> {
        let start = self.cursor.peek();
        let key = ValueRef::read(&mut self.cursor)?;
        let is_allowed = match self.keys {
            Keys::Any => true,
            Keys::Strings => matches!(key, ValueRef::String(_)),
            Keys::Symbols => matches!(key, ValueRef::Symbol(_)),
            Keys::Annotations => matches!(key, ValueRef::Symbol(_) | ValueRef::Ulong(_)),
        };
        if !is_allowed {
            return Err(self.cursor.error(DecodeErrorKind::WrongType(start.unwrap_or_default()), "map key"));
        }
        let value = ValueRef::read(&mut self.cursor)?;
        // M-018: application properties are simple values.
        if self.keys == Keys::Strings && !value.is_simple() {
            return Err(self.cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
        }
        Ok((key, value))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = core::result::Result<(ValueRef<'a>, ValueRef<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        if let Some(entry) = self.read_usual() {
            return Some(Ok(entry));
        }
        let mut entry = self.read();
        // T-036: the last entry ends where the map does.
        if self.left == 0 && entry.is_ok() {
            entry = self.cursor.close(&self.scope, "map").and(entry);
        }
        if entry.is_err() {
            self.left = 0;
        }
        Some(entry)
    }
}
