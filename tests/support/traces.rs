//! Conversations that were recorded between other implementations, from their typed dumps: which performative went which
//! way. Headers, SASL and empty frames are left out, and of a message only its length is kept.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops where the notation is broken"
)]

use amqp_codec::{
    Array, Bytes, COMPOSITES, DecodeLimits, Described, List, Map, Performative, Str, Symbol, Value,
    from_bytes, to_bytes,
};

/// One frame of a recorded conversation.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which of the recording's connections it belongs to.
    pub connection: String,
    /// Whether the client wrote it.
    pub is_clients: bool,
    /// The channel it went on.
    pub channel: u16,
    /// What it said.
    pub performative: Performative,
    /// Octets of a message behind it.
    pub payload: usize,
}

/// The frames of a dump, in their order.
///
/// # Panics
/// When the dump's notation is not understood.
pub fn recorded(dump: &str) -> Vec<Recorded> {
    let lines: Vec<&str> = dump.lines().collect();
    let mut frames = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((head, frame)) =
            line.strip_prefix('[').and_then(|line| line.split_once("] frame type=0 ch="))
        else {
            continue;
        };
        let body: Vec<&str> =
            lines[at + 1..].iter().take_while(|line| line.starts_with(' ')).copied().collect();
        if body.is_empty() {
            continue;
        }
        let mut words = head.split(' ').skip(1);
        let connection = words.next().unwrap().to_owned();
        let is_clients = words.next() == Some("client->server");
        let channel = frame.split(' ').next().unwrap().parse().unwrap();
        let performative_lines: Vec<&str> =
            body.iter().take_while(|line| !line.trim_start().starts_with("--")).copied().collect();
        let payload = body
            .iter()
            .find_map(|line| line.trim().strip_prefix("-- message ")?.split(' ').next()?.parse().ok());
        let mut reader = Reader { lines: &performative_lines, at: 0 };
        let value = reader.value(performative_lines[0].trim(), indent(performative_lines[0]));
        let performative = from_bytes(&to_bytes(&value), &DecodeLimits::message())
            .unwrap_or_else(|error| panic!("{error}: {performative_lines:#?}"));
        frames.push(Recorded {
            connection,
            is_clients,
            channel,
            performative,
            payload: payload.unwrap_or(0),
        });
    }
    frames
}

struct Reader<'a> {
    lines: &'a [&'a str],
    /// The line that is being read.
    at: usize,
}

impl Reader<'_> {
    /// A value that starts on the current line, which is indented so far.
    fn value(&mut self, text: &str, depth: usize) -> Value {
        let Some(described) = text.strip_prefix('@') else { return self.plain(text) };
        let (descriptor, rest) = described.split_once(' ').unwrap();
        // A name with the descriptor behind it, or the descriptor alone.
        let descriptor =
            descriptor.split_once('[').map_or(descriptor, |(_, inner)| inner.trim_end_matches(']'));
        let descriptor = scalar(descriptor);
        if rest.starts_with("list0") {
            return Described::new(descriptor, List::default()).into();
        }
        if !rest.starts_with("list") {
            return Described::new(descriptor, self.plain(rest)).into();
        }
        let code = descriptor.as_u64().unwrap_or_else(|| panic!("{text}"));
        let spec =
            COMPOSITES.iter().find(|spec| spec.code == code).unwrap_or_else(|| panic!("no composite {text}"));
        let mut fields = vec![Value::Null; spec.fields.len()];
        while self.lines.get(self.at + 1).is_some_and(|line| indent(line) > depth) {
            self.at += 1;
            let line = self.lines[self.at];
            let (name, text) = line.trim().split_once(" = ").unwrap_or_else(|| panic!("{line}"));
            let place =
                spec.fields.iter().position(|field| field.name == name).unwrap_or_else(|| panic!("{line}"));
            fields[place] = self.value(text, indent(line));
        }
        Described::new(code, fields.into_iter().collect::<List>()).into()
    }

    fn plain(&mut self, text: &str) -> Value {
        if text.starts_with("map") && text.ends_with('{') {
            let mut map = Map::default();
            loop {
                self.at += 1;
                let line = self.lines[self.at].trim();
                let Some((key, value)) = line.split_once(" : ") else { break };
                let value = self.value(value, usize::MAX);
                map.insert(scalar(key), value);
            }
            return map.into();
        }
        if let Some(items) = text.strip_prefix("array").and_then(|text| text.split_once('[')) {
            let items = items.1.trim_end_matches(']').split(", ").map(scalar).collect();
            return Array::new(items).unwrap().into();
        }
        scalar(text)
    }
}

fn scalar(text: &str) -> Value {
    let name = text.split(['(', '[']).next().unwrap();
    let content =
        text.split_once('(').map_or("", |(_, content)| content.strip_suffix(')').unwrap_or(content));
    let quoted = || content.trim_start_matches('b').trim_matches(['\'', '"']).to_owned();
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        "boolean" => (content == "true" || content == "1").into(),
        "uint" | "smalluint" => content.parse().unwrap_or(0_u32).into(),
        "ulong" | "smallulong" => content.parse().unwrap_or(0_u64).into(),
        "ushort" => content.parse().unwrap_or(0_u16).into(),
        "ubyte" => content.parse().unwrap_or(0_u8).into(),
        "int" | "smallint" => content.parse().unwrap_or(0_i32).into(),
        "long" | "smalllong" => content.parse().unwrap_or(0_i64).into(),
        "str" => Value::String(Str::from(quoted())),
        "sym" => Value::Symbol(Symbol::new(quoted()).unwrap()),
        "bin" => Value::Binary(Bytes::from(quoted().chars().take(32).collect::<String>())),
        _ => panic!("not understood: {text}"),
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}
