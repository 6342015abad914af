//! The three types of key that the specification's maps have.

use alloc::string::String;
use core::fmt;

use crate::{
    collection::Keys,
    cursor::{Cursor, Decode},
    error::DecodeError,
    format_code as code,
    sink::{Encode, Sink},
    text::{NotAscii, Str, Symbol, TextRef},
    value::Value,
    value_ref::ValueRef,
};

/// The key of an annotation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationKey {
    /// The usual key.
    Symbol(Symbol),
    /// A reserved key.
    Ulong(u64),
}

/// The key of an annotation, in the octets it was received in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnnotationKeyRef<'a> {
    /// The usual key.
    Symbol(TextRef<'a>),
    /// A reserved key.
    Ulong(u64),
}

/// The key types of the specification's maps: [`Symbol`], [`Str`] and [`AnnotationKey`]. There are no others.
#[expect(private_bounds, reason = "the three key types of the specification are all there are")]
pub trait MapKey: Key {
    /// The key where it lies.
    type Ref<'a>: Copy + fmt::Debug + fmt::Display;

    /// The key of an entry; `None` for a value that is no such key.
    fn of_ref(key: ValueRef<'_>) -> Option<Self::Ref<'_>>;

    /// The key of an entry, owned; `None` for a value that is no such key.
    fn of_value(key: Value) -> Option<Self>;
}

/// What a key type must offer to be decoded, written and looked up.
pub(crate) trait Key: Decode + Encode {
    /// Which keys a map may have.
    const KEYS: Keys;

    /// The constructor of a short text key.
    const SHORT: u8;
}

impl MapKey for Symbol {
    type Ref<'a> = TextRef<'a>;

    fn of_ref(key: ValueRef<'_>) -> Option<TextRef<'_>> {
        key.as_symbol()
    }

    fn of_value(key: Value) -> Option<Self> {
        key.try_into().ok()
    }
}

impl Key for Symbol {
    const KEYS: Keys = Keys::Symbols;
    const SHORT: u8 = code::SYMBOL8;
}

impl MapKey for Str {
    type Ref<'a> = TextRef<'a>;

    fn of_ref(key: ValueRef<'_>) -> Option<TextRef<'_>> {
        if let ValueRef::String(text) = key { Some(text) } else { None }
    }

    fn of_value(key: Value) -> Option<Self> {
        key.try_into().ok()
    }
}

impl Key for Str {
    const KEYS: Keys = Keys::Strings;
    const SHORT: u8 = code::STRING8;
}

impl MapKey for AnnotationKey {
    type Ref<'a> = AnnotationKeyRef<'a>;

    fn of_ref(key: ValueRef<'_>) -> Option<AnnotationKeyRef<'_>> {
        match key {
            ValueRef::Symbol(text) => Some(AnnotationKeyRef::Symbol(text)),
            ValueRef::Ulong(number) => Some(AnnotationKeyRef::Ulong(number)),
            _ => None,
        }
    }

    fn of_value(key: Value) -> Option<Self> {
        match key {
            Value::Symbol(symbol) => Some(Self::Symbol(symbol)),
            Value::Ulong(number) => Some(Self::Ulong(number)),
            _ => None,
        }
    }
}

impl Key for AnnotationKey {
    const KEYS: Keys = Keys::Annotations;
    const SHORT: u8 = code::SYMBOL8;
}

impl AnnotationKey {
    /// The text of a symbol key.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_str()),
            Self::Ulong(_) => None,
        }
    }
}

impl From<Symbol> for AnnotationKey {
    fn from(symbol: Symbol) -> Self {
        Self::Symbol(symbol)
    }
}

impl From<&'static str> for AnnotationKey {
    fn from(text: &'static str) -> Self {
        Self::Symbol(Symbol::from_static(text))
    }
}

impl From<u64> for AnnotationKey {
    fn from(number: u64) -> Self {
        Self::Ulong(number)
    }
}

impl TryFrom<String> for AnnotationKey {
    type Error = NotAscii;

    fn try_from(text: String) -> Result<Self, NotAscii> {
        Symbol::new(text).map(Self::Symbol)
    }
}

impl fmt::Display for AnnotationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(symbol) => symbol.fmt(f),
            Self::Ulong(number) => number.fmt(f),
        }
    }
}

impl Decode for AnnotationKey {
    // M-023: symbol or ulong.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        match cursor.peek() {
            Some(code::ULONG | code::SMALL_ULONG | code::ULONG0) => u64::decode(cursor).map(Self::Ulong),
            _ => Symbol::decode(cursor).map(Self::Symbol),
        }
    }
}

impl Encode for AnnotationKey {
    fn encode(&self, out: &mut impl Sink) {
        match self {
            Self::Symbol(symbol) => symbol.encode(out),
            Self::Ulong(number) => number.encode(out),
        }
    }
}

impl<'a> AnnotationKeyRef<'a> {
    /// The text of a symbol key.
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_str()),
            Self::Ulong(_) => None,
        }
    }

    /// The key, owned.
    pub fn to_key(&self) -> AnnotationKey {
        match self {
            Self::Symbol(symbol) => AnnotationKey::Symbol(symbol.to_symbol()),
            Self::Ulong(number) => AnnotationKey::Ulong(*number),
        }
    }
}

impl From<AnnotationKeyRef<'_>> for AnnotationKey {
    fn from(key: AnnotationKeyRef<'_>) -> Self {
        key.to_key()
    }
}

impl fmt::Display for AnnotationKeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(symbol) => symbol.fmt(f),
            Self::Ulong(number) => number.fmt(f),
        }
    }
}
