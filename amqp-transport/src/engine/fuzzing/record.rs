//! What must hold of octets that are read as the record of a kept link: refused, or kept and written down again as they were.

use std::time::Instant;

use bytes::Bytes;

use super::super::{LossCause, TerminusLimits, TerminusRecord, TerminusStore};

/// Reads `data` as a record, keeps its link, writes it down and reads that, as processes do that follow on each other.
///
/// `start` is any instant.
///
/// # Panics
/// When what is written down is not what was kept, or cannot be read or kept under the limits that it was kept under.
pub fn fuzz_terminus_record(data: &[u8], start: Instant) {
    let limits = record_limits();
    let Ok(record) = TerminusRecord::decode(&Bytes::copy_from_slice(data), &limits) else { return };
    let again = read(&write(&record), &limits);
    assert_eq!(write(&again), write(&record), "it is read as it was written");
    // What is not to survive is not written down.
    let Some(record) = pass_on(record, &limits, start) else { return };
    let written = write(&record);
    for _ in 0..2 {
        match pass_on(read(&written, &limits), &limits, start) {
            Some(record) => assert_eq!(write(&record), written, "nothing has happened to it"),
            None => panic!("a record that was kept is kept no more"),
        }
    }
}

/// Limits that inputs of fuzzers reach.
#[must_use]
pub fn record_limits() -> TerminusLimits {
    TerminusLimits { octets_per_identity: MOST_OCTETS, ..TerminusLimits::default() }
}

/// A process keeps what a record tells, and writes down what is to survive it.
fn pass_on(record: TerminusRecord, limits: &TerminusLimits, now: Instant) -> Option<TerminusRecord> {
    let mut store = TerminusStore::new(limits.clone());
    let is_over = record.time.is_zero();
    let lost = store.restore(record.key, Box::new(record.link), record.time, now);
    let causes: Vec<_> = lost.iter().map(|lost| lost.cause).collect();
    assert_eq!(causes, if is_over { vec![LossCause::Expired] } else { vec![] }, "what is read has room");
    let mut records = store.records(now);
    assert!(records.len() <= store.len(), "one link is one record");
    records.pop()
}

fn write(record: &TerminusRecord) -> Bytes {
    match record.encode() {
        Ok(octets) => octets,
        Err(error) => panic!("a record is not written: {error}"),
    }
}

fn read(octets: &Bytes, limits: &TerminusLimits) -> TerminusRecord {
    match TerminusRecord::decode(octets, limits) {
        Ok(record) => record,
        Err(error) => panic!("a record of ours is refused: {error}"),
    }
}

const MOST_OCTETS: usize = 6_000;
