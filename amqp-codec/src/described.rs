//! A value with a descriptor.
//!
//! Owns the reading of descriptors, in every form the specification allows, for generic values and for composites.

use core::{cmp::Ordering, fmt};

use bytes::{Bytes, BytesMut};

use crate::{
    collection::{Packed, Raw, check, checked_value, ordered_by_octets},
    composite::code_of_symbol,
    cursor::{Cursor, Decode, Result},
    error::{DecodeError, DecodeErrorKind},
    format_code as code,
    sink::{Encode, Sink},
    value::Value,
    value_ref::ValueRef,
};

/// A descriptor and the value it describes, which stay encoded (AMQP 1.0 §1.2).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Described(Packed);

/// A borrowed [`Described`]: checked, but neither copied nor counted.
#[derive(Clone, Copy)]
pub struct DescribedRef<'a>(Raw<'a>);

impl Described {
    /// A described value. The descriptor is usually an ulong or a symbol; any value is legal.
    pub fn new(descriptor: impl Into<Value>, value: impl Into<Value>) -> Self {
        let mut octets = BytesMut::new();
        descriptor.into().encode(&mut octets);
        value.into().encode(&mut octets);
        Self(Packed::of(octets.freeze(), 1))
    }

    /// The described value, borrowed.
    pub fn view(&self) -> DescribedRef<'_> {
        DescribedRef(self.0.raw())
    }

    /// The descriptor.
    pub fn descriptor(&self) -> ValueRef<'_> {
        self.view().descriptor()
    }

    /// The value below the descriptor.
    pub fn value(&self) -> ValueRef<'_> {
        self.view().value()
    }

    /// Descriptor and value: what they own are parts of the octets of this one.
    pub fn into_parts(self) -> (Value, Value) {
        let octets = self.0.into_shared();
        let described = DescribedRef::new(&octets, true);
        (described.descriptor().to_shared(&octets), described.value().to_shared(&octets))
    }

    /// The numeric descriptor: the number itself, or that of a symbol the specification defines.
    pub fn code(&self) -> Option<u64> {
        self.view().code()
    }

    /// Whether the descriptor is this number or this symbol.
    pub fn is(&self, code: u64, symbol: &str) -> bool {
        self.view().is(code, symbol)
    }

    /// Descriptor and value, after the `0x00`.
    pub(crate) fn body(cursor: &mut Cursor<'_>) -> Result<Self> {
        let raw = check::described(cursor)?;
        Ok(Self(Packed::of_raw(raw, |part| cursor.share(part), Raw::write_values)))
    }

    /// A described value whose octets have been checked.
    pub(crate) const fn from_packed(packed: Packed) -> Self {
        Self(packed)
    }
}

impl<'a> DescribedRef<'a> {
    pub(crate) const fn new(octets: &'a [u8], is_minimal: bool) -> Self {
        Self(Raw { octets, count: 1, is_minimal })
    }

    pub(crate) const fn raw(&self) -> Raw<'a> {
        self.0
    }

    /// The descriptor.
    pub fn descriptor(&self) -> ValueRef<'a> {
        self.parts().map_or(ValueRef::Null, |(descriptor, _)| descriptor)
    }

    /// The value below the descriptor.
    pub fn value(&self) -> ValueRef<'a> {
        let value = self.parts().and_then(|(_, rest)| checked_value(rest, self.0.is_minimal));
        value.map_or(ValueRef::Null, |(value, _)| value)
    }

    /// The numeric descriptor: the number itself, or that of a symbol the specification defines.
    pub fn code(&self) -> Option<u64> {
        match self.descriptor() {
            ValueRef::Ulong(code) => Some(code),
            ValueRef::Symbol(symbol) => code_of_symbol(symbol.as_octets()),
            _ => None,
        }
    }

    /// Whether the descriptor is this number or this symbol.
    pub fn is(&self, code: u64, symbol: &str) -> bool {
        match self.descriptor() {
            ValueRef::Ulong(own) => own == code,
            ValueRef::Symbol(own) => own == symbol,
            _ => false,
        }
    }

    /// The described value with octets of its own.
    pub fn to_described(&self) -> Described {
        Described(Packed::rewritten(self.0, Raw::write_values))
    }

    fn parts(&self) -> Option<(ValueRef<'a>, &'a [u8])> {
        checked_value(self.0.octets, self.0.is_minimal)
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
        self.view().encode(out);
    }
}

impl Encode for DescribedRef<'_> {
    fn encode(&self, out: &mut impl Sink) {
        out.byte(code::DESCRIBED);
        self.0.write_values(out);
    }
}

impl fmt::Debug for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view().fmt(f)
    }
}

impl fmt::Debug for DescribedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptor, value) = (self.descriptor(), self.value());
        f.debug_struct("Described").field("descriptor", &descriptor).field("value", &value).finish()
    }
}

ordered_by_octets!(Described, DescribedRef<'_>, Raw::write_values::<BytesMut>);

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
