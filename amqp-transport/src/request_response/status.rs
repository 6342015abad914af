//! The status of a reply, in the two spellings peers use.

use std::fmt;

use amqp_codec::{ApplicationProperties, ErrorCondition, Str, Symbol, Value};

use super::MalformedReply;

/// What a reply says about its request.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// A code in the manner of HTTP: 200–299 is success.
    pub code: i32,
    /// Text for people, when the peer gave one.
    pub description: Option<Str>,
    /// The symbolic condition some servers add to a failure.
    pub condition: Option<ErrorCondition>,
}

/// How the keys of a reply's status are spelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `status-code`, `status-description`: claims-based security and Azure everywhere.
    #[default]
    Hyphens,
    /// `statusCode`, `statusDescription`: AMQP Management as drafted.
    Camel,
}

impl Status {
    /// A status with a code and its text.
    pub fn new(code: i32, description: impl Into<Str>) -> Self {
        Self { code, description: Some(description.into()), condition: None }
    }

    /// The same status with the symbolic condition that goes with it.
    #[must_use]
    pub fn with_condition(mut self, condition: ErrorCondition) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Whether the request succeeded.
    // CBS-006, MG-004: any 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..=299).contains(&self.code)
    }

    /// Whether the code says that credentials or rights are missing (401 or 403).
    #[must_use]
    pub fn is_auth(&self) -> bool {
        matches!(self.code, 401 | 403)
    }

    /// Whether the same request may succeed later: 408, 429 and 5xx, but not 501 (not implemented).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.code, 408 | 429 | 500 | 502..=599)
    }

    /// Reads the status out of a reply's application-properties, in either dialect.
    ///
    /// # Errors
    /// When there is no code, or the code is not an integer of 32 bits.
    // CBS-005: hyphens from Azure and the draft, camel case from AMQP Management; any integer type is taken.
    pub fn from_properties(properties: &ApplicationProperties) -> Result<Self, MalformedReply> {
        let either = |hyphens: &str, camel: &str| properties.get(hyphens).or_else(|| properties.get(camel));
        let code = either("status-code", "statusCode")
            .ok_or(MalformedReply { what: "it has no status code" })?
            .as_i64()
            .and_then(|code| i32::try_from(code).ok())
            .ok_or(MalformedReply { what: "its status code is not an integer of 32 bits" })?;
        let description = either("status-description", "statusDescription")
            .and_then(|value| value.as_str())
            .map(|text| Str::from(text.to_owned()));
        let condition = either("error-condition", "errorCondition")
            .and_then(|value| value.as_text())
            .and_then(|text| Symbol::new(text.to_owned()).ok())
            .map(ErrorCondition);
        Ok(Self { code, description, condition })
    }

    /// Writes the status into a reply's application-properties: the code as `int`, the description as `string`
    /// (empty when there is none), the condition as `symbol`.
    pub fn write_to(&self, properties: &mut ApplicationProperties, dialect: Dialect) {
        let [code, description, condition] = match dialect {
            Dialect::Hyphens => ["status-code", "status-description", "error-condition"],
            Dialect::Camel => ["statusCode", "statusDescription", "errorCondition"],
        };
        properties.insert(code, Value::Int(self.code));
        properties.insert(description, Value::String(self.description.clone().unwrap_or_default()));
        if let Some(ErrorCondition(symbol)) = &self.condition {
            properties.insert(condition, Value::Symbol(symbol.clone()));
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        match &self.description {
            Some(description) if !description.is_empty() => write!(f, " ({description})"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: Vec<(&'static str, Value)>) -> ApplicationProperties {
        pairs.into_iter().map(|(key, value)| (Str::from(key), value)).collect()
    }

    #[test]
    fn both_dialects_and_any_integer_type_are_read() {
        // CBS-005, CBS-006, MG-004
        for (code, description, value) in [
            ("status-code", "status-description", Value::Int(202)),
            ("statusCode", "statusDescription", Value::Int(202)),
            ("status-code", "status-description", Value::Long(202)),
            ("status-code", "status-description", Value::Ushort(202)),
        ] {
            let properties = properties(vec![(code, value), (description, Value::from("Accepted"))]);
            let status = Status::from_properties(&properties).unwrap();
            assert_eq!(status, Status::new(202, "Accepted"));
            assert!(status.is_success());
        }
    }

    #[test]
    fn a_status_without_an_integer_code_is_malformed() {
        for pairs in
            [vec![], vec![("status-code", Value::from("200"))], vec![("status-code", Value::Long(1 << 40))]]
        {
            assert!(Status::from_properties(&properties(pairs)).is_err());
        }
    }

    #[test]
    fn what_is_written_is_an_int_and_a_string_and_reads_back() {
        for dialect in [Dialect::Hyphens, Dialect::Camel] {
            let status =
                Status::new(401, "InvalidSignature").with_condition(ErrorCondition::UNAUTHORIZED_ACCESS);
            let mut written = ApplicationProperties::default();
            status.write_to(&mut written, dialect);
            assert_eq!(Status::from_properties(&written).unwrap(), status);
        }
        let mut written = ApplicationProperties::default();
        Status { code: 200, description: None, condition: None }.write_to(&mut written, Dialect::Hyphens);
        assert_eq!(written.get("status-code"), Some(200.into()));
        assert_eq!(written.get("status-description"), Some("".into()));
    }

    #[test]
    fn classes_of_codes() {
        let class = |code| {
            let status = Status::new(code, "");
            (status.is_success(), status.is_auth(), status.is_retryable())
        };
        assert_eq!(class(200), (true, false, false));
        assert_eq!(class(299), (true, false, false));
        assert_eq!(class(300), (false, false, false));
        assert_eq!(class(401), (false, true, false));
        assert_eq!(class(501), (false, false, false));
        assert_eq!(class(503), (false, false, true));
    }
}
