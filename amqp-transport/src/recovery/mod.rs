//! Getting a lost connection back.
//!
//! Owns the back-off between attempts ([`Backoff`]). Pure: it draws no random numbers and sleeps for nobody.

mod backoff;

pub use backoff::{Backoff, FirstRetry};
