use amqp_codec::{ErrorCondition, Value};

use super::*;

const LINK: ControlLink = ControlLink { link: 1, place: WorkPlace { connection: 5, session: 10 } };
const OTHER: ControlLink = ControlLink { link: 2, place: WorkPlace { connection: 5, session: 20 } };
const STRANGER: ControlLink = ControlLink { link: 3, place: WorkPlace { connection: 6, session: 10 } };

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of the test's own clock")]
fn now() -> Instant {
    Instant::now()
}

fn coordinator() -> Coordinator<u32> {
    Coordinator::new(CoordinatorLimits::default())
}

//
#[test]
fn work_waits_for_its_discharge_and_comes_out_in_order() {
    let mut coordinator = coordinator();
    let (first, second) =
        (coordinator.declare(LINK, now()).unwrap(), coordinator.declare(LINK, now()).unwrap());
    assert!(first != second && first.len() <= 32);
    for work in 0..3 {
        coordinator.enlist(&first, LINK.place, work, 1).unwrap();
    }
    coordinator.enlist(&second, LINK.place, 9, 1).unwrap();
    assert_eq!(coordinator.discharge(LINK, &first, false), Ok(Discharged::Commit(vec![0, 1, 2])));
    assert_eq!(coordinator.discharge(LINK, &second, true), Ok(Discharged::RollBack(vec![9])));
    assert!(coordinator.is_empty());
    // over is over.
    assert_eq!(coordinator.discharge(LINK, &first, false), Err(TransactionFault::UnknownId));
}

//
#[test]
fn a_global_transaction_is_not_offered() {
    let request = ControlRequest::Declare { global_id: Some(Value::from("g")) };
    let fault = coordinator().handle(LINK, &request, now()).unwrap_err();
    assert_eq!(fault.condition(), ErrorCondition::NOT_IMPLEMENTED);
}

// nobody else's, and nothing that never was.
#[test]
fn a_transaction_is_known_to_its_own_control_link_and_session_only() {
    let mut coordinator = coordinator();
    let id = coordinator.declare(LINK, now()).unwrap();
    assert_eq!(coordinator.discharge(OTHER, &id, false), Err(TransactionFault::UnknownId));
    assert_eq!(coordinator.enlist(&id, OTHER.place, 7, 1), Err((TransactionFault::UnknownId, 7)));
    assert_eq!(coordinator.enlist(b"never", LINK.place, 7, 1), Err((TransactionFault::UnknownId, 7)));
    assert_eq!(TransactionFault::UnknownId.to_wire().condition, ErrorCondition::TRANSACTION_UNKNOWN_ID);
    assert_eq!(coordinator.len(), 1);
}

//
#[test]
fn sessions_and_transactions_mix_only_where_that_is_offered() {
    let mut limits = CoordinatorLimits::default();
    (limits.multi_txns_per_ssn, limits.multi_ssns_per_txn) = (false, true);
    let mut coordinator = Coordinator::new(limits);
    let id = coordinator.declare(LINK, now()).unwrap();
    assert_eq!(coordinator.declare(LINK, now()), Err(TransactionFault::OneAtATime));
    let other = coordinator.declare(OTHER, now()).unwrap();
    coordinator.enlist(&id, OTHER.place, 1, 1).unwrap();
    assert_eq!(coordinator.discharge(LINK, &id, false), Ok(Discharged::Commit(vec![1])));
    coordinator.declare(LINK, now()).unwrap();
    assert_eq!(coordinator.discharge(OTHER, &other, false), Ok(Discharged::Commit(vec![])));
}

//
#[test]
fn a_control_link_that_ends_takes_its_transactions_along() {
    let mut coordinator = coordinator();
    let ids: Vec<_> = (0..2).map(|_| coordinator.declare(LINK, now()).unwrap()).collect();
    let other = coordinator.declare(OTHER, now()).unwrap();
    coordinator.enlist(&ids[0], LINK.place, 1, 1).unwrap();
    coordinator.enlist(&ids[1], LINK.place, 2, 1).unwrap();
    coordinator.enlist(&other, OTHER.place, 3, 1).unwrap();
    assert_eq!(coordinator.release_link(LINK.link), [1, 2]);
    assert_eq!(coordinator.release_link(LINK.link), []);
    assert_eq!(coordinator.discharge(OTHER, &other, false), Ok(Discharged::Commit(vec![3])));
    assert!(coordinator.by_link.is_empty() && coordinator.by_deadline.is_empty());
}

