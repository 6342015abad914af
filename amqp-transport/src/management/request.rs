//! A management request, as both sides see it.

use std::fmt;

use amqp_codec::{ApplicationProperties, Body, Map, Message, MessageId, Str, Value, ValueRef};

use super::ManagementRequestError;
use super::query::{NameFault, distinct_names};
use crate::request_response::request;
use crate::secret::Secret;

/// What is asked of a management node.
#[derive(Clone)]
pub struct ManagementRequest {
    /// What to do, case-sensitive: `READ`, `QUERY`, ….
    pub operation: Str,
    /// The type of the entity it is done to.
    pub entity_type: Str,
    /// The entity's name; operations on the node itself have none.
    pub name: Option<Str>,
    /// All other application-properties. A value may be a token: `Debug` shows the keys alone.
    pub properties: ApplicationProperties,
    /// The body; null for operations that need none.
    pub body: Value,
}

impl ManagementRequest {
    /// A request to read the entity `name` of type `entity_type`.
    pub fn read(entity_type: impl Into<Str>, name: impl Into<Str>) -> Self {
        Self {
            operation: Str::from("READ"),
            entity_type: entity_type.into(),
            name: Some(name.into()),
            properties: ApplicationProperties::default(),
            body: Value::Null,
        }
    }

    /// A request to the node itself: `GET-TYPES`, `GET-OPERATIONS`, `REGISTER`, ….
    // MG-005: of the name `self` and the node's own type.
    pub fn on_node(operation: impl Into<Str>) -> Self {
        Self {
            operation: operation.into(),
            entity_type: Str::from(NODE_TYPE),
            name: Some(Str::from("self")),
            properties: ApplicationProperties::default(),
            body: Value::Null,
        }
    }

    /// A `QUERY` for these attributes of entities, none meaning all; [`QueryResult`](super::QueryResult) reads the
    /// answer. Entity type, offset and count are set with [`with_property`](Self::with_property), under the keys
    /// `entityType`, `offset` and `count`.
    // MG-005, MG-006: an attribute named twice is asked for once.
    pub fn query<'a>(attribute_names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<Value> = Vec::new();
        for name in attribute_names {
            let name = Value::String(Str::from(name.to_owned()));
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut body = Map::default();
        body.insert("attributeNames", Value::List(names.into()));
        Self::on_node("QUERY").with_body(Value::Map(body))
    }

    /// The same request with one more application-property.
    #[must_use]
    pub fn with_property(mut self, key: impl Into<Str>, value: impl Into<Value>) -> Self {
        self.properties.insert(key, value);
        self
    }

    /// The same request with a token as an application-property of type string.
    #[must_use]
    pub fn with_secret(self, key: impl Into<Str>, token: &Secret) -> Self {
        self.with_property(key, Value::String(Str::from(token.expose().to_owned())))
    }

    /// The same request with a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Value>) -> Self {
        self.body = body.into();
        self
    }

    /// The attributes that a `QUERY` asks for, for the node that answers it; none means all. In which order entities
    /// come, which has to stay the same for `offset` and `count` to mean something, is the node's to keep.
    ///
    /// # Errors
    /// When the body is no map with a list of distinct strings `attributeNames`; an empty body asks for all.
    /// [`ManagementRequestError::status`] is the answer to it.
    // MG-006
    pub fn attribute_names(&self) -> Result<Vec<Str>, ManagementRequestError> {
        let wrong = |problem| ManagementRequestError::AttributeNames { problem };
        let body = match &self.body {
            Value::Null => return Ok(Vec::new()),
            Value::Map(body) => body,
            _ => return Err(wrong("are in no map")),
        };
        match body.get_str("attributeNames") {
            None | Some(ValueRef::Null) => Ok(Vec::new()),
            Some(ValueRef::List(names)) => distinct_names(names).map_err(|fault| match fault {
                NameFault::NoString => wrong("are not all strings"),
                NameFault::Twice => wrong("name an attribute twice"),
            }),
            Some(_) => Err(wrong("are no list")),
        }
    }

    /// The request as a message; the reply comes to the link attached as `reply_to`.
    // MG-001, MG-003
    #[must_use]
    pub fn to_message(&self, message_id: MessageId, reply_to: &str) -> Message {
        let mut application_properties = self.properties.clone();
        application_properties.insert("operation", Value::String(self.operation.clone()));
        application_properties.insert("type", Value::String(self.entity_type.clone()));
        if let Some(name) = &self.name {
            application_properties.insert("name", Value::String(name.clone()));
        }
        request(message_id, None, reply_to, application_properties, self.body.clone())
    }

    /// Reads a request that arrived at a management node.
    ///
    /// # Errors
    /// When the operation or the type is missing; [`ManagementRequestError::status`] is the answer to it.
    // MG-001; MG-002: properties nobody knows are kept for the caller and are no error.
    pub fn from_message(message: &Message) -> Result<Self, ManagementRequestError> {
        let mut properties = message.application_properties.clone().unwrap_or_default();
        let mut text = |key: &'static str| match properties.remove(key) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(ManagementRequestError::MissingProperty { key }),
        };
        let (operation, entity_type) = (text("operation")?, text("type")?);
        let name = text("name").ok();
        let body = match &message.body {
            Body::Value(value) => value.clone(),
            _ => Value::Null,
        };
        Ok(Self { operation, entity_type, name, properties, body })
    }
}

