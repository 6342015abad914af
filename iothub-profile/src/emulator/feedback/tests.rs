use super::*;

fn record(id: usize) -> Record {
    Record {
        original_message_id: id.to_string(),
        status: Status::Success,
        device_id: "dev1".to_owned(),
        device_generation_id: "1".to_owned(),
        time_ms: 1_438_100_688_789,
    }
}

fn queue() -> (FeedbackQueue, Now) {
    let now = Now::origin();
    (FeedbackQueue::new(&Settings::default(), now), now)
}

#[test]
fn a_batch_waits_for_the_interval_since_the_last_one() {
    let (mut queue, now) = queue();
    queue.push(vec![record(1)], now.after(Duration::from_secs(5)));
    assert_eq!(queue.next_deadline(), Some(now.instant + Duration::from_secs(15)));
    assert!(queue.lock_next(now.after(Duration::from_secs(14))).is_none());
    assert_eq!(queue.lock_next(now.after(Duration::from_secs(15))).unwrap().records.len(), 1);
    queue.push(vec![record(2)], now.after(Duration::from_secs(40)));
    let batch = queue.lock_next(now.after(Duration::from_secs(40)));
    assert!(batch.is_some(), "nothing was sent for longer than the interval");
}

#[test]
fn sixty_four_records_go_at_once() {
    let (mut queue, now) = queue();
    queue.push((0..65).map(record).collect(), now);
    assert_eq!(queue.lock_next(now).unwrap().records.len(), 64);
    assert!(queue.lock_next(now).is_none(), "the 65th waits");
}

#[test]
fn a_message_is_delivered_again_until_it_is_removed_or_given_up() {
    let (mut queue, now) = queue();
    queue.push((0..64).map(record).collect(), now);
    let first = queue.lock_next(now).unwrap();
    assert!(queue.lock_next(now).is_none());
    let later = now.after(Duration::from_secs(60));
    assert_eq!(queue.settle(first.lock, BatchSettlement::Remove, later), Err(LockLost));
    for _ in 0..10 {
        let again = queue.lock_next(later).unwrap();
        queue.settle(again.lock, BatchSettlement::Abandon, later).unwrap();
    }
    assert!(queue.lock_next(later).is_none(), "given up after ten abandons");
    queue.push((0..64).map(record).collect(), later);
    let locked = queue.lock_next(later).unwrap();
    queue.settle(locked.lock, BatchSettlement::Remove, later).unwrap();
    assert!(queue.lock_next(later).is_none());
}

#[test]
fn a_message_has_the_shape_that_sdks_demand() {
    let batch =
        LockedBatch { lock: LockToken::new(), records: vec![record(7)], enqueued_ms: 1_700_000_000_000 };
    let message = batch_message("my-hub", &batch);
    let properties = message.properties.as_ref().unwrap();
    assert_eq!(properties.content_type, Some(Symbol::from_static(CONTENT_TYPE)));
    assert_eq!(properties.user_id.as_deref(), Some(b"my-hub".as_slice()));
    let annotations = message.message_annotations.as_ref().unwrap();
    assert_eq!(annotations.get("iothub-enqueuedtime"), Some(Timestamp(1_700_000_000_000).into()));
    let body: Json = serde_json::from_slice(&message.body_bytes().unwrap()).unwrap();
    assert_eq!(
        body,
        json!([{
            "originalMessageId": "7", "description": "Success", "statusCode": "Success", "deviceId": "dev1",
            "deviceGenerationId": "1", "enqueuedTimeUtc": "2015-07-28T16:24:48.789Z",
        }])
    );
}

#[test]
fn feedback_of_a_device_is_believed_only_about_itself() {
    let read = |text: &str| parse_device_feedback(text.as_bytes(), "dev1", "3", Now::origin());
    let good = r#"{"originalMessageId":"a","statusCode":"rejected","deviceId":"dev1"}"#;
    let records = read(good).unwrap();
    assert_eq!((records[0].status, records[0].device_generation_id.as_str()), (Status::Rejected, "3"));
    assert_eq!(read(&format!("[{good},{good}]")).unwrap().len(), 2);
    for bad in ["", "5", "not json", &good.replace("dev1", "dev2"), &good.replace("rejected", "odd"), "{}"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn a_batch_is_closed_by_its_octets_as_well() {
    let (mut queue, now) = queue();
    let large = |id| Record { original_message_id: "x".repeat(60_000), ..record(id) };
    queue.push((0..5).map(large).collect(), now);
    assert_eq!(
        queue.lock_next(now).unwrap().records.len(),
        4,
        "the fifth would be beyond what a message holds"
    );
    let later = now.after(Duration::from_secs(15));
    assert_eq!(queue.lock_next(later).unwrap().records.len(), 1);
}

#[test]
fn a_message_that_is_too_large_comes_again_in_halves() {
    let (mut queue, now) = queue();
    queue.push((0..64).map(record).collect(), now);
    let whole = queue.lock_next(now).unwrap();
    queue.split(whole.lock);
    let halves = [queue.lock_next(now).unwrap(), queue.lock_next(now).unwrap()];
    assert!(halves.iter().all(|half| half.records.len() == 32) && queue.lock_next(now).is_none());
    assert_eq!(halves.map(|half| half.records).concat(), whole.records);
}

#[test]
fn an_id_longer_than_a_hub_takes_is_not_believed() {
    let read = |length: usize| {
        let id = "é".repeat(length);
        let text = format!(r#"{{"originalMessageId":"{id}","statusCode":"Success","deviceId":"dev1"}}"#);
        parse_device_feedback(text.as_bytes(), "dev1", "3", Now::origin())
    };
    assert!(read(128).is_some() && read(129).is_none());
}
