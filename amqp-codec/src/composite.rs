//! Composite and restricted types from tables.
//!
//! Owns the two macros that turn a table, one row a field in the specification's order, into a struct, its encoder, its
//! decoder and the [`FieldSpec`] metadata that a test compares with the specification's facts.

mod list;

use crate::{
    cursor::{Cursor, Result},
    definitions::RESTRICTED,
};

pub(crate) use list::{ListReader, ListWriter};

/// One field of a composite type, in the specification's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The field's name, such as `container-id`.
    pub name: &'static str,
    /// The field's type, such as `string` or `*`.
    pub type_name: &'static str,
    /// Whether it must be set.
    pub mandatory: bool,
    /// Whether it may hold several values.
    pub multiple: bool,
    /// The default, as the specification writes it.
    pub default: Option<&'static str>,
}

/// A composite type, in the specification's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompositeSpec {
    /// The type's name, such as `open`.
    pub name: &'static str,
    /// The numeric descriptor.
    pub code: u64,
    /// The symbolic descriptor.
    pub symbol: &'static str,
    /// The fields in order.
    pub fields: &'static [FieldSpec],
}

/// A composite type: a described list with a fixed set of fields (AMQP 1.0 §1.4).
pub(crate) trait Composite: Default {
    const SPEC: CompositeSpec;

    /// The list after the descriptor, into a value that has its defaults: large ones are not moved.
    fn read_list(&mut self, cursor: &mut Cursor<'_>) -> Result<()>;

    /// The list after the descriptor.
    #[inline]
    fn decode_list(cursor: &mut Cursor<'_>) -> Result<Self> {
        let mut value = Self::default();
        value.read_list(cursor)?;
        Ok(value)
    }
}

/// Every composite type of the specification that this crate knows.
pub const COMPOSITES: &[CompositeSpec] = &[
    crate::Open::SPEC,
    crate::Begin::SPEC,
    crate::Attach::SPEC,
    crate::Flow::SPEC,
    crate::Transfer::SPEC,
    crate::Disposition::SPEC,
    crate::Detach::SPEC,
    crate::End::SPEC,
    crate::Close::SPEC,
    crate::Error::SPEC,
    crate::Header::SPEC,
    crate::Properties::SPEC,
    crate::Received::SPEC,
    crate::Accepted::SPEC,
    crate::Rejected::SPEC,
    crate::Released::SPEC,
    crate::Modified::SPEC,
    crate::Source::SPEC,
    crate::Target::SPEC,
    crate::DeleteOnClose::SPEC,
    crate::DeleteOnNoLinks::SPEC,
    crate::DeleteOnNoMessages::SPEC,
    crate::DeleteOnNoLinksOrMessages::SPEC,
    crate::Coordinator::SPEC,
    crate::Declare::SPEC,
    crate::Discharge::SPEC,
    crate::Declared::SPEC,
    crate::TransactionalState::SPEC,
    crate::SaslMechanisms::SPEC,
    crate::SaslInit::SPEC,
    crate::SaslChallenge::SPEC,
    crate::SaslResponse::SPEC,
    crate::SaslOutcome::SPEC,
];

/// The numeric descriptor of a symbolic one of the specification.
#[cold]
pub(crate) fn code_of_symbol(symbol: &[u8]) -> Option<u64> {
    let composite = COMPOSITES.iter().find(|spec| spec.symbol.as_bytes() == symbol).map(|spec| spec.code);
    let mut sections = RESTRICTED.iter().filter_map(|spec| spec.descriptor);
    composite.or_else(|| sections.find(|section| section.1.as_bytes() == symbol).map(|section| section.0))
}

/// Declares a composite type. One row a field, in the specification's order:
/// `rust_name: kind Type, "spec-name" "spec-type" ["spec default"];` where kind is `required`, `optional`,
/// `defaulted Type = value`, `multiple`, `mechanisms` (mandatory and multiple) or `unsettled` (optional, with a node budget
/// of its own).
macro_rules! composite {
    (
        $(#[$meta:meta])*
        $name:ident = $code:literal, $symbol:literal, $label:literal {
            $(
                $(#[$field_meta:meta])*
                $field:ident : $kind:ident $type:ty $(= $default:expr)?,
                $spec_name:literal $spec_type:literal $($spec_default:literal)? ;
            )*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $crate::composite::field_type!($kind $type), )*
        }

        impl $name {
            /// The numeric descriptor.
            pub const CODE: u64 = $code;
            /// The symbolic descriptor.
            pub const SYMBOL: &'static str = $symbol;
            /// The fields in the specification's order and words.
            pub const FIELDS: &'static [$crate::composite::FieldSpec] = &[
                $( $crate::composite::FieldSpec {
                    name: $spec_name,
                    type_name: $spec_type,
                    mandatory: $crate::composite::is_mandatory!($kind),
                    multiple: $crate::composite::is_multiple!($kind),
                    default: [$(Some($spec_default),)? None][0],
                }, )*
            ];
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::composite::field_default!($kind $(= $default)?), )* }
            }
        }

        impl $crate::composite::Composite for $name {
            const SPEC: $crate::composite::CompositeSpec = $crate::composite::CompositeSpec {
                name: $label,
                code: $code,
                symbol: $symbol,
                fields: Self::FIELDS,
            };

            #[inline]
            fn read_list(&mut self, cursor: &mut $crate::cursor::Cursor<'_>) -> $crate::cursor::Result<()> {
                let list = &mut $crate::composite::ListReader::open(cursor, Self::FIELDS.len(), $label)?;
                $( $crate::composite::read_field!(
                    list, cursor, $kind, concat!($label, ".", $spec_name), self.$field
                ); )*
                list.close(cursor, $label)
            }
        }

        impl $crate::cursor::Decode for $name {
            fn decode(cursor: &mut $crate::cursor::Cursor<'_>) -> $crate::cursor::Result<Self> {
                if $crate::described::read_code(cursor, $label)? != $code {
                    return Err(cursor.error($crate::error::DecodeErrorKind::UnknownDescriptor, $label));
                }
                $crate::composite::Composite::decode_list(cursor)
            }
        }

        impl $crate::sink::Encode for $name {
            #[inline]
            fn encode(&self, out: &mut impl $crate::sink::Sink) {
                let list = &mut $crate::composite::ListWriter::begin(out, $code);
                $( $crate::composite::write_field!(list, out, $kind, self.$field $(, $default)?); )*
                list.end(out);
            }
        }
    };
}

