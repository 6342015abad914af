use std::time::Duration;

use amqp_codec::{ErrorCondition, Value};
use tokio::time::timeout;

use super::*;
use crate::cbs::{CbsError, CbsServer, PutToken};
use crate::client::{CbsClient, ConnectOptions, Connection, ManagementClient, SessionOptions};
use crate::management::{self, ManagementError, ManagementRequest};
use crate::request_response::{Dialect, Status};
use crate::secret::Secret;
use crate::server::AcceptOptions;
use crate::server::{Incoming, ListenerOptions, ServerConnection};

/// Longer than anything takes that ends at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// A peer whose one node takes requests; the test answers them by hand.
struct Node {
    _connection: ServerConnection,
    requests: Receiver,
    replies: Sender,
}

impl Node {
    /// A client's session and the peer's node to which `open` attaches, over an in-memory pipe.
    async fn with<T>(open: impl AsyncFnOnce(Session) -> T) -> (T, Self) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let serve = async {
            let connection =
                ServerConnection::over(far, &ListenerOptions::new("server")).await.expect("a handshake");
            let (mut requests, mut replies) = (None, None);
            while requests.is_none() || replies.is_none() {
                let Incoming::Attach(attach) = connection.next().await.expect("an attach") else { continue };
                if attach.attach().role == amqp_codec::Role::Sender {
                    requests = Some(attach.accept_receiver(AcceptOptions::new()).expect("a receiver"));
                } else {
                    replies = Some(attach.accept_sender(AcceptOptions::new()).expect("a sender"));
                }
            }
            Self { _connection: connection, requests: requests.unwrap(), replies: replies.unwrap() }
        };
        let connect = async {
            let connection =
                Connection::over(near, ConnectOptions::new("client")).await.expect("a connection");
            let session = connection.begin(SessionOptions::new()).await.expect("a session");
            open(session).await
        };
        timeout(PATIENCE, async { tokio::join!(connect, serve) }).await.expect("both are there in time")
    }

    async fn take(&self) -> Message {
        let delivery = timeout(PATIENCE, self.requests.recv()).await.expect("in time").expect("a request");
        let message = delivery.message().expect("a message");
        delivery.accept().expect("an open link");
        message
    }

    async fn answer(&self, reply: Message) {
        let outcome = timeout(PATIENCE, self.replies.send(&reply)).await.expect("in time");
        assert_eq!(outcome.expect("an outcome"), Outcome::Accepted);
    }
}

async fn cbs() -> (CbsClient, Node) {
    Node::with(async |session| CbsClient::open(&session).await.expect("links")).await
}

async fn put(client: &CbsClient, name: &'static str) -> Result<(), CbsError> {
    client.put_token("example:token", name, &Secret::from("hush")).await
}

#[tokio::test(start_paused = true)]
async fn a_token_is_put_and_the_peers_answer_told() {
    // CBS-001, CBS-006, CBS-011: whoever waits for this may attach then.
    let (client, node) = cbs().await;
    let serve = async {
        let request = node.take().await;
        let parsed = CbsServer::parse_request(&request).unwrap();
        assert_eq!((parsed.name.as_str(), parsed.token.expose()), ("audience", "hush"));
        node.answer(CbsServer::response(&request, 202, "Accepted")).await;
        let request = node.take().await;
        node.answer(CbsServer::response(&request, 401, "no")).await;
    };
    let ask = async {
        assert_eq!(put(&client, "audience").await, Ok(()));
        assert_eq!(put(&client, "audience").await, Err(CbsError::Refused(Status::new(401, "no"))));
    };
    tokio::join!(ask, serve);
}

