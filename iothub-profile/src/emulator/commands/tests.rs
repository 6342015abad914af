use std::time::Duration;

use super::*;
use crate::emulator::settings::Settings;

fn queue() -> CommandQueue {
    CommandQueue::new("dev1", "7", &Settings::default())
}

fn command(id: &str, ack: Ack, expires_ms: Option<i64>) -> NewCommand {
    NewCommand { message: Arc::new(Message::data("x")), message_id: Some(id.to_owned()), ack, expires_ms }
}

fn statuses(queue: &mut CommandQueue) -> Vec<(String, Status)> {
    queue.take_records().into_iter().map(|record| (record.original_message_id, record.status)).collect()
}

#[test]
fn complete_and_reject_end_a_command_with_feedback() {
    let (mut queue, now) = (queue(), Now::origin());
    queue.enqueue(command("a", Ack::Full, None), now).unwrap();
    queue.enqueue(command("b", Ack::Full, None), now).unwrap();
    let (a, b) = (queue.lock_next(now).unwrap(), queue.lock_next(now).unwrap());
    assert_eq!((a.sequence_number, b.sequence_number, a.delivery_count), (1, 2, 0));
    assert!(queue.lock_next(now).is_none());
    queue.settle(b.lock, Settlement::Reject, now).unwrap();
    queue.settle(a.lock, Settlement::Complete, now).unwrap();
    assert_eq!(statuses(&mut queue), [("b".to_owned(), Status::Rejected), ("a".to_owned(), Status::Success)]);
    assert_eq!(queue.settle(a.lock, Settlement::Complete, now), Err(LockLost));
}

#[test]
fn a_command_is_given_up_after_ten_abandons() {
    let (mut queue, now) = (queue(), Now::origin());
    queue.enqueue(command("a", Ack::Negative, None), now).unwrap();
    for count in 0..10 {
        let locked = queue.lock_next(now).unwrap();
        assert_eq!(locked.delivery_count, count);
        queue.settle(locked.lock, Settlement::Abandon, now).unwrap();
    }
    assert!(queue.lock_next(now).is_none());
    assert_eq!(statuses(&mut queue), [("a".to_owned(), Status::DeliveryCountExceeded)]);
}

#[test]
fn an_abandoned_command_comes_before_younger_ones() {
    let (mut queue, now) = (queue(), Now::origin());
    for id in ["a", "b"] {
        queue.enqueue(command(id, Ack::None, None), now).unwrap();
    }
    let first = queue.lock_next(now).unwrap();
    queue.settle(first.lock, Settlement::Abandon, now).unwrap();
    let again = queue.lock_next(now).unwrap();
    assert_eq!(again.sequence_number, 1);
    assert_ne!(again.lock, first.lock, "every delivery has its own lock");
}

#[test]
fn a_lapsed_lock_gives_the_command_back_without_counting() {
    let (mut queue, now) = (queue(), Now::origin());
    queue.enqueue(command("a", Ack::Full, None), now).unwrap();
    let first = queue.lock_next(now).unwrap();
    assert_eq!(queue.next_deadline(now), Some(now.instant + Duration::from_secs(60)));
    let later = now.after(Duration::from_secs(60));
    assert_eq!(queue.settle(first.lock, Settlement::Complete, later), Err(LockLost));
    assert_eq!(queue.lock_next(later).unwrap().delivery_count, 0);
    assert!(statuses(&mut queue).is_empty());
}

#[test]
fn what_waits_expires_and_what_is_locked_does_not() {
    let (mut queue, now) = (queue(), Now::origin());
    let soon = Some(now.wall_ms + 1000);
    queue.enqueue(command("locked", Ack::Full, soon), now).unwrap();
    queue.enqueue(command("waits", Ack::Full, soon), now).unwrap();
    queue.enqueue(command("default", Ack::Full, None), now).unwrap();
    let locked = queue.lock_next(now).unwrap();
    assert_eq!(queue.next_deadline(now), Some(now.instant + Duration::from_secs(1)));
    let later = now.after(Duration::from_secs(1));
    queue.tidy(later);
    assert_eq!(statuses(&mut queue), [("waits".to_owned(), Status::Expired)]);
    queue.settle(locked.lock, Settlement::Complete, later).unwrap();
    assert_eq!(statuses(&mut queue), [("locked".to_owned(), Status::Success)]);
    queue.tidy(now.after(Duration::from_secs(3600)));
    assert_eq!(statuses(&mut queue), [("default".to_owned(), Status::Expired)]);
}

#[test]
fn the_fifty_first_pending_command_is_refused() {
    let (mut queue, now) = (queue(), Now::origin());
    for n in 0..50 {
        queue.enqueue(command(&n.to_string(), Ack::None, None), now).unwrap();
    }
    let locked = queue.lock_next(now).unwrap();
    assert_eq!(queue.enqueue(command("51", Ack::None, None), now), Err(QueueFull), "locked ones count");
    queue.settle(locked.lock, Settlement::Complete, now).unwrap();
    queue.enqueue(command("51", Ack::None, None), now).unwrap();
}

#[test]
fn feedback_is_given_only_where_it_was_asked_for() {
    let outcomes = |ack| {
        let (mut queue, now) = (queue(), Now::origin());
        for settlement in [Settlement::Complete, Settlement::Reject] {
            queue.enqueue(command("a", ack, None), now).unwrap();
            let locked = queue.lock_next(now).unwrap();
            queue.settle(locked.lock, settlement, now).unwrap();
        }
        statuses(&mut queue).into_iter().map(|(_, status)| status).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(Ack::None), []);
    assert_eq!(outcomes(Ack::Positive), [Status::Success]);
    assert_eq!(outcomes(Ack::Negative), [Status::Rejected]);
    assert_eq!(outcomes(Ack::Full), [Status::Success, Status::Rejected]);
    assert_eq!(Ack::parse("FULL"), Some(Ack::Full));
    assert_eq!(Ack::parse("maybe"), None);
}

#[test]
fn a_purge_reports_everything_it_threw_away() {
    let (mut queue, now) = (queue(), Now::origin());
    for id in ["a", "b"] {
        queue.enqueue(command(id, Ack::Full, None), now).unwrap();
    }
    assert_eq!(queue.purge(now), 2);
    assert_eq!(statuses(&mut queue), [("a".to_owned(), Status::Purged), ("b".to_owned(), Status::Purged)]);
}

#[test]
fn a_command_that_could_not_be_sent_goes_back_uncounted() {
    let (mut queue, now) = (queue(), Now::origin());
    queue.enqueue(command("a", Ack::None, None), now).unwrap();
    let locked = queue.lock_next(now).unwrap();
    queue.unlock(locked.lock);
    assert_eq!(queue.lock_next(now).unwrap().delivery_count, 0);
}