macro_rules! field_type {
    (required $type:ty) => { $type };
    (optional $type:ty) => { Option<$type> };
    (unsettled $type:ty) => { Option<$type> };
    (defaulted $type:ty) => { $type };
    (multiple $type:ty) => { $crate::collection::Multiple<$type> };
    (mechanisms $type:ty) => { $crate::collection::Multiple<$type> };
}

macro_rules! field_default {
    (defaulted = $default:expr) => {
        $default
    };
    ($kind:ident) => {
        Default::default()
    };
}

macro_rules! is_mandatory {
    (required) => {
        true
    };
    (mechanisms) => {
        true
    };
    ($kind:ident) => {
        false
    };
}

macro_rules! is_multiple {
    (multiple) => {
        true
    };
    (mechanisms) => {
        true
    };
    ($kind:ident) => {
        false
    };
}

macro_rules! read_field {
    ($list:ident, $cursor:ident, required, $what:expr, $field:expr) => {
        $field = $list.required($cursor, $what)?
    };
    ($list:ident, $cursor:ident, optional, $what:expr, $field:expr) => {
        if $list.has_next($cursor)? {
            $field = Some($crate::cursor::Decode::decode($cursor)?);
        }
    };
    ($list:ident, $cursor:ident, unsettled, $what:expr, $field:expr) => {
        if $list.has_next($cursor)? {
            let nodes = $cursor.limits().max_unsettled_nodes;
            $field = Some($cursor.with_nodes(nodes, $crate::cursor::Decode::decode)?);
        }
    };
    ($list:ident, $cursor:ident, mechanisms, $what:expr, $field:expr) => {
        $field = $list.required($cursor, $what)?;
        // T-016: neither null nor empty.
        if $field.is_empty() {
            return Err($cursor.error($crate::error::DecodeErrorKind::MissingField, $what));
        }
    };
    // T-013: null and absence mean the default, which is there already.
    ($list:ident, $cursor:ident, $kind:ident, $what:expr, $field:expr) => {
        if $list.has_next($cursor)? {
            $field = $crate::cursor::Decode::decode($cursor)?;
        }
    };
}

