//! The connecting end: prints what each stage has added per connection, and waits for a line before the next.

use amqp_transport::client::{ConnectOptions, Connection, Sender, SenderOptions, Session, SessionOptions};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use workspace_benches::costs::cpu_of_threads;
use workspace_benches::memory::in_use;

use crate::{BoxError, LINKS, Options, REST};

#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) async fn run(address: &str, options: Options) -> Result<(), BoxError> {
    let (host, port) = address.rsplit_once(':').ok_or("an address has a port")?;
    let port = port.parse()?;
    let count = options.connections;
    let mut connections: Vec<Connection> = Vec::with_capacity(count);
    let mut sessions: Vec<Session> = Vec::with_capacity(count);
    let mut links: Vec<Sender> = Vec::with_capacity(count * LINKS);
    let mut words = BufReader::new(stdin()).lines();
    let mut before = in_use();
    for stage in 0..3 {
        for index in 0..count {
            match (stage, connections.get(index), sessions.get(index)) {
                (0, ..) => {
                    let options = ConnectOptions::new("client").idle_time_out(Some(options.idle_time_out));
                    connections.push(Connection::connect((host, port), options).await?);
                }
                (1, Some(connection), _) => sessions.push(connection.begin(SessionOptions::new()).await?),
                (_, _, Some(session)) => {
                    for number in 0..LINKS {
                        let options = SenderOptions::new(format!("link-{number}"), "queue");
                        links.push(session.attach_sender(options).await?);
                    }
                }
                _ => {}
            }
        }
        tokio::time::sleep(REST).await;
        let now = in_use();
        let added = if stage == 2 { count * LINKS } else { count };
        println!("{}", now.saturating_sub(before) / added);
        before = now;
        words.next_line().await?;
    }
    let cpu = cpu_of_threads();
    tokio::time::sleep(options.idle).await;
    let cpu = cpu_of_threads().saturating_sub(cpu);
    println!("{:.3}", cpu.as_secs_f64() / options.idle.as_secs_f64() * 100.0);
    Ok(())
}
