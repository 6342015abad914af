//! Ctrl-C and the request to terminate: noticed once, acted on by whoever waits for it.

use tokio::sync::watch;

use crate::exit::{Class, Failure};
use crate::output::note;

/// Tells whether the person at the keyboard, or the system, wants the command to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    seen: watch::Receiver<bool>,
}

impl Interrupt {
    /// Begins to listen; from now on the first Ctrl-C ends the verb in order, and the second ends it at once.
    ///
    /// # Errors
    /// The system does not let signals be handled.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::new(Class::Failed, format!("cannot handle Ctrl-C: {error}"));
        let (sender, seen) = watch::channel(false);
        #[cfg(unix)]
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(failed)?;
        #[cfg(unix)]
        let mut interrupt =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map_err(failed)?;
        tokio::spawn(async move {
            loop {
                #[cfg(unix)]
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                #[cfg(not(unix))]
                if tokio::signal::ctrl_c().await.map_err(failed).is_err() {
                    return;
                }
                if sender.send_replace(true) {
                    note("interrupted again: leaving without waiting");
                    std::process::exit(i32::from(Class::Interrupted.code()));
                }
            }
        });
        Ok(Self { seen })
    }

    /// For tests: an interruption that comes when `true` is sent.
    #[cfg(test)]
    pub(crate) fn by_hand() -> (watch::Sender<bool>, Self) {
        let (sender, seen) = watch::channel(false);
        (sender, Self { seen })
    }

    /// True once the interruption was seen.
    pub(crate) fn is_seen(&self) -> bool {
        *self.seen.borrow()
    }

    /// Waits for the interruption.
    ///
    /// # Cancel safety
    /// Safe: an interruption once seen stays seen.
    pub(crate) async fn wait(&self) {
        let mut seen = self.seen.clone();
        if seen.wait_for(|seen| *seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for `future`, or gives it up when interrupted.
    ///
    /// # Cancel safety
    /// As safe as `future`.
    pub(crate) async fn unless<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.wait() => None,
            result = future => Some(result),
        }
    }
}
