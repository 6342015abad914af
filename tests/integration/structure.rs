//! What must be absent from the sources: the rules that keep the rooms apart, read from the files themselves.
//!
//! Comments are not code: a rule about names looks at lines without their `//` part, and stops where a file's
//! own tests begin.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 3] = ["amqp-codec", "amqp-transport", "iothub-profile"];

/// Rooms of the transport that are pure: bytes, instants and values in, the same out.
const PURE_ROOMS: [&str; 6] = ["engine", "sasl", "cbs", "management", "request_response", "transaction"];

#[test]
fn no_file_is_longer_than_900_lines() {
    let long: Vec<_> = sources(&CRATES)
        .filter(|source| !source.is_test())
        .map(|source| (source.library_part().lines().count(), source))
        .filter(|(lines, _)| *lines > 900)
        .map(|(lines, source)| format!("{source}: {lines} lines"))
        .collect();
    assert_none(long);
}

#[test]
fn every_file_says_what_it_owns() {
    let silent = sources(&CRATES).filter(|source| !source.is_test() && !source.text.starts_with("//!"));
    assert_none(silent.map(|source| source.to_string()).collect());
}

#[test]
fn the_pure_rooms_name_no_runtime_no_socket_no_clock_and_no_randomness() {
    const FORBIDDEN: [&str; 8] =
        ["tokio", "rustls", "std::net", "Instant::now", "SystemTime", "rand::", "getrandom", "tracing"];
    let mut rooms = 0;
    for room in PURE_ROOMS {
        let folder = root().join("amqp-transport/src").join(room);
        let files = if folder.is_dir() { rust_files(&folder) } else { vec![folder.with_extension("rs")] };
        for file in files.into_iter().filter(|file| file.exists()) {
            rooms += 1;
            let source = Source::read(file);
            if !source.is_test() {
                assert_none(source.lines_naming(&FORBIDDEN));
            }
        }
    }
    assert!(rooms > 10, "the pure rooms have moved: only {rooms} files found");
}

#[test]
fn the_codec_is_no_std_and_knows_no_time_and_no_sockets() {
    let lib = fs::read_to_string(root().join("amqp-codec/src/lib.rs")).unwrap();
    assert!(lib.contains("no_std"), "amqp-codec has to be no_std");
    for source in sources(&["amqp-codec"]).filter(|source| !source.is_test()) {
        assert_none(source.lines_naming(&["tokio", "std::net", "std::time", "Instant", "SystemTime"]));
    }
}

#[test]
fn the_transport_knows_no_hub() {
    for source in sources(&["amqp-transport"]).filter(|source| !source.is_test()) {
        assert_none(source.lines_naming(&[
            "iothub",
            "devicebound",
            "deviceBound",
            "/devices/",
            "azure",
            "sharedaccess",
        ]));
    }
}

#[test]
fn the_profile_names_no_performative() {
    for source in sources(&["iothub-profile"]).filter(|source| !source.is_test()) {
        assert_none(source.lines_naming(&[
            "amqp_codec::performative",
            "Performative",
            "amqp_transport::engine",
        ]));
        let performatives: &[&str] =
            if source.to_string().starts_with(ATTACHING) { &PERFORMATIVES[1..] } else { &PERFORMATIVES };
        let code = source.code();
        let named = items_named(&code, "amqp_codec::");
        let named = named.iter().filter(|name| performatives.contains(&name.as_str()));
        assert_none(named.map(|name| format!("{source}: names amqp_codec::{name}")).collect());
    }
}

/// Where a server decides about an attach, it has to read the one it was sent.
const ATTACHING: &str = "iothub-profile/src/emulator/link/";

const PERFORMATIVES: [&str; 9] =
    ["Attach", "Open", "Begin", "Flow", "Transfer", "Disposition", "Detach", "End", "Close"];

