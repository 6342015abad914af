//! Into compounds and out of them.
//!
//! Owns the depth, and that a compound's octets are read to their end and no further.

use super::{Cursor, Result};
use crate::{error::DecodeErrorKind, format_code as code};

/// An open compound: how many elements it claims, and what follows it.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) count: usize,
    after: &'a [u8],
}

/// How wide a compound's size and count are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    One,
    Four,
}

impl<'a> Cursor<'a> {
    /// One level down (T-047).
    #[inline]
    pub(crate) fn enter(&mut self, what: &'static str) -> Result<()> {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => Err(self.error(DecodeErrorKind::TooDeep, what)),
        }
    }

    #[inline]
    pub(crate) const fn leave(&mut self) {
        self.depth_left = self.depth_left.saturating_add(1);
    }

    /// Opens a list, map or array whose constructor, one of the 8 or 32 bit forms, was just read. From here to
    /// [`close`](Self::close) the cursor sees only the compound's own octets.
    #[inline(always)]
    pub(crate) fn open(&mut self, wide: Width, what: &'static str) -> Result<Scope<'a>> {
        self.enter(what)?;
        let size = match wide {
            Width::One => usize::from(self.read_u8()?),
            Width::Four => self.read_length32()?,
        };
        // T-046: the size is checked against what is there before anything is believed.
        let body = self.take(size)?;
        let after = self.rest;
        self.rest = body;
        let count = match wide {
            Width::One => self.read_u8().map(usize::from),
            Width::Four => self.read_length32(),
        };
        let count = count.map_err(|_| self.error(DecodeErrorKind::SizeMismatch, what))?;
        Ok(Scope { count, after })
    }

    /// Opens a compound whose elements take at least one octet each.
    #[inline(always)]
    pub(crate) fn open_counted(&mut self, wide: Width, what: &'static str) -> Result<Scope<'a>> {
        let scope = self.open(wide, what)?;
        if scope.count > self.rest.len() {
            return Err(self.error(DecodeErrorKind::CountTooLarge, what));
        }
        Ok(scope)
    }

    /// Opens a list whose constructor comes next and returns how many elements it has; it is not to be closed.
    #[inline]
    pub(crate) fn open_list(&mut self, what: &'static str) -> Result<usize> {
        match self.read_u8()? {
            code::LIST0 => Ok(0),
            code::LIST8 => self.open_counted(Width::One, what).map(|scope| scope.count),
            code::LIST32 => self.open_counted(Width::Four, what).map(|scope| scope.count),
            other => Err(self.wrong_type(other, what)),
        }
    }

    /// Closes a compound; its octets must all have been read (T-036).
    #[inline]
    pub(crate) fn close(&mut self, scope: &Scope<'a>, what: &'static str) -> Result<()> {
        if !self.rest.is_empty() {
            return Err(self.error(DecodeErrorKind::SizeMismatch, what));
        }
        self.rest = scope.after;
        self.leave();
        Ok(())
    }

    /// Whether what is read here is part of an array's elements.
    pub(crate) const fn is_in_array(&self) -> bool {
        self.is_in_array
    }

    /// The elements of an array begin. Returns what [`leave_array`](Self::leave_array) is to be given.
    pub(crate) const fn enter_array(&mut self) -> bool {
        core::mem::replace(&mut self.is_in_array, true)
    }

    pub(crate) const fn leave_array(&mut self, outer: bool) {
        self.is_in_array = outer;
    }
}
