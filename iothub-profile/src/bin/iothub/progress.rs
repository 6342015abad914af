//! The progress bar of a long send, on standard error and only on a terminal.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::tally::{Tally, per_second};

/// A bar that shows itself once a send has turned out to be long.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: Option<u64>,
    started: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    /// A bar over an input of `total` bytes, where that is known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        let now = Instant::now();
        Self { bar: None, total, started: now, shown: now, is_terminal: io::stderr().is_terminal() }
    }

    /// Shows how far the send has come; cheap to call for each message.
    pub(crate) fn update(&mut self, consumed: u64, tally: &Tally) {
        if !self.is_terminal {
            return;
        }
        let now = Instant::now();
        if now.duration_since(self.shown) < REDRAW || now.duration_since(self.started) < LONG {
            return;
        }
        self.shown = now;
        let (total, elapsed) = (self.total, now.duration_since(self.started));
        let rate = per_second(tally.accepted, elapsed);
        let message = format!("{} sent, {} accepted, {rate:.0} messages/s", tally.sent, tally.accepted);
        match &self.bar {
            Some(bar) => {
                bar.set_position(consumed);
                bar.set_message(message);
            }
            None => {
                let bar = draw(total, consumed, message).with_elapsed(elapsed);
                bar.tick();
                self.bar = Some(bar);
            }
        }
    }

    /// Takes the bar away, so that what is printed next stands alone.
    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// How long the send has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A bar that stands where the send is before it is shown for the first time.
fn draw(total: Option<u64>, consumed: u64, message: String) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{bar:30} {percent:>3} %  {msg}  {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {bytes} read  {msg}"),
    };
    // The templates are constants; one that does not parse leaves indicatif's own style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_position(consumed).with_message(message)
}

/// A send shorter than this needs no bar.
const LONG: Duration = Duration::from_millis(700);
/// Time between two looks at the bar.
const REDRAW: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_shows_how_far_the_send_has_come() {
        let bar = draw(Some(200), 50, "9 sent".into());
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (50, Some(200), "9 sent"));
    }
}
