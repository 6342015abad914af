//! What one connection may do: the grants it has earned, by SASL or by tokens put on `$cbs`.
//!
//! Owns their replacement and their end. Time is passed in.

use super::{
    auth::{Grant, Holder, Need},
    registry::Rights,
};

/// The grants of one connection.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    grants: Vec<Grant>,
}

/// The answer to a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Allowed for good.
    Granted,
    /// Allowed until this wall time in milliseconds; a renewed token may move it.
    GrantedUntil(i64),
    Refused,
}

/// What a new grant changes for links that live already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// Nothing is allowed for a shorter time than before.
    Added,
    /// The grant it replaced would have lasted longer.
    Shortened,
}

/// A connection carries more grants than a hub allows devices on one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this connection holds {MAX_GRANTS} tokens, the most it can")]
pub(crate) struct TooManyGrants;

impl Claims {
    /// Adds a grant, which replaces the one for the same place by the same holder.
    pub(crate) fn put(&mut self, grant: Grant, now_ms: i64) -> Result<Put, TooManyGrants> {
        let end = |grant: &Grant| grant.expires_ms.unwrap_or(i64::MAX);
        let mut put = Put::Added;
        self.grants.retain(|known| {
            let is_same = known.scope == grant.scope && same_holder(&known.holder, &grant.holder);
            if is_same && end(&grant) < end(known) {
                put = Put::Shortened;
            }
            known.is_live(now_ms) && !is_same
        });
        if self.grants.len() >= MAX_GRANTS {
            return Err(TooManyGrants);
        }
        self.grants.push(grant);
        Ok(put)
    }

    /// Whether anything at all is granted.
    pub(crate) fn are_any(&self, now_ms: i64) -> bool {
        self.grants.iter().any(|grant| grant.is_live(now_ms))
    }

    /// Whether `need` is allowed now, and for how long.
    pub(crate) fn check(&self, need: &Need, now_ms: i64) -> Access {
        let fitting = self.grants.iter().filter(|grant| grant.allows(need, now_ms));
        fitting.fold(Access::Refused, |best, grant| match (best, grant.expires_ms) {
            (Access::Granted, _) | (_, None) => Access::Granted,
            (Access::GrantedUntil(known), Some(end)) => Access::GrantedUntil(known.max(end)),
            (Access::Refused, Some(end)) => Access::GrantedUntil(end),
        })
    }

    /// The grant that allows `need` now, for what it tells about its holder.
    pub(crate) fn find(&self, need: &Need, now_ms: i64) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.allows(need, now_ms))
    }

    /// The policy whose token is for the right place and lacks nothing but the right.
    pub(crate) fn without_right(&self, need: &Need, now_ms: i64) -> Option<&str> {
        let fitting = |grant: &&Grant| grant.is_live(now_ms) && grant.scope.covers(&need.scope);
        self.grants.iter().filter(fitting).find_map(|grant| match &grant.holder {
            Holder::Policy { name, rights } if !rights.contains(need.right) => Some(name.as_str()),
            _ => None,
        })
    }

    /// The devices this connection may act as by grants of their own.
    pub(crate) fn devices(&self, now_ms: i64) -> impl Iterator<Item = &str> {
        let live = self.grants.iter().filter(move |grant| grant.is_live(now_ms));
        live.filter(|grant| match &grant.holder {
            Holder::Device(_) => true,
            Holder::Policy { rights, .. } => rights.contains(Rights::DEVICE_CONNECT),
        })
        .filter_map(|grant| grant.scope.device_id())
    }
}

fn same_holder(one: &Holder, other: &Holder) -> bool {
    match (one, other) {
        (Holder::Device(one), Holder::Device(other)) => one == other,
        (Holder::Policy { name: one, .. }, Holder::Policy { name: other, .. }) => one == other,
        _ => false,
    }
}

/// Two tokens for each of the thousand devices that one connection carries at most.
const MAX_GRANTS: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::scope::Scope;

    fn grant(device: &str, expires_ms: Option<i64>) -> Grant {
        Grant { scope: Scope::device(device), holder: Holder::Device(device.to_owned()), expires_ms }
    }

    fn need(device: &str) -> Need {
        Need { scope: Scope::device(device), right: Rights::DEVICE_CONNECT }
    }

    #[test]
    fn a_renewed_token_moves_the_end() {
        let mut claims = Claims::default();
        claims.put(grant("a", Some(100)), 0).unwrap();
        assert_eq!(claims.check(&need("a"), 50), Access::GrantedUntil(100));
        assert_eq!(claims.put(grant("a", Some(200)), 50), Ok(Put::Added));
        assert_eq!(claims.check(&need("a"), 150), Access::GrantedUntil(200));
        assert_eq!(claims.check(&need("a"), 200), Access::Refused);
        assert_eq!(claims.check(&need("b"), 50), Access::Refused);
    }

    #[test]
    fn a_token_with_a_shorter_life_is_told_apart() {
        let mut claims = Claims::default();
        assert!(!claims.are_any(0));
        assert_eq!(claims.put(grant("a", None), 0), Ok(Put::Added));
        assert_eq!(claims.put(grant("a", Some(200)), 0), Ok(Put::Shortened));
        assert_eq!(claims.put(grant("b", Some(100)), 0), Ok(Put::Added));
        assert_eq!(claims.put(grant("a", Some(100)), 0), Ok(Put::Shortened));
        assert!(claims.are_any(99) && !claims.are_any(100));
    }

    #[test]
    fn a_key_does_not_end() {
        let mut claims = Claims::default();
        claims.put(grant("a", None), 0).unwrap();
        assert_eq!(claims.check(&need("a"), i64::MAX), Access::Granted);
        assert_eq!(claims.devices(0).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn a_connection_cannot_hoard_tokens() {
        let mut claims = Claims::default();
        for n in 0..MAX_GRANTS {
            claims.put(grant(&n.to_string(), Some(10)), 0).unwrap();
        }
        assert_eq!(claims.put(grant("more", None), 0), Err(TooManyGrants));
        claims.put(grant("more", None), 10).unwrap();
    }
}