//
#[test]
fn a_transaction_that_is_not_discharged_lapses_and_its_controller_is_told_why() {
    let mut coordinator = coordinator();
    let start = now();
    let id = coordinator.declare(LINK, start).unwrap();
    coordinator.enlist(&id, LINK.place, 1, 1).unwrap();
    let deadline = coordinator.next_deadline().unwrap();
    assert_eq!(deadline, start + Duration::from_secs(60));
    assert_eq!(coordinator.expire(deadline - Duration::from_millis(1)), []);
    assert_eq!(coordinator.expire(deadline), [1]);
    assert_eq!(coordinator.enlist(&id, LINK.place, 2, 1), Err((TransactionFault::TimedOut, 2)));
    let fault = coordinator.discharge(LINK, &id, false).unwrap_err();
    assert_eq!(fault.condition().as_str(), "amqp:transaction:timeout");
    assert_eq!(TransactionFault::RolledBack.condition().as_str(), "amqp:transaction:rollback");
    assert_eq!(coordinator.discharge(LINK, &id, false), Err(TransactionFault::UnknownId));
}

// posted settled, a piece is refused unheard.
#[test]
fn a_transaction_that_lacks_a_piece_of_its_work_is_not_committed() {
    let limits = CoordinatorLimits { octets: 10, ..CoordinatorLimits::default() };
    let mut coordinator = Coordinator::new(limits);
    for (fail, expected) in [(false, Discharged::Doomed(vec![1])), (true, Discharged::RollBack(vec![1]))] {
        let id = coordinator.declare(LINK, now()).unwrap();
        coordinator.enlist(&id, LINK.place, 1, 5).unwrap();
        for octets in [6, 1] {
            let refused = coordinator.enlist(&id, LINK.place, 2, octets);
            assert_eq!(refused, Err((TransactionFault::TooMuchWork, 2)));
        }
        assert_eq!(coordinator.discharge(LINK, &id, fail), Ok(expected));
    }
}

#[test]
fn transactions_and_their_work_are_bounded() {
    let mut limits = CoordinatorLimits::default();
    (limits.transactions, limits.work, limits.octets) = (1, 2, 10);
    let mut coordinator = Coordinator::new(limits);
    let id = coordinator.declare(LINK, now()).unwrap();
    assert_eq!(coordinator.declare(OTHER, now()), Err(TransactionFault::TooMany));
    coordinator.enlist(&id, LINK.place, 1, 5).unwrap();
    coordinator.enlist(&id, LINK.place, 2, 5).unwrap();
    assert_eq!(coordinator.enlist(&id, LINK.place, 3, 0), Err((TransactionFault::TooMuchWork, 3)));
    assert_eq!(coordinator.discharge(LINK, &id, false), Ok(Discharged::Doomed(vec![1, 2])));
    // What lapsed is remembered within the same bound.
    for link in 0..5 {
        let owner = ControlLink { link, place: OTHER.place };
        coordinator.declare(owner, now()).unwrap();
        coordinator.expire(now() + Duration::from_secs(100));
    }
    assert_eq!(coordinator.lapsed.len(), 1);
}

// whoever guesses an id posts nothing into another's transaction, and learns nothing of it.
#[test]
fn work_of_another_connection_joins_no_transaction_though_sessions_may_mix() {
    let limits = CoordinatorLimits { multi_ssns_per_txn: true, ..CoordinatorLimits::default() };
    let mut coordinator = Coordinator::new(limits);
    let start = now();
    let id = coordinator.declare(LINK, start).unwrap();
    assert_eq!(coordinator.enlist(&id, STRANGER.place, 1, 1), Err((TransactionFault::UnknownId, 1)));
    coordinator.enlist(&id, OTHER.place, 2, 1).unwrap();
    assert_eq!(coordinator.expire(start + Duration::from_secs(60)), [2]);
    assert_eq!(coordinator.enlist(&id, STRANGER.place, 1, 1), Err((TransactionFault::UnknownId, 1)));
    assert_eq!(coordinator.enlist(&id, OTHER.place, 1, 1), Err((TransactionFault::TimedOut, 1)));
}

