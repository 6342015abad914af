//! `/devices/{id}/messages/devicebound`: commands to a device.

use std::sync::Arc;

use amqp_codec::Outcome;
use amqp_transport::{SendError, Sender, Settlement as Mode, server::IncomingAttach};
use tokio::task::JoinSet;

use super::{DeviceLink, End, finish_sender, lending, record_outcome, revoked, take_last};
use crate::emulator::{
    auth::Need,
    command_message::for_device,
    commands::{LockLost, LockToken, Settlement},
    hub::{DeviceCommands, Hub},
    peer::{Peer, unauthorized},
    route::Subject,
    steal::LinkKind,
};

/// Accepts the link and sends the device its commands as it gives credit for them.
pub(super) fn serve(
    peer: Arc<Peer>,
    subject: Subject,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let Some(commands) = peer.hub.commands_of(&subject.device) else {
        incoming.refuse(unauthorized("the device has just been removed"));
        return;
    };
    let options = lending(incoming.attach());
    let Ok(sender) = incoming.accept_sender(options) else { return };
    let link = DeviceLink::take(&peer, &subject, LinkKind::Commands);
    tasks.spawn(async move {
        // Kept out of what ends with the link: an outcome told just before still counts.
        let mut outcomes = JoinSet::new();
        let end = tokio::select! {
            end = give_out(&peer.hub, &sender, &commands, &mut outcomes) => end,
            end = revoked(&peer, need.as_ref()) => end,
            end = link.stolen() => end,
            _ = sender.detached() => End::Over,
        };
        drop(link);
        finish_sender(&peer, &sender, end).await;
        take_last(outcomes).await;
    });
}

async fn give_out(
    hub: &Arc<Hub>,
    sender: &Sender,
    commands: &Arc<DeviceCommands>,
    outcomes: &mut JoinSet<()>,
) -> End {
    loop {
        while outcomes.try_join_next().is_some() {}
        // A command is locked only when it can go: one that waited for credit here would be lost to its lock.
        if let Err(error) = sender.ready().await {
            return End::unsent(&error);
        }
        let changed = commands.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let Some(command) = hub.lock_command(commands) else {
            changed.await;
            continue;
        };
        let sent = sender.send_tagged(for_device(&command), command.lock.tag(), Mode::Unsettled).await;
        match sent {
            Ok(receipt) => {
                let (hub, commands) = (Arc::clone(hub), Arc::clone(commands));
                outcomes.spawn(record_outcome(receipt, move |outcome| {
                    settle(&hub, &commands, command.lock, outcome)
                }));
            }
            Err(error) => {
                match error {
                    // It will not fit the next time either: counted, so that it does not stay in the way of others.
                    SendError::TooLarge { .. } => {
                        let _ = hub.settle_command(commands, command.lock, Settlement::Abandon);
                    }
                    _ => hub.unlock_command(commands, command.lock),
                }
                return End::unsent(&error);
            }
        }
    }
}

fn settle(hub: &Hub, commands: &DeviceCommands, lock: LockToken, outcome: &Outcome) -> Result<(), LockLost> {
    let settlement = match outcome {
        Outcome::Accepted => Settlement::Complete,
        Outcome::Rejected(_) => Settlement::Reject,
        Outcome::Released | Outcome::Modified(_) => Settlement::Abandon,
    };
    let settled = hub.settle_command(commands, lock, settlement);
    if settled.is_err() {
        tracing::info!(?settlement, "a device settled a command whose lock had lapsed");
    }
    settled
}
