//! Links of a listener's peers that outlive their connections: kept while they are not attached, for as long as their
//! termini say.
//!
//! Owns the task that lets them go in time, and what is told of those that go. What is kept is the registry's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use amqp_codec::Str;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use crate::driver::listening::Role;
use crate::driver::termini::{Left, Registry};
use crate::engine::{LossCause, LostTerminus, TerminusKey, TerminusLimits, TerminusRecord};
use crate::error::ConnectionError;
use crate::handle::connection::Connection;

/// Where the links of a listener's peers are kept while they are not attached (`AMQP 1.0 §2.6.6`), in memory. Clones are
/// the same; give one to [`ListenerOptions::termini`](super::ListenerOptions::termini).
///
/// A link that was accepted with [`AcceptOptions::keep_unsettled`](super::AcceptOptions::keep_unsettled) and whose connection
/// or session is lost, or that is detached without being closed, is kept until its peer attaches the name anew, which
/// [`IncomingAttach::take_kept_sender`](super::IncomingAttach::take_kept_sender) and
/// [`take_kept_receiver`](super::IncomingAttach::take_kept_receiver) show, or until the expiry policy and the time-out of this
/// side's terminus (a sender's source, a receiver's target) end it. Its peer is known by what its authentication showed and by
/// its container-id.
///
/// What is lost is told: by [`lost`](Self::lost), and to each receipt of a message that was kept.
///
/// # Over a restart of the process
/// An application that promises durability ([`TerminusLimits::durability`]) writes [`records`](Self::records) down
/// ([`TerminusRecord::encode`]) and gives them to the next process' termini ([`restore`](Self::restore)). The protocol's part
/// of a link is in them. The rest is the application's own:
/// - No receipt and no [`Delivery`](crate::Delivery) outlives its process. The resumed sender has
///   [new receipts](crate::Sender::take_receipts), by tag; the resumed receiver's application
///   [settles](super::SuspendedReceiver::settle) what it has in a store of its own and
///   [forgets](super::SuspendedReceiver::forget) the rest, so that it comes again.
/// - Messages that came settled and that nobody had taken are lost.
/// - A record is true when it is made. What happens later and is not written down did not happen for the next process: a
///   message that was settled meanwhile is sent once more, and one that was sent meanwhile is unknown. Nothing is written
///   when a process dies, so that links which were attached then are gone.
/// - Octets of records hold messages. Where they lie and who reads them is for whoever writes them down.
#[derive(Clone, Debug)]
pub struct Termini {
    shared: Arc<Shared>,
}

/// A link that is not kept any more, nor attached.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LostLink {
    /// Which it was.
    pub key: TerminusKey,
    /// Why it went.
    pub cause: LossCause,
    /// How many deliveries of it were unsettled on this side. Those that an application holds settle nothing any more.
    pub deliveries: usize,
}

