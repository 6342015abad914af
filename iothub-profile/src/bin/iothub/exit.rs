//! How the command ends: the classes of failure, their exit codes, and what a person is told.
//!
//! A message says what went wrong, whose fault it is, whether trying again helps, and what to do. It never holds a
//! key, a token or a password.

use std::fmt;
use std::process::ExitCode;

/// A class of failure; each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Anything without a class of its own: input or output that failed, an incomplete demo.
    Failed,
    /// The command line, a file named on it or the connection string cannot be used.
    Usage,
    /// The hub does not accept the key, the token or the policy.
    Credential,
    /// No trusted TLS session with this host.
    Tls,
    /// Nothing that speaks AMQP answers at the address.
    Unreachable,
    /// The hub understood the request and refused it.
    Refused,
    /// A message over the size limit, or a full queue.
    TooLarge,
    /// The connection broke before the hub told what became of a message.
    OutcomeUnknown,
    /// Ended by Ctrl-C.
    Interrupted,
}

impl Class {
    /// The exit code of the class.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Credential => 3,
            Self::Tls => 4,
            Self::Unreachable => 5,
            Self::Refused => 6,
            Self::TooLarge => 7,
            Self::OutcomeUnknown => 8,
            Self::Interrupted => 130,
        }
    }

    /// Whose fault a failure of this class is.
    fn fault(self) -> &'static str {
        match self {
            Self::Failed => "this machine or this command",
            Self::Usage => "the command line or the connection string",
            Self::Credential => "the key, token or policy in the connection string",
            Self::Tls => "the certificate or the port of the host, or the authorities this command trusts",
            Self::Unreachable => "the address, or the network between here and there",
            Self::Refused => "the request, as the hub sees it",
            Self::TooLarge => "the message's size, or a quota of the hub",
            Self::OutcomeUnknown => "the network or the hub: the connection broke in between",
            Self::Interrupted => "nobody: it was asked to stop",
        }
    }

    /// Whether trying again helps.
    fn retry(self) -> &'static str {
        match self {
            Self::Failed => "may help",
            Self::Usage | Self::Credential | Self::Tls => "does not help until this is corrected",
            Self::Unreachable => "helps when the host is up and can be reached",
            Self::Refused => "does not help as it stands",
            Self::TooLarge => "does not help for a message that is too large; helps for a quota, later",
            Self::OutcomeUnknown => "helps, and may deliver a message twice",
            Self::Interrupted => "continues where you start it",
        }
    }

    /// What to do when nothing more particular is known.
    fn remedy(self) -> &'static str {
        match self {
            Self::Failed => "see the message above",
            Self::Usage => "see `iothub --help`",
            Self::Credential => {
                "check SharedAccessKey, SharedAccessKeyName and the device id, and this machine's clock"
            }
            Self::Tls => {
                "give the authority's certificate with --ca FILE, and use the host name the certificate carries"
            }
            Self::Unreachable => "check HostName and its port, and that the hub is running",
            Self::Refused => "check the device id, partition, consumer group or policy rights that it names",
            Self::TooLarge => "make the message smaller, or let the device work off its queue",
            Self::OutcomeUnknown => "check with `iothub monitor` what arrived before sending again",
            Self::Interrupted => "",
        }
    }
}

/// A failure, with everything a person needs to know about it.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    class: Class,
    what: String,
    advice: Option<String>,
    retry: Option<String>,
    fault: Option<&'static str>,
    stopped_by: Option<String>,
}

impl Failure {
    /// A failure of `class`; `what` is one sentence fragment that names the fault.
    pub(crate) fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), advice: None, retry: None, fault: None, stopped_by: None }
    }

    /// Replaces the class's general remedy by a particular one.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Replaces what the class says about trying again.
    pub(crate) fn retry(mut self, retry: impl Into<String>) -> Self {
        self.retry = Some(retry.into());
        self
    }

    /// Replaces what the class says about whose fault it is.
    pub(crate) fn fault(mut self, fault: &'static str) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Adds words in front: what it happened to.
    pub(crate) fn during(mut self, words: &str) -> Self {
        self.what = format!("{words}: {}", self.what);
        self
    }

    /// Adds a later failure, the one that ended the run.
    pub(crate) fn stopped_by(mut self, what: &str) -> Self {
        self.stopped_by = Some(what.to_owned());
        self
    }

    /// What went wrong, alone.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The class, and with it the exit code.
    pub(crate) fn class(&self) -> Class {
        self.class
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(stopped_by) = &self.stopped_by {
            write!(f, "\n  stopped by: {stopped_by}")?;
        }
        if self.class == Class::Interrupted {
            return Ok(());
        }
        let retry = self.retry.as_deref().unwrap_or_else(|| self.class.retry());
        let advice = self.advice.as_deref().unwrap_or_else(|| self.class.remedy());
        write!(
            f,
            "\n  fault: {}\n  retry: {retry}\n  to do: {advice}",
            self.fault.unwrap_or_else(|| self.class.fault())
        )
    }
}

/// How a verb ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// All that was asked for is done.
    Done,
    /// Stopped by Ctrl-C, in order.
    Interrupted,
}

/// The exit code of a verb's result; a failure is written to standard error.
pub(crate) fn report(result: Result<End, Failure>) -> ExitCode {
    match result {
        Ok(End::Done) => ExitCode::SUCCESS,
        Ok(End::Interrupted) => ExitCode::from(Class::Interrupted.code()),
        Err(failure) => {
            crate::output::note(&failure.to_string());
            ExitCode::from(failure.class().code())
        }
    }
}

/// The part of `--help` that documents the exit codes.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: input or output error, demo incomplete, or a fault of this command
  2    usage: command line, a file it names, malformed connection string or URL, address or password of a proxy
  3    credential: wrong key or password, expired token, unknown device or policy, missing right
  4    TLS: unknown authority, wrong host name, or a peer that does not speak TLS
  5    unreachable: name not found, port closed, or no AMQP peer answers
  6    refused by the hub or broker: unknown partition, consumer group or address, bad filter, rejected message
  7    size or quota: message too large, or a queue is full
  8    outcome unknown: the connection broke before every message was answered for
  130  ended by Ctrl-C (the emulator, whose normal end this is, exits 0)
When several apply to one run, an unknown outcome is the one reported.";

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 9] = [
        Class::Failed,
        Class::Usage,
        Class::Credential,
        Class::Tls,
        Class::Unreachable,
        Class::Refused,
        Class::TooLarge,
        Class::OutcomeUnknown,
        Class::Interrupted,
    ];

    #[test]
    fn every_class_has_its_own_code_and_help_documents_it() {
        let mut codes: Vec<u8> = ALL.iter().map(|class| class.code()).collect();
        for code in &codes {
            assert!(EXIT_CODES.contains(&format!("\n  {code:<3}  ")), "{code} is not documented");
        }
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
    }

    #[test]
    fn a_failure_says_what_whose_fault_whether_to_retry_and_what_to_do() {
        let text = Failure::new(Class::Tls, "the certificate is for another host").to_string();
        for part in ["error: the certificate is for another host", "fault: ", "retry: ", "to do: ", "--ca"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        let text = Failure::new(Class::Tls, "x").advice("use its name").retry("no").to_string();
        assert!(text.contains("to do: use its name") && text.contains("retry: no"));
    }
}
