//! Several tasks on one connection, and several connections, over loopback TCP.

use std::sync::Arc;
use std::time::Instant;

use amqp_codec::Message;
use amqp_transport::client::{ConnectOptions, Connection, CreditMode, SenderOptions, SessionOptions};
use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions};
use tokio::runtime::{Builder, Runtime};
use workspace_benches::statistics::Spread;

/// Prints both comparisons; runs alternate, medians count.
pub(crate) fn measure(is_smoke: bool) {
    let (messages, runs) = if is_smoke { (4_000, 1) } else { (800_000, 7) };
    let (mut one, mut eight) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        one.push(tasks(1, messages));
        eight.push(tasks(8, messages));
    }
    let ratio = Spread::of(eight).median / Spread::of(one).median;
    println!(
        "eight tasks on eight links of one connection: {ratio:.2} x one task on one link, must be at least 0.90: {}",
        if ratio >= 0.9 { "ok" } else { "short" }
    );
    let (mut one, mut eight) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        one.push(connections(1, 1, messages));
        eight.push(connections(8, 2, messages));
    }
    let ratio = Spread::of(eight).median / Spread::of(one).median;
    println!(
        "eight connections on two cores: {ratio:.2} x one connection on one core, must be at least 1.70: {}",
        if ratio >= 1.7 { "ok" } else { "short" }
    );
}

/// Messages a second of so many tasks, each on a link of its own, all on one connection. The receiving end has a thread
/// of its own, the sending tasks share two.
fn tasks(count: usize, messages: usize) -> f64 {
    let receiving = runtime(1);
    let port = receiving.block_on(listen());
    let sending = runtime(2);
    sending.block_on(async move {
        let connection = Arc::new(connect(port).await);
        let start = Instant::now();
        let tasks: Vec<_> = (0..count)
            .map(|number| tokio::spawn(send(Arc::clone(&connection), number, messages / count)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        rate(messages, start)
    })
}

/// Messages a second of so many connections, spread over so many cores, both ends of each on the same one.
fn connections(count: usize, cores: usize, messages: usize) -> f64 {
    let start = Instant::now();
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async move {
                    let port = listen().await;
                    let mut tasks = Vec::new();
                    for _ in 0..count / cores {
                        let connection = Arc::new(connect(port).await);
                        tasks.push(tokio::spawn(send(connection, 0, messages / count)));
                    }
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    rate(messages, start)
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rate(messages: usize, start: Instant) -> f64 {
    messages as f64 / start.elapsed().as_secs_f64()
}

async fn connect(port: u16) -> Connection {
    Connection::connect(("127.0.0.1", port), ConnectOptions::new("client")).await.unwrap()
}

/// Sends settled messages, the last of which is not, so that its outcome proves the arrival of all.
async fn send(connection: Arc<Connection>, number: usize, messages: usize) {
    let session = connection.begin(SessionOptions::new()).await.unwrap();
    let sender =
        session.attach_sender(SenderOptions::new(format!("sender-{number}"), "queue")).await.unwrap();
    let message = Message::data(vec![0x5A; 256]);
    for _ in 1..messages {
        sender.send_settled(&message).await.unwrap();
    }
    sender.send(&message).await.unwrap();
}

/// Listens, and takes every message of every link.
async fn listen() -> u16 {
    let listener = Listener::bind("127.0.0.1:0", ListenerOptions::new("server")).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok(incoming) = listener.accept().await {
            tokio::spawn(async move {
                let connection = incoming.handshake().await.unwrap();
                while let Ok(Incoming::Attach(attach)) = connection.next().await {
                    let options = AcceptOptions::new().credit(CreditMode::Auto(2_000));
                    let receiver = attach.accept_receiver(options).unwrap();
                    tokio::spawn(async move {
                        while let Ok(delivery) = receiver.recv().await {
                            std::hint::black_box(delivery.view().unwrap());
                            delivery.accept().unwrap();
                        }
                    });
                }
            });
        }
    });
    port
}