#[derive(Debug)]
struct Shared {
    registry: Arc<Registry>,
    told: Arc<Told>,
    /// The task that lets links go.
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What was lost and has been heard by nobody.
#[derive(Debug, Default)]
struct Told {
    lost: Mutex<VecDeque<LostLink>>,
    more: Notify,
}

impl Termini {
    /// Keeps nothing yet, and what these bounds allow from now on.
    #[must_use]
    pub fn new(limits: TerminusLimits) -> Self {
        let shared = Shared {
            registry: Arc::new(Registry::new(limits)),
            told: Arc::default(),
            task: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Waits for the next link that is lost: it expired, made room for another, found none, or its peer began anew. Of those
    /// that nobody waits for, the last 1,024 are remembered.
    ///
    /// # Cancel safety
    /// Safe: no loss is forgotten when the future is dropped.
    pub async fn lost(&self) -> LostLink {
        let told = &self.shared.told;
        loop {
            let more = told.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            if let Some(lost) = told.lock().pop_front() {
                return lost;
            }
            more.await;
        }
    }

    /// Links kept, which are not attached.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.registry.size().0
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets that they take, as [`TerminusLimits::octets`] counts them.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.shared.registry.size().1
    }

    /// What is to survive this process of the links that are kept, to be written down: of a terminus of durability
    /// `unsettled-state` everything, of one of durability `configuration` all but its deliveries, of one of durability `none`
    /// nothing (`AMQP 1.0 §3.5.5`), and nothing of one that ends with its connections. Peers are granted durability up to
    /// [`TerminusLimits::durability`].
    ///
    /// Links that are attached, or that an application has taken out, are not among them: ask once the connections are
    /// [closed](Connection::close) or lost.
    // L-016, L-053
    #[must_use]
    pub fn records(&self) -> Vec<TerminusRecord> {
        self.shared.registry.records()
    }

    /// Keeps a link of an earlier process, for as long as its record says, so that its peer can go on with it. Do so before
    /// peers are let in.
    ///
    /// # Errors
    /// Why it is not kept: [`Expired`](LossCause::Expired) or [`NoRoom`](LossCause::NoRoom), or
    /// [`Replaced`](LossCause::Replaced) where a link of that name is known, which is newer.
    // L-009, L-016
    pub fn restore(&self, record: TerminusRecord) -> Result<(), LossCause> {
        self.shared.registry.restore(record)
    }

    /// Gives up what is kept of a link, whose messages end as unknown. `false` when nothing is.
    pub fn give_up(&self, key: &TerminusKey) -> bool {
        self.shared.registry.give_up(key)
    }

    /// Makes a connection one of those whose links are kept here.
    pub(crate) fn join(&self, connection: &Connection, user: Option<&str>) -> Result<(), ConnectionError> {
        let identity = user.map(|user| Str::from(user.to_owned()));
        let container_id = connection.remote_open().container_id.clone();
        let registry = Arc::clone(&self.shared.registry);
        let member = Arc::new(registry.join(identity, container_id));
        self.start();
        connection.shared().with(|state| {
            if let Role::Listener(listener) = &mut state.role {
                (listener.termini, listener.registry) = (Some(member), Some(registry));
            }
        })
    }

    /// Sees to it that the task runs, which ends with its runtime or when nobody keeps anything here any more.
    fn start(&self) {
        let mut task = self.shared.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let (registry, told) = (&self.shared.registry, Arc::clone(&self.shared.told));
            let changed = Arc::clone(&registry.changed);
            *task = Some(tokio::spawn(let_go(Arc::downgrade(registry), told, changed)));
        }
    }
}

/// Lets go of links as they expire.
// L-016: at the end of its time a terminus is gone.
async fn let_go(registry: Weak<Registry>, told: Arc<Told>, changed: Arc<Notify>) {
    loop {
        let deadline = {
            let Some(registry) = registry.upgrade() else { return };
            let buried = registry.bury();
            if !buried.is_empty() {
                told.tell(buried);
            }
            registry.next_deadline()
        };
        match deadline {
            // Either is a reason to look again.
            Some(deadline) => drop(timeout_at(Instant::from_std(deadline), changed.notified()).await),
            None => changed.notified().await,
        }
    }
}

impl Told {
    /// Tells what was lost, and ends its messages.
    fn tell(&self, lost: Vec<LostTerminus<Left>>) {
        for LostTerminus { key, link, cause } in lost {
            let deliveries = link.as_ref().deliveries.len();
            debug!(container_id = %key.container_id, link = %key.name, ?cause, deliveries, "terminus lost");
            // Receipts end with it: not under the lock.
            drop(link);
            let mut told = self.lock();
            if told.len() >= MOST_UNHEARD {
                told.pop_front();
            }
            told.push_back(LostLink { key, cause, deliveries });
        }
        self.more.notify_waiters();
    }

    /// Nothing can be left half done under this lock, so poison is no reason to stop.
    fn lock(&self) -> MutexGuard<'_, VecDeque<LostLink>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Losses remembered for whoever asks later.
const MOST_UNHEARD: usize = 1_024;