#[test]
fn one_connection_does_not_take_the_transactions_of_all() {
    let mut limits = CoordinatorLimits::default();
    (limits.transactions, limits.transactions_per_connection) = (3, 2);
    let mut coordinator = Coordinator::<u32>::new(limits);
    let first = coordinator.declare(LINK, now()).unwrap();
    coordinator.declare(OTHER, now()).unwrap();
    assert_eq!(coordinator.declare(LINK, now()), Err(TransactionFault::TooMany));
    coordinator.declare(STRANGER, now()).unwrap();
    assert_eq!(coordinator.discharge(LINK, &first, true), Ok(Discharged::RollBack(vec![])));
    coordinator.declare(LINK, now()).unwrap();
    for link in [LINK, OTHER, STRANGER] {
        assert_eq!(coordinator.release_link(link.link), []);
    }
    assert!(coordinator.by_connection.is_empty());
}

#[test]
fn one_connection_does_not_take_the_octets_of_all() {
    let mut limits = CoordinatorLimits::default();
    (limits.octets, limits.octets_per_connection, limits.total_octets) = (8, 10, 16);
    let mut coordinator = Coordinator::new(limits);
    let [first, second, strangers] =
        [LINK, OTHER, STRANGER].map(|owner| coordinator.declare(owner, now()).unwrap());
    coordinator.enlist(&first, LINK.place, 1, 8).unwrap();
    assert_eq!(coordinator.enlist(&second, OTHER.place, 2, 3), Err((TransactionFault::TooMuchWork, 2)));
    coordinator.enlist(&strangers, STRANGER.place, 3, 8).unwrap();
    assert_eq!(coordinator.discharge(LINK, &first, false), Ok(Discharged::Commit(vec![1])));
    let again = coordinator.declare(LINK, now()).unwrap();
    coordinator.enlist(&again, LINK.place, 4, 8).unwrap();
    for link in [LINK, OTHER, STRANGER] {
        drop(coordinator.release_link(link.link));
    }
    assert!(coordinator.by_connection.is_empty());
}

#[test]
fn the_work_of_all_transactions_together_is_bounded() {
    let mut limits = CoordinatorLimits::default();
    (limits.octets, limits.total_octets) = (8, 10);
    let mut coordinator = Coordinator::new(limits);
    let (first, second) =
        (coordinator.declare(LINK, now()).unwrap(), coordinator.declare(STRANGER, now()).unwrap());
    coordinator.enlist(&first, LINK.place, 1, 8).unwrap();
    assert_eq!(coordinator.enlist(&second, STRANGER.place, 2, 3), Err((TransactionFault::TooMuchWork, 2)));
    assert_eq!(coordinator.discharge(LINK, &first, false), Ok(Discharged::Commit(vec![1])));
    assert_eq!(coordinator.octets, 0);
    let third = coordinator.declare(STRANGER, now()).unwrap();
    coordinator.enlist(&third, STRANGER.place, 3, 8).unwrap();
    assert_eq!(coordinator.release_link(STRANGER.link), [3]);
    assert_eq!(coordinator.octets, 0);
}

// Each piece of work walked all that had lapsed: thousands were as many walks over a thousand.
#[test]
fn what_lapsed_is_found_by_its_id_and_the_oldest_is_forgotten_first() {
    let limits = CoordinatorLimits { transactions: 2, ..CoordinatorLimits::default() };
    let mut coordinator = Coordinator::new(limits);
    let late = now() + Duration::from_secs(100);
    let ids: Vec<_> = (0..3)
        .map(|work| {
            let id = coordinator.declare(LINK, now()).unwrap();
            coordinator.enlist(&id, LINK.place, work, 1).unwrap();
            assert_eq!(coordinator.expire(late), [work]);
            id
        })
        .collect();
    let fault = |coordinator: &mut Coordinator<u32>, id: &Bytes| coordinator.enlist(id, LINK.place, 9, 1);
    assert_eq!(fault(&mut coordinator, &ids[0]), Err((TransactionFault::UnknownId, 9)));
    for id in &ids[1..] {
        assert_eq!(fault(&mut coordinator, id), Err((TransactionFault::TimedOut, 9)));
    }
    assert_eq!(coordinator.discharge(STRANGER, &ids[1], true), Err(TransactionFault::UnknownId));
    assert_eq!(coordinator.discharge(LINK, &ids[1], true), Err(TransactionFault::TimedOut));
    assert_eq!(coordinator.discharge(LINK, &ids[1], true), Err(TransactionFault::UnknownId));
}
