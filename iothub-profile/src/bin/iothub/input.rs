//! Where the bodies of messages come from: words on the command line, a file, or standard input.
//!
//! A thread of its own reads, so that a silent pipe on standard input never holds up Ctrl-C or the connection; a short
//! bounded channel keeps memory constant however long the input is.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::exit::{Class, Failure};
use crate::lines::LineSplitter;

/// Where bodies come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The text given on the command line.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

/// How the input becomes messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The whole input is one message.
    Whole,
    /// Each line is one message, by the rules of [`crate::lines`].
    Lines,
}

/// Bodies in input order.
#[derive(Debug)]
pub(crate) struct Bodies {
    cut: Cut,
    /// Bodies still to be handed out, where a number was asked for.
    left: Option<u64>,
    /// The one message of an uncut input, to be handed out again.
    whole: Option<Bytes>,
    /// Standard input may never end, so what is left of it cannot be counted.
    is_endless: bool,
    batches: mpsc::Receiver<Result<Batch, Failure>>,
    current: std::vec::IntoIter<Bytes>,
    /// Bytes of the input that the bodies handed out so far took up, line ends included.
    consumed: u64,
    /// Length of the input in bytes, where it is known beforehand.
    total: Option<u64>,
}

#[derive(Debug)]
struct Batch {
    bodies: Vec<Bytes>,
    read: u64,
}

impl Bodies {
    /// Opens the input and starts to read it. `count` repeats an uncut input, and bounds the number of lines of a cut one.
    /// A message has at most `most` bytes.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(crate) fn open(source: &Source, cut: Cut, count: Option<u64>, most: usize) -> Result<Self, Failure> {
        let (reader, total): (Box<dyn Read + Send>, Option<u64>) = match source {
            Source::Text(text) => (Box::new(Cursor::new(text.clone().into_bytes())), None),
            Source::Stdin => (Box::new(io::stdin()), None),
            Source::File(path) => {
                let file = File::open(path).map_err(|error| unreadable(path, &error))?;
                let meta = file.metadata().map_err(|error| unreadable(path, &error))?;
                if meta.is_dir() {
                    return Err(unreadable(path, &io::ErrorKind::IsADirectory.into()));
                }
                let total = meta.is_file().then_some(meta.len());
                (Box::new(file), total)
            }
        };
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        std::thread::Builder::new()
            .name("input".into())
            .spawn(move || {
                let result = match cut {
                    Cut::Whole => read_whole(reader, most, &sender),
                    Cut::Lines => read_lines(reader, most, &sender),
                };
                if let Err(failure) = result {
                    // Nobody listens any more when the verb has ended before its input.
                    let _ = sender.blocking_send(Err(failure));
                }
            })
            .map_err(|error| {
                Failure::new(Class::Failed, format!("cannot start the reading thread: {error}"))
            })?;
        let left = count.or_else(|| (cut == Cut::Whole).then_some(1));
        let is_endless = matches!(source, Source::Stdin);
        let current = Vec::new().into_iter();
        Ok(Self { cut, left, whole: None, is_endless, batches, current, consumed: 0, total })
    }

    /// The next body, or `None` at the end of the input.
    ///
    /// # Errors
    /// The input cannot be read, or holds a line longer than a message can be.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.left == Some(0) {
            return Ok(None);
        }
        let body = match &self.whole {
            Some(whole) => Some(whole.clone()),
            None => self.read().await?,
        };
        if let Some(body) = &body {
            self.left = self.left.map(|left| left.saturating_sub(1));
            if self.cut == Cut::Whole {
                self.whole = Some(body.clone());
            }
        }
        Ok(body)
    }

    /// Counts the bodies that will not be sent, or says that they cannot be counted.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(crate) async fn count_rest(&mut self) -> Result<Option<u64>, Failure> {
        if self.whole.is_some() {
            return Ok(self.left);
        }
        if self.is_endless {
            return Ok(None);
        }
        let mut count: u64 = 0;
        while self.next().await?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(Some(count))
    }

    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(body) = self.current.next() {
                return Ok(Some(body));
            }
            match self.batches.recv().await {
                None => return Ok(None),
                Some(Err(failure)) => return Err(failure),
                Some(Ok(batch)) => {
                    self.consumed = self.consumed.saturating_add(batch.read);
                    self.current = batch.bodies.into_iter();
                }
            }
        }
    }

    /// Bytes read so far, and the input's length where it is known.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.consumed, self.total)
    }
}

