//! How much of what is unsettled an attach tells: all of it, or the part of it that its frame takes.
//!
//! Owns the choice of that part. What is concluded from it is `resume`'s.

use std::collections::BTreeSet;

use amqp_codec::{Attach, DecodeLimits, Encode, Map, from_bytes, to_bytes};

use super::link::{Link, LinkKind};
use super::suspended::{UnsettledDelivery, read_unsettled_map, unsettled_map};

impl Link {
    /// Puts what is unsettled into our attach: as much of it as a frame of the peer's takes, and as a peer that bounds the
    /// values of a performative as we do reads (L-036, L-038). Where that is not all, what the peer has named in `theirs`
    /// goes first: both have it, so that the attach concludes something.
    pub(crate) fn tell_unsettled(
        &mut self,
        attach: &mut Attach,
        deliveries: &[UnsettledDelivery],
        frame_limit: u32,
        theirs: Option<&Map>,
    ) {
        let limit = usize::try_from(frame_limit).unwrap_or(usize::MAX);
        let mut told: Vec<_> = deliveries.iter().filter(|delivery| !delivery.is_absent_there).collect();
        let all = told.len();
        let mut fits = |told: &[&UnsettledDelivery], count| {
            attach.unsettled = Some(unsettled_map(told.iter().take(count).copied()));
            attach.incomplete_unsettled = count < all;
            attach.encoded_len() + FRAME_MARGIN <= limit && is_readable(attach)
        };
        let is_incomplete = !fits(&told, all);
        if is_incomplete {
            if let Some(theirs) = theirs {
                let named: BTreeSet<_> = read_unsettled_map(theirs).into_iter().map(|(tag, _)| tag).collect();
                told.sort_by_key(|delivery| !named.contains(&delivery.tag));
            }
            let count = most(all, |count| fits(&told, count));
            fits(&told, count);
            told.truncate(count);
        }
        match &mut self.kind {
            LinkKind::Sender(sender) => {
                if let Some(retained) = &mut sender.retained {
                    retained.is_incomplete = is_incomplete;
                }
            }
            LinkKind::Receiver(receiver) => {
                if let Some(survivors) = &mut receiver.survivors {
                    survivors.is_incomplete = is_incomplete;
                    survivors.told_to = told.last().filter(|_| is_incomplete).map(|delivery| delivery.tag);
                }
            }
        }
    }
}

/// The largest number below `all` that fits, where every smaller one does; 0 where none does.
fn most(all: usize, mut fits: impl FnMut(usize) -> bool) -> usize {
    let (mut count, mut too_many) = (all / 2, all);
    while count > 0 && !fits(count) {
        (count, too_many) = (count / 2, count);
    }
    while too_many - count > 1 {
        let middle = count + (too_many - count) / 2;
        if fits(middle) {
            count = middle;
        } else {
            too_many = middle;
        }
    }
    count
}

/// Whether an attach has no more values than a peer reads that has our limits.
fn is_readable(attach: &Attach) -> bool {
    from_bytes::<Attach>(&to_bytes(attach), &DecodeLimits::performative()).is_ok()
}

/// What a frame's header and fields spelled out add to an attach at most, in octets.
const FRAME_MARGIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    // L-038: only half of what a frame had room for was told, and maps took twice the rounds.
    #[test]
    fn a_part_that_is_told_is_as_large_as_its_frame_takes() {
        for all in 1..70 {
            for room in 0..all {
                assert_eq!(most(all, |count| count <= room), room, "of {all}");
            }
        }
    }
}
