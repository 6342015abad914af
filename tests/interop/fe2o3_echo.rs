//! fe2o3-amqp as the client that sends back what it reads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use fe2o3_amqp::connection::Connection;
use fe2o3_amqp::link::RecvError;
use fe2o3_amqp::session::Session;
use fe2o3_amqp::{Receiver, Sender};
use fe2o3_amqp_types::definitions::{AmqpError, Error};
use fe2o3_amqp_types::messaging::{AmqpValue, Message, MessageId, Properties};
use fe2o3_amqp_types::primitives::Value;

/// Sends back body, application properties and annotations as it reads them, and rejects what it cannot read or write.
pub(super) async fn echo(address: String) {
    let url = format!("amqp://{address}");
    let mut connection = Connection::builder().container_id("echo").open(url.as_str()).await.unwrap();
    let mut session = Session::begin(&mut connection).await.unwrap();
    let mut sender = Sender::attach(&mut session, "to-echoed", "echoed").await.unwrap();
    let mut receiver = Receiver::attach(&mut session, "from-values", "values").await.unwrap();
    loop {
        let rejected = |text: String| Error::new(AmqpError::DecodeError, text, None);
        let delivery = match unharmed(receiver.recv::<AmqpValue<Value>>()).await {
            Ok(Ok(delivery)) => delivery,
            Ok(Err(RecvError::MessageDecode(error))) => {
                let text = error.source.to_string();
                receiver.reject(error.info, rejected(text)).await.unwrap();
                continue;
            }
            Ok(Err(error)) => {
                println!("  fe2o3-amqp ends: {error:?}");
                return;
            }
            Err(panic) => {
                println!("  fe2o3-amqp panics: {panic}");
                continue;
            }
        };
        let message = delivery.message();
        let id: Option<MessageId> = message.properties.as_ref().and_then(|it| it.message_id.clone());
        let answer = Message {
            header: None,
            delivery_annotations: None,
            message_annotations: message.message_annotations.clone(),
            properties: Some(Properties { correlation_id: id, ..Default::default() }),
            application_properties: message.application_properties.clone(),
            body: AmqpValue(message.body.0.clone()),
            footer: None,
        };
        match unharmed(sender.send(answer)).await {
            Ok(Ok(_)) => receiver.accept(&delivery).await.unwrap(),
            Ok(Err(error)) => receiver.reject(&delivery, rejected(error.to_string())).await.unwrap(),
            Err(panic) => receiver.reject(&delivery, rejected(panic)).await.unwrap(),
        }
    }
}

/// What a future gives, or the words of its panic.
pub(super) async fn unharmed<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        std::panic::set_hook(hook);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(super::cases::panic_text(&*panic))),
        }
    })
    .await
}
