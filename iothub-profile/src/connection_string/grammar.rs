//! The grammar `Key=Value (";" Key=Value)* ";"?` and the keys it knows.

use nom::{
    IResult, Parser as _,
    bytes::complete::take_while,
    character::complete::char,
    combinator::{all_consuming, opt},
    multi::separated_list0,
    sequence::separated_pair,
};

use super::{ConnectionStringError, MAX_LENGTH};

macro_rules! keys {
    ($($variant:ident $text:literal),+ $(,)?) => {
        /// A key that connection strings have.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Field { $($variant),+ }

        impl Field {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The key in the spelling of the documentation.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

keys! {
    HostName "HostName",
    DeviceId "DeviceId",
    ModuleId "ModuleId",
    SharedAccessKey "SharedAccessKey",
    SharedAccessKeyName "SharedAccessKeyName",
    SharedAccessSignature "SharedAccessSignature",
    GatewayHostName "GatewayHostName",
    X509 "x509",
    Endpoint "Endpoint",
    EntityPath "EntityPath",
    UseDevelopmentEmulator "UseDevelopmentEmulator",
}

/// The pairs of a connection string, taken out one by one.
pub(super) struct Fields<'a> {
    pairs: Vec<(Field, &'a str)>,
}

impl<'a> Fields<'a> {
    /// Splits a text into known, unique keys.
    pub(super) fn parse(text: &'a str) -> Result<Self, ConnectionStringError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ConnectionStringError::Empty);
        }
        if text.len() > MAX_LENGTH {
            return Err(ConnectionStringError::TooLong);
        }
        let Ok((_, raw)) = pairs(text) else {
            return Err(ConnectionStringError::NotAPair { position: first_malformed(text) });
        };
        let mut pairs: Vec<(Field, &str)> = Vec::with_capacity(raw.len());
        for (name, value) in raw {
            let name = name.trim();
            let Some(key) = Field::ALL.iter().copied().find(|key| key.name().eq_ignore_ascii_case(name))
            else {
                return Err(ConnectionStringError::UnknownKey(printable(name)));
            };
            if pairs.iter().any(|(known, _)| *known == key) {
                return Err(ConnectionStringError::DuplicateKey(key.name()));
            }
            pairs.push((key, value.trim()));
        }
        Ok(Self { pairs })
    }

    pub(super) fn has(&self, key: Field) -> bool {
        self.pairs.iter().any(|(known, _)| *known == key)
    }

    /// Takes a key's value, which must not be empty where the key stands.
    pub(super) fn take_filled(&mut self, key: Field) -> Result<Option<&'a str>, ConnectionStringError> {
        let Some(index) = self.pairs.iter().position(|(known, _)| *known == key) else { return Ok(None) };
        let (_, value) = self.pairs.swap_remove(index);
        if value.is_empty() { Err(ConnectionStringError::EmptyValue(key.name())) } else { Ok(Some(value)) }
    }

    /// Complains of keys that this kind of connection string has no use for.
    pub(super) fn finish(self) -> Result<(), ConnectionStringError> {
        match self.pairs.first() {
            Some((key, _)) => Err(ConnectionStringError::Value {
                key: key.name(),
                problem: "does not belong into this kind of connection string",
            }),
            None => Ok(()),
        }
    }
}

fn pairs(text: &str) -> IResult<&str, Vec<(&str, &str)>> {
    let pair = separated_pair(take_while(|c| c != '=' && c != ';'), char('='), take_while(|c| c != ';'));
    let list = (separated_list0(char(';'), pair), opt(char(';')));
    all_consuming(list.map(|(pairs, _)| pairs)).parse(text)
}

/// The number of the first part without an equals sign, from one.
fn first_malformed(text: &str) -> usize {
    text.split(';').position(|part| !part.contains('=')).map_or(1, |index| index + 1)
}

/// An unknown key may really be a secret pasted in the wrong place: shown only where it looks like a word.
fn printable(name: &str) -> String {
    let is_word = !name.is_empty() && name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word { name.to_owned() } else { "(not shown: it may be a secret)".to_owned() }
}
