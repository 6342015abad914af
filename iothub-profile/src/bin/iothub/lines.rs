//! Splits a stream of bytes into lines, one message each, whatever the chunks it arrives in.
//!
//! The rules of `--lines`: a line ends with LF; a CR right before that LF belongs to the line's end and not to the
//! message; an empty line is an empty message; a last line without an end counts. Every other byte, a lone CR
//! included, is kept as it is. This file owns those rules and never reads a file.

use bytes::{Bytes, BytesMut};

/// Cuts chunks of bytes into lines and keeps the unfinished one between chunks.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    /// The start of a line whose end has not arrived.
    partial: BytesMut,
    max_line: usize,
    lines: u64,
}

/// A line is longer than one message can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is longer than {limit} bytes, the most one message can hold")]
pub(crate) struct LineTooLong {
    /// Number of the line, the first being 1.
    pub(crate) line: u64,
    /// The bound it broke, in bytes.
    pub(crate) limit: usize,
}

impl LineSplitter {
    /// A splitter for lines of at most `max_line` bytes.
    pub(crate) fn new(max_line: usize) -> Self {
        Self { partial: BytesMut::new(), max_line, lines: 0 }
    }

    /// Appends to `out` every line that ends inside `chunk`; the lines are slices of it where they can be.
    pub(crate) fn push(&mut self, mut chunk: Bytes, out: &mut Vec<Bytes>) -> Result<(), LineTooLong> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let mut head = chunk.split_to(end.saturating_add(1));
            head.truncate(end);
            let line = if self.partial.is_empty() { head } else { self.join(&head)? };
            out.push(self.complete(line)?);
        }
        self.join_partial(&chunk)
    }

    /// The last line, when the input did not end with a line end.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        if self.partial.is_empty() {
            return None;
        }
        self.lines = self.lines.saturating_add(1);
        Some(self.partial.split().freeze())
    }

    fn join(&mut self, head: &[u8]) -> Result<Bytes, LineTooLong> {
        self.join_partial(head)?;
        Ok(self.partial.split().freeze())
    }

    fn join_partial(&mut self, piece: &[u8]) -> Result<(), LineTooLong> {
        // One byte more than the limit may wait here: it can be the CR of a line end.
        if self.partial.len().saturating_add(piece.len()) > self.max_line.saturating_add(1) {
            return Err(self.too_long());
        }
        self.partial.extend_from_slice(piece);
        Ok(())
    }

    fn complete(&mut self, mut line: Bytes) -> Result<Bytes, LineTooLong> {
        if line.last() == Some(&b'\r') {
            line.truncate(line.len().saturating_sub(1));
        }
        if line.len() > self.max_line {
            return Err(self.too_long());
        }
        self.lines = self.lines.saturating_add(1);
        Ok(line)
    }

    fn too_long(&self) -> LineTooLong {
        LineTooLong { line: self.lines.saturating_add(1), limit: self.max_line }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut splitter = LineSplitter::new(64);
        let mut out = Vec::new();
        for chunk in chunks {
            splitter.push(Bytes::copy_from_slice(chunk), &mut out).unwrap();
        }
        out.extend(splitter.finish());
        out.iter().map(|line| line.to_vec()).collect()
    }

    #[test]
    fn a_line_ends_with_lf_or_crlf_and_a_lone_cr_is_kept() {
        assert_eq!(split(&[b"a\nb\r\nc\rd\n"]), [&b"a"[..], b"b", b"c\rd"]);
    }

    #[test]
    fn an_empty_line_is_an_empty_message() {
        assert_eq!(split(&[b"\n\r\na\n"]), [&b""[..], b"", b"a"]);
    }

    #[test]
    fn a_last_line_without_an_end_counts_and_keeps_its_cr() {
        assert_eq!(split(&[b"a\nb"]), [&b"a"[..], b"b"]);
        assert_eq!(split(&[b"a\nb\r"]), [&b"a"[..], b"b\r"]);
        assert_eq!(split(&[b"a\n"]), [&b"a"[..]]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn a_crlf_cut_between_two_chunks_is_still_one_line_end() {
        assert_eq!(split(&[b"ab\r", b"\ncd", b"e", b"\n"]), [&b"ab"[..], b"cde"]);
    }

    #[test]
    fn a_line_over_the_limit_is_named_by_its_number_in_one_chunk_or_many() {
        let mut out = Vec::new();
        let error = LineSplitter::new(4).push(Bytes::from_static(b"1234\n12345\n"), &mut out);
        assert_eq!(error, Err(LineTooLong { line: 2, limit: 4 }));
        let mut splitter = LineSplitter::new(4);
        splitter.push(Bytes::from_static(b"1234"), &mut out).unwrap();
        splitter.push(Bytes::from_static(b"\r\n123"), &mut out).unwrap();
        let error = splitter.push(Bytes::from_static(b"456"), &mut out);
        assert_eq!(error, Err(LineTooLong { line: 2, limit: 4 }));
        assert_eq!(splitter.partial.len(), 3, "a line that never ends costs no memory beyond the limit");
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_changes_nothing(
            lines in prop::collection::vec("[a-c]{0,5}", 0..20),
            cuts in prop::collection::vec(1_usize..7, 1..40),
        ) {
            let text: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            let mut chunks = Vec::new();
            let mut rest = &text[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
            }
            let expected: Vec<Vec<u8>> = lines.iter().map(|line| line.clone().into_bytes()).collect();
            prop_assert_eq!(split(&chunks), expected);
        }
    }
}
