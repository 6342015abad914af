//! A peer's attach, kept for as long as its link.
//!
//! Owns the form in which it is kept: encoded, which takes a fifth of the memory. A connection may carry many links, and
//! hardly anybody looks at an attach twice.

use std::fmt;
use std::sync::Arc;

use amqp_codec::{Attach, DecodeLimits, from_bytes, to_bytes};
use bytes::Bytes;

/// An attach in its encoded form.
#[derive(Clone)]
pub struct KeptAttach(Arc<[u8]>);

impl KeptAttach {
    pub(crate) fn new(attach: &Attach) -> Self {
        Self(Arc::from(&to_bytes(attach)[..]))
    }

    /// Octets that it takes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The attach as it came, decoded anew each time; `None` if that fails, which it does not for one that came.
    #[must_use]
    pub fn get(&self) -> Option<Attach> {
        // What was decoded within these limits is within them still: it is written in its smallest form.
        from_bytes(&Bytes::copy_from_slice(&self.0), &DecodeLimits::performative()).ok()
    }
}

impl fmt::Debug for KeptAttach {
    // Properties may be secrets: only how large it is is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptAttach").field("octets", &self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use amqp_codec::{Fields, Role, Source, Symbol, Value};

    use super::*;

    #[test]
    fn an_attach_comes_back_as_it_was() {
        let mut attach = Attach::new("link", 7, Role::Receiver);
        attach.source = Some(Source { address: Some("queue".into()), ..Source::default() });
        attach.properties =
            Some(Fields::default().with(Symbol::from_static("secret"), Value::from("hush-hush")));
        let kept = KeptAttach::new(&attach);
        assert_eq!(kept.get(), Some(attach));
        assert!(!format!("{kept:?}").contains("hush"));
    }
}
