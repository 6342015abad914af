//! Two engines back to back in memory, one thread: what a message costs without sockets, both ends together.
//!
//! Budget: at most 0.25 µs and no allocation per message of 256 octets in steady state.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints and measures"
)]

use std::time::Instant;

use amqp_codec::{DeliveryState, Target};
use amqp_transport::engine::{
    AttachReply, Connection, ConnectionConfig, Event, InputStatus, LinkConfig, LinkId, Outgoing,
    SessionConfig, Settlement, Side, Transmit,
};
use bytes::{Buf, BytesMut};
use workspace_benches::allocations;
use workspace_benches::statistics::Spread;

#[global_allocator]
static ALLOCATOR: allocations::CountingAllocator = allocations::CountingAllocator;

const CREDIT: u32 = 2_000;
const BURST: u32 = 200;

struct Pair {
    client: Connection,
    server: Connection,
    now: Instant,
    transmit: Transmit,
    to_server: BytesMut,
    to_client: BytesMut,
}

fn carry(
    now: Instant,
    from: &mut Connection,
    transmit: &mut Transmit,
    to: &mut Connection,
    pipe: &mut BytesMut,
) -> usize {
    let mut moved = 0;
    while from.poll_transmit(now, transmit) {
        while transmit.has_remaining() {
            let chunk = transmit.chunk();
            pipe.extend_from_slice(chunk);
            let count = chunk.len();
            transmit.advance(count);
            moved += count;
        }
    }
    if moved > 0 {
        assert_ne!(to.handle_input(now, pipe), InputStatus::Finished);
    }
    moved
}

impl Pair {
    fn new() -> (Self, LinkId, LinkId) {
        let now = Instant::now();
        let mut pair = Self {
            client: Connection::new(Side::Client, ConnectionConfig::new("c"), now),
            server: Connection::new(Side::Listener, ConnectionConfig::new("s"), now),
            now,
            transmit: Transmit::new(),
            to_server: BytesMut::with_capacity(1 << 20),
            to_client: BytesMut::with_capacity(1 << 20),
        };
        pair.client.open().unwrap();
        pair.server.open().unwrap();
        pair.settle_down();
        let session = pair.client.begin(SessionConfig::default()).unwrap();
        pair.settle_down();
        let target = Target { address: Some("q".into()), ..Target::default() };
        let link = pair.client.attach(session, LinkConfig::sender("L", target)).unwrap();
        let theirs = pair.settle_down().unwrap();
        pair.server.set_credit(theirs, CREDIT).unwrap();
        pair.settle_down();
        (pair, link, theirs)
    }

    fn settle_down(&mut self) -> Option<LinkId> {
        let mut attached = None;
        loop {
            let there =
                carry(self.now, &mut self.client, &mut self.transmit, &mut self.server, &mut self.to_server);
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::SessionRequested { session, .. } => {
                        self.server.accept_session(session, SessionConfig::default()).unwrap();
                    }
                    Event::AttachRequested { link, attach, .. } => {
                        self.server.accept_attach(link, AttachReply::granting(&attach)).unwrap();
                        attached = Some(link);
                    }
                    _ => {}
                }
            }
            let back =
                carry(self.now, &mut self.server, &mut self.transmit, &mut self.client, &mut self.to_client);
            while self.client.poll_event().is_some() {}
            if there + back == 0 {
                return attached;
            }
        }
    }

    fn forward(&mut self) {
        carry(self.now, &mut self.client, &mut self.transmit, &mut self.server, &mut self.to_server);
    }

    fn burst(&mut self, link: LinkId, theirs: LinkId, payload: &[u8], settlement: Settlement) -> u32 {
        for user in 0..BURST {
            while self.client.try_send(link, Outgoing::new(payload, settlement, user)).is_err() {
                // A large message takes turns to leave.
                self.forward();
            }
        }
        self.forward();
        let mut received = 0;
        while let Some(event) = self.server.poll_event() {
            if let Event::Delivery { link, delivery } = event {
                received += 1;
                std::hint::black_box(&delivery.message);
                if !delivery.is_settled {
                    self.server
                        .settle(link, delivery.id, DeliveryState::Accepted, Settlement::Settled)
                        .unwrap();
                }
            }
        }
        self.server.set_credit(theirs, CREDIT).unwrap();
        carry(self.now, &mut self.server, &mut self.transmit, &mut self.client, &mut self.to_client);
        while let Some(event) = self.client.poll_event() {
            std::hint::black_box(&event);
        }
        received
    }
}

fn main() {
    println!("engine alone, both ends, one thread; median of 15 runs (min-max)");
    for (size, settlement) in [
        (256, Settlement::Settled),
        (256, Settlement::Unsettled),
        (4_096, Settlement::Unsettled),
        (65_536, Settlement::Unsettled),
    ] {
        let (mut pair, link, theirs) = Pair::new();
        let payload = vec![7; size];
        let rounds = if size > 10_000 { 20 } else { 1_000 };
        let mut run = || {
            let start = Instant::now();
            let received: u32 = (0..rounds).map(|_| pair.burst(link, theirs, &payload, settlement)).sum();
            assert_eq!(received, rounds * BURST);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(received)
        };
        run();
        let times = Spread::of((0..15).map(|_| run()));
        allocations::start_counting();
        run();
        let allocated = f64::from(u32::try_from(allocations::stop_counting()).unwrap_or(u32::MAX));
        println!(
            "{size:>6} octets {settlement:?}: {:.0} ns/message ({:.0}-{:.0}), {:.5} allocations/message",
            times.median,
            times.min,
            times.max,
            allocated / f64::from(rounds * BURST),
        );
    }
}
