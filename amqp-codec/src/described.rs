//! A value with a descriptor.
//!
//! Owns the reading of descriptors, in every form the specification allows, for generic values and for composites.

use bytes::Bytes;

use crate::{
    composite::code_of_symbol,
    cursor::{Cursor, Decode, Result},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    sink::{Encode, Sink},
    value::Value,
};

/// A descriptor and the value it describes (AMQP 1.0 §1.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Described {
    /// Usually an ulong or a symbol; any value is legal.
    pub descriptor: Value,
    /// The value.
    pub value: Value,
}

impl Described {
    /// A described value.
    pub fn new(descriptor: impl Into<Value>, value: impl Into<Value>) -> Self {
        Self { descriptor: descriptor.into(), value: value.into() }
    }

    /// The numeric descriptor: the number itself, or that of a symbol the specification defines.
    pub fn code(&self) -> Option<u64> {
        match &self.descriptor {
            Value::Ulong(code) => Some(*code),
            Value::Symbol(symbol) => code_of_symbol(symbol.as_octets()),
            _ => None,
        }
    }

    /// Whether the descriptor is this number or this symbol.
    pub fn is(&self, code: u64, symbol: &str) -> bool {
        match &self.descriptor {
            Value::Ulong(own) => *own == code,
            Value::Symbol(own) => own == symbol,
            _ => false,
        }
    }

    /// Descriptor and value, after the `0x00`.
    pub(crate) fn body(cursor: &mut Cursor<'_>) -> Result<Self> {
        cursor.enter("described value")?;
        let descriptor = Value::decode(cursor)?;
        let value = Value::decode(cursor)?;
        cursor.leave();
        Ok(Self { descriptor, value })
    }
}

impl Decode for Described {
    fn decode(cursor: &mut Cursor<'_>) -> core::result::Result<Self, DecodeError> {
        let constructor = cursor.read_u8()?;
        if constructor != code::DESCRIBED {
            return Err(cursor.wrong_type(constructor, "described value"));
        }
        Self::body(cursor)
    }
}

// T-003: 0x00, then any value, then any value. T-006: a descriptor's number is kept whole.
impl Encode for Described {
    fn encode(&self, out: &mut impl Sink) {
        out.byte(code::DESCRIBED);
        self.descriptor.encode(out);
        self.value.encode(out);
    }
}

/// A descriptor as composites need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Descriptor<'a> {
    /// The number, or the number of a symbol the specification defines.
    Code(u64),
    /// A symbol the specification does not define.
    Symbol(&'a [u8]),
}

/// Reads `0x00` and a descriptor.
#[inline]
pub(crate) fn read_descriptor<'a>(cursor: &mut Cursor<'a>, what: &'static str) -> Result<Descriptor<'a>> {
    let constructor = cursor.read_u8()?;
    if constructor != code::DESCRIBED {
        return Err(cursor.wrong_type(constructor, what));
    }
    // T-005: number or symbol, in any of their encodings. The first arm is what nearly every peer sends.
    match cursor.peek() {
        Some(code::SMALL_ULONG) => {
            let [_, code] = cursor.read_array()?;
            Ok(Descriptor::Code(code.into()))
        }
        Some(code::ULONG | code::ULONG0) => u64::decode(cursor).map(Descriptor::Code),
        Some(code::SYMBOL8 | code::SYMBOL32) => {
            let symbol = cursor.read_sized(code::SYMBOL8, code::SYMBOL32, what)?;
            Ok(code_of_symbol(symbol).map_or(Descriptor::Symbol(symbol), Descriptor::Code))
        }
        // T-007: other descriptors never name a composite.
        Some(_) => Err(cursor.error(DecodeErrorKind::UnknownDescriptor, what)),
        None => Err(cursor.error(DecodeErrorKind::Truncated, what)),
    }
}

/// Reads `0x00` and a descriptor that has a number.
#[inline]
pub(crate) fn read_code(cursor: &mut Cursor<'_>, what: &'static str) -> Result<u64> {
    match read_descriptor(cursor, what)? {
        Descriptor::Code(code) => Ok(code),
        Descriptor::Symbol(_) => Err(cursor.error(DecodeErrorKind::UnknownDescriptor, what)),
    }
}

/// The octets of a described value whose start was remembered, decoded generically.
pub(crate) fn described_since(cursor: &mut Cursor<'_>, start: usize) -> Result<Described> {
    cursor.skip_value()?;
    let octets: Bytes = cursor.since(start);
    let mut inner = Cursor::new(&octets, cursor.limits());
    Described::decode(&mut inner).map_err(|error| DecodeError { offset: error.offset + start, ..error })
}