#[test]
fn the_emulator_reads_the_protocol_for_itself() {
    const CLIENT_ROOMS: [&str; 4] = ["device", "service", "events", "supervisor"];
    let emulator = root().join("iothub-profile/src/emulator");
    let files = rust_files(&emulator);
    assert!(files.len() > 5, "the emulator has moved: {} files in {}", files.len(), emulator.display());
    for source in files.into_iter().map(Source::read).filter(|source| !source.is_test()) {
        let named = rooms_named(&source.code());
        let shared = named.iter().filter(|room| CLIENT_ROOMS.contains(&room.as_str()));
        assert_none(shared.map(|room| format!("{source}: names crate::{room}")).collect());
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Spelled in two halves, so that this file does not name them.
    let words = [
        ["todo", "!("].concat(),
        ["unimplemented", "!("].concat(),
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
    ];
    for source in everything() {
        let found = source
            .text
            .lines()
            .zip(1..)
            .filter(|(line, _)| words.iter().any(|word| line.contains(word.as_str())));
        assert_none(found.map(|(line, number)| format!("{source}:{number}: {}", line.trim())).collect());
    }
}

#[test]
fn every_ignored_test_and_every_lint_exception_has_a_reason() {
    let bare = ["#[ignore", "]"].concat();
    let allow = ["#[", "allow("].concat();
    for source in everything() {
        let found =
            source.text.lines().zip(1..).filter(|(line, _)| line.contains(&bare) || line.contains(&allow));
        assert_none(found.map(|(line, number)| format!("{source}:{number}: {}", line.trim())).collect());
        for (at, _) in source.text.match_indices(&["#[", "expect("].concat()) {
            let attribute = source.text[at..].split(']').next().unwrap();
            assert!(attribute.contains("reason"), "{source}: {attribute}");
        }
    }
}

#[test]
fn unsafe_code_is_forbidden_in_the_three_crates() {
    for name in CRATES {
        let lib = fs::read_to_string(root().join(name).join("src/lib.rs")).unwrap();
        assert!(lib.contains("#![forbid(unsafe_code)]"), "{name}");
    }
}

#[test]
fn dependencies_point_one_way() {
    for (name, forbidden) in [
        ("amqp-codec", &["amqp-transport", "iothub-profile", "tokio"][..]),
        ("amqp-transport", &["iothub-profile"][..]),
    ] {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for dependency in forbidden {
            let named = manifest.lines().any(|line| line.starts_with(dependency));
            assert!(!named, "{name} depends on {dependency}");
        }
    }
}

#[test]
fn ci_runs_readmes_two_commands_word_for_word() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    for command in ["cargo run --release --features cli -- demo", "cargo test --workspace --all-features"] {
        assert!(readme.lines().any(|line| line == command), "README does not name `{command}`");
        assert!(ci.contains(command), ".ci/run does not run `{command}`");
    }
}

/// One source file.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap();
        Self { path, text }
    }

    /// A file that holds nothing but tests.
    fn is_test(&self) -> bool {
        let relative = self.path.strip_prefix(root()).unwrap();
        relative.components().any(|part| {
            matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing" | "testing.rs"))
        })
    }

    /// The text before the file's own tests.
    fn library_part(&self) -> &str {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        &self.text[..end]
    }

    /// The library part without comments.
    fn code(&self) -> String {
        self.library_part().lines().map(|line| format!("{}\n", without_comment(line))).collect()
    }

    fn lines_naming(&self, words: &[&str]) -> Vec<String> {
        let code = self.code();
        let found = code.lines().zip(1..).filter(|(line, _)| words.iter().any(|word| names(line, word)));
        found.map(|(line, number)| format!("{self}:{number}: {}", line.trim())).collect()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.strip_prefix(root()).unwrap().display())
    }
}

fn assert_none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Whether a line holds `word`, not as a part of a longer name.
fn names(line: &str, word: &str) -> bool {
    let continues = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let starts_with_name = word.starts_with(|c: char| c.is_alphanumeric());
        let ends_with_name = word.ends_with(|c: char| c.is_alphanumeric());
        !(starts_with_name && continues(line[..at].chars().next_back())
            || ends_with_name && continues(line[at + word.len()..].chars().next()))
    })
}

/// The line up to a comment; `//` inside a string literal (a URI) is not one.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count().is_multiple_of(2));
    comment.map_or(line, |(at, _)| &line[..at])
}

/// The first segments after `crate::`, also in grouped imports.
fn rooms_named(code: &str) -> Vec<String> {
    items_named(code, "crate::")
}

