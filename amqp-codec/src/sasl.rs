//! SASL performatives (AMQP 1.0 §5.3).
//!
//! Owns their tables. What mechanisms say to each other may hold credentials: it never appears in `Debug`.

use core::fmt;

use bytes::Bytes;

use crate::{
    composite::{composite, one_of, restricted},
    text::{Str, Symbol},
};

composite! {
    /// The mechanisms a server offers (AMQP 1.0 §5.3.3.1).
    #[derive(Clone, Debug, PartialEq, Eq)]
    SaslMechanisms = 0x40, "amqp:sasl-mechanisms:list", "sasl-mechanisms" {
        /// Their names in the server's order of preference; at least one.
        sasl_server_mechanisms: mechanisms Symbol, "sasl-server-mechanisms" "symbol";
    }
}

composite! {
    /// The client's choice of mechanism (AMQP 1.0 §5.3.3.2).
    #[derive(Clone, PartialEq, Eq)]
    SaslInit = 0x41, "amqp:sasl-init:list", "sasl-init" {
        /// The mechanism's name.
        mechanism: required Symbol, "mechanism" "symbol";
        /// The mechanism's first response. Secret.
        initial_response: optional Bytes, "initial-response" "binary";
        /// The host the client means to reach.
        hostname: optional Str, "hostname" "string";
    }
}

composite! {
    /// A challenge of the server (AMQP 1.0 §5.3.3.3).
    #[derive(Clone, PartialEq, Eq)]
    SaslChallenge = 0x42, "amqp:sasl-challenge:list", "sasl-challenge" {
        /// The challenge.
        challenge: required Bytes, "challenge" "binary";
    }
}

composite! {
    /// A response of the client (AMQP 1.0 §5.3.3.4).
    #[derive(Clone, PartialEq, Eq)]
    SaslResponse = 0x43, "amqp:sasl-response:list", "sasl-response" {
        /// The response. Secret.
        response: required Bytes, "response" "binary";
    }
}

composite! {
    /// How the dialogue ended (AMQP 1.0 §5.3.3.5).
    #[derive(Clone, PartialEq, Eq)]
    SaslOutcome = 0x44, "amqp:sasl-outcome:list", "sasl-outcome" {
        /// Whether it succeeded.
        code: required SaslCode, "code" "sasl-code";
        /// The mechanism's last words, on success. Secret: SCRAM's prove the password.
        additional_data: optional Bytes, "additional-data" "binary";
    }
}

restricted! {
    /// Whether a SASL dialogue succeeded (AMQP 1.0 §5.3.3.6).
    #[derive(Default)]
    SaslCode: u8, "sasl-code" {
        /// It did.
        Ok = 0, "ok";
        /// The credentials were wrong. The default, so that nothing succeeds by omission.
        #[default]
        Auth = 1, "auth";
        /// A system error.
        Sys = 2, "sys";
        /// A system error that will not go away by itself.
        SysPerm = 3, "sys-perm";
        /// A system error that may go away.
        SysTemp = 4, "sys-temp";
    }
}

one_of! {
    /// The performative of a SASL frame.
    #[derive(Clone, Debug, PartialEq, Eq)]
    SaslPerformative, "SASL performative" {
        /// The mechanisms a server offers.
        Mechanisms(SaslMechanisms),
        /// The client's choice.
        Init(SaslInit),
        /// A challenge of the server.
        Challenge(SaslChallenge),
        /// A response of the client.
        Response(SaslResponse),
        /// How the dialogue ended.
        Outcome(SaslOutcome),
    }
}

impl fmt::Debug for SaslInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslInit")
            .field("mechanism", &self.mechanism)
            .field("initial_response", &self.initial_response.as_ref().map(|_| Redacted))
            .field("hostname", &self.hostname)
            .finish()
    }
}

impl fmt::Debug for SaslChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslChallenge").field("challenge", &Redacted).finish()
    }
}

impl fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslResponse").field("response", &Redacted).finish()
    }
}

impl fmt::Debug for SaslOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaslOutcome")
            .field("code", &self.code)
            .field("additional_data", &self.additional_data.as_ref().map(|_| Redacted))
            .finish()
    }
}

/// Stands for octets that must not be shown.
struct Redacted;

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn credentials_do_not_appear_in_debug() {
        let init = SaslInit {
            mechanism: "PLAIN".into(),
            initial_response: Some(Bytes::from_static(b"\0user\0hunter2")),
            hostname: None,
        };
        let shown = format!("{:?}", SaslPerformative::from(init));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("PLAIN"), "{shown}");
        let response = SaslResponse { response: Bytes::from_static(b"hunter2") };
        assert!(!format!("{response:?}").contains("hunter2"));
        let outcome =
            SaslOutcome { code: SaslCode::Ok, additional_data: Some(Bytes::from_static(b"v=proof")) };
        assert!(!format!("{outcome:?}").contains("proof"), "{outcome:?}");
    }
}
