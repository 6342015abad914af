//! The ledger of the standard's rules, `tests/spec/requirements.toml`, held against the sources: what is said to be
//! done is cited by the test that proves it and by the code that obeys it.
//!
//! A citation is the id of a rule anywhere in a file, most often in a comment: `// F-012: own words`. Ranges count as
//! `D-002 to D-006`. The file is one table a line, so that a line is a rule:
//! `F-012 = { section = "2.3.1", rule = "…", status = "done" }`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rules of each part of the list, by prefix, and how many there are.
const PARTS: [(&str, usize); 14] = [
    ("T", 48),
    ("F", 27),
    ("C", 40),
    ("S", 37),
    ("L", 54),
    ("D", 35),
    ("M", 32),
    ("X", 15),
    ("A", 24),
    ("CBS", 14),
    ("MG", 6),
    ("WS", 8),
    ("EX", 11),
    // The resume table's rows, beyond the list.
    ("R", 16),
];

/// A scenario that broke another implementation: so many are to be found in the tests by their numbers.
const SCENARIOS: u32 = 100;

struct Entry {
    id: String,
    section: String,
    rule: String,
    status: String,
    reason: String,
}

#[test]
fn every_rule_of_the_standard_has_one_entry() {
    let entries = ledger();
    let expected: Vec<String> =
        PARTS.iter().flat_map(|(part, count)| (1..=*count).map(move |number| id(part, number))).collect();
    let found: Vec<&String> = entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(found, expected.iter().collect::<Vec<_>>(), "in the order of the list, each once");
    for entry in &entries {
        assert!(!entry.section.is_empty() && !entry.rule.is_empty(), "{}", entry.id);
        let is_known = ["done", "policy", "not-applicable", "todo"].contains(&entry.status.as_str());
        assert!(is_known, "{}: status {:?}", entry.id, entry.status);
        let needs_reason = entry.status != "done";
        assert!(!needs_reason || entry.reason.len() > 10, "{}: {} without a reason", entry.id, entry.status);
    }
}

