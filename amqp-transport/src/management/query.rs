//! The result of a `QUERY`, as both sides see it.

use std::collections::BTreeSet;

use amqp_codec::{List, ListRef, Map, Str, Value, ValueRef};

use super::ManagementError;
use crate::request_response::{MalformedReply, RequestError};

/// Rows of attributes (AMQP Management 1.0 working draft §4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResult {
    /// The names of the columns, each once.
    pub attribute_names: Vec<Str>,
    /// One row for each entity, each as long as there are names.
    pub rows: Vec<List>,
}

impl QueryResult {
    /// Reads the body of a response.
    ///
    /// # Errors
    /// When it is no result of a query: the names or rows are missing, a name stands there twice, or a row has another
    /// length (MG-006).
    pub fn from_body(body: &Value) -> Result<Self, ManagementError> {
        let malformed = |what| ManagementError::Request(RequestError::Malformed(MalformedReply { what }));
        let Value::Map(map) = body else { return Err(malformed("its body is no map")) };
        let list = |key| match map.get_str(key) {
            Some(ValueRef::List(list)) => Some(list),
            _ => None,
        };
        let names = list("attributeNames").ok_or_else(|| malformed("it has no list attributeNames"))?;
        let attribute_names = distinct_names(names).map_err(|fault| {
            malformed(match fault {
                NameFault::NoString => "an attribute's name is no string",
                NameFault::Twice => "an attribute is named twice",
            })
        })?;
        let row = |row: ValueRef<'_>| match row {
            ValueRef::List(row) if row.len() == attribute_names.len() => Some(row.to_list()),
            _ => None,
        };
        let results = list("results").ok_or_else(|| malformed("it has no list results"))?;
        let rows: Option<Vec<List>> = results.iter().map(row).collect();
        let rows = rows.ok_or_else(|| malformed("a row has another length than the names"))?;
        Ok(Self { attribute_names, rows })
    }

    /// The body of the response that carries it.
    #[must_use]
    pub fn to_body(&self) -> Value {
        let mut map = Map::default();
        let names: Vec<Value> = self.attribute_names.iter().cloned().map(Value::String).collect();
        let rows: Vec<Value> = self.rows.iter().cloned().map(Value::List).collect();
        map.insert("attributeNames", Value::List(names.into()));
        map.insert("results", Value::List(rows.into()));
        Value::Map(map)
    }
}

/// What is wrong with a list of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameFault {
    NoString,
    Twice,
}

/// The names of a list, as a `QUERY` and its answer have it.
// MG-006
pub(super) fn distinct_names(list: ListRef<'_>) -> Result<Vec<Str>, NameFault> {
    let mut seen = BTreeSet::new();
    list.iter()
        .map(|name| match name {
            ValueRef::String(name) if seen.insert(name.as_str()) => Ok(name.to_str()),
            ValueRef::String(_) => Err(NameFault::Twice),
            _ => Err(NameFault::NoString),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[i32]) -> List {
        values.iter().copied().map(Value::Int).collect::<Vec<Value>>().into()
    }

    #[test]
    fn rows_are_as_long_as_the_names_which_differ() {
        // MG-006
        let names = vec![Str::from("a"), Str::from("b")];
        let result = QueryResult { attribute_names: names.clone(), rows: vec![row(&[1, 2]), row(&[3, 4])] };
        assert_eq!(QueryResult::from_body(&result.to_body()), Ok(result));
        let uneven = QueryResult { attribute_names: names, rows: vec![row(&[1])] };
        assert!(matches!(
            QueryResult::from_body(&uneven.to_body()),
            Err(ManagementError::Request(RequestError::Malformed(_)))
        ));
        let doubled = QueryResult { attribute_names: vec![Str::from("a"), Str::from("a")], rows: vec![] };
        let error = QueryResult::from_body(&doubled.to_body()).unwrap_err();
        assert!(error.to_string().contains("named twice"), "{error}");
        for body in [Value::Null, Value::Map(Map::default())] {
            assert!(QueryResult::from_body(&body).is_err());
        }
    }
}
