//! Two engines back to back in memory, one thread: what a message costs without sockets, both ends together.
//!
//! Budget: at most a quarter of the time that qpid-proton C takes for the same without its message codec, which is
//! measured in the same run where its library is installed; and no allocation per message of 256 octets in steady state.
//!
//! `cargo bench -p workspace-benches --bench engine [-- --smoke]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and measures"
)]

mod pair;

use std::path::Path;
use std::process::Command;

use amqp_codec::DeliveryState;
use amqp_transport::engine::{Event, Limits, LinkId, Outgoing, Payload, SessionConfig, Settlement};
use bytes::Bytes;
use workspace_benches::statistics::Spread;
use workspace_benches::{allocations, costs::cpu_of_threads, peers};

use pair::Pair;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const CREDIT: u32 = 2_000;
const BURST: u32 = 200;

fn burst(pair: &mut Pair, link: LinkId, theirs: LinkId, payload: &Bytes, settlement: Settlement) -> u32 {
    for user in 0..BURST {
        while pair.client.try_send(link, Outgoing::new(offered(payload), settlement, user)).is_err() {
            // A large message takes turns to leave.
            pair.forward();
        }
    }
    pair.forward();
    let mut received = 0;
    while let Some(event) = pair.server.poll_event() {
        if let Event::Delivery { link, delivery } = event {
            received += 1;
            std::hint::black_box(&delivery.message);
            if !delivery.is_settled {
                pair.server.settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled).unwrap();
            }
        }
    }
    pair.server.set_credit(theirs, CREDIT).unwrap();
    pair.back();
    while let Some(event) = pair.client.poll_event() {
        std::hint::black_box(&event);
    }
    received
}

/// Small messages are lent, as an encoder's buffer is; large ones shared.
fn offered(payload: &Bytes) -> Payload<'_> {
    if payload.len() > 1_024 { Payload::Bytes(payload.clone()) } else { Payload::Slice(payload) }
}

fn main() {
    let is_smoke = std::env::args().any(|word| word == "--smoke");
    let proton = if is_smoke { Err("not part of the smoke run".to_owned()) } else { peers::proton("engine") };
    println!("engine alone, both ends, one thread; median of 15 runs (min-max), processor time");
    if let Err(reason) = &proton {
        println!("qpid-proton C is left out: {reason}");
    }
    for (size, settlement) in [
        (256, Settlement::Settled),
        (256, Settlement::Unsettled),
        (4_096, Settlement::Unsettled),
        (65_536, Settlement::Unsettled),
    ] {
        let mut pair = Pair::new(&Limits::default(), SessionConfig::default());
        let session = pair.session();
        let (link, theirs) = pair.link(session, "L");
        pair.server.set_credit(theirs, CREDIT).unwrap();
        pair.settle_down();
        let payload = Bytes::from(vec![7; size]);
        let rounds = if is_smoke || size > 10_000 { 20 } else { 1_000 };
        let mut run = || {
            let start = cpu_of_threads();
            let received: u32 =
                (0..rounds).map(|_| burst(&mut pair, link, theirs, &payload, settlement)).sum();
            assert_eq!(received, rounds * BURST);
            cpu_of_threads().saturating_sub(start).as_secs_f64() * 1e9 / f64::from(received)
        };
        run();
        let times = Spread::of((0..15).map(|_| run()));
        allocations::start_counting();
        run();
        let allocated = f64::from(u32::try_from(allocations::stop_counting()).unwrap_or(u32::MAX));
        let theirs = proton.as_deref().ok().and_then(|program| proton_engine(program, size, settlement));
        let ratio = theirs.map_or_else(String::new, |theirs| {
            let share = times.median / theirs;
            let verdict = if share <= SHARE { "ok" } else { "short" };
            format!(", qpid-proton C {theirs:.0} ns: {share:.2} x, must be at most {SHARE}: {verdict}")
        });
        println!(
            "{size:>6} octets {settlement:?}: {:.0} ns/message ({:.0}-{:.0}), {:.5} allocations/message{ratio}",
            times.median,
            times.min,
            times.max,
            allocated / f64::from(rounds * BURST),
        );
    }
}

/// Nanoseconds a message takes two of Proton's connection drivers.
fn proton_engine(program: &Path, size: usize, settlement: Settlement) -> Option<f64> {
    let mode = if settlement == Settlement::Settled { "settled" } else { "unsettled" };
    let messages = if size > 10_000 { "4000" } else { "200000" };
    let output = Command::new(program).args([&size.to_string(), mode, messages]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().strip_prefix("RESULT ")?.parse().ok()
}

/// The largest share of Proton's time that is good enough.
const SHARE: f64 = 0.25;
