//! The application's answer to a link that a peer attached.
//!
//! A plain consuming builder; it never touches a connection.

use amqp_codec::{
    DistributionMode, Fields, Multiple, ReceiverSettleMode, Role, SenderSettleMode, Source, Str, Symbol,
    Target, TargetArchetype, TerminusDurability, TerminusExpiryPolicy,
};

use crate::engine::{AttachReply, Retention, Settling, TerminusLimits};
use crate::handle::options::{CreditMode, Draining, OnDrop};

/// The application's answer to a link that a peer attached (`AMQP 1.0 §2.6.3`). The default grants what was asked.
#[derive(Clone, Debug, Default)]
pub struct AcceptOptions {
    pub(crate) source: Option<Source>,
    pub(crate) target: Option<Target>,
    pub(crate) snd_settle_mode: Option<SenderSettleMode>,
    pub(crate) rcv_settle_mode: Option<ReceiverSettleMode>,
    pub(crate) settling: Settling,
    pub(crate) max_message_size: Option<u64>,
    pub(crate) initial_delivery_count: u32,
    pub(crate) offered_capabilities: Multiple<Symbol>,
    desired_capabilities: Multiple<Symbol>,
    pub(crate) properties: Option<Fields>,
    pub(crate) credit: CreditMode,
    pub(crate) on_drop: OnDrop,
    pub(crate) draining: Draining,
    pub(crate) kept_bytes: Option<usize>,
    coordinator: Option<Vec<Symbol>>,
    address: Option<Str>,
    filters: Option<Vec<Symbol>>,
    distribution_mode: Option<DistributionMode>,
    capabilities: Option<Vec<Symbol>>,
}

impl AcceptOptions {
    /// Grants what the peer asked for.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The node's address, where it is not the one that was asked for; that of a dynamic node, which the peer leaves to
    /// this side to name. It goes into the source of a link on which the peer receives, otherwise into the target.
    /// Default what was asked for.
    // L-045, L-046
    #[must_use]
    pub fn address(mut self, address: impl Into<Str>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// What a coordinator can do, for a link that controls transactions.
    pub(crate) fn coordinator(mut self, capabilities: Vec<Symbol>) -> Self {
        self.coordinator = Some(capabilities);
        self
    }

    /// Keeps what is unsettled, and of a sender's messages up to so many bytes, so that the link can be resumed after a loss
    /// (`AMQP 1.0 §2.6.13`): by whoever holds its handle then, or by the listener's [`Termini`](super::Termini). Default nothing
    /// is kept.
    #[must_use]
    pub fn keep_unsettled(mut self, message_bytes: usize) -> Self {
        self.kept_bytes = Some(message_bytes);
        self
    }

    /// The names of the filters that are honoured. Others that the peer asked for are left out of the answer, which is
    /// how it learns that they are not in effect (`AMQP 1.0 §3.5.3`). Default all that were asked for.
    // L-050
    #[must_use]
    pub fn filters(mut self, names: impl IntoIterator<Item = Symbol>) -> Self {
        self.filters = Some(names.into_iter().collect());
        self
    }

    /// How the node distributes messages, whatever the peer asked for: a queue that cannot be browsed moves them, and whoever
    /// wanted copies sees it in the answer (`AMQP 1.0 §3.5.7`). Senders only. Default what was asked for.
    // L-010
    #[must_use]
    pub fn distribution_mode(mut self, mode: DistributionMode) -> Self {
        self.distribution_mode = Some(mode);
        self
    }

    /// The capabilities that the node has. Of those that the peer's terminus asks for, the answer repeats these
    /// (`AMQP 1.0 §3.5.3`). Default all that were asked for.
    // L-010
    #[must_use]
    pub fn node_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.capabilities = Some(capabilities.into_iter().collect());
        self
    }

    /// Who answers a peer that wants its credit back (senders only). Default automatic.
    #[must_use]
    pub fn draining(mut self, draining: Draining) -> Self {
        self.draining = draining;
        self
    }

