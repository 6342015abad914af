//! Claims-based security and management between our own clients and any listener's nodes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amqp_codec::{ErrorCondition, Message, Str, Value};
use amqp_transport::cbs::{CbsError, CbsRequest, CbsServer};
use amqp_transport::client::{CbsClient, ManagementClient, ReceiverOptions, SenderOptions, Session};
use amqp_transport::management::{self, ManagementError, ManagementRequest, QueryResult};
use amqp_transport::request_response::{Dialect, RequestError, Status};
use amqp_transport::server::{Incoming, RequestNode, ServerConnection};
use amqp_transport::{Connection, Secret};

use crate::support::*;

/// A server whose every link belongs to one node.
async fn serving(node: RequestNode) -> (Connection, Session, ServerConnection) {
    let (client, server) = pair().await;
    let session = session(&client).await;
    let accepting = server.clone();
    tokio::spawn(async move {
        while let Ok(Incoming::Attach(attach)) = accepting.next().await {
            match attach.address() {
                Some("$cbs" | "$management") => node.take(attach).unwrap(),
                _ => attach.refuse(error(ErrorCondition::NOT_FOUND, "no such node")),
            }
        }
    });
    (client, session, server)
}

fn cbs(tokens: &Arc<Mutex<Vec<(String, String)>>>) -> RequestNode {
    let tokens = Arc::clone(tokens);
    RequestNode::new(move |request| {
        let answer = CbsServer::answer(&request, |asked| {
            let mut tokens = tokens.lock().unwrap();
            match asked {
                CbsRequest::Put(put) if put.token.expose() == "good" => {
                    // CBS-010: in place of the one before.
                    tokens.retain(|(name, _)| *name != put.name.as_str());
                    tokens.push((put.name.to_string(), put.token_type.to_string()));
                    Status::new(202, "OK")
                }
                CbsRequest::Put(_) => Status::new(401, "not good"),
                CbsRequest::Delete(delete) => {
                    tokens.retain(|(name, _)| *name != delete.name.as_str());
                    Status::new(200, "OK")
                }
                _ => Status::new(501, "unknown"),
            }
        });
        std::future::ready(answer)
    })
}

