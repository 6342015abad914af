//! What the receiving verbs share: when to stop, and how to wait.

use std::time::Duration;

use crate::exit::End;
use crate::hub_args::UntilArgs;
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
        if let Some(end) = self.end() {
            return Next::End(end);
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

    /// How it ends, when no more are wanted or Ctrl-C was pressed.
    pub(crate) fn end(&self) -> Option<End> {
        if self.left == Some(0) {
            return Some(End::Done);
        }
        self.interrupt.is_seen().then_some(End::Interrupted)
    }

    /// How many were received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn arguments(count: Option<u64>, seconds: Option<u64>) -> UntilArgs {
        UntilArgs { count, until_idle: seconds.map(Duration::from_secs) }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_after_so_many_or_when_nothing_comes() {
        let (_sender, interrupt) = Interrupt::by_hand();
        let mut until = Until::new(&arguments(Some(1), Some(3)), &interrupt);
        assert!(matches!(until.next(ready(7)).await, Next::Item(7)));
        assert!(matches!(until.next(pending::<u8>()).await, Next::End(End::Done)), "idle for three seconds");
        until.count();
        assert!(matches!(until.next(ready(7)).await, Next::End(End::Done)), "one was enough");
        assert_eq!(until.received(), 1);
    }

    #[tokio::test]
    async fn ctrl_c_ends_waiting_and_is_told_from_a_normal_end() {
        let (sender, interrupt) = Interrupt::by_hand();
        let until = Until::new(&arguments(None, None), &interrupt);
        assert!(until.end().is_none());
        sender.send_replace(true);
        assert!(matches!(until.end(), Some(End::Interrupted)));
        assert!(matches!(until.next(pending::<u8>()).await, Next::End(End::Interrupted)));
    }
}
