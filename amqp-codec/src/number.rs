//! Numbers and identifiers that Rust has no primitive for.
//!
//! Owns their meaning only; their octets are written in `primitive`.

use core::fmt;

/// Milliseconds since the Unix epoch, possibly negative (AMQP 1.0 §1.6.17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl From<i64> for Timestamp {
    fn from(milliseconds: i64) -> Self {
        Self(milliseconds)
    }
}

/// Sixteen octets in RFC 4122 order (AMQP 1.0 §1.6.18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    /// The five groups of lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, octet) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{octet:02x}")?;
        }
        Ok(())
    }
}

/// A 32-bit decimal as its IEEE 754-2008 bits; never interpreted (AMQP 1.0 §1.6.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal32(pub [u8; 4]);

/// A 64-bit decimal as its IEEE 754-2008 bits; never interpreted (AMQP 1.0 §1.6.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal64(pub [u8; 8]);

/// A 128-bit decimal as its IEEE 754-2008 bits; never interpreted (AMQP 1.0 §1.6.15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal128(pub [u8; 16]);

/// A 32-bit serial number with the arithmetic of RFC 1982: it wraps, and order is by distance.
///
/// There is no `PartialOrd`: the order of serial numbers is not transitive, so it has names of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SerialNumber(pub u32);

impl SerialNumber {
    /// The number `steps` further on, wrapping.
    #[inline]
    #[must_use]
    pub const fn add(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }

    /// The next number, wrapping.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        self.add(1)
    }

    /// How many steps lead from `earlier` to `self`, wrapping.
    #[inline]
    pub const fn distance_from(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// How far `self` is ahead of `other`: negative when it is behind.
    #[inline]
    pub const fn signed_distance_from(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// Whether `self` comes before `other`; false for equal numbers and for the undefined distance of 2³¹.
    #[inline]
    pub const fn precedes(self, other: Self) -> bool {
        let distance = other.0.wrapping_sub(self.0);
        distance != 0 && distance < 0x8000_0000
    }
}

impl From<u32> for SerialNumber {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn serial_numbers_wrap_and_compare_by_distance() {
        let last = SerialNumber(u32::MAX);
        assert_eq!(last.next(), SerialNumber(0));
        assert!(last.precedes(SerialNumber(0)));
        assert!(!SerialNumber(0).precedes(last));
        assert!(!last.precedes(last));
        assert!(!SerialNumber(0).precedes(SerialNumber(0x8000_0000)));
        assert_eq!(SerialNumber(2).distance_from(last), 3);
        assert_eq!(last.signed_distance_from(SerialNumber(2)), -3);
    }

    #[test]
    fn uuid_is_shown_in_groups() {
        let octets =
            [0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        assert_eq!(Uuid(octets).to_string(), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
