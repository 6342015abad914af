//! The list behind a composite's descriptor, read and written field by field.
//!
//! Owns absent fields, nulls and defaults. Which fields there are is the tables' to say.

use crate::{
    cursor::{Cursor, Decode, Result, Scope, Width},
    error::DecodeErrorKind,
    format_code as code,
    sink::{Compound, Encode, Sink},
};

/// Reads the fields of a composite's list one after the other.
pub(crate) struct ListReader<'a> {
    left: usize,
    /// `None` for a list without octets.
    scope: Option<Scope<'a>>,
}

// T-008: fields are taken in the order of the table. T-011: from a list in any of its three forms.
impl<'a> ListReader<'a> {
    #[inline(always)]
    pub(crate) fn open(cursor: &mut Cursor<'a>, fields: usize, what: &'static str) -> Result<Self> {
        let width = match cursor.read_u8()? {
            code::LIST8 => Width::One,
            code::LIST32 => Width::Four,
            code::LIST0 => return Ok(Self { left: 0, scope: None }),
            other => return Err(cursor.wrong_type(other, what)),
        };
        let scope = cursor.open_counted(width, what)?;
        // T-010: no more elements than the type has fields.
        if scope.count > fields {
            return Err(cursor.error(DecodeErrorKind::TooManyFields, what));
        }
        Ok(Self { left: scope.count, scope: Some(scope) })
    }

    /// Whether the next field is there and not null; a null is stepped over (T-009).
    #[inline(always)]
    pub(crate) fn has_next(&mut self, cursor: &mut Cursor<'a>) -> Result<bool> {
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        if cursor.peek() == Some(code::NULL) {
            cursor.read_u8()?;
            return Ok(false);
        }
        Ok(true)
    }

    // T-012: mandatory fields are neither null nor absent.
    #[inline(always)]
    pub(crate) fn required<T: Decode>(&mut self, cursor: &mut Cursor<'a>, what: &'static str) -> Result<T> {
        if !self.has_next(cursor)? {
            return Err(cursor.error(DecodeErrorKind::MissingField, what));
        }
        T::decode(cursor)
    }

    #[inline(always)]
    pub(crate) fn close(&self, cursor: &mut Cursor<'a>, what: &'static str) -> Result<()> {
        match &self.scope {
            Some(scope) => cursor.close(scope, what),
            None => Ok(()),
        }
    }
}

/// Writes the fields of a composite's list; nulls are held back until a value follows them.
pub(crate) struct ListWriter {
    start: usize,
    count: usize,
    nulls: usize,
}

impl ListWriter {
    /// Descriptor and reserved list header.
    #[inline]
    pub(crate) fn begin(out: &mut impl Sink, descriptor: u8) -> Self {
        let start = out.position() + 3;
        // One write for descriptor and header: this runs for every frame.
        out.write(&[code::DESCRIBED, code::SMALL_ULONG, descriptor, code::LIST8, 0, 0]);
        Self { start, count: 0, nulls: 0 }
    }

    #[inline]
    pub(crate) const fn null(&mut self) {
        self.nulls += 1;
    }

    #[inline]
    pub(crate) fn value(&mut self, out: &mut impl Sink, value: &impl Encode) {
        self.flush_nulls(out);
        value.encode(out);
        self.count += 1;
    }

    #[inline]
    pub(crate) fn optional<T: Encode>(&mut self, out: &mut impl Sink, value: Option<&T>) {
        match value {
            Some(value) => self.value(out, value),
            None => self.null(),
        }
    }

    #[inline]
    pub(crate) fn defaulted<T: Encode + PartialEq>(&mut self, out: &mut impl Sink, value: &T, default: &T) {
        if out.full_lists() || value != default {
            self.value(out, value);
        } else {
            self.null();
        }
    }

    #[inline]
    pub(crate) fn end(&mut self, out: &mut impl Sink) {
        if out.full_lists() {
            self.flush_nulls(out);
        }
        if self.count == 0 {
            out.truncate(self.start);
            out.byte(code::LIST0);
        } else {
            out.end_compound(self.start, Compound::List, self.count);
        }
    }

    #[inline]
    fn flush_nulls(&mut self, out: &mut impl Sink) {
        while self.nulls > 0 {
            out.byte(code::NULL);
            self.nulls -= 1;
            self.count += 1;
        }
    }
}
