//! The receipt of a message that was handed over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use crate::error::{Error, ErrorKind};

/// A future of what became of a message: `Ok` when the hub took it, else an error whose kind tells a refusal from an
/// unknown outcome. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "the outcome comes by awaiting the receipt"]
pub struct SendReceipt {
    _private: (),
}

impl Future for SendReceipt {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(Error::new(ErrorKind::Usage, "the device client is not built yet")))
    }
}
