use std::time::Duration;

use amqp_codec::Message;

use super::*;
use crate::emulator::commands::Ack;

fn hub(settings: Settings) -> Arc<Hub> {
    let mut registry = Registry::new();
    for id in ["a", "b"] {
        registry.add_device(id, None, 0).unwrap();
    }
    Arc::new(Hub::new(Names::new("localhost", None), 1, registry, settings))
}

fn command(expires_ms: Option<i64>) -> NewCommand {
    let message = Arc::new(Message::data("x"));
    NewCommand { message, message_id: Some("m".to_owned()), ack: Ack::Full, expires_ms }
}

#[tokio::test]
async fn a_command_for_one_device_does_not_wake_the_links_of_the_others() {
    let hub = hub(Settings::default());
    let (a, b) = (hub.commands_of("a").unwrap(), hub.commands_of("b").unwrap());
    hub.enqueue_command("b", command(None)).unwrap();
    hub.tidy();
    let mut woken_a = waiting(&a.changed);
    let mut woken_b = waiting(&b.changed);
    let mut feedback = waiting(&hub.feedback_changed);
    hub.enqueue_command("a", command(None)).unwrap();
    hub.lock_command(&a).unwrap();
    hub.tidy();
    assert!(is_told(&mut woken_a) && !is_told(&mut woken_b) && !is_told(&mut feedback));
}

#[tokio::test]
async fn an_abandoned_command_that_expires_is_reported_at_once_and_not_when_its_lock_would_have_lapsed() {
    let settings = Settings { feedback_interval: Duration::ZERO, ..Settings::default() };
    let hub = hub(settings);
    let kept = Arc::clone(&hub);
    let keeper = tokio::spawn(async move { kept.keep_time().await });
    let commands = hub.commands_of("a").unwrap();
    for give_back in [
        (|hub, commands, lock| {
            hub.settle_command(commands, lock, Settlement::Abandon).unwrap();
        }) as fn(&Hub, &DeviceCommands, LockToken),
        |hub, commands, lock| hub.unlock_command(commands, lock),
    ] {
        hub.enqueue_command("a", command(Some(hub.now().wall_ms + 300))).unwrap();
        let locked = hub.lock_command(&commands).unwrap();
        // The keeper sleeps for the lock now.
        tokio::time::sleep(Duration::from_millis(20)).await;
        give_back(&hub, &commands, locked.lock);
        let told = async {
            loop {
                let changed = hub.feedback_changed.notified();
                match hub.lock_feedback() {
                    Some(batch) => return batch,
                    None => changed.await,
                }
            }
        };
        let batch = tokio::time::timeout(Duration::from_secs(5), told).await.expect("nothing was reported");
        assert_eq!(batch.records.len(), 1);
    }
    keeper.abort();
}

type Waiting<'a> = std::pin::Pin<Box<tokio::sync::futures::Notified<'a>>>;

fn waiting(notify: &Notify) -> Waiting<'_> {
    let mut waiting = Box::pin(notify.notified());
    waiting.as_mut().enable();
    waiting
}

fn is_told(waiting: &mut Waiting<'_>) -> bool {
    waiting.as_mut().enable()
}