impl fmt::Debug for ManagementRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&str> = self.properties.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("ManagementRequest")
            .field("operation", &self.operation)
            .field("entity_type", &self.entity_type)
            .field("name", &self.name)
            .field("property_keys", &keys)
            .finish_non_exhaustive()
    }
}

/// The type of a management node.
const NODE_TYPE: &str = "org.amqp.management";

#[cfg(test)]
mod tests {
    use super::*;

    fn read() -> ManagementRequest {
        ManagementRequest::read("example:partition", "hub")
            .with_property("partition", "3")
            .with_secret("security_token", &Secret::from("hush"))
    }

    // MG-002: what nobody knows is kept and is no error; no locales are asked for.
    #[test]
    fn a_request_has_the_drafts_properties_and_reads_back() {
        // MG-001, MG-003
        let message = read().to_message(MessageId::from("m-1"), "replies");
        let properties = message.properties.clone().unwrap();
        assert_eq!(properties.message_id, Some(MessageId::from("m-1")));
        assert_eq!(properties.reply_to.unwrap(), "replies");
        let application = message.application_properties.clone().unwrap();
        for (key, value) in [
            ("operation", "READ"),
            ("type", "example:partition"),
            ("name", "hub"),
            ("partition", "3"),
            ("security_token", "hush"),
        ] {
            assert_eq!(application.get(key), Some(value.into()), "{key}");
        }
        let back = ManagementRequest::from_message(&message).unwrap();
        assert_eq!((back.operation.as_str(), back.entity_type.as_str()), ("READ", "example:partition"));
        assert_eq!(back.name.as_deref(), Some("hub"));
        assert_eq!(back.properties.get("partition"), Some("3".into()));
        assert_eq!(back.properties.get("operation"), None);
    }

    // MG-005, MG-006
    #[test]
    fn a_query_is_the_nodes_own_operation_and_names_each_attribute_once() {
        let query = ManagementRequest::query(["name", "size", "name"]).with_property("entityType", "queue");
        assert_eq!((query.operation.as_str(), query.entity_type.as_str()), ("QUERY", "org.amqp.management"));
        assert_eq!(query.name.as_deref(), Some("self"));
        let Value::Map(body) = &query.body else { panic!("no map") };
        let Some(ValueRef::List(names)) = body.get_str("attributeNames") else { panic!("no names") };
        assert_eq!(names.iter().map(|name| name.as_str().unwrap()).collect::<Vec<_>>(), ["name", "size"]);
    }

    // MG-006: what another maker's client may send.
    #[test]
    fn a_query_that_names_an_attribute_twice_was_answered() {
        let asking = |names: Value| {
            let mut body = Map::default();
            body.insert("attributeNames", names);
            ManagementRequest::on_node("QUERY").with_body(Value::Map(body)).attribute_names()
        };
        let list = |names: &[&str]| {
            Value::List(names.iter().copied().map(Value::from).collect::<Vec<Value>>().into())
        };
        assert_eq!(asking(list(&["name", "size"])), Ok(vec![Str::from("name"), Str::from("size")]));
        assert_eq!(asking(list(&[])), Ok(Vec::new()), "all of them");
        assert_eq!(ManagementRequest::on_node("QUERY").attribute_names(), Ok(Vec::new()));
        let error = asking(list(&["name", "size", "name"])).unwrap_err();
        assert_eq!((error.status().code, error.to_string().contains("twice")), (400, true));
        for wrong in [Value::from("name"), Value::List(vec![Value::Int(1)].into())] {
            assert_eq!(asking(wrong).unwrap_err().status().code, 400);
        }
        assert!(ManagementRequest::on_node("QUERY").with_body("name").attribute_names().is_err());
    }

    #[test]
    fn property_values_are_not_printed() {
        let printed = format!("{:?}", read());
        assert!(printed.contains("security_token") && !printed.contains("hush"), "{printed}");
    }

    #[test]
    fn a_request_without_operation_or_type_is_refused() {
        let mut message = read().to_message(MessageId::Ulong(1), "r");
        message.application_properties.as_mut().unwrap().insert("type", Value::Int(1));
        let error = ManagementRequest::from_message(&message).unwrap_err();
        assert_eq!(error, ManagementRequestError::MissingProperty { key: "type" });
        assert_eq!(error.status().code, 400);
        assert!(ManagementRequest::from_message(&Message::default()).is_err());
    }
}