/// The first segments after `prefix`, also in grouped imports.
fn items_named(code: &str, prefix: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, prefix) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(top_level(group)),
            None => rooms.push(first_segment(rest)),
        }
    }
    // A trailing comma ends a group with nothing.
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// The first segments of the members of a brace group whose opening brace is already taken.
fn top_level(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut member = String::new();
    let mut members = Vec::new();
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(first_segment(std::mem::take(&mut member).trim())),
            _ => {}
        }
        if !(c == ',' && depth == 0) {
            member.push(c);
        }
    }
    members.push(first_segment(member.trim()));
    members
}

fn first_segment(path: &str) -> String {
    path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn grouped_imports_are_understood() {
    let code = "use crate::{path, events::{A, device}, sas};\nuse crate::service::X;";
    assert_eq!(rooms_named(code), ["path", "events", "sas", "service"]);
    let code = "use amqp_codec::{\n    Error, Transfer,\n};\nlet a: amqp_codec::Flow;";
    assert_eq!(items_named(code, "amqp_codec::"), ["Error", "Transfer", "Flow"]);
    assert_eq!(without_comment(r#"let a = "amqps://x"; // tokio"#), r#"let a = "amqps://x"; "#);
    assert!(
        names("use tokio::io;", "tokio") && !names("tokio_like", "tokio") && !names("operand::x", "rand::")
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The sources of the library crates.
fn sources(names: &[&str]) -> impl Iterator<Item = Source> {
    let files: Vec<_> = names.iter().flat_map(|name| rust_files(&root().join(name).join("src"))).collect();
    assert!(!files.is_empty());
    files.into_iter().map(Source::read)
}

/// Every Rust file of the workspace.
fn everything() -> impl Iterator<Item = Source> {
    let folders = CRATES.iter().chain(&["tests", "benches", "fuzz"]);
    let files: Vec<_> = folders.flat_map(|name| rust_files(&root().join(name))).collect();
    files.into_iter().map(Source::read)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn every_async_method_says_what_dropping_it_does() {
    let mut silent = Vec::new();
    for source in sources(&["amqp-transport", "iothub-profile"]).filter(|source| !source.is_test()) {
        for method in async_methods(source.library_part()) {
            if !method.docs.contains("# Cancel safety") {
                silent.push(format!("{source}: {} has no section `# Cancel safety`", method.name));
            }
            if method.signature.contains("-> Result<") && !method.docs.contains("# Errors") {
                silent.push(format!("{source}: {} has no section `# Errors`", method.name));
            }
        }
    }
    assert_none(silent);
}

#[test]
fn every_async_method_of_the_transport_is_dropped_at_its_await_points_by_a_test() {
    let crate_root = root().join("amqp-transport");
    let mut dropped = std::collections::BTreeSet::new();
    for test in rust_files(&crate_root.join("tests")).into_iter().map(Source::read) {
        for line in test.text.lines().filter_map(|line| line.trim().strip_prefix("// cancels ")) {
            let (room, methods) = line.split_once(": ").expect(line);
            dropped.extend(methods.split(", ").map(|method| format!("{room}: {method}")));
        }
    }
    let mut methods = std::collections::BTreeSet::new();
    for source in sources(&["amqp-transport"]).filter(|source| !source.is_test()) {
        let path = source.path.strip_prefix(crate_root.join("src")).unwrap().with_extension("");
        let room = path.to_string_lossy().replace('/', "::");
        methods.extend(async_methods(source.library_part()).map(|method| format!("{room}: {}", method.name)));
    }
    assert!(methods.len() > 50, "the methods have moved: {methods:?}");
    assert_none(
        methods.difference(&dropped).map(|method| format!("{method} is dropped by no test")).collect(),
    );
    assert_none(dropped.difference(&methods).map(|method| format!("{method} is no method")).collect());
}

/// A public async method with the comment before it.
struct AsyncMethod<'a> {
    name: &'a str,
    docs: String,
    signature: &'a str,
}

fn async_methods(text: &str) -> impl Iterator<Item = AsyncMethod<'_>> {
    const START: &str = "pub async fn ";
    text.match_indices(START).map(|(at, _)| {
        let signature = text[at + START.len()..].split('{').next().unwrap();
        let name = signature.split(['(', '<']).next().unwrap();
        let before = text[..at].trim_end_matches(' ');
        let is_comment = |line: &&str| line.trim().starts_with("//") || line.trim().starts_with("#[");
        let docs: Vec<&str> = before.lines().rev().take_while(is_comment).collect();
        AsyncMethod { name, docs: docs.join("\n"), signature }
    })
}
