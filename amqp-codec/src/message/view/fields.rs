//! Single fields of the properties and single entries of maps, found without decoding the others.
//!
//! Owns the steps over what is not asked for: the usual encodings first, then any other.

use super::{MessageView, binary};
use crate::{
    collection::Keys,
    cursor::{Cursor, Decode, Width},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    message::{MessageIdRef, Properties},
    number::Timestamp,
    quick,
    text::TextRef,
    value_ref::ValueRef,
};

/// Single entries of the maps.
impl<'a> MessageView<'a> {
    /// One application property, found without decoding the others; the first, where keys are equal.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    #[inline]
    pub fn application_property(&self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        self.find(self.places.application_properties, Keys::Strings, key)
    }

    /// One message annotation with a symbol key, found without decoding the others; the first, where keys are equal.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    #[inline]
    pub fn message_annotation(&self, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        self.find(self.places.message_annotations, Keys::Annotations, key)
    }

    /// One message annotation with a reserved key, found without decoding the others.
    ///
    /// # Errors
    /// [`DecodeError`] if the octets up to it are malformed.
    pub fn message_annotation_ulong(&self, key: u64) -> Result<Option<ValueRef<'a>>, DecodeError> {
        for entry in self.iter_message_annotations()?.into_iter().flatten() {
            let (own, value) = entry?;
            if own == ValueRef::Ulong(key) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// One field of the properties, the ones before it stepped over.
    #[inline]
    fn property<T>(
        &self,
        index: usize,
        read: impl FnOnce(&mut Cursor<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let start = self.places.properties;
        if start == 0 {
            return Ok(None);
        }
        match self.property_at(start, index)? {
            Some(mut cursor) => read(&mut cursor).map(Some),
            None => Ok(None),
        }
    }

    /// A cursor at a field of the properties; `None` if it is null or absent.
    #[inline]
    fn property_at(&self, start: usize, index: usize) -> Result<Option<Cursor<'a>>, DecodeError> {
        let octets = self.bytes.get(start..).unwrap_or_default();
        let Some(field) = usual_field(octets, index) else { return self.any_property_at(start, index) };
        Ok(field.map(|octets| Cursor::at(self.bytes, octets, self.limits)))
    }

    #[inline(never)]
    fn any_property_at(&self, start: usize, index: usize) -> Result<Option<Cursor<'a>>, DecodeError> {
        let mut cursor = self.cursor_at(start);
        let count = cursor.open_list("properties")?;
        // T-010: more fields than there are.
        if count > Properties::FIELDS.len() {
            return Err(cursor.error(DecodeErrorKind::TooManyFields, "properties"));
        }
        if index >= count {
            return Ok(None);
        }
        for _ in 0..index {
            cursor.skip_value()?;
        }
        Ok((cursor.peek() != Some(code::NULL)).then_some(cursor))
    }

    #[inline]
    fn find(&self, start: usize, keys: Keys, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        if start == 0 {
            return Ok(None);
        }
        let octets = self.bytes.get(start..).unwrap_or_default();
        let constructor = if keys == Keys::Annotations { code::SYMBOL8 } else { code::STRING8 };
        match usual_entry(octets, constructor, key) {
            Some(value) => Ok(value),
            None => self.find_any(start, keys, key),
        }
    }

