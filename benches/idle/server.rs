//! The listening end: takes everything and keeps it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use amqp_transport::client::Receiver;
use amqp_transport::server::{AcceptOptions, Incoming, Listener, ListenerOptions, ServerConnection};

use crate::{BoxError, LINKS, Moved, Options};

/// The listener's task, and what it has accepted.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    connections: Vec<Arc<ServerConnection>>,
    links: Vec<Receiver>,
}

impl Server {
    /// Room for what is kept is made beforehand, so that it does not count.
    pub(crate) async fn start(options: Options) -> Result<Self, BoxError> {
        let connections = options.connections;
        let options = ListenerOptions::new("server").idle_time_out(Some(options.idle_time_out));
        let listener = Listener::bind("127.0.0.1:0", options).await?;
        let address = listener.local_addr()?;
        let kept = Kept {
            connections: Vec::with_capacity(connections),
            links: Vec::with_capacity(connections * LINKS),
        };
        let kept = Arc::new(Mutex::new(kept));
        let keeping = Arc::clone(&kept);
        tokio::spawn(async move {
            while let Ok(incoming) = listener.accept().await {
                let keeping = Arc::clone(&keeping);
                tokio::spawn(async move {
                    let Ok(connection) = incoming.handshake().await else { return };
                    let connection = Arc::new(connection);
                    if let Ok(mut kept) = keeping.lock() {
                        kept.connections.push(Arc::clone(&connection));
                    }
                    while let Ok(Incoming::Attach(attach)) = connection.next().await {
                        if let Ok(link) = attach.accept_receiver(AcceptOptions::new())
                            && let Ok(mut kept) = keeping.lock()
                        {
                            kept.links.push(link);
                        }
                    }
                });
            }
        });
        Ok(Self { address, kept })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How often the tasks of all connections have run, and for what.
    pub(crate) fn moved(&self) -> Moved {
        let Ok(kept) = self.kept.lock() else { return Moved::default() };
        kept.connections.iter().fold(Moved::default(), |sum, connection| {
            let stats = connection.connection().stats();
            Moved {
                wakes: sum.wakes + stats.wakes,
                frames_out: sum.frames_out + stats.engine.frames_out,
                frames_in: sum.frames_in + stats.engine.frames_in,
            }
        })
    }
}