macro_rules! write_field {
    ($list:ident, $out:ident, required, $value:expr) => {
        $list.value($out, &$value)
    };
    ($list:ident, $out:ident, optional, $value:expr) => {
        $list.optional($out, $value.as_ref())
    };
    ($list:ident, $out:ident, unsettled, $value:expr) => {
        $list.optional($out, $value.as_ref())
    };
    ($list:ident, $out:ident, defaulted, $value:expr, $default:expr) => {
        $list.defaulted($out, &$value, &$default)
    };
    ($list:ident, $out:ident, multiple, $value:expr) => {
        if $value.is_empty() { $list.null() } else { $list.value($out, &$value) }
    };
    ($list:ident, $out:ident, mechanisms, $value:expr) => {
        $list.value($out, &$crate::collection::AlwaysArray(&$value))
    };
}

/// Declares a restricted type with choices: `Variant = value, "spec-name";`, numbers or symbols.
macro_rules! restricted {
    (
        $(#[$meta:meta])*
        $name:ident : $type:ident, $label:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $value:literal, $spec_name:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )*
        }

        impl $name {
            /// The choices in the specification's order: name, and value as the specification writes it.
            pub const CHOICES: &'static [(&'static str, &'static str)] = &[$( ($spec_name, stringify!($value)) ),*];
        }

        impl $crate::cursor::Decode for $name {
            #[inline]
            fn decode(cursor: &mut $crate::cursor::Cursor<'_>) -> $crate::cursor::Result<Self> {
                let value = $crate::composite::choice_value!($type, cursor);
                // T-018: no other value than the choices.
                $( if value == $value { return Ok(Self::$variant); } )*
                Err(cursor.error($crate::error::DecodeErrorKind::InvalidChoice, $label))
            }
        }

        impl $crate::sink::Encode for $name {
            #[inline]
            fn encode(&self, out: &mut impl $crate::sink::Sink) {
                match self {
                    $( Self::$variant => $crate::composite::write_choice!($type, $value, out), )*
                }
            }
        }
    };
}

macro_rules! choice_value {
    (Symbol, $cursor:ident) => {
        <$crate::text::Symbol as $crate::cursor::Decode>::decode($cursor)?
    };
    ($type:ident, $cursor:ident) => {
        <$type as $crate::cursor::Decode>::decode($cursor)?
    };
}

macro_rules! write_choice {
    (Symbol, $value:literal, $out:ident) => {
        $crate::sink::Encode::encode(&$crate::text::Symbol::from_static($value), $out)
    };
    ($type:ident, $value:literal, $out:ident) => {{
        let value: $type = $value;
        $crate::sink::Encode::encode(&value, $out)
    }};
}

/// Dispatches on the descriptor of one of several composite types.
macro_rules! one_of {
    (
        $(#[$meta:meta])*
        $name:ident, $label:literal { $( $(#[$variant_meta:meta])* $variant:ident($type:ty) ),* $(,)? }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $( $(#[$variant_meta])* $variant($type), )*
        }

        impl $crate::cursor::Decode for $name {
            fn decode(cursor: &mut $crate::cursor::Cursor<'_>) -> $crate::cursor::Result<Self> {
                match $crate::described::read_code(cursor, $label)? {
                    $( <$type>::CODE => Ok(Self::$variant($crate::composite::Composite::decode_list(cursor)?)), )*
                    _ => Err(cursor.error($crate::error::DecodeErrorKind::UnknownDescriptor, $label)),
                }
            }
        }

        impl $crate::sink::Encode for $name {
            fn encode(&self, out: &mut impl $crate::sink::Sink) {
                match self {
                    $( Self::$variant(value) => value.encode(out), )*
                }
            }
        }

        $(
            impl From<$type> for $name {
                fn from(value: $type) -> Self {
                    Self::$variant(value)
                }
            }
        )*
    };
}

pub(crate) use {
    choice_value, composite, field_default, field_type, is_mandatory, is_multiple, one_of, read_field,
    restricted, write_choice, write_field,
};