    #[inline(never)]
    fn find_any(&self, start: usize, keys: Keys, key: &str) -> Result<Option<ValueRef<'a>>, DecodeError> {
        let mut cursor = self.cursor_at(start);
        let width = match cursor.read_u8()? {
            code::MAP8 => Width::One,
            code::MAP32 => Width::Four,
            other => return Err(cursor.wrong_type(other, "map")),
        };
        let scope = cursor.open_counted(width, "map")?;
        // T-037: keys and values come in pairs.
        if !scope.count.is_multiple_of(2) {
            return Err(cursor.error(DecodeErrorKind::OddMapCount, "map"));
        }
        for _ in 0..scope.count / 2 {
            // Only a key of the right type can match; its octets are compared where they are.
            let own = match (keys, cursor.peek()) {
                (Keys::Annotations, Some(code::ULONG | code::SMALL_ULONG | code::ULONG0)) => {
                    cursor.skip_value()?;
                    None
                }
                (Keys::Annotations, _) => Some(TextRef::read_symbol(&mut cursor)?),
                _ => Some(TextRef::read_string(&mut cursor)?),
            };
            if own.is_none_or(|own| own != *key) {
                cursor.skip_value()?;
                continue;
            }
            let value = ValueRef::read(&mut cursor)?;
            // M-018: application properties are simple values.
            if keys == Keys::Strings && !value.is_simple() {
                return Err(cursor.error(DecodeErrorKind::InvalidChoice, "map value"));
            }
            return Ok(Some(value));
        }
        cursor.close(&scope, "map")?;
        Ok(None)
    }
}

/// The octets from a field of a list on, if all before it is usual; `Some(None)` if it is null or absent.
#[inline]
fn usual_field(list: &[u8], index: usize) -> Option<Option<&[u8]>> {
    let (count, mut fields) = quick::compound(list, code::LIST8, code::LIST32)?;
    if count > Properties::FIELDS.len() {
        return None;
    }
    if index >= count {
        return Some(None);
    }
    for _ in 0..index {
        fields = quick::skip(fields)?;
    }
    let constructor = *fields.first()?;
    Some((constructor != code::NULL).then_some(fields))
}

/// The value of a text key, if it and all before it is usual; `Some(None)` if there is no such key.
#[inline]
fn usual_entry<'a>(map: &'a [u8], constructor: u8, key: &str) -> Option<Option<ValueRef<'a>>> {
    let (count, mut entries) = quick::compound(map, code::MAP8, code::MAP32)?;
    if !count.is_multiple_of(2) {
        return None;
    }
    for _ in 0..count / 2 {
        let (own, value) = quick::short_text(entries, constructor)?;
        if own == key.as_bytes() {
            return Some(Some(quick::value(value)?.0));
        }
        entries = quick::skip(value)?;
    }
    entries.is_empty().then_some(None)
}

macro_rules! properties {
    ($($(#[$meta:meta])* $name:ident: $type:ty = $index:literal, $read:expr;)*) => {
        /// Single fields of the properties, read without decoding the others.
        impl<'a> MessageView<'a> {
            $(
                $(#[$meta])*
                ///
                /// # Errors
                /// [`DecodeError`] if the octets up to it are malformed.
                #[inline]
                pub fn $name(&self) -> Result<Option<$type>, DecodeError> {
                    self.property($index, $read)
                }
            )*
        }
    };
}

properties! {
    /// The message's own id.
    message_id: MessageIdRef<'a> = 0, MessageIdRef::read;
    /// Who made the message.
    user_id: &'a [u8] = 1, binary;
    /// The node it is for.
    to: TextRef<'a> = 2, TextRef::read_string;
    /// What it is about.
    subject: TextRef<'a> = 3, TextRef::read_string;
    /// The node to which answers go.
    reply_to: TextRef<'a> = 4, TextRef::read_string;
    /// What it answers or belongs to.
    correlation_id: MessageIdRef<'a> = 5, MessageIdRef::read;
    /// The media type of the body.
    content_type: TextRef<'a> = 6, TextRef::read_symbol;
    /// How the body is encoded beyond that.
    content_encoding: TextRef<'a> = 7, TextRef::read_symbol;
    /// When the message is to be considered expired.
    absolute_expiry_time: Timestamp = 8, Timestamp::decode;
    /// When it was made.
    creation_time: Timestamp = 9, Timestamp::decode;
    /// The group it belongs to.
    group_id: TextRef<'a> = 10, TextRef::read_string;
    /// Its place in the group.
    group_sequence: u32 = 11, u32::decode;
    /// The group to which answers belong.
    reply_to_group_id: TextRef<'a> = 12, TextRef::read_string;
}
