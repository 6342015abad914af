//! One run of the transport benchmark's cases by ntex-amqp: a client thread and a server thread in one process.
//!
//! `loop PAYLOAD settled|unsettled IN-FLIGHT MESSAGES` prints `RESULT messages-per-second cpu-microseconds-per-message`,
//! both ends together. A tenth of MESSAGES goes first to warm up, on the same link.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ntex::service::{boxed, boxed::BoxService, fn_service};
use ntex::time::{sleep, Millis};
use ntex::{Pipeline, SharedCfg};
use ntex_amqp::error::{AmqpError, LinkError};
use ntex_amqp::{client, server, types, AmqpServiceConfig};
use ntex_bytes::Bytes;

type Service = BoxService<types::Link<()>, types::Transfer, types::Outcome, LinkError>;

const CREDIT: u32 = 2_000;
const MAX_FRAME_SIZE: u32 = 1024 * 1024;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let [_, payload, mode, in_flight, messages] = words.as_slice() else { panic!("four words") };
    let payload = payload.parse().unwrap();
    let in_flight = in_flight.parse().unwrap();
    let messages = messages.parse().unwrap();
    let is_settled = mode == "settled";
    ntex::rt::System::new("client", ntex::rt::DefaultRuntime)
        .block_on(run(payload, is_settled, in_flight, messages));
}

async fn run(payload: usize, is_settled: bool, in_flight: usize, messages: usize) {
    let received = Arc::new(AtomicUsize::new(0));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    spawn_server(port, received.clone());
    let connector = Pipeline::new(config(), client::Connector::new());
    let client = loop {
        let address = client::Connect::new(format!("127.0.0.1:{port}"));
        match connector.call(address).await {
            Ok(client) => break client,
            // The server thread is not up yet.
            Err(_) => sleep(Millis(20)).await,
        }
    };
    let connection = client.sink();
    ntex::rt::spawn(async move {
        let _ = client.start_default().await;
    });
    let session = connection.open_session().await.unwrap();
    let link = session.build_sender_link("sender", "queue").attach().await.unwrap();
    link.ready().await;
    let warm_up = messages / 10;
    send(&link, payload, is_settled, in_flight, warm_up).await;
    arrived(&received, warm_up).await;
    let (cpu, start) = (cpu(), Instant::now());
    send(&link, payload, is_settled, in_flight, messages).await;
    arrived(&received, warm_up + messages).await;
    let elapsed = start.elapsed().as_secs_f64();
    let cpu = (self::cpu() - cpu).as_secs_f64();
    println!("RESULT {:.1} {:.4}", messages as f64 / elapsed, cpu * 1e6 / messages as f64);
    std::process::exit(0);
}

async fn send(
    link: &ntex_amqp::SenderLink,
    payload: usize,
    is_settled: bool,
    in_flight: usize,
    messages: usize,
) {
    let body = Bytes::from(vec![0x5a; payload]);
    let mut waiting: VecDeque<ntex_amqp::Delivery> = VecDeque::with_capacity(in_flight);
    for _ in 0..messages {
        let transfer = link.transfer(ntex_amqp::codec::Message::with_body(body.clone()));
        if is_settled {
            transfer.settled().send().await.unwrap();
            continue;
        }
        if waiting.len() >= in_flight {
            waiting.pop_front().unwrap().wait().await.unwrap();
        }
        waiting.push_back(transfer.send().await.unwrap());
    }
    for delivery in waiting {
        delivery.wait().await.unwrap();
    }
}

async fn arrived(received: &AtomicUsize, messages: usize) {
    while received.load(Relaxed) < messages {
        sleep(Millis(1)).await;
    }
}

fn spawn_server(port: u16, received: Arc<AtomicUsize>) {
    std::thread::spawn(move || {
        let system = ntex::rt::System::new("server", ntex::rt::DefaultRuntime);
        system.block_on(async move {
            ntex::server::Server::builder()
                .bind("amqp", ("127.0.0.1", port), config(), async move |_| {
                    let received = received.clone();
                    let router = server::Router::<()>::builder()
                        .service("queue", async move |link: &types::Link<()>| take_all(link, received.clone()))
                        .build();
                    server::Server::builder(async move |handshake: server::Handshake| match handshake {
                        server::Handshake::Amqp(handshake) => Ok(handshake.open().await.unwrap().ack(())),
                        server::Handshake::Sasl(_) => Err(AmqpError::not_implemented()),
                    })
                    .build(router)
                })
                .unwrap()
                .workers(1)
                .disable_signals()
                .run()
                .await
                .unwrap();
        });
    });
}

fn take_all(link: &types::Link<()>, received: Arc<AtomicUsize>) -> Result<Service, LinkError> {
    link.link_credit(CREDIT);
    let receiver = link.receiver().clone();
    Ok(boxed::service(fn_service(move |transfer: types::Transfer| {
        let received = received.clone();
        let receiver = receiver.clone();
        async move {
            std::hint::black_box(transfer);
            received.fetch_add(1, Relaxed);
            if receiver.credit() < CREDIT / 2 {
                receiver.set_link_credit(CREDIT / 2);
            }
            Ok(types::Outcome::Accept)
        }
    })))
}

fn config() -> SharedCfg {
    let amqp = AmqpServiceConfig::new().set_max_frame_size(MAX_FRAME_SIZE).set_idle_timeout(0);
    SharedCfg::new("AMQP").add(amqp).into()
}

/// Processor time of all threads.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanoseconds)
}
