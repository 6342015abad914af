use proptest::prelude::*;

use super::*;

/// A window whose own next-outgoing-id has moved from `initial` to `next`.
fn sent_up_to(initial: u32, next: u32) -> SessionWindow {
    let mut window = SessionWindow::new(initial, 100, 100);
    window.on_begin(0, u32::MAX, 100);
    for _ in 0..next.wrapping_sub(initial) {
        window.on_sent();
    }
    window
}

// S-020, S-021, S-023: the worked cases.
#[test]
fn remote_incoming_window_follows_the_formula() {
    let mut window = sent_up_to(0, 10);
    window.on_flow(Some(8), 5, 0, 0).unwrap();
    assert_eq!(window.remote_incoming_window, 3);

    let mut window = sent_up_to(100, 110);
    window.on_flow(None, 20, 0, 0).unwrap();
    assert_eq!(window.remote_incoming_window, 10);

    let mut window = sent_up_to(0xFFFF_FFFE, 2);
    window.on_flow(Some(0xFFFF_FFFE), 10, 0, 0).unwrap();
    assert_eq!(window.remote_incoming_window, 6);

    // The peer shrank its window below what is in flight.
    let mut window = sent_up_to(0, 10);
    window.on_flow(Some(4), 5, 0, 0).unwrap();
    assert!(!window.can_send());
}

// L-018, L-026, L-027: the worked cases.
#[test]
fn link_credit_follows_the_formula() {
    for (count, flow_count, flow_credit, expected) in [
        (5, Some(3), 10, 8),
        (1, Some(0xFFFF_FFFF), 4, 2),
        (20, Some(3), 10, 0),
        (0, Some(0), u32::MAX, u32::MAX),
    ] {
        let mut credit = SenderCredit::new(count);
        credit.on_flow(flow_count, flow_credit, false);
        assert_eq!(credit.credit(), expected, "count {count}, flow {flow_count:?}+{flow_credit}");
    }
    // L-019: without a count, counting starts at our own initial one.
    let mut credit = SenderCredit::new(7);
    credit.on_flow(Some(7), 3, false);
    credit.on_send();
    credit.on_flow(None, 3, false);
    assert_eq!(credit.credit(), 2);
}

// S-018
#[test]
fn one_transfer_more_than_the_window_is_a_violation() {
    let mut window = SessionWindow::new(0, 0, 3);
    window.on_begin(0xFFFF_FFFF, 0, 0);
    for _ in 0..3 {
        window.on_received().unwrap();
    }
    assert_eq!(window.on_received(), Err(WindowError::Exceeded));
    assert_eq!(window.next_incoming_id(), 2);
}

// S-019: going back, or to the antipode, is refused; nothing changes then.
#[test]
fn a_rewound_next_outgoing_id_is_refused() {
    let mut window = SessionWindow::new(0, 0, 10);
    window.on_begin(5, 1, 1);
    assert_eq!(window.on_flow(Some(0), 9, 4, 0), Err(WindowError::Rewound));
    assert_eq!(window.on_flow(Some(0), 9, 5 ^ 0x8000_0000, 0), Err(WindowError::Rewound));
    assert_eq!(window.on_flow(Some(1), 9, 5, 0), Err(WindowError::Ahead));
    assert_eq!(window.remote_incoming_window, 1);
}

// L-026: what was granted before may still arrive.
#[test]
fn a_peer_that_renews_credit_by_itself_is_put_up_with_up_to_a_bound() {
    // L-022
    let mut credit = ReceiverCredit::new();
    credit.grant(1);
    assert!((0..3).all(|_| credit.on_delivery(2).is_ok()), "one granted, two put up with");
    assert_eq!(credit.on_delivery(2), Err(CreditExceeded));
    assert_eq!((credit.credit(), credit.delivery_count()), (0, 3));
    credit.grant(1);
    assert!((0..3).all(|_| credit.on_delivery(2).is_ok()), "counted anew with each grant");
}

