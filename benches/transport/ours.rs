//! The two ends over this project's client and server handles.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;

use amqp_codec::{Message, Outcome, SenderSettleMode};
use amqp_transport::client::{
    ConnectOptions, Connection, CreditMode, Receiver, SendError, Sender, SenderOptions, SessionOptions,
};
use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions, ServerConnection};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use workspace_benches::calls::CountedStream;

use crate::cases::Mode;
use crate::run::{BoxError, Meter, Plan};
use crate::tls;

/// Accepts one connection, session and link and accepts every message until the peer leaves.
pub(crate) async fn serve(
    bound: mpsc::Sender<SocketAddr>,
    plan: Plan,
    meter: Meter,
) -> Result<Meter, BoxError> {
    let mut accepting = ListenerOptions::new("server").max_frame_size(MAX_FRAME_SIZE);
    if plan.case.tls {
        accepting = accepting.tls(tls::server()?);
    }
    let connection = if plan.count && !plan.case.tls {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        bound.send(listener.local_addr()?)?;
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        ServerConnection::over(CountedStream(stream), &accepting).await?
    } else {
        let listener = Listener::bind("127.0.0.1:0", accepting).await?;
        bound.send(listener.local_addr()?)?;
        listener.accept().await?.handshake().await?
    };
    let Incoming::Attach(attach) = connection.next().await? else {
        return Err("the client did something else than attach".into());
    };
    let receiver = attach.accept_receiver(AcceptOptions::new().credit(CreditMode::Auto(CREDIT)))?;
    drain(&receiver, &plan, meter).await
}

async fn drain(receiver: &Receiver, plan: &Plan, mut meter: Meter) -> Result<Meter, BoxError> {
    for count in 0..plan.warm_up + plan.case.messages {
        if count == plan.warm_up {
            meter.start();
        }
        let delivery = receiver.recv().await?;
        let received = delivery.view()?.body_octets()?.map_or(0, <[u8]>::len);
        if received != plan.case.payload {
            return Err("a message lost some of its bytes".into());
        }
        if !delivery.is_settled() {
            delivery.accept()?;
        }
    }
    meter.stop();
    // Whatever ends the link now is the client going away.
    let _ = receiver.recv().await;
    Ok(meter)
}

/// Sends both stretches and returns the meter with the second one in it.
pub(crate) async fn send(address: SocketAddr, plan: Plan, mut meter: Meter) -> Result<Meter, BoxError> {
    let mut connecting = ConnectOptions::new("client").max_frame_size(MAX_FRAME_SIZE);
    if plan.case.tls {
        connecting = connecting.tls(tls::client()?);
    }
    let connection = if plan.count && !plan.case.tls {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Connection::over(CountedStream(stream), connecting).await?
    } else {
        Connection::connect(("127.0.0.1", address.port()), connecting).await?
    };
    let session = connection.begin(SessionOptions::new()).await?;
    let sender = session
        .attach_sender(SenderOptions::new("sender", "queue").snd_settle_mode(SenderSettleMode::Mixed))
        .await?;
    send_stretch(&sender, &plan, plan.warm_up).await?;
    meter.start();
    send_stretch(&sender, &plan, plan.case.messages).await?;
    meter.stop();
    connection.close().await?;
    Ok(meter)
}

async fn send_stretch(sender: &Sender, plan: &Plan, count: usize) -> Result<(), BoxError> {
    let body = Bytes::from(vec![0x5A; plan.case.payload]);
    let mut in_flight = VecDeque::with_capacity(plan.case.in_flight());
    for number in 1..=count {
        let message = Message::data(body.clone());
        if plan.case.mode == Mode::Settled && number != count {
            sender.send_settled(&message).await?;
            continue;
        }
        if in_flight.len() >= plan.case.in_flight()
            && let Some(oldest) = in_flight.pop_front()
        {
            accepted(oldest).await?;
        }
        in_flight.push_back(sender.send_with_receipt(&message).await?);
    }
    for outcome in in_flight {
        accepted(outcome).await?;
    }
    Ok(())
}

async fn accepted(receipt: impl Future<Output = Result<Outcome, SendError>>) -> Result<(), BoxError> {
    match receipt.await? {
        Outcome::Accepted => Ok(()),
        other => Err(format!("not accepted: {other:?}").into()),
    }
}

const MAX_FRAME_SIZE: u32 = 1024 * 1024;
const CREDIT: u32 = 2_000;
