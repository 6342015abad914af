//! The two ends as a careful user of fe2o3-amqp would write them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc;

use fe2o3_amqp::acceptor::{ConnectionAcceptor, LinkAcceptor, LinkEndpoint, SessionAcceptor};
use fe2o3_amqp::connection::Connection;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::Session;
use fe2o3_amqp::{Receiver, Sendable, Sender};
use fe2o3_amqp_types::definitions::SenderSettleMode;
use fe2o3_amqp_types::messaging::{Data, Message};
use fe2o3_amqp_types::primitives::Binary;
use tokio::net::{TcpListener, TcpStream};
use workspace_benches::calls::CountedStream;

use crate::cases::Mode;
use crate::run::{BoxError, Meter, Plan};

/// Accepts one connection, session and link and accepts every message until the peer leaves.
pub(crate) async fn serve(
    bound: mpsc::Sender<SocketAddr>,
    plan: Plan,
    meter: Meter,
) -> Result<Meter, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    bound.send(listener.local_addr()?)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    let acceptor =
        ConnectionAcceptor::builder().container_id("server").max_frame_size(MAX_FRAME_SIZE).build();
    let mut connection = if plan.count {
        acceptor.accept(CountedStream(stream)).await?
    } else {
        acceptor.accept(stream).await?
    };
    let mut session = SessionAcceptor::new().accept(&mut connection).await?;
    match LinkAcceptor::new().accept(&mut session).await? {
        LinkEndpoint::Receiver(receiver) => drain(receiver, &plan).await.map(|()| meter),
        LinkEndpoint::Sender(_) => Err("the client attached a receiver".into()),
    }
}

async fn drain(mut receiver: Receiver, plan: &Plan) -> Result<(), BoxError> {
    receiver.set_credit_mode(CreditMode::Auto(CREDIT));
    receiver.set_credit(CREDIT).await?;
    // Outcomes leave a hundred at a time and at the end of each stretch: one by one costs fe2o3 a write each. Its
    // automatic credit is replenished here only, also for messages that are settled.
    let batch_size = if plan.case.mode == Mode::OneInFlight { 1 } else { ACCEPT_BATCH };
    let mut pending = Vec::with_capacity(batch_size);
    for stretch in [plan.warm_up, plan.case.messages] {
        for received in 1..=stretch {
            let delivery: Delivery<Data> = receiver.recv().await?;
            if delivery.body().0.len() != plan.case.payload {
                return Err("a message lost some of its bytes".into());
            }
            pending.push(DeliveryInfo::from(&delivery));
            if pending.len() == batch_size || received == stretch {
                let batch = std::mem::replace(&mut pending, Vec::with_capacity(batch_size));
                receiver.accept_all(batch).await?;
            }
        }
    }
    // Whatever ends the link now is the client going away.
    let _ = receiver.recv::<Data>().await;
    Ok(())
}

/// Sends both stretches and returns the meter with the second one in it.
pub(crate) async fn send(address: SocketAddr, plan: Plan, mut meter: Meter) -> Result<Meter, BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let builder = Connection::builder().container_id("client").max_frame_size(MAX_FRAME_SIZE);
    let mut connection = if plan.count {
        builder.open_with_stream(CountedStream(stream)).await?
    } else {
        builder.open_with_stream(stream).await?
    };
    let mut session = Session::begin(&mut connection).await?;
    let mut sender = Sender::builder()
        .name("sender")
        .target("queue")
        .sender_settle_mode(SenderSettleMode::Mixed)
        .attach(&mut session)
        .await?;
    send_stretch(&mut sender, &plan, plan.warm_up).await?;
    meter.start();
    send_stretch(&mut sender, &plan, plan.case.messages).await?;
    meter.stop();
    // Every outcome is here; the server may be gone before the last of these frames, which proves nothing.
    let _ = sender.close().await;
    let _ = session.end().await;
    let _ = connection.close().await;
    Ok(meter)
}

async fn send_stretch(sender: &mut Sender, plan: &Plan, count: usize) -> Result<(), BoxError> {
    let body = vec![0x5A; plan.case.payload];
    let mut in_flight = VecDeque::with_capacity(plan.case.in_flight());
    for number in 1..=count {
        let message = Data(Binary::from(body.clone()));
        if plan.case.mode == Mode::Settled && number != count {
            let settled = Sendable::builder().message(Message::from(message)).settled(true).build();
            sender.send_batchable(settled).await?;
            continue;
        }
        if in_flight.len() >= plan.case.in_flight()
            && let Some(oldest) = in_flight.pop_front()
        {
            accepted(oldest).await?;
        }
        in_flight.push_back(sender.send_batchable(message).await?);
    }
    for outcome in in_flight {
        accepted(outcome).await?;
    }
    Ok(())
}

async fn accepted(
    outcome: impl Future<Output = Result<fe2o3_amqp_types::messaging::Outcome, fe2o3_amqp::link::SendError>>,
) -> Result<(), BoxError> {
    outcome.await?.accepted_or_else(|other| format!("not accepted: {other:?}")).map_err(BoxError::from)?;
    Ok(())
}

const MAX_FRAME_SIZE: u32 = 1024 * 1024;
const CREDIT: u32 = 2_000;
const ACCEPT_BATCH: usize = 100;
