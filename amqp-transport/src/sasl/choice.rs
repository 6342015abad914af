//! Which mechanism a client takes of those a server offers.

use amqp_codec::{Multiple, SaslMechanisms, Symbol};

use super::mechanism::{ClientMechanism, Exposure};
use crate::error::SaslFailure;

/// Whether others can read what goes over the stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Channel {
    /// They may: no TLS. Mechanisms that show a secret are not used.
    #[default]
    Open,
    /// They cannot: TLS, a pipe within a process, or a network the caller answers for.
    Private,
}

/// The mechanisms a client is willing to use, the preferred one first.
#[derive(Debug)]
pub struct Choice {
    channel: Channel,
    mechanisms: Vec<Box<dyn ClientMechanism>>,
}

impl Choice {
    /// No mechanism yet.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel, mechanisms: Vec::new() }
    }

    /// This mechanism and no other.
    pub fn only(channel: Channel, mechanism: impl ClientMechanism + 'static) -> Self {
        Self::new(channel).or(Box::new(mechanism))
    }

    /// This one too, where the server offers none of those before.
    #[must_use]
    pub fn or(mut self, mechanism: Box<dyn ClientMechanism>) -> Self {
        self.mechanisms.push(mechanism);
        self
    }

    /// The first of ours that the server offers and the channel allows.
    // names are compared as they are; no secret goes where others can read it.
    pub(crate) fn take(self, offer: &SaslMechanisms) -> Result<Box<dyn ClientMechanism>, SaslFailure> {
        let offered = &offer.sasl_server_mechanisms;
        if offered.is_empty() {
            return Err(SaslFailure::NothingOffered);
        }
        let mut exposed = None;
        let mut wanted = Vec::new();
        for mechanism in self.mechanisms {
            let name = mechanism.name();
            wanted.push(name);
            if !offered.contains_symbol(name) {
                continue;
            }
            if self.channel == Channel::Open && mechanism.exposure() == Exposure::Secret {
                exposed.get_or_insert(name);
                continue;
            }
            return Ok(mechanism);
        }
        match exposed {
            Some(mechanism) => Err(SaslFailure::NeedsTls { mechanism: mechanism.to_owned() }),
            None => Err(SaslFailure::MechanismNotOffered {
                wanted: wanted.join(" or "),
                offered: listed(offered),
            }),
        }
    }
}

/// What a server offers, as far as it is fit to be printed.
fn listed(offered: &Multiple<Symbol>) -> String {
    let mut text = String::new();
    for name in offered.iter().take(LISTED) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(name.as_str().chars().take(LISTED_NAME).flat_map(char::escape_default));
    }
    if offered.len() > LISTED {
        text.push_str(" and more");
    }
    text
}

/// Names of a server's offer that an error repeats.
const LISTED: usize = 16;
/// Characters of each; a registered name has at most 20 (RFC 4422 §3.1).
const LISTED_NAME: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::{Anonymous, Plain, Xoauth2};
    use crate::secret::Secret;

    fn offer(names: &[&'static str]) -> SaslMechanisms {
        SaslMechanisms {
            sasl_server_mechanisms: names.iter().map(|name| Symbol::from_static(name)).collect(),
        }
    }

    fn ours(channel: Channel) -> Choice {
        Choice::new(channel)
            .or(Box::new(Xoauth2::new("u", Secret::from("t"))))
            .or(Box::new(Plain::new("u", Secret::from("p"))))
            .or(Box::new(Anonymous::default()))
    }

    fn taken(choice: Choice, names: &[&'static str]) -> Result<&'static str, SaslFailure> {
        choice.take(&offer(names)).map(|mechanism| mechanism.name())
    }

    //
    #[test]
    fn our_order_decides_and_not_the_servers() {
        let private = || ours(Channel::Private);
        assert_eq!(taken(private(), &["ANONYMOUS", "PLAIN", "XOAUTH2"]), Ok("XOAUTH2"));
        assert_eq!(taken(private(), &["ANONYMOUS", "PLAIN"]), Ok("PLAIN"));
        assert_eq!(taken(private(), &["plain", "ANONYMOUS"]), Ok("ANONYMOUS"));
    }

    // PLAIN without TLS only where the caller allows it.
    #[test]
    fn a_secret_is_not_shown_on_an_open_channel() {
        assert_eq!(taken(ours(Channel::Open), &["PLAIN", "ANONYMOUS"]), Ok("ANONYMOUS"));
        let only = Choice::only(Channel::Open, Plain::new("u", Secret::from("p")));
        assert_eq!(
            taken(only, &["PLAIN", "ANONYMOUS"]),
            Err(SaslFailure::NeedsTls { mechanism: "PLAIN".to_owned() })
        );
    }

    //
    #[test]
    fn an_empty_offer_and_a_strange_one_are_told_apart() {
        assert_eq!(taken(ours(Channel::Private), &[]), Err(SaslFailure::NothingOffered));
        let strange = taken(ours(Channel::Private), &["GSSAPI", "A\u{1b}[2J"]).unwrap_err().to_string();
        assert!(strange.contains("GSSAPI") && strange.contains("PLAIN"), "{strange}");
        assert!(!strange.contains('\u{1b}'), "{strange:?}");
    }
}
