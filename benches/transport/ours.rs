//! The two ends over this project's client and server handles.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;

use amqp_codec::{Message, Outcome, SenderSettleMode};
use amqp_transport::client::{
    ConnectOptions, Connection, CreditMode, Receiver, Sender, SenderOptions, SessionOptions,
};
use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions, ServerConnection};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use workspace_benches::calls::CountedStream;

use crate::options::Options;
use crate::run::{BoxError, Meter};

/// Accepts one connection, session and link and accepts every message until the peer leaves.
pub(crate) async fn serve(bound: mpsc::Sender<SocketAddr>, options: Options) -> Result<(), BoxError> {
    let accepting = ListenerOptions::new("server").max_frame_size(MAX_FRAME_SIZE);
    let connection = if options.count {
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
    drain(&receiver, &options).await
}

async fn drain(receiver: &Receiver, options: &Options) -> Result<(), BoxError> {
    for _ in 0..options.warm_up + options.messages {
        let delivery = receiver.recv().await?;
        let mut received = 0;
        for data in delivery.view()?.body_data() {
            received += data?.len();
        }
        if received != options.payload {
            return Err("a message lost some of its bytes".into());
        }
        delivery.accept()?;
    }
    // Whatever ends the link now is the client going away.
    let _ = receiver.recv().await;
    Ok(())
}

/// Sends both stretches and returns the meter with the second one in it.
pub(crate) async fn send(address: SocketAddr, options: Options, mut meter: Meter) -> Result<Meter, BoxError> {
    let connecting = ConnectOptions::new("client").max_frame_size(MAX_FRAME_SIZE);
    let connection = if options.count {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Connection::over(CountedStream(stream), connecting).await?
    } else {
        Connection::connect(("127.0.0.1", address.port()), connecting).await?
    };
    let session = connection.begin(SessionOptions::new()).await?;
    let sender = session
        .attach_sender(SenderOptions::new("sender", "queue").snd_settle_mode(SenderSettleMode::Unsettled))
        .await?;
    send_stretch(&sender, &options, options.warm_up).await?;
    meter.start();
    send_stretch(&sender, &options, options.messages).await?;
    meter.stop();
    connection.close().await?;
    Ok(meter)
}

async fn send_stretch(sender: &Sender, options: &Options, count: usize) -> Result<(), BoxError> {
    let body = Bytes::from(vec![0x5A; options.payload]);
    let mut in_flight = VecDeque::with_capacity(options.in_flight);
    for _ in 0..count {
        if in_flight.len() >= options.in_flight
            && let Some(oldest) = in_flight.pop_front()
        {
            accepted(oldest).await?;
        }
        in_flight.push_back(sender.send_with_receipt(&Message::data(body.clone())).await?);
    }
    for outcome in in_flight {
        accepted(outcome).await?;
    }
    Ok(())
}

async fn accepted(
    receipt: impl Future<Output = Result<Outcome, amqp_transport::client::SendError>>,
) -> Result<(), BoxError> {
    match receipt.await? {
        Outcome::Accepted => Ok(()),
        other => Err(format!("not accepted: {other:?}").into()),
    }
}

const MAX_FRAME_SIZE: u32 = 1024 * 1024;
const CREDIT: u32 = 2_000;
