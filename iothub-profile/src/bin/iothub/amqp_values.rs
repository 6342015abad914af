//! Values of AMQP types: typed properties on the command line, and received values as JSON. Pure.

use std::str::FromStr;

use amqp_codec::{Annotations, Symbol, Timestamp, Uuid, Value as Amqp, ValueRef};
use serde_json::{Map, Value};

use crate::amqp_decode::typed;
use crate::values::time_text;

/// A property with a value of a type: `NAME:TYPE=VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TypedProperty {
    pub(crate) name: String,
    pub(crate) value: Amqp,
}

impl FromStr for TypedProperty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "a typed property is NAME:TYPE=VALUE".to_owned();
        let (name_and_kind, value) = text.split_once('=').ok_or_else(form)?;
        let (name, kind) =
            name_and_kind.rsplit_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(form)?;
        Ok(Self { name: name.to_owned(), value: value_of(kind, value)? })
    }
}

fn value_of(kind: &str, text: &str) -> Result<Amqp, String> {
    fn number<T: FromStr>(kind: &str, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("`{text}` is no {kind}"))
    }
    Ok(match kind {
        "bool" => Amqp::Boolean(number(kind, text)?),
        "int" => Amqp::Int(number(kind, text)?),
        "uint" => Amqp::Uint(number(kind, text)?),
        "long" => Amqp::Long(number(kind, text)?),
        "ulong" => Amqp::Ulong(number(kind, text)?),
        "double" => Amqp::Double(number(kind, text)?),
        "timestamp" => Amqp::Timestamp(Timestamp(number(kind, text)?)),
        "uuid" => Amqp::Uuid(Uuid(*number::<uuid::Uuid>(kind, text)?.as_bytes())),
        "symbol" => Amqp::Symbol(symbol(text)?),
        "string" => Amqp::from(text.to_owned()),
        _ => {
            return Err(format!(
                "`{kind}` is none of bool, int, uint, long, ulong, double, symbol, timestamp, uuid, string"
            ));
        }
    })
}

/// A symbol, which is ASCII.
pub(crate) fn symbol(text: &str) -> Result<Symbol, String> {
    Symbol::new(text.to_owned()).map_err(|_| format!("`{text}` has characters that are not ASCII"))
}

/// A value in plain JSON, where JSON has its like; otherwise in the notation of `amqp decode`.
pub(crate) fn json_of(value: ValueRef<'_>) -> Value {
    if let Some(text) = value.as_str() {
        return text.into();
    }
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Boolean(truth) => truth.into(),
        ValueRef::Float(number) if number.is_finite() => f64::from(number).into(),
        ValueRef::Double(number) if number.is_finite() => number.into(),
        ValueRef::Symbol(symbol) => symbol.as_str().into(),
        ValueRef::Timestamp(time) => time_text(time.0).into(),
        ValueRef::Uuid(id) => uuid::Uuid::from_bytes(id.0).to_string().into(),
        other => match (other.as_i64(), other.as_u64()) {
            (Some(number), _) => number.into(),
            (None, Some(number)) => number.into(),
            (None, None) => typed(other),
        },
    }
}

/// Annotations as a JSON object, left out where there are none.
pub(crate) fn insert_annotations(
    object: &mut Map<String, Value>,
    name: &str,
    annotations: Option<&Annotations>,
) {
    let Some(annotations) = annotations.filter(|annotations| !annotations.is_empty()) else { return };
    let entries = annotations.iter().map(|(key, value)| (key.to_string(), json_of(value)));
    object.insert(name.into(), Value::Object(entries.collect()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_properties_are_read() {
        let read = |text: &str| text.parse::<TypedProperty>().map(|it| (it.name, it.value));
        assert_eq!(read("n:int=-5"), Ok(("n".into(), Amqp::Int(-5))));
        assert_eq!(read("a:b:ulong=18446744073709551615"), Ok(("a:b".into(), Amqp::Ulong(u64::MAX))));
        assert_eq!(read("t:bool=true"), Ok(("t".into(), Amqp::Boolean(true))));
        assert_eq!(read("s:string=a=b"), Ok(("s".into(), Amqp::from("a=b".to_owned()))));
        assert_eq!(read("t:timestamp=-1"), Ok(("t".into(), Amqp::Timestamp(Timestamp(-1)))));
        for wrong in ["", "n", "n=5", ":int=5", "n:int=x", "n:uint=-1", "n:byte=1", "n:symbol=ä", "n:uuid=1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_without_a_like_in_json_keeps_its_type() {
        assert_eq!(json_of(ValueRef::Ulong(u64::MAX)), Value::from(u64::MAX));
        assert_eq!(json_of(ValueRef::Double(f64::INFINITY))[0], "double");
        assert_eq!(json_of(ValueRef::Binary(&[1, 2]))[0], "binary");
    }
}