// CBS-001 to CBS-011
#[tokio::test(start_paused = true)]
async fn tokens_are_put_replaced_refused_and_deleted_on_any_listener() {
    let tokens = Arc::default();
    let (_client, session, _server) = serving(cbs(&tokens)).await;
    let client = CbsClient::open(&session).await.unwrap();
    let good = Secret::from("good");
    for audience in ["a", "b", "a"] {
        client.put_token("example:token", audience, &good).await.unwrap();
    }
    let kept = |tokens: &Mutex<Vec<(String, String)>>| -> Vec<String> {
        tokens.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(kept(&tokens), ["b", "a"]);
    let refused = client.put_token("example:token", "c", &Secret::from("bad")).await.unwrap_err();
    assert_eq!((refused.status(), refused.is_auth()), (Some(401), true));
    // CBS-008: also what is not there.
    for audience in ["b", "b"] {
        client.delete_token("example:token", audience).await.unwrap();
    }
    assert_eq!(kept(&tokens), ["a"]);
    // Many at once, each with its own answer; more than the credit of the node's link.
    let client = Arc::new(client);
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..150 {
        let (client, good) = (Arc::clone(&client), good.clone());
        puts.spawn(async move { client.put_token("t", format!("many-{number}"), &good).await });
    }
    for put in puts.join_all().await {
        put.unwrap();
    }
    assert_eq!(tokens.lock().unwrap().len(), 151);
}

// MG-001 to MG-006, in both dialects
#[tokio::test(start_paused = true)]
async fn a_management_node_answers_in_either_dialect() {
    for dialect in [Dialect::Hyphens, Dialect::Camel] {
        let node = RequestNode::new(move |request: Message| async move {
            let asked = match ManagementRequest::from_message(&request) {
                Ok(asked) => asked,
                Err(error) => return management::refusal(&request, &error.status(), dialect),
            };
            match (asked.operation.as_str(), asked.entity_type.as_str()) {
                ("QUERY", "org.amqp.management") => match asked.attribute_names() {
                    Ok(attribute_names) => {
                        let row = attribute_names.iter().map(|name| Value::from(format!("q1's {name}")));
                        let rows = vec![row.collect::<Vec<_>>().into()];
                        let result = QueryResult { attribute_names, rows };
                        management::response(&request, result.to_body(), dialect)
                    }
                    Err(error) => management::refusal(&request, &error.status(), dialect),
                },
                ("READ", "queue") => {
                    let absent = Status::new(404, "there is no such queue");
                    management::refusal(&request, &absent, dialect)
                }
                _ => management::refusal(&request, &Status::new(501, "not implemented"), dialect),
            }
        });
        let (_client, session, _server) = serving(node).await;
        let client = ManagementClient::open(&session, management::NODE).await.unwrap();
        let answer = client.request(&ManagementRequest::query(["name", "size"])).await.unwrap();
        assert_eq!(answer.status, 200);
        let result = QueryResult::from_body(&answer.body).unwrap();
        assert_eq!(result.attribute_names, [Str::from("name"), Str::from("size")]);
        assert_eq!(result.rows, [vec![Value::from("q1's name"), Value::from("q1's size")].into()]);
        let status = |error: ManagementError| match error {
            ManagementError::Refused(status) => status.code,
            other => panic!("{other}"),
        };
        let names = Value::List(vec![Value::from("name"), Value::from("name")].into());
        let body = Value::Map([(Value::from("attributeNames"), names)].into_iter().collect());
        let doubled = ManagementRequest::on_node("QUERY").with_body(body);
        assert_eq!(status(client.request(&doubled).await.unwrap_err()), 400);
        let read = ManagementRequest::read("queue", "q9");
        assert_eq!(status(client.request(&read).await.unwrap_err()), 404);
        let other = ManagementRequest::on_node("GET-TYPES");
        assert_eq!(status(client.request(&other).await.unwrap_err()), 501);
    }
}

// CBS-004, MG-003: with and without a reply-to, and only to the connection that asked.
#[tokio::test(start_paused = true)]
async fn an_answer_goes_where_it_is_asked_to_or_to_the_newest_link() {
    let node =
        RequestNode::new(|request: Message| std::future::ready(CbsServer::response(&request, 200, "OK")));
    let (_client, session, _server) = serving(node).await;
    let sender = session.attach_sender(SenderOptions::new("ask", "$cbs")).await.unwrap();
    // The request comes before there is a link for its answer.
    sender.send(&Message::data("early")).await.unwrap();
    let replies =
        |name: &'static str| session.attach_receiver(ReceiverOptions::new(name, "$cbs").target(name));
    let first = replies("first").await.unwrap();
    first.recv().await.unwrap().accept().unwrap();
    let second = replies("second").await.unwrap();
    sender.send(&Message::data("unnamed")).await.unwrap();
    second.recv().await.unwrap().accept().unwrap();
    let mut named = Message::data("named");
    named.properties.get_or_insert_default().reply_to = Some(Str::from("first"));
    sender.send(&named).await.unwrap();
    first.recv().await.unwrap().accept().unwrap();
    // A link that has gone is no place for answers.
    second.detach().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    sender.send(&Message::data("unnamed")).await.unwrap();
    first.recv().await.unwrap().accept().unwrap();
}

// CBS-014: an answer that never comes is given up after its time.
#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_costs_the_time_out() {
    let node = RequestNode::new(|_| std::future::pending());
    let (_client, session, _server) = serving(node).await;
    let client = CbsClient::open(&session).await.unwrap().with_timeout(Duration::from_secs(3));
    let late = client.put_token("t", "a", &Secret::from("good")).await;
    assert!(matches!(late, Err(CbsError::Request(RequestError::TimedOut))));
}