fn read_whole(
    mut reader: Box<dyn Read + Send>,
    most: usize,
    sender: &mpsc::Sender<Result<Batch, Failure>>,
) -> Result<(), Failure> {
    let mut body = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    reader.by_ref().take(limit).read_to_end(&mut body).map_err(|error| broken(&error))?;
    if body.len() > most {
        return Err(Failure::new(
            Class::TooLarge,
            format!("the input is longer than {most} bytes, the most one message can hold"),
        )
        .advice("send a file of many records with --lines, or cut it into smaller messages"));
    }
    let read = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let _ = sender.blocking_send(Ok(Batch { bodies: vec![body.into()], read }));
    Ok(())
}

fn read_lines(
    mut reader: Box<dyn Read + Send>,
    most: usize,
    sender: &mpsc::Sender<Result<Batch, Failure>>,
) -> Result<(), Failure> {
    let mut splitter = LineSplitter::new(most);
    loop {
        let mut chunk = BytesMut::zeroed(CHUNK);
        let read = match reader.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(&error)),
        };
        let mut bodies = Vec::new();
        if read == 0 {
            bodies.extend(splitter.finish());
            let _ = sender.blocking_send(Ok(Batch { bodies, read: 0 }));
            return Ok(());
        }
        chunk.truncate(read);
        let pushed = splitter.push(chunk.freeze(), &mut bodies);
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        // The lines before a bad one are good and are sent.
        if sender.blocking_send(Ok(Batch { bodies, read })).is_err() {
            return Ok(());
        }
        pushed.map_err(|error| {
            Failure::new(Class::TooLarge, error.to_string())
                .advice("the lines before it were sent; cut the line into smaller messages")
        })?;
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Class::Usage, format!("cannot open {}: {error}", path.display()))
        .advice("give the path of a file that exists and may be read")
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Class::Failed, format!("the input cannot be read to its end: {error}"))
}

/// Bytes asked of the input at once.
const CHUNK: usize = 64 * 1024;
/// Chunks read ahead of the sender.
const BATCHES_AHEAD: usize = 4;
/// The longest body read for a hub: the hub's links take no more than 1 MiB (the hub itself refuses over 256 KiB).
pub(crate) const MAX_BODY: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_text_come_one_by_one_and_then_the_end() {
        let mut bodies = Bodies::open(&Source::Text("a\r\n\nb".into()), Cut::Lines, None, MAX_BODY).unwrap();
        assert_eq!(bodies.next().await.unwrap().unwrap(), "a");
        assert_eq!(bodies.next().await.unwrap().unwrap(), "");
        assert_eq!(bodies.next().await.unwrap().unwrap(), "b");
        assert!(bodies.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn without_lines_the_whole_input_is_one_message() {
        let mut bodies = Bodies::open(&Source::Text("a\r\n\nb".into()), Cut::Whole, None, MAX_BODY).unwrap();
        assert_eq!(bodies.next().await.unwrap().unwrap(), "a\r\n\nb");
        assert!(bodies.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_count_repeats_a_whole_input_and_bounds_lines() {
        let mut bodies = Bodies::open(&Source::Text("a".into()), Cut::Whole, Some(3), MAX_BODY).unwrap();
        assert_eq!(bodies.next().await.unwrap().unwrap(), "a");
        assert_eq!(bodies.next().await.unwrap().unwrap(), "a");
        assert_eq!(bodies.count_rest().await.unwrap(), Some(1));
        let mut bodies =
            Bodies::open(&Source::Text("a\nb\nc\nd".into()), Cut::Lines, Some(3), MAX_BODY).unwrap();
        assert_eq!(bodies.next().await.unwrap().unwrap(), "a");
        assert_eq!(bodies.count_rest().await.unwrap(), Some(2), "b and c, but not d");
        assert!(bodies.next().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn lines_before_one_that_is_too_long_are_still_handed_out() {
        let text = format!("good\n{}\n", "x".repeat(MAX_BODY + 1));
        let mut bodies = Bodies::open(&Source::Text(text), Cut::Lines, None, MAX_BODY).unwrap();
        assert_eq!(bodies.next().await.unwrap().unwrap(), "good");
        let failure = bodies.next().await.unwrap_err();
        assert_eq!(failure.class(), Class::TooLarge);
        assert!(failure.to_string().contains("line 2"), "{failure}");
    }

    #[test]
    fn a_missing_file_is_a_usage_error_that_names_it() {
        let failure =
            Bodies::open(&Source::File("/no/such/file".into()), Cut::Whole, None, MAX_BODY).unwrap_err();
        assert_eq!(failure.class(), Class::Usage);
        assert!(failure.to_string().contains("/no/such/file"));
        let failure = Bodies::open(&Source::File("/".into()), Cut::Whole, None, MAX_BODY).unwrap_err();
        assert_eq!(failure.class(), Class::Usage, "a directory is no file");
    }
}
