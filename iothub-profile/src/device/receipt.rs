//! The receipt of a message that was handed over.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use amqp_transport::client::Receipt;

use crate::{error::Error, supervisor::failure};

/// A future of what became of a message: `Ok` when the hub took it, else an error whose kind tells a refusal from an
/// unknown outcome. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "the outcome comes by awaiting the receipt"]
pub struct SendReceipt {
    receipt: Receipt,
}

impl SendReceipt {
    pub(crate) fn new(receipt: Receipt) -> Self {
        Self { receipt }
    }
}

impl Future for SendReceipt {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receipt).poll(context).map(|result| match result {
            Ok(outcome) => failure::of_outcome(&outcome),
            Err(error) => Err(failure::of_send(&error)),
        })
    }
}