#[tokio::test(start_paused = true)]
async fn requests_are_pipelined_and_replies_may_come_in_any_order() {
    let (client, node) = cbs().await;
    let serve = async {
        let (first, second) = (node.take().await, node.take().await);
        node.answer(CbsServer::response(&second, 200, "OK")).await;
        let name = PutToken::from_message(&first).unwrap().name;
        node.answer(CbsServer::response(&first, 404, name)).await;
    };
    let (first, second, ()) = tokio::join!(put(&client, "one"), put(&client, "two"), serve);
    assert_eq!(first, Err(CbsError::Refused(Status::new(404, "one"))));
    assert_eq!(second, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_too_late_completes_no_newer_request() {
    // CBS-014
    let (client, node) = cbs().await;
    let client = client.with_timeout(Duration::from_secs(5));
    let serve = async {
        let late = node.take().await;
        let newer = node.take().await;
        node.answer(CbsServer::response(&late, 200, "OK")).await;
        node.answer(CbsServer::response(&newer, 500, "busy")).await;
    };
    let ask = async {
        let began = tokio::time::Instant::now();
        assert_eq!(put(&client, "a").await, Err(CbsError::Request(RequestError::TimedOut)));
        assert_eq!(began.elapsed().as_secs(), 5);
        assert_eq!(put(&client, "a").await, Err(CbsError::Refused(Status::new(500, "busy"))));
    };
    tokio::join!(ask, serve);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_given_up_and_its_reply_ignored() {
    // CBS-014
    let (client, node) = cbs().await;
    let request = tokio::select! {
        biased;
        _ = put(&client, "dropped") => panic!("nobody answered"),
        request = node.take() => request,
    };
    node.answer(CbsServer::response(&request, 200, "OK")).await;
    let serve = async {
        let request = node.take().await;
        node.answer(CbsServer::response(&request, 403, "no")).await;
    };
    let (answer, ()) = tokio::join!(put(&client, "kept"), serve);
    assert_eq!(answer.unwrap_err().status(), Some(403));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_detaches_ends_what_is_pending_and_what_comes_after() {
    let (client, node) = cbs().await;
    let serve = async {
        node.take().await;
        let error = amqp_codec::Error {
            condition: ErrorCondition::UNAUTHORIZED_ACCESS,
            description: None,
            info: None,
        };
        node.replies.detach_with_error(error).await.unwrap();
    };
    let (pending, ()) = tokio::join!(put(&client, "a"), serve);
    let pending = pending.unwrap_err();
    assert!(pending.is_auth(), "{pending}");
    let after = put(&client, "a").await.unwrap_err();
    assert!(after.is_auth(), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_ends_what_is_pending() {
    let (client, node) = cbs().await;
    let serve = async {
        node.take().await;
        drop(node);
    };
    let (pending, ()) = tokio::join!(put(&client, "a"), serve);
    assert!(matches!(pending, Err(CbsError::Request(RequestError::Lost(_) | RequestError::Detached(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_request_the_node_rejects_is_told_at_once() {
    let (client, node) = cbs().await;
    let serve = async {
        let delivery = timeout(PATIENCE, node.requests.recv()).await.unwrap().unwrap();
        delivery.reject(None).unwrap();
    };
    let (answer, ()) = tokio::join!(put(&client, "a"), serve);
    assert_eq!(answer, Err(CbsError::Request(RequestError::NotTaken(Outcome::Rejected(None)))));
}

#[tokio::test(start_paused = true)]
async fn a_management_node_is_read() {
    // MG-001, MG-004
    let (client, node) =
        Node::with(async |session| ManagementClient::open(&session, "$management").await.expect("links"))
            .await;
    let serve = async {
        let request = node.take().await;
        assert_eq!(ManagementRequest::from_message(&request).unwrap().entity_type, "example:hub");
        node.answer(management::response(&request, Value::from("body"), Dialect::Camel)).await;
        let request = node.take().await;
        node.answer(management::refusal(&request, &Status::new(404, "none"), Dialect::Hyphens)).await;
    };
    let ask = async {
        let request = ManagementRequest::read("example:hub", "hub");
        assert_eq!(client.request(&request).await.unwrap().body, Value::from("body"));
        let refused = client.request(&request).await.unwrap_err();
        assert_eq!(refused, ManagementError::Refused(Status::new(404, "none")));
    };
    tokio::join!(ask, serve);
}
