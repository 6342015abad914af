//! Our codec and the codecs of others on random values of every type, in both directions.
//!
//! Ours are encoded by us, decoded by the peer, compared, encoded by the peer and decoded by us. Theirs are made and
//! encoded by the peer, decoded by us, compared, encoded by us and decoded by the peer. What a peer is known to get wrong
//! or cannot express is listed with it by name; whatever else differs fails, and so does a name that nothing needs.

pub(crate) mod deviations;
mod generate;
mod process;
pub(crate) mod serde_amqp;

use std::collections::BTreeMap;

use amqp_codec::{DecodeLimits, Value, from_bytes, to_bytes};
use serde_json::Value as Json;
use workspace_tests::typed::{hex, unhex, value};

use deviations::{Deviation, PROTON, RHEA, SERDE_AMQP};
use process::Program;
use serde_amqp::SerdeAmqp;

/// Somebody else's codec.
trait Peer {
    /// What the peer reads in each of some encoded values, and how it writes what it has read.
    fn check(&mut self, encoded: &[String]) -> Vec<Answer>;

    /// Random values of the peer's own.
    fn make(&mut self, seed: u64, count: usize) -> Vec<Answer>;
}

/// What a peer says of one value.
#[derive(Clone, Debug, Default)]
struct Answer {
    /// In typed notation; absent if the peer could not read it.
    value: Option<Json>,
    /// The peer's encoding; absent if it could not write it.
    hex: Option<String>,
    error: Option<String>,
}

#[test]
#[ignore = "needs python-qpid-proton; run by tests/interop/run.sh"]
fn agreement_qpid_proton() {
    let python = std::env::var_os("INTEROP_PYTHON").expect("INTEROP_PYTHON");
    agree("qpid-proton", &mut Program::new(python, "proton_values.py"), PROTON);
}

#[test]
#[ignore = "needs rhea; run by tests/interop/run.sh"]
fn agreement_rhea() {
    agree("rhea", &mut Program::new("node", "rhea_values.js"), RHEA);
}

#[test]
#[ignore = "takes some seconds; run by tests/interop/run.sh"]
fn agreement_serde_amqp() {
    agree("serde_amqp", &mut SerdeAmqp, SERDE_AMQP);
}

fn agree(peer: &str, codec: &mut dyn Peer, known: &'static [Deviation]) {
    let seed = std::env::var("INTEROP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let mut verdict = Verdict::new(known);

    let ours = generate::values(seed, COUNT);
    let encoded: Vec<String> = ours.iter().map(|typed| hex(&to_bytes(&value(typed)))).collect();
    let answers = codec.check(&encoded);
    assert_eq!(answers.len(), ours.len(), "{peer} answers every line");
    for ((typed, encoded), answer) in ours.iter().zip(&encoded).zip(answers) {
        verdict.count(typed, encoded, read_and_written(typed, &answer));
    }
    let ours = verdict.agreed;

    let theirs = codec.make(seed, COUNT);
    assert_eq!(theirs.len(), COUNT, "{peer} makes as many values as were asked for");
    let mut kept = Vec::new();
    for answer in theirs {
        let typed = answer.value.expect("what the peer has made");
        let Some(encoded) = answer.hex else {
            verdict.count(&typed, "", Err(format!("not written: {:?}", answer.error)));
            continue;
        };
        match decode(&encoded) {
            Ok(read) if read == value(&typed) => kept.push((typed, hex(&to_bytes(&read)))),
            other => verdict.count(&typed, &encoded, Err(format!("we read {other:?}"))),
        }
    }
    let encoded: Vec<String> = kept.iter().map(|(_, encoded)| encoded.clone()).collect();
    for ((typed, encoded), answer) in kept.iter().zip(codec.check(&encoded)) {
        verdict.count(typed, encoded, read_and_written(typed, &answer));
    }
    verdict.conclude(peer, ours, seed);
}

/// Whether a peer has read an encoding of ours as what it means, and written it so that we read the same again.
fn read_and_written(typed: &Json, answer: &Answer) -> Result<(), String> {
    let meant = value(typed);
    let Some(read) = &answer.value else { return Err(format!("not read: {}", text(&answer.error))) };
    if read != typed {
        let (read, typed) = (read.to_string(), typed.to_string());
        let same = read.chars().zip(typed.chars()).take_while(|(read, typed)| read == typed).count();
        let from = |text: &str| text.chars().skip(same.saturating_sub(60)).collect::<String>();
        return Err(format!(
            "read after {same} characters as {:.200}, not {:.200}",
            from(&read),
            from(&typed)
        ));
    }
    let Some(written) = &answer.hex else { return Err(format!("not written: {}", text(&answer.error))) };
    match decode(written) {
        Ok(again) if again == meant => Ok(()),
        Ok(again) => Err(format!("written as {written}: {again:?}")),
        Err(error) => Err(format!("written as {written}: {error}")),
    }
}

fn decode(encoded: &str) -> Result<Value, amqp_codec::DecodeError> {
    from_bytes(&unhex(encoded), &DecodeLimits::message())
}

fn text(error: &Option<String>) -> &str {
    error.as_deref().unwrap_or("no reason given")
}

/// What has been counted.
struct Verdict {
    known: &'static [Deviation],
    agreed: usize,
    deviated: BTreeMap<&'static str, usize>,
    differences: Vec<[String; 3]>,
}

impl Verdict {
    fn new(known: &'static [Deviation]) -> Self {
        Self { known, agreed: 0, deviated: BTreeMap::new(), differences: Vec::new() }
    }

    fn count(&mut self, typed: &Json, encoded: &str, result: Result<(), String>) {
        let Err(difference) = result else {
            self.agreed += 1;
            return;
        };
        match self.known.iter().find(|deviation| (deviation.concerns)(typed)) {
            Some(deviation) => *self.deviated.entry(deviation.name).or_default() += 1,
            None => self.differences.push([typed.to_string(), encoded.to_owned(), difference]),
        }
    }

    fn conclude(self, peer: &str, ours: usize, seed: u64) {
        for difference in self.differences.iter().take(SHOWN) {
            let parts =
                difference.each_ref().map(|part| part.chars().take(SHOWN_OF_EACH).collect::<String>());
            println!("DIFFERS {}", parts.join("\n  "));
        }
        for deviation in self.known {
            let count = self.deviated.get(deviation.name).copied().unwrap_or_default();
            println!("DEVIATION {peer}: {} ({count} values): {}", deviation.name, deviation.reason);
        }
        let listed: usize = self.deviated.values().sum();
        println!(
            "AGREED {ours} of our {COUNT} values and {} of its own both ways; {listed} in {} listed deviations (seed {seed})",
            self.agreed - ours,
            self.known.len(),
        );
        let idle: Vec<_> = self
            .known
            .iter()
            .map(|known| known.name)
            .filter(|name| !self.deviated.contains_key(name))
            .collect();
        assert!(self.differences.is_empty(), "{} values differ", self.differences.len());
        assert!(idle.is_empty(), "no value needs {idle:?}");
    }
}

/// Values of each side; every type comes up in turn.
const COUNT: usize = 4_000;
const SEED: u64 = 1;

/// How many unexplained differences are printed.
const SHOWN: usize = 20;
const SHOWN_OF_EACH: usize = 400;
