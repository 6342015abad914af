//! The result of a `QUERY`, as both sides see it.

use amqp_codec::{List, Map, Str, Value, ValueRef};

use super::ManagementError;
use crate::request_response::{MalformedReply, RequestError};

/// Rows of attributes (AMQP Management 1.0 working draft §4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryResult {
    /// The names of the columns.
    pub attribute_names: Vec<Str>,
    /// One row for each entity, each as long as there are names.
    pub rows: Vec<List>,
}

impl QueryResult {
    /// Reads the body of a response.
    ///
    /// # Errors
    /// When it is no result of a query: the names or rows are missing, or a row has another length (MG-006).
    pub fn from_body(body: &Value) -> Result<Self, ManagementError> {
        let malformed = |what| ManagementError::Request(RequestError::Malformed(MalformedReply { what }));
        let Value::Map(map) = body else { return Err(malformed("its body is no map")) };
        let list = |key| match map.get_str(key) {
            Some(ValueRef::List(list)) => Some(list),
            _ => None,
        };
        let names = list("attributeNames").ok_or_else(|| malformed("it has no list attributeNames"))?;
        let text = |name: ValueRef<'_>| match name {
            ValueRef::String(name) => Some(name.to_str()),
            _ => None,
        };
        let attribute_names: Option<Vec<Str>> = names.iter().map(text).collect();
        let attribute_names = attribute_names.ok_or_else(|| malformed("an attribute's name is no string"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[i32]) -> List {
        values.iter().copied().map(Value::Int).collect::<Vec<Value>>().into()
    }

    #[test]
    fn rows_are_as_long_as_the_names() {
        // MG-006
        let names = vec![Str::from("a"), Str::from("b")];
        let result = QueryResult { attribute_names: names.clone(), rows: vec![row(&[1, 2]), row(&[3, 4])] };
        assert_eq!(QueryResult::from_body(&result.to_body()), Ok(result));
        let uneven = QueryResult { attribute_names: names, rows: vec![row(&[1])] };
        assert!(matches!(
            QueryResult::from_body(&uneven.to_body()),
            Err(ManagementError::Request(RequestError::Malformed(_)))
        ));
        for body in [Value::Null, Value::Map(Map::default())] {
            assert!(QueryResult::from_body(&body).is_err());
        }
    }
}
