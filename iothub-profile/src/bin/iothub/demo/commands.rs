//! The demo's commands: four of them, which end in four different ways, and the feedback that says so.

use std::collections::BTreeMap;
use std::time::Duration;

use iothub_profile::clock::{Clock, SystemClock};
use iothub_profile::device::{Command, CommandOptions, CommandReceiver, DeviceClient};
use iothub_profile::message::{Ack, C2dMessage, FeedbackStatus};
use iothub_profile::service::{FeedbackReceiver, ServiceClient};
use tokio::time::timeout;

use super::story::{Findings, Story};
use super::{DEVICE, PATIENCE, Stage, count};
use crate::connect::{close, failure};
use crate::exit::Failure;

/// What the service sends, and how each is meant to end.
const COMMANDS: [(&str, FeedbackStatus); 4] = [
    ("open the roof", FeedbackStatus::Success),
    ("sing a song", FeedbackStatus::Rejected),
    ("count the clouds", FeedbackStatus::DeliveryCountExceeded),
    ("close the roof before the rain", FeedbackStatus::Expired),
];

/// Sends the commands, lets the device answer them, and matches the feedback.
pub(super) async fn run(story: &mut Story, findings: &mut Findings, stage: &Stage) -> Result<(), Failure> {
    story.begin("4. The service sends four commands to the device and asks for feedback on each.");
    let service =
        ServiceClient::open(&stage.service, stage.options()?).await.map_err(|error| failure(&error))?;
    let feedback = service.feedback().await.map_err(|error| failure(&error))?;
    for (number, (text, status)) in COMMANDS.iter().enumerate() {
        let mut command = C2dMessage::new(*text).with_message_id(message_id(number)).with_ack(Ack::Full);
        if *status == FeedbackStatus::Expired {
            command = command.with_expiry(SystemClock.now() + SHORT_LIFE);
        }
        service.send_command(DEVICE, &command).await.map_err(|error| failure(&error))?;
        findings.commands = findings.commands.saturating_add(1);
    }
    story.end("commands sent", findings.commands);
    story.tell("   The device does not listen yet, and the last command lives for one second only.");
    let mut ends = Ends::default();
    ends.wait_for(&feedback, 1).await?;
    let took = story.end("waited for the expiry", ends.count());
    story.tell(&format!("   After {:.1} s the hub reports: {ends}.", took.as_secs_f64()));

    story.begin("5. The device listens, and answers each command in another way.");
    let device =
        DeviceClient::open(&stage.device, stage.options()?).await.map_err(|error| failure(&error))?;
    let commands = device.commands(CommandOptions::new()).await.map_err(|error| failure(&error))?;
    let answers = answer(&commands, &feedback, &mut ends).await?;
    story.tell(&format!(
        "   It completed \"{}\", rejected \"{}\", and abandoned \"{}\" {} times, until the hub gave up on it.",
        COMMANDS[0].0, COMMANDS[1].0, COMMANDS[2].0, answers.abandoned
    ));
    findings.feedback_matched = ends.matched();
    story.end("commands answered", answers.all);
    story.tell(&format!("   The hub reports: {ends}."));
    close(commands.close()).await;
    close(device.close()).await;
    close(feedback.close()).await;
    close(service.close()).await;
    Ok(())
}

/// Answers commands until feedback has come for each, or nothing happens any more.
async fn answer(
    commands: &CommandReceiver,
    feedback: &FeedbackReceiver,
    ends: &mut Ends,
) -> Result<Answers, Failure> {
    let mut answers = Answers::default();
    while ends.count() < count(COMMANDS.len()) {
        let step = async {
            tokio::select! {
                command = commands.recv() => answers.give(command?).await,
                batch = feedback.recv() => {
                    let batch = batch?;
                    ends.note(&batch);
                    batch.complete().await
                }
            }
        };
        match timeout(PATIENCE, step).await {
            Ok(done) => done.map_err(|error| failure(&error))?,
            // The story goes on; the summary shows what is missing.
            Err(_) => break,
        }
    }
    Ok(answers)
}

/// What the device answered.
#[derive(Debug, Default)]
struct Answers {
    all: u64,
    abandoned: u64,
}

impl Answers {
    async fn give(&mut self, command: Command) -> Result<(), iothub_profile::Error> {
        self.all = self.all.saturating_add(1);
        match command.message_id().as_deref().and_then(expected) {
            Some(FeedbackStatus::Success) => command.complete().await,
            Some(FeedbackStatus::DeliveryCountExceeded) => {
                self.abandoned = self.abandoned.saturating_add(1);
                command.abandon().await
            }
            _ => command.reject().await,
        }
    }
}

/// How the commands ended, by the feedback that came.
#[derive(Debug, Default)]
struct Ends(BTreeMap<String, FeedbackStatus>);

impl Ends {
    fn note(&mut self, batch: &iothub_profile::service::FeedbackBatch) {
        for record in batch.records() {
            self.0.insert(record.original_message_id.clone(), record.status.clone());
        }
    }

    async fn wait_for(&mut self, feedback: &FeedbackReceiver, wanted: u64) -> Result<(), Failure> {
        while self.count() < wanted {
            let Ok(batch) = timeout(PATIENCE, feedback.recv()).await else { return Ok(()) };
            let batch = batch.map_err(|error| failure(&error))?;
            self.note(&batch);
            batch.complete().await.map_err(|error| failure(&error))?;
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        count(self.0.len())
    }

    /// Commands whose feedback says what was meant.
    fn matched(&self) -> u64 {
        count(self.0.iter().filter(|(id, status)| expected(id).as_ref() == Some(status)).count())
    }
}

impl std::fmt::Display for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, (id, status)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{id} {status}")?;
        }
        Ok(())
    }
}

fn message_id(number: usize) -> String {
    format!("command-{}", number.saturating_add(1))
}

/// How the command with this id is meant to end.
fn expected(id: &str) -> Option<FeedbackStatus> {
    let found = COMMANDS.iter().enumerate().find(|(number, _)| message_id(*number) == id);
    found.map(|(_, (_, status))| status.clone())
}

/// The life of the command that is meant to expire.
const SHORT_LIFE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feedback_is_matched_by_id_and_status() {
        let mut ends = Ends::default();
        ends.0.insert("command-1".into(), FeedbackStatus::Success);
        ends.0.insert("command-2".into(), FeedbackStatus::Expired);
        ends.0.insert("somebody-else".into(), FeedbackStatus::Success);
        assert_eq!((ends.count(), ends.matched()), (3, 1));
        assert_eq!(ends.to_string(), "command-1 Success, command-2 Expired, somebody-else Success");
    }
}
