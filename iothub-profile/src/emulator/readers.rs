//! Who reads a partition in a consumer group: owner levels (epochs) and the number of readers.
//!
//! Owns the rules of Event Hubs for readers that compete; it never touches an event.

use std::collections::HashMap;

use super::settings::MAX_READERS;

/// One reader's link, unique while the emulator lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReaderId(pub(crate) u64);

/// Why a reader may not join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JoinError {
    #[error("a reader with the higher epoch {0} is reading this partition in this consumer group")]
    HigherEpoch(i64),
    #[error(
        "{MAX_READERS} readers without an epoch are reading this partition in this consumer group already"
    )]
    TooMany,
}

/// Every reader of every partition and consumer group.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    groups: HashMap<(usize, String), Vec<Reader>>,
}

#[derive(Debug)]
struct Reader {
    id: ReaderId,
    epoch: Option<i64>,
}

impl Readers {
    /// Lets a reader in and names the ones it drives out. A reader with an epoch drives out all with a lower one, an equal
    /// one or none; a reader without an epoch is kept out by one that has an epoch.
    pub(crate) fn join(
        &mut self,
        partition: usize,
        group: &str,
        id: ReaderId,
        epoch: Option<i64>,
    ) -> Result<Vec<ReaderId>, JoinError> {
        let readers = self.groups.entry((partition, group.to_ascii_lowercase())).or_default();
        let highest = readers.iter().filter_map(|reader| reader.epoch).max();
        let stolen = match (epoch, highest) {
            (Some(epoch), Some(highest)) if highest > epoch => return Err(JoinError::HigherEpoch(highest)),
            (None, Some(highest)) => return Err(JoinError::HigherEpoch(highest)),
            (Some(_), _) => readers.drain(..).map(|reader| reader.id).collect(),
            (None, None) if readers.len() >= MAX_READERS => return Err(JoinError::TooMany),
            (None, None) => Vec::new(),
        };
        readers.push(Reader { id, epoch });
        Ok(stolen)
    }

    /// Takes a reader out; one that was driven out is not there any more, which is fine.
    pub(crate) fn leave(&mut self, partition: usize, group: &str, id: ReaderId) {
        let key = (partition, group.to_ascii_lowercase());
        if let Some(readers) = self.groups.get_mut(&key) {
            readers.retain(|reader| reader.id != id);
            if readers.is_empty() {
                self.groups.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: &str = "$Default";

    #[test]
    fn a_higher_epoch_drives_out_lower_ones_and_none() {
        let mut readers = Readers::default();
        assert_eq!(readers.join(0, GROUP, ReaderId(1), None), Ok(vec![]));
        assert_eq!(readers.join(0, GROUP, ReaderId(2), Some(5)), Ok(vec![ReaderId(1)]));
        assert_eq!(readers.join(0, GROUP, ReaderId(3), Some(4)), Err(JoinError::HigherEpoch(5)));
        assert_eq!(readers.join(0, GROUP, ReaderId(4), None), Err(JoinError::HigherEpoch(5)));
        assert_eq!(readers.join(0, GROUP, ReaderId(5), Some(5)), Ok(vec![ReaderId(2)]));
        assert_eq!(readers.join(1, GROUP, ReaderId(6), Some(1)), Ok(vec![]), "another partition");
        assert_eq!(readers.join(0, "other", ReaderId(7), None), Ok(vec![]), "another group");
    }

    #[test]
    fn a_reader_that_left_no_longer_counts() {
        let mut readers = Readers::default();
        for n in 0..5 {
            readers.join(0, GROUP, ReaderId(n), None).unwrap();
        }
        assert_eq!(readers.join(0, "$default", ReaderId(9), None), Err(JoinError::TooMany));
        readers.leave(0, GROUP, ReaderId(3));
        assert_eq!(readers.join(0, GROUP, ReaderId(9), None), Ok(vec![]));
    }
}