    /// The source as this side sees it. Default the peer's own.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// The target as this side sees it. Default the peer's own.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The sender's settle mode granted. Default what was asked.
    #[must_use]
    pub fn snd_settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.snd_settle_mode = Some(mode);
        self
    }

    /// The receiver's settle mode granted. Default what was asked.
    #[must_use]
    pub fn rcv_settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.rcv_settle_mode = Some(mode);
        self
    }

    /// Who settles a message whose receiver told its outcome and left the settling to this side, as in mode second
    /// (`AMQP 1.0 §2.6.12`); by application, each [`Receipt`](crate::Receipt) decides (senders only). Default automatic.
    #[must_use]
    pub fn settling(mut self, settling: Settling) -> Self {
        self.settling = settling;
        self
    }

    /// The largest message taken, in bytes. Default 1 MiB for a receiver, not said by a sender.
    #[must_use]
    pub fn max_message_size(mut self, bytes: u64) -> Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// The delivery-count a sender starts from. Default 0.
    #[must_use]
    pub fn initial_delivery_count(mut self, count: u32) -> Self {
        self.initial_delivery_count = count;
        self
    }

    /// `attach.offered-capabilities`. Default none.
    #[must_use]
    pub fn offered_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.offered_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `attach.desired-capabilities`. Default none.
    #[must_use]
    pub fn desired_capabilities(mut self, capabilities: impl IntoIterator<Item = Symbol>) -> Self {
        self.desired_capabilities = capabilities.into_iter().collect::<Multiple<Symbol>>();
        self
    }

    /// `attach.properties`. Default none.
    #[must_use]
    pub fn properties(mut self, properties: Fields) -> Self {
        self.properties = Some(properties);
        self
    }

    /// How many messages the peer may send ahead (receivers only). Default [`CreditMode::Auto`] of 100.
    #[must_use]
    pub fn credit(mut self, credit: CreditMode) -> Self {
        self.credit = credit;
        self
    }

    /// What happens to a delivery that is dropped unsettled (receivers only). Default [`OnDrop::Release`].
    #[must_use]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.on_drop = on_drop;
        self
    }

    /// Fills an answer that grants the attach of a peer in this role with what was chosen here.
    pub(crate) fn reply(&self, peer: Role, mut reply: AttachReply) -> AttachReply {
        if let Some(source) = &self.source {
            reply.source = Some(source.clone());
        }
        if let Some(target) = &self.target {
            reply.target = Some(TargetArchetype::Target(target.clone()));
        }
        if let (Some(capabilities), Some(TargetArchetype::Coordinator(coordinator))) =
            (&self.coordinator, &mut reply.target)
        {
            coordinator.capabilities = capabilities.iter().cloned().collect();
        }
        match peer {
            Role::Receiver => self.describe_source(reply.source.get_or_insert_default()),
            Role::Sender => {
                if let Some(TargetArchetype::Target(target)) = &mut reply.target {
                    self.describe_target(target);
                }
            }
        }
        if let Some(mode) = self.snd_settle_mode {
            reply.snd_settle_mode = mode;
        }
        if let Some(mode) = self.rcv_settle_mode {
            reply.rcv_settle_mode = mode;
        }
        reply.settling = self.settling;
        if let Some(payload_octets) = self.kept_bytes {
            reply.retention = Retention::Keep { payload_octets };
        }
        reply.max_message_size = self.max_message_size;
        reply.initial_delivery_count = self.initial_delivery_count;
        reply.offered_capabilities = self.offered_capabilities.clone();
        reply.desired_capabilities = self.desired_capabilities.clone();
        reply.properties = self.properties.clone();
        reply
    }

    /// Leaves of the echo of what the peer asked for what the termini do; what the application says itself is its own word.
    // L-010, L-053
    pub(crate) fn grant(&self, peer: Role, reply: &mut AttachReply, limits: &TerminusLimits) {
        match (peer, &mut reply.source, &mut reply.target) {
            (Role::Receiver, Some(own), _) if self.source.is_none() => {
                grant(limits, &mut own.durable, &mut own.expiry_policy, &mut own.timeout);
            }
            (Role::Sender, _, Some(TargetArchetype::Target(own))) if self.target.is_none() => {
                grant(limits, &mut own.durable, &mut own.expiry_policy, &mut own.timeout);
            }
            _ => {}
        }
    }

    /// Whether an address is given to the terminus that is this side's when the peer has this role.
    pub(crate) fn names_node(&self, peer: Role) -> bool {
        let address = match peer {
            Role::Receiver => self.source.as_ref().and_then(|source| source.address.as_ref()),
            Role::Sender => self.target.as_ref().and_then(|target| target.address.as_ref()),
        };
        self.address.is_some() || address.is_some()
    }

    fn describe_source(&self, source: &mut Source) {
        if let Some(address) = &self.address {
            source.address = Some(address.clone());
        }
        if let (Some(honoured), Some(filter)) = (&self.filters, &mut source.filter) {
            filter.retain(|name, _| honoured.iter().any(|own| name == own.as_str()));
            if filter.is_empty() {
                source.filter = None;
            }
        }
        if let Some(mode) = &self.distribution_mode {
            source.distribution_mode = Some(mode.clone());
        }
        self.restrict(&mut source.capabilities);
    }

    fn describe_target(&self, target: &mut Target) {
        if let Some(address) = &self.address {
            target.address = Some(address.clone());
        }
        self.restrict(&mut target.capabilities);
    }

    fn restrict(&self, asked: &mut Multiple<Symbol>) {
        if let Some(capabilities) = &self.capabilities {
            *asked =
                core::mem::take(asked).into_iter().filter(|asked| capabilities.contains(asked)).collect();
        }
    }
}

/// Leaves of what a peer asks of our terminus what a store of these bounds does.
// L-010, L-053: an answer says what is in effect.
fn grant(
    limits: &TerminusLimits,
    durable: &mut TerminusDurability,
    policy: &mut TerminusExpiryPolicy,
    seconds: &mut u32,
) {
    let most = u32::try_from(limits.time.as_secs()).unwrap_or(u32::MAX);
    *durable = (*durable).min(limits.durability);
    *seconds = (*seconds).min(most);
    if *policy == TerminusExpiryPolicy::Never && most < u32::MAX {
        (*policy, *seconds) = (TerminusExpiryPolicy::ConnectionClose, most);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    // L-010, L-053: nothing is promised that is not kept.
    #[test]
    fn what_is_granted_is_what_is_kept() {
        use TerminusDurability::{Configuration, None as Nothing, UnsettledState};
        use TerminusExpiryPolicy::{ConnectionClose, Never, SessionEnd};
        let day = 24 * 60 * 60;
        let granted = |limits: &TerminusLimits, durable, policy, seconds| {
            let mut granted = (durable, policy, seconds);
            grant(limits, &mut granted.0, &mut granted.1, &mut granted.2);
            granted
        };
        let mut limits = TerminusLimits::default();
        assert_eq!(granted(&limits, UnsettledState, SessionEnd, 9), (Nothing, SessionEnd, 9));
        assert_eq!(granted(&limits, Nothing, SessionEnd, u32::MAX), (Nothing, SessionEnd, day));
        assert_eq!(granted(&limits, Nothing, Never, 0), (Nothing, ConnectionClose, day));
        (limits.durability, limits.time) = (Configuration, Duration::MAX);
        assert_eq!(granted(&limits, UnsettledState, Never, 0), (Configuration, Never, 0));
    }
}
