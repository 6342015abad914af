//! What the receiving verbs share: when to stop, and how to wait.

use std::time::Duration;

use crate::args::UntilArgs;
use crate::exit::End;
use crate::interrupt::Interrupt;

/// When a verb that receives has seen enough.
#[derive(Debug)]
pub(crate) struct Until<'a> {
    left: Option<u64>,
    idle: Option<Duration>,
    interrupt: &'a Interrupt,
    received: u64,
}

/// What came of waiting.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Something was received.
    Item(T),
    /// The verb has ended.
    End(End),
}

impl<'a> Until<'a> {
    /// By the options, and by Ctrl-C.
    pub(crate) fn new(args: &UntilArgs, interrupt: &'a Interrupt) -> Self {
        Self { left: args.count, idle: args.until_idle, interrupt, received: 0 }
    }

    /// Waits for the next thing, unless enough was received, nothing comes for too long, or Ctrl-C is pressed.
    ///
    /// # Cancel safety
    /// As safe as `receive`.
    pub(crate) async fn next<T>(&self, receive: impl Future<Output = T>) -> Next<T> {
        if self.left == Some(0) {
            return Next::End(End::Done);
        }
        let in_time = async {
            match self.idle {
                Some(idle) => tokio::time::timeout(idle, receive).await.ok(),
                None => Some(receive.await),
            }
        };
        match self.interrupt.unless(in_time).await {
            Some(Some(item)) => Next::Item(item),
            Some(None) => Next::End(End::Done),
            None => Next::End(End::Interrupted),
        }
    }

    /// One more was received.
    pub(crate) fn count(&mut self) {
        self.received = self.received.saturating_add(1);
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// True when no more are wanted.
    pub(crate) fn is_enough(&self) -> bool {
        self.left == Some(0)
    }

    /// How many were received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}