#[test]
fn what_is_done_is_cited_by_a_test_and_by_the_code() {
    let (code, tests) = citations();
    let mut wrong = Vec::new();
    for Entry { id, status, reason, .. } in ledger() {
        if status != "done" {
            continue;
        }
        if !tests.contains_key(&id) {
            wrong.push(format!("{id}: done, and no test cites it"));
        }
        // A reason beside `done` says why no line of code carries the rule.
        if !code.contains_key(&id) && reason.is_empty() {
            wrong.push(format!("{id}: done, and no code cites it"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_cited_id_exists() {
    let known: BTreeSet<String> = ledger().into_iter().map(|entry| entry.id).collect();
    let (code, tests) = citations();
    let unknown: Vec<String> = code
        .iter()
        .chain(&tests)
        .filter(|(id, _)| !known.contains(*id))
        .map(|(id, places)| format!("{id} in {}", places.iter().cloned().collect::<Vec<_>>().join(", ")))
        .collect();
    assert!(unknown.is_empty(), "\n{}\n", unknown.join("\n"));
}

#[test]
fn every_scenario_is_played_by_a_test() {
    let mut played = BTreeSet::new();
    for (_, text, _) in parts_of_sources().into_iter().filter(|(_, _, is_test)| *is_test) {
        played.extend(scenarios(&text));
    }
    let missing: Vec<u32> = (1..=SCENARIOS).filter(|number| !played.contains(number)).collect();
    assert!(missing.is_empty(), "scenarios without a test: {missing:?}");
    assert!(played.iter().all(|number| *number <= SCENARIOS), "there are only {SCENARIOS} scenarios");
}

#[test]
fn citations_are_read_as_they_are_written() {
    let cited = |text: &str| cited_ids(text).into_iter().collect::<Vec<_>>();
    assert_eq!(cited("// F-012, F-013: both"), ["F-012", "F-013"]);
    assert_eq!(cited("// D-002 to D-004, L-001"), ["D-002", "D-003", "D-004", "L-001"]);
    assert_eq!(cited("// R-01 to R-03 and CBS-002"), ["CBS-002", "R-01", "R-02", "R-03"]);
    assert!(cited("SHA-256, NV-160, VA-038, x-F-012, F-0123").is_empty());
    assert_eq!(scenarios("// Scenario 7: x; scenarios 1 to 3, 9 and 12."), [7, 1, 2, 3, 9, 12].into());
    assert!(scenarios("a scenario of 3").is_empty());
}

fn id(part: &str, number: usize) -> String {
    if part == "R" { format!("{part}-{number:02}") } else { format!("{part}-{number:03}") }
}

fn ledger() -> Vec<Entry> {
    let text = fs::read_to_string(root().join("tests/spec/requirements.toml")).unwrap();
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(entry).collect()
}

/// One line: a key and an inline table of strings without escapes.
fn entry(line: &str) -> Entry {
    let wrong = |what: &str| -> ! { panic!("{what} of the ledger: {line}") };
    let (id, rest) = line.split_once(" = { ").unwrap_or_else(|| wrong("no key"));
    let mut rest = rest.strip_suffix(" }").unwrap_or_else(|| wrong("no end"));
    let mut fields = BTreeMap::new();
    while !rest.is_empty() {
        let (key, after) = rest.split_once(" = \"").unwrap_or_else(|| wrong("no field"));
        let (value, after) = after.split_once('"').unwrap_or_else(|| wrong("no value"));
        assert!(!value.contains('\\'), "{line}");
        assert!(fields.insert(key, value.to_owned()).is_none(), "{key} twice: {line}");
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    let mut take = |key: &str| fields.remove(key).unwrap_or_default();
    let entry = Entry {
        id: id.to_owned(),
        section: take("section"),
        rule: take("rule"),
        status: take("status"),
        reason: take("reason"),
    };
    assert!(fields.is_empty(), "unknown keys: {line}");
    entry
}

type Citations = BTreeMap<String, BTreeSet<String>>;

/// Ids by the files that cite them: code, and tests.
fn citations() -> (Citations, Citations) {
    let (mut code, mut tests) = (Citations::new(), Citations::new());
    for (path, text, is_test) in parts_of_sources() {
        let cited = if is_test { &mut tests } else { &mut code };
        for id in cited_ids(&text) {
            cited.entry(id).or_default().insert(path.clone());
        }
    }
    (code, tests)
}

/// The sources, each file's own tests apart: the path, the text, and whether it is a test's.
fn parts_of_sources() -> Vec<(String, String, bool)> {
    let folders = ["amqp-codec", "amqp-transport", "iothub-profile", "tests"];
    let mut parts = Vec::new();
    for path in folders.iter().flat_map(|folder| rust_files(&root().join(folder))) {
        let relative = path.strip_prefix(root()).unwrap();
        // What this file itself quotes cites nothing.
        if relative.ends_with("integration/requirements.rs") {
            continue;
        }
        let is_test = relative
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "testing")));
        let name = relative.display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let end = text.find("#[cfg(test)]\nmod ").filter(|_| !is_test).unwrap_or(text.len());
        let (library, own_tests) = text.split_at(end);
        parts.push((name.clone(), library.to_owned(), is_test));
        parts.push((name, own_tests.to_owned(), true));
    }
    assert!(parts.len() > 200, "the sources have moved");
    parts
}

fn cited_ids(text: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (part, _) in PARTS {
        let prefix = format!("{part}-");
        for (at, _) in text.match_indices(&prefix) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-') {
                continue;
            }
            let Some((first, rest)) = number(part, &text[at + prefix.len()..]) else { continue };
            let last = rest
                .strip_prefix(" to ")
                .and_then(|rest| rest.strip_prefix(&prefix))
                .and_then(|rest| number(part, rest));
            let last = last.map_or(first, |(last, _)| last);
            ids.extend((first..=last).map(|number| id(part, number)));
        }
    }
    ids
}

/// The digits of an id, and what follows them.
fn number<'a>(part: &str, text: &'a str) -> Option<(usize, &'a str)> {
    let digits = if part == "R" { 2 } else { 3 };
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
    let goes_on = rest.starts_with(|c: char| c.is_ascii_alphanumeric());
    (is_number && !goes_on).then(|| (number.parse().unwrap(), rest))
}

/// The numbers behind the word, as in "Scenarios 1 to 3, 9 and 12".
fn scenarios(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("cenario") {
        let rest = &text[at + "cenario".len()..];
        let words = rest.strip_prefix('s').unwrap_or(rest).split_whitespace();
        let mut first: Option<u32> = None;
        let mut is_range = false;
        for word in words {
            let plain = word.trim_end_matches([',', ':', '.', ';', ')']);
            match (plain.parse::<u32>(), plain) {
                (Ok(number), _) => {
                    let from = first.filter(|_| is_range).unwrap_or(number);
                    found.extend(from..=number);
                    first = Some(number);
                    is_range = false;
                    if word.ends_with([':', '.', ';', ')']) {
                        break;
                    }
                }
                (Err(_), "to") if first.is_some() => is_range = true,
                (Err(_), "and") if first.is_some() => {}
                _ => break,
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
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
