//! What a peer's frames say: octets of one stream, and control frames between. Pure.
//!
//! Messages are counted and never gathered: AMQP's stream has no boundaries in common with them (WS-004), so their octets
//! go on as they come.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::frame::{Fault, Header, Mask, Opcode};
use crate::engine::Side;

/// Where the reading side is.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Who reads.
    side: Side,
    /// Octets of the longest message taken.
    limit: usize,
    /// Octets of the present message, its present frame included.
    message: Option<u64>,
    frame: Option<DataFrame>,
}

/// A frame of a message, behind its header.
#[derive(Debug)]
struct DataFrame {
    left: u64,
    mask: Option<Mask>,
    is_final: bool,
}

/// Why reading stops.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// More octets are needed.
    Empty,
    /// More room is needed.
    Full,
    Ping(Vec<u8>),
    Close(Vec<u8>),
}

impl Incoming {
    pub(super) fn new(side: Side, limit: usize) -> Self {
        Self { side, limit, message: None, frame: None }
    }

    /// Moves octets of the stream from the input into the room, up to the first thing that someone has to deal with.
    /// A fault is found again each time, behind the octets before it.
    pub(super) fn read(&mut self, input: &mut BytesMut, room: &mut ReadBuf<'_>) -> Result<Stop, Fault> {
        loop {
            if let Some(frame) = &mut self.frame {
                frame.unpack(input, room);
                match frame.left {
                    0 if frame.is_final => (self.message, self.frame) = (None, None),
                    0 => self.frame = None,
                    _ if input.is_empty() => return Ok(Stop::Empty),
                    _ => return Ok(Stop::Full),
                }
            }
            let Some(header) = Header::parse(input, self.side)? else { return Ok(Stop::Empty) };
            if !header.opcode.is_control() {
                self.start(&header)?;
                input.advance(header.size);
                continue;
            }
            let Some(payload) = control(input, &header) else { return Ok(Stop::Empty) };
            match header.opcode {
                Opcode::Close => return Ok(Stop::Close(payload)),
                Opcode::Ping => return Ok(Stop::Ping(payload)),
                // WS-007: of no use to us, and no traffic of AMQP's.
                _ => {}
            }
        }
    }

    /// A frame of a message begins.
    fn start(&mut self, header: &Header) -> Result<(), Fault> {
        match (header.opcode, self.message) {
            // WS-003
            (Opcode::Text, _) => return Err(Fault::unsupported("the peer sent a text message")),
            (Opcode::Continuation, None) => return Err(Fault::protocol("a fragment of no message")),
            (Opcode::Binary, Some(_)) => return Err(Fault::protocol("a message within another")),
            _ => {}
        }
        let octets = self.message.unwrap_or_default().saturating_add(header.length);
        if usize::try_from(octets).is_ok_and(|octets| octets <= self.limit) {
            self.message = Some(octets);
            // WS-008: an empty one carries nothing.
            self.frame =
                Some(DataFrame { left: header.length, mask: header.mask, is_final: header.is_final });
            Ok(())
        } else {
            Err(Fault::too_large("the peer's WebSocket message is too large"))
        }
    }
}

