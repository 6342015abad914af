//! Link addresses and token resources as types, from and to their text.
//!
//! Owns the spelling of every path a hub or its event hub knows. Peers write addresses as paths or absolute URIs, in
//! any case, with ids raw or percent-encoded; all of that is read here. Decides nothing about access.

mod address;
mod resource;
mod segment;

#[cfg(test)]
mod tests;

pub use address::{Address, HubAddress, PathError, devicebound_path};
pub use resource::Resource;
pub use segment::{Identity, Segment};
