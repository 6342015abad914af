//! The constructor octets of AMQP 1.0 §1.6 and what each says about the octets that follow.

pub(crate) const DESCRIBED: u8 = 0x00;
pub(crate) const NULL: u8 = 0x40;
pub(crate) const TRUE: u8 = 0x41;
pub(crate) const FALSE: u8 = 0x42;
pub(crate) const BOOLEAN: u8 = 0x56;
pub(crate) const UBYTE: u8 = 0x50;
pub(crate) const USHORT: u8 = 0x60;
pub(crate) const UINT: u8 = 0x70;
pub(crate) const SMALL_UINT: u8 = 0x52;
pub(crate) const UINT0: u8 = 0x43;
pub(crate) const ULONG: u8 = 0x80;
pub(crate) const SMALL_ULONG: u8 = 0x53;
pub(crate) const ULONG0: u8 = 0x44;
pub(crate) const BYTE: u8 = 0x51;
pub(crate) const SHORT: u8 = 0x61;
pub(crate) const INT: u8 = 0x71;
pub(crate) const SMALL_INT: u8 = 0x54;
pub(crate) const LONG: u8 = 0x81;
pub(crate) const SMALL_LONG: u8 = 0x55;
pub(crate) const FLOAT: u8 = 0x72;
pub(crate) const DOUBLE: u8 = 0x82;
pub(crate) const DECIMAL32: u8 = 0x74;
pub(crate) const DECIMAL64: u8 = 0x84;
pub(crate) const DECIMAL128: u8 = 0x94;
pub(crate) const CHAR: u8 = 0x73;
pub(crate) const TIMESTAMP: u8 = 0x83;
pub(crate) const UUID: u8 = 0x98;
pub(crate) const BINARY8: u8 = 0xa0;
pub(crate) const BINARY32: u8 = 0xb0;
pub(crate) const STRING8: u8 = 0xa1;
pub(crate) const STRING32: u8 = 0xb1;
pub(crate) const SYMBOL8: u8 = 0xa3;
pub(crate) const SYMBOL32: u8 = 0xb3;
pub(crate) const LIST0: u8 = 0x45;
pub(crate) const LIST8: u8 = 0xc0;
pub(crate) const LIST32: u8 = 0xd0;
pub(crate) const MAP8: u8 = 0xc1;
pub(crate) const MAP32: u8 = 0xd1;
pub(crate) const ARRAY8: u8 = 0xe0;
pub(crate) const ARRAY32: u8 = 0xf0;

/// From the constructor with a one-octet size to the one with four.
pub(crate) const SHORT_TO_LONG: u8 = 0x10;

/// How long the octets after a constructor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Always this many octets.
    Fixed(u8),
    /// One octet of length, then that many.
    Sized8,
    /// Four octets of length, then that many.
    Sized32,
}

/// [`layout`] of every octet, as a table: this is asked for each value that is stepped over.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which refuses an index out of range")]
pub(crate) static LAYOUTS: [Option<Layout>; 256] = {
    let mut layouts = [None; 256];
    let mut octet = 0_u8;
    loop {
        layouts[octet as usize] = layout(octet);
        if octet == u8::MAX {
            break layouts;
        }
        octet += 1;
    }
};

/// The layout of an assigned constructor; `None` for `0x00` and every unassigned octet (T-004).
// T-001: the high half says how long.
pub(crate) const fn layout(code: u8) -> Option<Layout> {
    Some(match code {
        NULL | TRUE | FALSE | UINT0 | ULONG0 | LIST0 => Layout::Fixed(0),
        BOOLEAN | UBYTE | SMALL_UINT | SMALL_ULONG | BYTE | SMALL_INT | SMALL_LONG => Layout::Fixed(1),
        USHORT | SHORT => Layout::Fixed(2),
        UINT | INT | FLOAT | DECIMAL32 | CHAR => Layout::Fixed(4),
        ULONG | LONG | DOUBLE | DECIMAL64 | TIMESTAMP => Layout::Fixed(8),
        DECIMAL128 | UUID => Layout::Fixed(16),
        BINARY8 | STRING8 | SYMBOL8 | LIST8 | MAP8 | ARRAY8 => Layout::Sized8,
        BINARY32 | STRING32 | SYMBOL32 | LIST32 | MAP32 | ARRAY32 => Layout::Sized32,
        _ => return None,
    })
}