#[test]
fn reducing_credit_tolerates_what_is_in_flight() {
    let mut credit = ReceiverCredit::new();
    credit.grant(5);
    credit.on_delivery(0).unwrap();
    credit.grant(1);
    for _ in 0..4 {
        credit.on_delivery(0).unwrap();
    }
    assert_eq!(credit.on_delivery(0), Err(CreditExceeded));
}

// L-025: both ends agree after a drain.
#[test]
fn draining_uses_the_credit_up_at_both_ends() {
    let mut sender = SenderCredit::new(0xFFFF_FFF0);
    let mut receiver = ReceiverCredit::new();
    receiver.start_at(0xFFFF_FFF0);
    receiver.grant(100);
    sender.on_flow(Some(receiver.delivery_count()), receiver.credit(), true);
    for _ in 0..20 {
        sender.on_send();
        receiver.on_delivery(0).unwrap();
    }
    sender.give_back();
    receiver.on_flow(Some(sender.delivery_count()), Some(0));
    assert_eq!((sender.credit(), receiver.credit()), (0, 0));
    assert_eq!(sender.delivery_count(), receiver.delivery_count());
}

/// One step of a sender, a receiver and the wire between them.
#[derive(Clone, Debug)]
enum Step {
    Send,
    Receive,
    Flow,
    FlowArrives,
    Grant(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        4 => Just(Step::Receive),
        1 => Just(Step::Flow),
        2 => Just(Step::FlowArrives),
        1 => (0u32..20).prop_map(Step::Grant),
    ]
}

proptest! {
    // Against a model in plain 64-bit numbers without wrap: limits are absolute, what is allowed is limit minus count.
    #[test]
    fn windows_and_credit_agree_with_the_naive_model(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 5), any::<u32>()],
        size in 1u32..12,
        steps in proptest::collection::vec(step(), 0..300),
    ) {
        let mut out_window = SessionWindow::new(start, 0, 0);
        let mut in_window = SessionWindow::new(0, 0, size);
        out_window.on_begin(0, size, 0);
        in_window.on_begin(start, 0, 0);
        let mut sender = SenderCredit::new(start);
        let mut receiver = ReceiverCredit::new();
        receiver.start_at(start);

        let (mut sent, mut received) = (0u64, 0u64);
        let (mut window_limit, mut model_limit_seen) = (u64::from(size), u64::from(size));
        let (mut credit_limit, mut credit_seen) = (0u64, 0u64);
        let mut wire = std::collections::VecDeque::new();

        for step in steps {
            match step {
                Step::Send => {
                    let may = sent < model_limit_seen && sent < credit_seen;
                    prop_assert_eq!(may, out_window.can_send() && sender.credit() > 0);
                    if may {
                        out_window.on_sent();
                        sender.on_send();
                        sent += 1;
                    }
                }
                Step::Receive if received < sent => {
                    prop_assert!(in_window.on_received().is_ok());
                    prop_assert!(receiver.on_delivery(0).is_ok());
                    received += 1;
                }
                Step::Receive => {}
                Step::Grant(credit) => {
                    receiver.grant(credit);
                    credit_limit = received + u64::from(credit);
                }
                Step::Flow => {
                    if in_window.is_low() {
                        in_window.replenish();
                        window_limit = received + u64::from(size);
                    }
                    prop_assert_eq!(u64::from(in_window.incoming_window()), window_limit - received);
                    wire.push_back((
                        in_window.next_incoming_id(),
                        in_window.incoming_window(),
                        receiver.delivery_count(),
                        receiver.credit(),
                        window_limit,
                        credit_limit.max(received),
                    ));
                }
                Step::FlowArrives => {
                    let Some((id, window, count, credit, window_abs, credit_abs)) = wire.pop_front() else { continue };
                    out_window.on_flow(Some(id), window, 0, 0).unwrap();
                    sender.on_flow(Some(count), credit, false);
                    model_limit_seen = window_abs;
                    credit_seen = credit_abs;
                    prop_assert_eq!(u64::from(sender.credit()), credit_seen.saturating_sub(sent));
                }
            }
            prop_assert!(received <= sent && sent <= window_limit.max(model_limit_seen));
        }
    }
}
