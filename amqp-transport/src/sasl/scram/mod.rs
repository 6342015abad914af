//! SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677), both sides. Feature `scram`.
//!
//! The client proves that it knows the password without showing it, and the server proves that it knows what the
//! password leads to; a server that cannot is refused. The server keeps [`ScramKeys`], never the password.
//!
//! Not done: channel binding (`-PLUS`; the client says `n`, the server takes `n` and `y` and refuses `p=`), and
//! SASLprep beyond what needs none: user names and passwords of printable ASCII are taken as they are, and anything
//! else is refused rather than prepared wrongly. Servers repeat nothing of what a client sent but its nonce.

mod client;
mod keys;
mod message;
mod server;

pub use client::ScramClient;
pub use keys::{ScramHash, ScramKeys};
pub use server::{ScramDecoy, ScramServer, ScramStore};

/// Why SCRAM cannot be used with what it was given. The caller is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// A user name or password is empty or holds something else than printable ASCII, which would need SASLprep.
    #[error("scram takes user names and passwords of printable ascii alone, and none that is empty")]
    NeedsPreparation,
    /// A nonce is too short or holds something else than printable ASCII without a comma.
    #[error("a scram nonce has at least {MIN_NONCE} printable characters and no comma")]
    Nonce,
    /// The salt is empty or too long.
    #[error("a scram salt has 1 to {MAX_SALT} octets")]
    Salt,
    /// The iteration count is out of bounds.
    #[error("a scram iteration count is between {MIN_ITERATIONS} and {MAX_ITERATIONS}")]
    Iterations,
    /// Stored keys have another length than the hash.
    #[error("the stored keys have another length than the hash")]
    KeyLength,
}

/// Fewest iterations a client takes, and a server stores (RFC 7677 §4).
pub const MIN_ITERATIONS: u32 = 4_096;

/// Most iterations a server stores.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Most iterations a client computes by default: about a tenth of a second, which is what a server can make it spend
/// before it has proven anything, and for which the connection's thread does nothing else.
pub const DEFAULT_MAX_ITERATIONS: u32 = 200_000;

/// Octets of the longest salt taken.
pub const MAX_SALT: usize = 256;

/// Characters of the shortest nonce we send or take.
pub const MIN_NONCE: usize = 16;

/// Characters of the longest nonce taken.
pub const MAX_NONCE: usize = 256;

/// Characters of the longest user name a server looks up.
pub const MAX_USER: usize = 256;

#[cfg(test)]
mod tests;
