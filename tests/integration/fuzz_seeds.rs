//! The fuzz targets' invariants over their seeds and over simple damage to them, as ordinary tests: what a fuzz run
//! finds is added to the seeds and stays found.

use std::fs;
use std::path::{Path, PathBuf};

use std::time::Instant;

use amqp_codec::fuzzing::{self as codec, fuzz_all};
use amqp_transport::engine::fuzzing::{fuzz_client, fuzz_listener, fuzz_pair, fuzz_terminus_record};
use amqp_transport::fuzzing::fuzz_websocket;
use amqp_transport::sasl::fuzzing::fuzz_sasl;
use iothub_profile::fuzzing::{fuzz_address, fuzz_connection_string, fuzz_sas};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 14] = [
    ("address", fuzz_address),
    ("batch", codec::fuzz_batch),
    ("connection_string", fuzz_connection_string),
    ("engine_client", |data| fuzz_client(data, now())),
    ("engine_listener", |data| fuzz_listener(data, now())),
    ("engine_pair", |data| fuzz_pair(data, now())),
    ("frame", codec::fuzz_frame),
    ("message", codec::fuzz_message),
    ("performative", codec::fuzz_performative),
    ("sas", fuzz_sas),
    ("sasl", |data| {
        codec::fuzz_sasl(data);
        fuzz_sasl(data, now());
    }),
    ("terminus_record", |data| fuzz_terminus_record(data, now())),
    ("value", codec::fuzz_value),
    ("websocket", fuzz_websocket),
];

#[test]
fn invariants_hold_for_every_seed_and_for_damaged_ones() {
    for (name, target) in TARGETS {
        let seeds = files(&fuzz_folder().join("seeds").join(name));
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let seed = fs::read(seed).unwrap();
            target(&seed);
            for end in 0..seed.len() {
                target(&seed[..end]);
                for damage in [0x00, 0x25, 0x3b, 0x7f, 0xff] {
                    let mut damaged = seed.clone();
                    damaged[end] = damage;
                    target(&damaged);
                }
            }
        }
    }
}

/// Recorded inputs of another implementation's fuzzing, where `AMQP_CORPORA` names a folder that holds them.
#[test]
fn invariants_hold_for_recorded_corpora() {
    let Some(corpora) = std::env::var_os("AMQP_CORPORA") else { return };
    let corpora = PathBuf::from(corpora).join("qpid-proton");
    let mut inputs = 0;
    for kind in ["fuzz-message-decode", "fuzz-connection-driver", "fuzz-proactor-receive"] {
        for part in ["corpus", "crash"] {
            for file in files(&corpora.join(kind).join(part)) {
                let input = fs::read(file).unwrap();
                inputs += 1;
                fuzz_all(&input);
                fuzz_client(&input, now());
                fuzz_listener(&input, now());
            }
        }
    }
    assert!(inputs > 1000, "only {inputs} inputs in {}", corpora.display());
}

#[test]
fn every_target_is_run_here() {
    let mut here: Vec<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut there: Vec<_> = files(&fuzz_folder().join("targets"))
        .iter()
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    here.sort();
    there.sort();
    assert_eq!(here, there);
}

#[expect(clippy::disallowed_methods, reason = "any instant will do; time is passed in from here on")]
fn now() -> Instant {
    Instant::now()
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}
