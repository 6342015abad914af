//! `$cbs` and `$management`: requests on one link, answers on another.

use std::sync::Arc;

use amqp_codec::{DecodeLimits, Message};
use amqp_transport::{Receiver, cbs::CbsServer, server::IncomingAttach};
use tokio::task::JoinSet;

use super::{End, finish_receiver, giving, revoked, settle, taking};
use crate::emulator::{
    auth::{Need, check_token},
    management,
    peer::{Peer, ReplyNode},
    settings::{MAX_REQUEST_SIZE, MAX_UNKNOWN_REQUESTS},
    telemetry::undecodable,
};

/// Accepts a link for requests and answers them.
pub(super) fn serve(
    peer: Arc<Peer>,
    node: ReplyNode,
    need: Option<Need>,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    // Whoever has not said who it is gets little to hold the hub's memory with.
    let credit = if peer.is_known() { CREDIT } else { MAX_UNKNOWN_REQUESTS };
    let options = taking(credit).max_message_size(MAX_REQUEST_SIZE);
    let Ok(receiver) = incoming.accept_receiver(options) else {
        return;
    };
    tasks.spawn(async move {
        let end = tokio::select! {
            end = answer_all(&peer, node, &receiver) => end,
            end = revoked(&peer, need.as_ref()) => end,
        };
        finish_receiver(&peer, &receiver, end).await;
    });
}

/// Accepts a link for answers.
pub(super) fn serve_replies(
    peer: Arc<Peer>,
    node: ReplyNode,
    incoming: IncomingAttach,
    tasks: &mut JoinSet<()>,
) {
    let target = incoming.attach().target.as_ref().and_then(|target| target.address());
    let target = target.map(|address| address.as_str().to_owned());
    let Ok(sender) = incoming.accept_sender(giving()) else { return };
    let (id, sender) = (peer.hub.next_id(), Arc::new(sender));
    peer.add_replies(id, node, target, Arc::clone(&sender));
    tasks.spawn(async move {
        sender.detached().await;
        peer.forget_replies(id);
    });
}

async fn answer_all(peer: &Peer, node: ReplyNode, receiver: &Receiver) -> End {
    while let Ok(delivery) = receiver.recv().await {
        let request = match Message::decode(delivery.payload(), &DecodeLimits::message()) {
            Ok(request) => request,
            Err(error) => {
                settle(delivery, Err(undecodable(error)));
                continue;
            }
        };
        // The request is settled before it is answered, as Azure does.
        settle(delivery, Ok(()));
        let answer = match node {
            ReplyNode::Cbs => put_token(peer, &request),
            ReplyNode::Management => management::respond(&peer.hub, &request),
        };
        peer.reply(node, &request, &answer).await;
    }
    End::Over
}

fn put_token(peer: &Peer, request: &Message) -> Message {
    let put = match CbsServer::parse_request(request) {
        Ok(put) => put,
        Err(error) => return CbsServer::response_with(request, &error.status()),
    };
    let hub = &peer.hub;
    let now_ms = hub.now().wall_ms;
    let checked = hub.with_registry(|registry| {
        check_token(registry, &hub.names, put.token.expose(), Some(&put.name), now_ms)
    });
    match checked {
        Ok(grant) => {
            tracing::info!(peer = %peer.address, audience = put.name.as_str(), holder = ?grant.holder, "token accepted");
            match peer.grant(grant) {
                Ok(()) => CbsServer::response(request, 200, "OK"),
                Err(error) => CbsServer::response(request, 403, error.to_string()),
            }
        }
        Err(error) => {
            tracing::warn!(peer = %peer.address, audience = put.name.as_str(), %error, "token refused");
            CbsServer::response(request, error.status(), error.to_string())
        }
    }
}

/// What Azure grants on `$cbs`.
const CREDIT: u32 = 100;
