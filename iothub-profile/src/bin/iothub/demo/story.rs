//! How the demo speaks: numbered steps and plain sentences, and a summary at the end.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::args::Form;
use crate::output::Stopped;
use crate::tally::per_second;

/// The teller. The story is the demo's data and goes to standard output, unless JSON was asked for.
#[derive(Debug)]
pub(crate) struct Story {
    form: Form,
    steps: Vec<Step>,
    started: Instant,
    step_started: Instant,
}

/// A finished step of the summary.
#[derive(Debug)]
struct Step {
    name: &'static str,
    count: u64,
    took: Duration,
}

/// What the demo found; complete when each number is what it should be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Findings {
    /// Lines of the file.
    pub(crate) lines: u64,
    /// Messages the hub accepted.
    pub(crate) sent: u64,
    /// Events read back.
    pub(crate) read_back: u64,
    /// Events read back that equal their line, in order, with their properties.
    pub(crate) equal: u64,
    /// Events to be read a second time, by their sequence number.
    pub(crate) reread_wanted: u64,
    /// Events read a second time that equal their line.
    pub(crate) reread: u64,
    /// Commands the service sent.
    pub(crate) commands: u64,
    /// Feedback records that say what was expected of their command.
    pub(crate) feedback_matched: u64,
}

impl Findings {
    /// True when nothing is missing.
    pub(crate) fn is_complete(&self) -> bool {
        let telemetry = [self.sent, self.read_back, self.equal].iter().all(|count| *count == self.lines);
        let again = self.reread_wanted > 0 && self.reread == self.reread_wanted;
        telemetry && again && self.commands > 0 && self.feedback_matched == self.commands
    }
}

impl Story {
    /// A teller who begins now.
    pub(crate) fn new(form: Option<Form>) -> Self {
        let now = Instant::now();
        Self { form: form.unwrap_or(Form::Table), steps: Vec::new(), started: now, step_started: now }
    }

    /// Tells one sentence.
    pub(crate) fn tell(&self, text: &str) {
        // Nobody to tell is no reason to stop: the exit code still counts.
        let _ = match self.form {
            Form::Jsonl => writeln!(io::stderr().lock(), "{text}"),
            _ => writeln!(io::stdout().lock(), "{text}"),
        };
    }

    /// Begins a step with its heading.
    pub(crate) fn begin(&mut self, heading: &str) {
        self.step_started = Instant::now();
        self.tell(&format!("\n{heading}"));
    }

    /// Ends a part of a step that is worth a line in the summary: `count` messages since the last one.
    pub(crate) fn end(&mut self, name: &'static str, count: u64) -> Duration {
        let now = Instant::now();
        let took = now.duration_since(self.step_started);
        self.step_started = now;
        self.steps.push(Step { name, count, took });
        took
    }

    /// Prints the summary.
    pub(crate) fn summary(&self, findings: &Findings) -> Result<(), Stopped> {
        match self.form {
            Form::Jsonl => writeln!(io::stdout().lock(), "{}", self.json(findings))?,
            _ => writeln!(io::stdout().lock(), "\n{}\n{}", self.table(), self.verdict(findings))?,
        }
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(["step", "messages", "seconds", "messages/s"]);
        for step in self.steps.iter().filter(|step| step.count > 0) {
            table.add_row([
                step.name.to_owned(),
                step.count.to_string(),
                format!("{:.2}", step.took.as_secs_f64()),
                format!("{:.0}", per_second(step.count, step.took)),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn verdict(&self, findings: &Findings) -> String {
        let Findings { lines, sent, read_back, equal, commands, feedback_matched, .. } = findings;
        let word = if findings.is_complete() { "Nothing is missing" } else { "SOMETHING IS MISSING" };
        format!(
            "{word}: {lines} lines, {sent} sent, {read_back} read back, {equal} equal; {commands} commands, \
             {feedback_matched} with the feedback expected. {:.1} seconds in all.",
            self.started.elapsed().as_secs_f64()
        )
    }

    fn json(&self, findings: &Findings) -> Value {
        let mut object = Map::new();
        for (name, count) in [
            ("lines", findings.lines),
            ("sent", findings.sent),
            ("read_back", findings.read_back),
            ("equal", findings.equal),
            ("read_again", findings.reread),
            ("commands", findings.commands),
            ("feedback_matched", findings.feedback_matched),
        ] {
            object.insert(name.into(), count.into());
        }
        object.insert("complete".into(), findings.is_complete().into());
        let steps = self.steps.iter().map(|step| {
            serde_json::json!({
                "step": step.name,
                "messages": step.count,
                "seconds": step.took.as_secs_f64(),
                "messages_per_second": per_second(step.count, step.took),
            })
        });
        object.insert("steps".into(), steps.collect());
        object.insert("seconds".into(), self.started.elapsed().as_secs_f64().into());
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: Findings = Findings {
        lines: 3,
        sent: 3,
        read_back: 3,
        equal: 3,
        reread_wanted: 2,
        reread: 2,
        commands: 4,
        feedback_matched: 4,
    };

    #[test]
    fn findings_are_complete_only_when_every_number_is_right() {
        assert!(COMPLETE.is_complete());
        for broken in [
            Findings { sent: 2, ..COMPLETE },
            Findings { read_back: 4, ..COMPLETE },
            Findings { equal: 2, ..COMPLETE },
            Findings { reread: 1, ..COMPLETE },
            Findings { feedback_matched: 3, ..COMPLETE },
            Findings { commands: 0, feedback_matched: 0, ..COMPLETE },
        ] {
            assert!(!broken.is_complete(), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn the_summary_has_each_step_and_the_verdict() {
        let mut story = Story::new(None);
        story.end("telemetry sent", 1_462);
        let text = format!("{}\n{}", story.table(), story.verdict(&Findings { equal: 2, ..COMPLETE }));
        for part in ["telemetry sent", "1462", "messages/s", "SOMETHING IS MISSING", "2 equal"] {
            assert!(text.contains(part), "`{part}` is missing in {text}");
        }
        assert_eq!(story.json(&COMPLETE)["steps"][0]["messages"], 1_462);
    }
}