impl DataFrame {
    fn unpack(&mut self, input: &mut BytesMut, room: &mut ReadBuf<'_>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = left.min(input.len()).min(room.remaining());
        if let Some(octets) = input.get_mut(..count) {
            if let Some(mask) = &mut self.mask {
                mask.apply(octets);
            }
            room.put_slice(octets);
        }
        input.advance(count);
        self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

/// Takes a control frame's payload once it is whole.
fn control(input: &mut BytesMut, header: &Header) -> Option<Vec<u8>> {
    let end = header.size.saturating_add(usize::try_from(header.length).ok()?);
    let mut payload = input.get(header.size..end)?.to_vec();
    if let Some(mut mask) = header.mask {
        mask.apply(&mut payload);
    }
    input.advance(end);
    Some(payload)
}

/// Whether a close says what it may (RFC 6455 §5.5.1, §7.4).
pub(super) fn check_close(payload: &[u8]) -> Result<(), Fault> {
    match payload {
        [] => Ok(()),
        [high, low, reason @ ..] => match u16::from_be_bytes([*high, *low]) {
            1000..=1003 | 1007..=1014 | 3000..=4999 if std::str::from_utf8(reason).is_ok() => Ok(()),
            1000..=1003 | 1007..=1014 | 3000..=4999 => {
                Err(Fault::text("a close with a reason that is no text"))
            }
            _ => Err(Fault::protocol("a close with a code that nobody may send")),
        },
        [_] => Err(Fault::protocol("a close with half a code")),
    }
}

#[cfg(test)]
mod tests {
    use tungstenite::protocol::{Message, Role, WebSocketContext};

    use super::super::frame;
    use super::*;

    /// All that can be read, and why it stopped.
    fn read(incoming: &mut Incoming, input: &mut BytesMut, room: usize) -> (Vec<u8>, Result<Stop, Fault>) {
        let mut octets = Vec::new();
        loop {
            let mut buffer = vec![0; room];
            let mut buffer = ReadBuf::new(&mut buffer);
            let stop = incoming.read(input, &mut buffer);
            octets.extend_from_slice(buffer.filled());
            if stop != Ok(Stop::Full) {
                return (octets, stop);
            }
        }
    }

    const SIZES: [usize; 9] = [0, 1, 15, 125, 126, 127, 65_535, 65_536, 200_000];

    #[test]
    fn another_implementation_reads_what_is_written_here() {
        for (role, mask) in [(Role::Server, Some(Mask([1, 2, 3, 0xff]))), (Role::Client, None)] {
            for size in SIZES {
                let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
                let mut out = BytesMut::new();
                let (one, other) = payload.split_at(size / 3);
                frame::push(&mut out, Opcode::Binary, mask, [one, other].into_iter());
                frame::push(&mut out, Opcode::Ping, mask, std::iter::once(&b"there?"[..]));
                frame::push(&mut out, Opcode::Close, mask, std::iter::once(&1000_u16.to_be_bytes()[..]));
                let mut theirs = WebSocketContext::new(role, None);
                let mut stream = std::io::Cursor::new(out.to_vec());
                assert_eq!(theirs.read(&mut stream).unwrap(), Message::Binary(payload.into()));
                assert_eq!(theirs.read(&mut stream).unwrap(), Message::Ping("there?".into()));
                assert!(matches!(theirs.read(&mut stream).unwrap(), Message::Close(Some(_))));
            }
        }
    }

    #[test]
    fn what_another_implementation_writes_is_read_wherever_it_is_cut() {
        for (role, side) in [(Role::Client, Side::Listener), (Role::Server, Side::Client)] {
            for size in SIZES {
                let payload: Vec<u8> = (0..size).map(|at| u8::try_from(at % 253).unwrap()).collect();
                let mut theirs = WebSocketContext::new(role, None);
                let mut stream = std::io::Cursor::new(Vec::new());
                for message in [Message::Binary(payload.clone().into()), Message::Pong("".into())] {
                    theirs.write(&mut stream, message).unwrap();
                }
                theirs.write(&mut stream, Message::Ping("there?".into())).unwrap();
                theirs.flush(&mut stream).unwrap();
                let stream = stream.into_inner();
                for (piece, room) in [(usize::MAX, usize::MAX), (1, 3), (1_000, 7), (7, 1_000)] {
                    let mut incoming = Incoming::new(side, size);
                    let (mut input, mut taken, mut last) = (BytesMut::new(), Vec::new(), Ok(Stop::Empty));
                    for piece in stream.chunks(piece.min(stream.len())) {
                        input.extend_from_slice(piece);
                        let (octets, stop) = read(&mut incoming, &mut input, room.min(stream.len()));
                        taken.extend(octets);
                        last = stop;
                    }
                    assert!(taken == payload, "{size} octets in pieces of {piece}");
                    assert_eq!(last, Ok(Stop::Ping(b"there?".to_vec())));
                }
            }
        }
    }

    #[test]
    fn a_fault_is_found_behind_the_octets_before_it() {
        for (octets, side, code) in [
            (&[0x82, 0x80, 0, 0, 0, 0][..], Side::Client, 1002),
            (&[0x82, 0x01, 0], Side::Listener, 1002),
            (&[0x09, 0x00], Side::Client, 1002),
            (&[0x89, 126, 0, 126], Side::Client, 1002),
            (&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], Side::Client, 1002),
            (&[0x02, 0, 0x82, 0], Side::Client, 1002),
            (&[0x80, 0], Side::Client, 1002),
            (&[0x87, 0], Side::Client, 1002),
            (&[0xb2, 0], Side::Client, 1002),
            (&[0x81, 0], Side::Client, 1003),
            (&[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Side::Client, 1009),
            (&[0x02, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1], Side::Client, 1009),
        ] {
            let mut input = BytesMut::new();
            let mask = (side == Side::Listener).then_some(Mask([9, 8, 7, 6]));
            frame::push(&mut input, Opcode::Binary, mask, std::iter::once(&b"before"[..]));
            input.extend_from_slice(octets);
            let mut incoming = Incoming::new(side, 10);
            let (taken, stop) = read(&mut incoming, &mut input, 100);
            assert!(taken.starts_with(b"before"));
            assert_eq!(stop.unwrap_err().code, code, "{octets:02x?}");
            assert_eq!(read(&mut incoming, &mut input, 100).1.unwrap_err().code, code, "{octets:02x?}");
        }
    }

    #[test]
    fn a_frame_that_claims_much_reserves_nothing() {
        let mut incoming = Incoming::new(Side::Client, usize::MAX);
        let mut input = BytesMut::from(&[0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0, 7, 7][..]);
        let (taken, stop) = read(&mut incoming, &mut input, 100);
        assert_eq!((taken, stop), (vec![7, 7], Ok(Stop::Empty)));
        assert!(input.capacity() < 100);
    }

    #[test]
    fn a_close_may_say_some_codes_and_texts() {
        let close = |code: u16, reason: &[u8]| check_close(&[&code.to_be_bytes(), reason].concat());
        for code in [1000, 1001, 1011, 3000, 4999] {
            assert_eq!(close(code, b"bye"), Ok(()));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(close(code, b"bye").unwrap_err().code, 1002);
        }
        assert_eq!(close(1000, b"\xff").unwrap_err().code, 1007);
        assert_eq!(check_close(&[]), Ok(()));
        assert_eq!(check_close(&[3]).unwrap_err().code, 1002);
    }
}
