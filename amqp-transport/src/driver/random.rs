//! The one place of the transport that draws random numbers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

/// Fills a buffer with random octets; `None` when the system has none to give.
#[cfg(feature = "websocket")]
pub(crate) fn fill(octets: &mut [u8]) -> Option<()> {
    SystemRandom::new().fill(octets).ok()
}

/// Random octets in base64; `None` when the system has none to give.
pub(crate) fn text<const OCTETS: usize>() -> Option<String> {
    let mut octets = [0; OCTETS];
    SystemRandom::new().fill(&mut octets).ok()?;
    Some(STANDARD.encode(octets))
}
