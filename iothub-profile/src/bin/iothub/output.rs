//! What the command prints: data on standard output in the form asked for, everything else on standard error.

use std::io::{self, BufWriter, IsTerminal, Write};

use serde_json::{Map, Value};

use crate::args::Form;
use crate::exit::{Class, Failure};

/// One thing a verb prints: an event, a command, a feedback record, a token.
pub(crate) trait Record {
    /// The table's columns: a heading, and the width its cells are padded to.
    const COLUMNS: &'static [(&'static str, usize)];

    /// One cell for each column.
    fn cells(&self) -> Vec<String>;

    /// The JSON object.
    fn json(&self) -> Value;

    /// The bytes of `-o raw`.
    fn raw(&self) -> Vec<u8>;
}

/// Writes records to standard output, or in tests to memory.
#[derive(Debug)]
pub(crate) struct Output<W: Write> {
    writer: BufWriter<W>,
    form: Form,
    headed: bool,
}

/// A failed write: the reader of standard output went away, or something worse.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The reader has seen enough (`| head`), which is no failure.
    ReaderGone,
    /// Output failed.
    Failed(Failure),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Failed(Failure::new(Class::Failed, format!("standard output cannot be written: {error}")))
    }
}

impl Output<io::Stdout> {
    /// Standard output in the form asked for, by default a table on a terminal and JSON lines elsewhere.
    pub(crate) fn stdout(form: Option<Form>) -> Self {
        let stdout = io::stdout();
        let form = form.unwrap_or_else(|| if stdout.is_terminal() { Form::Table } else { Form::Jsonl });
        Self::new(stdout, form)
    }
}

impl<W: Write> Output<W> {
    fn new(writer: W, form: Form) -> Self {
        Self { writer: BufWriter::with_capacity(BUFFER, writer), form, headed: false }
    }

    /// Writes one record; it may wait in a buffer until [`Self::flush`].
    pub(crate) fn record<R: Record>(&mut self, record: &R) -> Result<(), Stopped> {
        match self.form {
            Form::Table => {
                if !std::mem::replace(&mut self.headed, true) {
                    let heads = R::COLUMNS.iter().map(|(head, _)| (*head).to_owned()).collect();
                    self.row(R::COLUMNS, heads)?;
                }
                self.row(R::COLUMNS, record.cells())
            }
            Form::Jsonl => self.json(&record.json()),
            Form::Raw => {
                self.writer.write_all(&record.raw())?;
                Ok(self.writer.write_all(b"\n")?)
            }
        }
    }

    /// Writes one JSON object as a line.
    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Stopped> {
        serde_json::to_writer(&mut self.writer, value).map_err(io::Error::from)?;
        Ok(self.writer.write_all(b"\n")?)
    }

    /// Hands everything written so far to the reader.
    pub(crate) fn flush(&mut self) -> Result<(), Stopped> {
        Ok(self.writer.flush()?)
    }

    fn row(&mut self, columns: &[(&str, usize)], cells: Vec<String>) -> Result<(), Stopped> {
        let mut line = String::new();
        for ((_, width), cell) in columns.iter().zip(cells) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let cell = printable(&cell);
            line.push_str(&cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        writeln!(self.writer, "{}", line.trim_end())?;
        Ok(())
    }
}

/// The result of writing, where a reader that went away is a good end.
pub(crate) fn ended(result: Result<(), Stopped>) -> Result<(), Failure> {
    match result {
        Ok(()) | Err(Stopped::ReaderGone) => Ok(()),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// Shows a text on standard output, such as help; a reader that goes away has seen enough.
pub(crate) fn tell(text: &str) {
    let _ = write!(io::stdout().lock(), "{text}");
}

/// Tells a person something, on standard error; a closed standard error is nobody to tell.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Puts a body into a JSON object: as the string `body` where it is UTF-8, otherwise as base64 in `body_base64`.
pub(crate) fn insert_body(object: &mut Map<String, Value>, body: &[u8]) {
    match std::str::from_utf8(body) {
        Ok(text) => object.insert("body".into(), text.into()),
        Err(_) => object.insert("body_base64".into(), base64_text(body).into()),
    };
}

/// A body in a table's cell: text where it is UTF-8, otherwise base64 behind a mark.
pub(crate) fn body_cell(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("base64:{}", base64_text(body)),
    }
}

/// Adds a string member unless the value is absent.
pub(crate) fn insert_text(object: &mut Map<String, Value>, name: &str, text: Option<impl Into<String>>) {
    if let Some(text) = text {
        object.insert(name.into(), Value::String(text.into()));
    }
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Text a terminal shows as one line: a message's body must not move the cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Bytes gathered before they are written, so that a fast stream costs few system calls.
const BUFFER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    struct Event(&'static [u8]);

    impl Record for Event {
        const COLUMNS: &'static [(&'static str, usize)] = &[("DEVICE", 8), ("BODY", 0)];

        fn cells(&self) -> Vec<String> {
            vec!["dev1".into(), body_cell(self.0)]
        }

        fn json(&self) -> Value {
            let mut object = Map::new();
            insert_text(&mut object, "device_id", Some("dev1"));
            insert_text(&mut object, "absent", None::<String>);
            insert_body(&mut object, self.0);
            object.into()
        }

        fn raw(&self) -> Vec<u8> {
            self.0.to_vec()
        }
    }

    fn print(form: Form, bodies: &[&'static [u8]]) -> String {
        let mut output = Output::new(Vec::new(), form);
        for body in bodies {
            output.record(&Event(body)).unwrap();
        }
        output.flush().unwrap();
        String::from_utf8_lossy(output.writer.get_ref()).into_owned()
    }

    #[test]
    fn a_body_is_a_string_where_it_is_utf8_and_marked_base64_otherwise() {
        assert_eq!(
            print(Form::Jsonl, &["21.4 °C\n".as_bytes(), b"\xff\x00", b""]),
            "{\"device_id\":\"dev1\",\"body\":\"21.4 °C\\n\"}\n{\"device_id\":\"dev1\",\"body_base64\":\"/wA=\"}\n{\"device_id\":\"dev1\",\"body\":\"\"}\n"
        );
    }

    #[test]
    fn a_table_has_one_heading_and_no_control_characters() {
        assert_eq!(
            print(Form::Table, &[b"a\x1b[2Jb", b"\xff\x00"]),
            "DEVICE    BODY\ndev1      a\u{fffd}[2Jb\ndev1      base64:/wA=\n"
        );
    }

    #[test]
    fn raw_is_the_bodies_and_nothing_else() {
        assert_eq!(print(Form::Raw, &[b"one", b"", b"two"]), "one\n\ntwo\n");
    }
}
