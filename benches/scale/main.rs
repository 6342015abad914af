//! What many of a kind cost: links of a session, deliveries settled by one range, tasks on one connection, connections.
//!
//! Budget: 100,000 links are linear, with no step (no stretch of them costs twice the first's); 65,535 deliveries settled
//! by one disposition take at most 5 ms; eight tasks on eight links of one connection are no slower than 0.9 times one
//! task on one link; eight connections on two cores carry at least 1.7 times what one does on one.
//!
//! `cargo bench -p workspace-benches --bench scale [-- --smoke]`
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and measures"
)]

#[path = "../engine/pair.rs"]
mod pair;
mod sockets;

use std::time::Instant;

use amqp_codec::DeliveryState;
use amqp_transport::engine::{Event, Limits, Outgoing, SessionConfig, Settlement};
use workspace_benches::statistics::Spread;

use pair::Pair;

fn main() {
    let is_smoke = std::env::args().any(|word| word == "--smoke");
    links(if is_smoke { 2_000 } else { 100_000 });
    range(if is_smoke { 2_000 } else { 65_535 });
    sockets::measure(is_smoke);
}

/// Attaches and detaches links of one session.
fn links(count: u32) {
    let mut limits = Limits::default();
    limits.links = count as usize + 1;
    limits.unsettled = count as usize + 1;
    let mut sessions = SessionConfig::default();
    sessions.handle_max = count;
    let mut pair = Pair::new(&limits, sessions);
    let session = pair.session();
    let stretch = count / 10;
    let mut ids = Vec::new();
    let mut time = |what: &str, act: &mut dyn FnMut(&mut Pair, u32)| {
        let mut each = Vec::new();
        for tenth in 0..10 {
            let start = Instant::now();
            for index in 0..stretch {
                act(&mut pair, tenth * stretch + index);
            }
            each.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(stretch));
        }
        let first = each.first().copied().unwrap_or_default();
        let most = Spread::of(each.iter().copied()).max;
        println!(
            "{count} links, {what}: {:.0} ns each in the first tenth, {most:.0} in the slowest ({}), must be at most 2 x: {}",
            first,
            each.iter().map(|each| format!("{each:.0}")).collect::<Vec<_>>().join(" "),
            if most <= 2.0 * first { "ok" } else { "short" }
        );
    };
    time("attach", &mut |pair, index| ids.push(pair.link(session, &format!("link-{index}"))));
    time("one message on each", &mut |pair, index| {
        let (ours, theirs) = ids[index as usize];
        pair.server.set_credit(theirs, 1).unwrap();
        pair.settle_down();
        pair.client.try_send(ours, Outgoing::new(&b"message"[..], Settlement::Unsettled, index)).unwrap();
        pair.settle_down();
    });
    time("detach with the others' messages unsettled", &mut |pair, index| {
        let (ours, _) = ids[index as usize];
        pair.client.detach(ours, amqp_transport::engine::DetachKind::Closed, None).unwrap();
        pair.settle_down();
    });
}

/// Settles deliveries that all wait by one disposition.
fn range(count: u32) {
    let mut times = Vec::new();
    for _ in 0..7 {
        let mut limits = Limits::default();
        // A link has half of it.
        limits.unsettled = 2 * count as usize;
        let mut pair = Pair::new(&limits, SessionConfig::default());
        let session = pair.session();
        let (ours, theirs) = pair.link(session, "link");
        pair.server.set_credit(theirs, count).unwrap();
        pair.settle_down();
        let mut sent = 0;
        let mut received = Vec::new();
        while sent < count {
            while sent < count
                && pair
                    .client
                    .try_send(ours, Outgoing::new(&b"message"[..], Settlement::Unsettled, sent))
                    .is_ok()
            {
                sent += 1;
            }
            pair.forward();
            while let Some(event) = pair.server.poll_event() {
                if let Event::Delivery { delivery, .. } = event {
                    received.push(delivery.id);
                }
            }
            // Window for what comes next.
            pair.back();
            while pair.client.poll_event().is_some() {}
        }
        for delivery in received {
            pair.server.settle(theirs, delivery, DeliveryState::Accepted, Settlement::Settled).unwrap();
        }
        let start = Instant::now();
        let octets = pair.back();
        let mut settled = 0;
        while let Some(event) = pair.client.poll_event() {
            settled += u32::from(matches!(event, Event::Settled { .. }));
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
        assert_eq!(settled, count);
        assert!(octets < 200, "one disposition, not {octets} octets of them");
    }
    let times = Spread::of(times);
    println!(
        "{count} deliveries settled by one disposition: {:.2} ms ({:.2}-{:.2}), must be at most 5: {}",
        times.median,
        times.min,
        times.max,
        if times.median <= 5.0 { "ok" } else { "short" }
    );
}
