use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn ids(unsettled: &mut Unsettled<u32>, first: u32, last: u32) -> Vec<u32> {
    let mut seen = Vec::new();
    unsettled.visit_range(first, last, |id, value| {
        assert_eq!(id, *value);
        seen.push(id);
        Visit::Keep
    });
    seen
}

fn filled(first: u32, count: u32) -> Unsettled<u32> {
    let mut unsettled = Unsettled::new(first);
    for _ in 0..count {
        let id = unsettled.next_id();
        unsettled.push(id);
    }
    unsettled
}

// D-026: ranges wrap, skip what is unknown, and reach over the present into the future.
#[test]
fn ranges_may_wrap_and_be_sparse() {
    let mut unsettled = filled(0xFFFF_FFFD, 6);
    assert_eq!(ids(&mut unsettled, 0xFFFF_FFFE, 1), [0xFFFF_FFFE, 0xFFFF_FFFF, 0, 1]);
    assert_eq!(unsettled.remove(0), Some(0));
    assert_eq!(unsettled.remove(0), None);
    assert_eq!(ids(&mut unsettled, 0xFFFF_FFFE, 1), [0xFFFF_FFFE, 0xFFFF_FFFF, 1]);
    assert_eq!(ids(&mut unsettled, 1, 0x7FFF_FFFF), [1, 2]);
    assert_eq!(ids(&mut unsettled, 3, 100), [] as [u32; 0]);
    assert_eq!(unsettled.len(), 5);
}

// D-027: a huge range costs what is held, not what it names.
#[test]
fn a_huge_range_ends_at_once() {
    let mut unsettled = filled(0, 3);
    let removed = unsettled.visit_range(0, 0x7FFF_FFFF, |_, _| Visit::Remove);
    assert_eq!((removed, unsettled.len()), (3, 0));
    assert_eq!(unsettled.visit_range(0, 0x7FFF_FFFF, |_, _| Visit::Remove), 0);
}

#[test]
fn one_straggler_does_not_hold_the_ring() {
    let mut unsettled = filled(u32::MAX - 1_000, 1);
    for _ in 0..100_000 {
        let id = unsettled.next_id();
        unsettled.push(id);
        assert_eq!(unsettled.remove(id), Some(id));
        unsettled.skip();
    }
    assert!(unsettled.ring.len() <= SPARSE_RING + 1, "{}", unsettled.ring.len());
    assert_eq!(unsettled.get(u32::MAX - 1_000), Some(&(u32::MAX - 1_000)));
    assert_eq!(unsettled.remove(u32::MAX - 1_000), Some(u32::MAX - 1_000));
    assert_eq!(unsettled.len(), 0);
}

#[test]
fn equal_neighbours_become_one_range() {
    let mut queue = VecDeque::new();
    for id in [u32::MAX, 0, 1, 2] {
        queue_disposition(&mut queue, Role::Receiver, id, true, Some(&DeliveryState::Accepted));
    }
    queue_disposition(&mut queue, Role::Receiver, 3, true, Some(&DeliveryState::Released));
    queue_disposition(&mut queue, Role::Receiver, 2, true, Some(&DeliveryState::Released));
    queue_disposition(&mut queue, Role::Receiver, 9, true, Some(&DeliveryState::Released));
    let ranges: Vec<_> = queue.iter().map(|pending| (pending.first, pending.last)).collect();
    assert_eq!(ranges, [(u32::MAX, 2), (2, 3), (9, 9)]);
}

proptest! {
    #[test]
    fn the_ring_agrees_with_a_map(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 700), any::<u32>()],
        steps in proptest::collection::vec((0u8..6, 0u32..2_000, 0u32..400), 0..1_500),
    ) {
        let mut unsettled = Unsettled::new(start);
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut count = 0u64;
        for (what, back, span) in steps {
            let target = count.saturating_sub(u64::from(back));
            let id = |at: u64| start.wrapping_add(u32::try_from(at).unwrap());
            match what {
                0..=2 => {
                    prop_assert_eq!(unsettled.next_id(), id(count));
                    unsettled.push(id(count));
                    model.insert(count, id(count));
                    count += 1;
                }
                3 => {
                    unsettled.skip();
                    count += 1;
                }
                4 if target < count => {
                    prop_assert_eq!(unsettled.get(id(target)), model.get(&target));
                    prop_assert_eq!(unsettled.remove(id(target)), model.remove(&target));
                }
                _ if target < count => {
                    let end = target + u64::from(span);
                    let mut seen = Vec::new();
                    unsettled.visit_range(id(target), id(end), |id, _| {
                        seen.push(id);
                        if id % 3 == 0 { Visit::Keep } else { Visit::Remove }
                    });
                    let expected: Vec<u32> = model.range(target..=end).map(|(_, id)| *id).collect();
                    prop_assert_eq!(seen, expected);
                    model.retain(|at, id| !(target..=end).contains(at) || *id % 3 == 0);
                }
                _ => {}
            }
            prop_assert_eq!(unsettled.len(), model.len());
        }
    }
}

// Many links that end one by one, each with one delivery among many of others: each walked all of them.
#[test]
fn ends_of_links_cost_what_they_held_and_not_what_others_hold() {
    const HELD: u32 = 60_000;
    let mut unsettled = filled(0, HELD);
    let mut visits = 0u32;
    for dead_below in 1..=20_000 {
        unsettled.abandon(1, |id| {
            visits += 1;
            *id < dead_below
        });
        assert_eq!(unsettled.len(), usize::try_from(HELD - dead_below).unwrap());
    }
    assert!(visits <= 20_000 * 4, "{visits}");
    // What is dead and not swept out yet is nobody's when a range comes over it.
    let removed = unsettled.visit_range(0, HELD - 1, |id, _| match id {
        0..20_000 => Visit::Bury,
        _ => Visit::Remove,
    });
    assert_eq!((removed, unsettled.len()), (40_000, 0));
}
