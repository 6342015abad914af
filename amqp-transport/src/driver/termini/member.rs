//! A connection's part in what is known of links: those that it attaches, and those that end with it.

use std::sync::{Arc, Weak};

use amqp_codec::{Role, Str};

use super::taking::{Stealing, steal};
use super::{Attached, Attachment, Left, Member, Registry, Suspended};
use crate::driver::clock;
use crate::driver::link::LinkInner;
use crate::engine::{LinkEnd, LossCause, LostTerminus, SessionId, TerminusKey, TerminusPlace};

impl Member {
    /// Who keeps the links, while anybody can ask for them. It may be the last hold: drop it without a lock, or where the
    /// connection is known to live.
    pub(crate) fn registry(&self) -> Option<Arc<Registry>> {
        self.registry.upgrade()
    }

    /// The name of a link of this connection, in which this is our role.
    pub(crate) fn key(&self, name: &Str, role: Role) -> TerminusKey {
        TerminusKey {
            identity: self.identity.clone(),
            container_id: self.container_id.clone(),
            name: name.clone(),
            role,
        }
    }

    pub(crate) fn place(&self, session: SessionId) -> TerminusPlace {
        TerminusPlace { connection: self.connection, session }
    }

    /// A link is attached under a name, and what was kept under it is not gone on with. Returns what the link is to
    /// remember, and a link that is to be stolen once the connection's lock is released.
    pub(crate) fn attach(
        &self,
        key: TerminusKey,
        link: &Arc<LinkInner>,
    ) -> (Box<Attachment>, Option<Weak<LinkInner>>) {
        let link = Arc::downgrade(link);
        let Some(registry) = self.registry() else {
            return (Box::new(Attachment { key, number: 0, link }), None);
        };
        let mut inner = registry.lock();
        inner.links = inner.links.wrapping_add(1);
        let number = inner.links;
        if let Some(left) = inner.store.take(&key) {
            inner.buried.push(LostTerminus { key: key.clone(), link: left, cause: LossCause::Replaced });
            registry.changed.notify_one();
        }
        let before = inner.attached.insert(key.clone(), Attached { number, link: Weak::clone(&link) });
        (Box::new(Attachment { key, number, link }), before.map(|before| before.link))
    }

    /// Steals a link that another has replaced. Call it without a lock.
    // L-002
    pub(crate) fn replace(&self, key: &TerminusKey, link: &Weak<LinkInner>) {
        let stolen = link.upgrade().and_then(|link| steal(&link, Stealing::ToReplace));
        let Some((what, _)) = stolen else { return };
        let lost =
            LostTerminus { key: key.clone(), link: Left { number: 0, what }, cause: LossCause::Replaced };
        let Some(registry) = self.registry() else { return };
        registry.lock().buried.push(lost);
        registry.changed.notify_one();
    }

    /// A link is over, with this left of it.
    pub(super) fn ended(&self, attachment: &Attachment, left: Option<(Suspended, SessionId)>, end: LinkEnd) {
        let Attachment { key, number, .. } = attachment;
        let Some(registry) = self.registry() else { return };
        let mut inner = registry.lock();
        let is_current = inner.forget(attachment);
        let Some((what, session)) = left else { return };
        let left = Left { number: *number, what };
        if is_current {
            inner.keep(key.clone(), left, self.place(session), end);
        } else {
            inner.buried.push(LostTerminus { key: key.clone(), link: left, cause: LossCause::Replaced });
        }
        registry.changed.notify_one();
    }

    // L-016
    pub(crate) fn session_ended(&self, session: SessionId) {
        let Some(registry) = self.registry() else { return };
        registry.lock().store.session_ended(self.place(session), clock::now());
        registry.changed.notify_one();
    }

    // L-016
    pub(crate) fn connection_closed(&self) {
        let Some(registry) = self.registry() else { return };
        registry.lock().store.connection_closed(self.connection, clock::now());
        registry.changed.notify_one();
    }
}
