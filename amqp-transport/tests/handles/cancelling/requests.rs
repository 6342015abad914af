//! Requests to `$cbs` and to management nodes.

use std::time::Duration;

use amqp_codec::{Message, Role, Value};
use amqp_transport::cbs::{CbsServer, PutToken};
use amqp_transport::client::{CbsClient, ManagementClient};
use amqp_transport::management::ManagementRequest;
use amqp_transport::server::{AcceptOptions, Incoming, ServerConnection};
use amqp_transport::{Secret, Sender};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{at_every_await_point, dropped_after, settle_down};
use crate::support::*;

/// A node that answers every request a moment later. Both dialects of a status go with it.
async fn answer_all(server: ServerConnection) {
    let (replies, mut reply) = watch::channel(None::<std::sync::Arc<Sender>>);
    while let Ok(Incoming::Attach(attach)) = server.next().await {
        if attach.attach().role == Role::Receiver {
            replies.send_replace(attach.accept_sender(AcceptOptions::new()).ok().map(Into::into));
            continue;
        }
        let Ok(receiver) = attach.accept_receiver(AcceptOptions::new()) else { continue };
        let mut reply = reply.clone();
        tokio::spawn(async move {
            while let Ok(delivery) = receiver.recv().await {
                let request = delivery.message().unwrap();
                let _ = delivery.accept();
                sleep(Duration::from_millis(1)).await;
                let sender = reply.wait_for(Option::is_some).await.unwrap().clone().unwrap();
                let _ = sender.send(&answer(&request)).await;
            }
        });
    }
    reply.mark_unchanged();
}

fn answer(request: &Message) -> Message {
    let mut message = CbsServer::response(request, 202, "taken");
    let properties = message.application_properties.get_or_insert_with(Default::default);
    properties.insert("statusCode", Value::Int(200));
    message
}

// cancels client::cbs: open, put_token, put, delete_token
#[tokio::test(start_paused = true)]
async fn a_dropped_token_leaves_the_next_one_alone() {
    let token = || Secret::new("secret");
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        tokio::spawn(answer_all(server));
        let session = session(&client).await;
        let opened = dropped_after(polls, CbsClient::open(&session)).await;
        let is_ready = opened.is_some();
        settle_down().await;
        assert_eq!(client.stats().engine.links, if is_ready { 2 } else { 0 }, "dropped after {polls}");
        is_ready
    })
    .await;
    for way in 0..3 {
        at_every_await_point(async |polls| {
            let (client, server) = pair().await;
            tokio::spawn(answer_all(server));
            let session = session(&client).await;
            let cbs = CbsClient::open(&session).await.unwrap();
            let request = PutToken::new("jwt", "a", token());
            let put = match way {
                0 => dropped_after(polls, cbs.put_token("jwt", "a", &token())).await,
                1 => dropped_after(polls, cbs.put(&request)).await,
                _ => dropped_after(polls, cbs.delete_token("jwt", "a")).await,
            };
            let next = timeout(Duration::from_secs(5), cbs.put_token("jwt", "b", &token())).await;
            next.expect("it is answered").unwrap();
            put.map(|put| put.unwrap()).is_some()
        })
        .await;
    }
}

// cancels client::management: open, request
#[tokio::test(start_paused = true)]
async fn a_dropped_question_leaves_the_next_one_alone() {
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        tokio::spawn(answer_all(server));
        let session = session(&client).await;
        let opened = dropped_after(polls, ManagementClient::open(&session, "$management")).await;
        let is_ready = opened.is_some();
        settle_down().await;
        assert_eq!(client.stats().engine.links, if is_ready { 2 } else { 0 }, "dropped after {polls}");
        is_ready
    })
    .await;
    at_every_await_point(async |polls| {
        let (client, server) = pair().await;
        tokio::spawn(answer_all(server));
        let session = session(&client).await;
        let node = ManagementClient::open(&session, "$management").await.unwrap();
        let question = ManagementRequest::read("type", "name");
        let asked = dropped_after(polls, node.request(&question)).await;
        let next = timeout(Duration::from_secs(5), node.request(&question)).await;
        next.expect("it is answered").unwrap();
        asked.map(|asked| asked.unwrap()).is_some()
    })
    .await;
}
