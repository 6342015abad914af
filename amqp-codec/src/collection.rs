//! Lists, maps and arrays.
//!
//! Owns their octets and the rules on their content: even counts, unique keys, one element constructor per array. A
//! collection stays encoded: one pass (`check`) validates all of it when it is decoded, and after that it is a part of the
//! octets it came in, walked on demand (`walk`). An array whose elements occupy no octets is never expanded.
//!
//! There are three ways to hold one, which offer the same: owned ([`Map`]), borrowed and checked ([`MapRef`]), and borrowed
//! and not checked yet ([`Entries`], whose items are results). The items of all are [`ValueRef`](crate::ValueRef)s.

mod array;
pub(crate) mod check;
mod duplicates;
mod edit;
mod elements;
mod entries;
mod list;
mod map;
mod multiple;
mod ordered_map;
mod packed;
mod usual;
mod walk;

pub use array::{Array, ArrayIter, ArrayRef, IntoElements, MixedElements};
pub use entries::Entries;
pub use list::{IntoValues, List, ListRef, ValueIter};
pub use map::{IntoEntries, Map, MapIter, MapRef};
pub use multiple::{IntoSymbols, Multiple, MultipleIter};
pub use ordered_map::{
    AnnotationKey, AnnotationKeyRef, Annotations, ApplicationProperties, Fields, IntoTypedEntries, MapKey,
    OrderedMap, TypedEntries,
};

pub(crate) use check::Keys;
pub(crate) use elements::write_content as write_array_content;
pub(crate) use multiple::AlwaysArray;

pub(crate) use packed::ordered_by_octets;
pub(crate) use packed::{Packed, Raw};
pub(crate) use walk::value as checked_value;

#[cfg(test)]
pub(crate) mod tests;
