//! Reading telemetry back: from a hub's connection string by following its redirect, or from an event hub directly.

pub(crate) mod anew;
mod growth;
mod management;
mod partition;
mod position;
mod reader;
pub(crate) mod redirect;

pub use anew::PartitionRestart;
pub use management::PartitionInfo;
pub use position::StartPosition;
pub use reader::{EventsReader, ReaderOptions};

#[cfg(test)]
#[cfg(feature = "emulator")]
mod tests;
