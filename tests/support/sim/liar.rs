//! What a peer's frames become when they are tampered with on their way.

use amqp_codec::{AmqpFrame, DecodeLimits, Performative, encode_frame};
use bytes::{Bytes, BytesMut};

use super::rng::Rng;

/// Whole frames (or a header), some of them doubled, lost, swapped, damaged or rewritten.
pub(crate) fn tamper(octets: &Bytes, rng: &mut Rng) -> Bytes {
    let mut pieces = split(octets);
    if pieces.len() > 1 && rng.one_in(20) {
        let place = rng.below(pieces.len() - 1);
        pieces.swap(place, place + 1);
    }
    let mut out = BytesMut::new();
    for piece in pieces {
        match rng.below(160) {
            0 => {}
            1 => {
                out.extend_from_slice(&piece);
                out.extend_from_slice(&piece);
            }
            2 => {
                let mut damaged = piece.to_vec();
                let place = rng.below(damaged.len());
                damaged[place] = rng.octet();
                out.extend_from_slice(&damaged);
            }
            3 => out.extend_from_slice(&piece[..rng.below(piece.len())]),
            4 => {
                // A whole frame with a body of chance.
                let mut frame = vec![0, 0, 0, 40, 2, 0, 0, 0, 0, 0x53, 0x10 + rng.octet() % 9, 0xc0, 26];
                frame.resize_with(40, || rng.octet());
                out.extend_from_slice(&frame);
            }
            5..12 => rewrite(&piece, rng, &mut out),
            _ => out.extend_from_slice(&piece),
        }
    }
    out.freeze()
}

fn split(octets: &Bytes) -> Vec<Bytes> {
    let mut rest = octets.clone();
    let mut pieces = Vec::new();
    while let Some(first) = rest.first_chunk() {
        let size = if first == b"AMQP" { 8 } else { usize::try_from(u32::from_be_bytes(*first)).unwrap() };
        pieces.push(rest.split_to(size.clamp(1, rest.len())));
    }
    pieces
}

/// Says something else in the same words.
fn rewrite(piece: &Bytes, rng: &mut Rng, out: &mut BytesMut) {
    let decoded = AmqpFrame::decode(piece, &DecodeLimits::performative());
    let Ok(AmqpFrame { mut channel, performative: Some(mut performative), payload }) = decoded else {
        out.extend_from_slice(piece);
        return;
    };
    let near = |number: u32, rng: &mut Rng| match rng.below(6) {
        0 => rng.word(),
        1 => number.wrapping_sub(1),
        2 => number.wrapping_add(0x8000_0000),
        3 => 0,
        4 => u32::MAX,
        _ => number.wrapping_add(1),
    };
    if matches!(performative, Performative::Attach(_)) && rng.one_in(3) {
        // Both: mostly the second steals the link from the first.
        out.extend_from_slice(piece);
    }
    match &mut performative {
        Performative::Open(open) => open.max_frame_size = near(open.max_frame_size, rng),
        Performative::Begin(begin) => match rng.below(4) {
            0 => begin.next_outgoing_id = near(begin.next_outgoing_id, rng),
            1 => begin.incoming_window = near(begin.incoming_window, rng),
            2 => begin.remote_channel = rng.pick(&[None, Some(0), Some(1), Some(7)]),
            _ => begin.handle_max = near(begin.handle_max, rng),
        },
        Performative::Attach(attach) => match rng.below(5) {
            0 => attach.handle = near(attach.handle, rng),
            1 => attach.role = attach.role.peer(),
            2 => attach.source = None,
            3 => attach.initial_delivery_count = Some(rng.word()),
            _ => attach.name = "a".into(),
        },
        Performative::Flow(flow) => match rng.below(6) {
            0 => flow.next_incoming_id = flow.next_incoming_id.map(|id| near(id, rng)),
            1 => flow.incoming_window = near(flow.incoming_window, rng),
            2 => flow.next_outgoing_id = near(flow.next_outgoing_id, rng),
            3 => flow.delivery_count = flow.delivery_count.map(|count| near(count, rng)),
            4 => flow.link_credit = flow.link_credit.map(|credit| near(credit, rng)),
            _ => (flow.echo, flow.drain) = (true, !flow.drain),
        },
        Performative::Transfer(transfer) => match rng.below(7) {
            0 => transfer.handle = near(transfer.handle, rng),
            1 => transfer.delivery_id = transfer.delivery_id.map(|id| near(id, rng)),
            2 => transfer.delivery_tag = None,
            3 => transfer.more = !transfer.more,
            4 => transfer.aborted = !transfer.aborted,
            5 => transfer.settled = Some(transfer.settled != Some(true)),
            _ => transfer.message_format = Some(rng.word()),
        },
        Performative::Disposition(disposition) => match rng.below(5) {
            0 => disposition.first = near(disposition.first, rng),
            1 => disposition.last = Some(near(disposition.first, rng)),
            2 => disposition.role = disposition.role.peer(),
            3 => disposition.state = None,
            _ => disposition.settled = !disposition.settled,
        },
        Performative::Detach(detach) => detach.handle = near(detach.handle, rng),
        Performative::End(_) | Performative::Close(_) => channel ^= 1,
    }
    if rng.one_in(8) {
        channel = rng.pick(&[0, 1, 2, 65_535]);
    }
    encode_frame(out, channel, &performative, &payload);
}
