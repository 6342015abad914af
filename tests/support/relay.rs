//! A relay in front of a server whose connections a test can cut, as a failing network would.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on until they are cut.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    cuts: Arc<watch::Sender<u64>>,
    hang_ups: Arc<AtomicU32>,
    accepting: JoinHandle<()>,
}

impl Relay {
    /// A relay on a free loopback port in front of a port of this machine.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(target_port: u16) -> io::Result<Self> {
        Self::start_at(0, target_port).await
    }

    /// A relay on a port that is known.
    ///
    /// # Errors
    /// When the port cannot be opened.
    pub async fn start_at(port: u16, target_port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let cuts = Arc::new(watch::Sender::new(0));
        let hang_ups = Arc::new(AtomicU32::new(0));
        let accepting = accept(listener, target_port, Arc::clone(&cuts), Arc::clone(&hang_ups));
        Ok(Self { address, cuts, hang_ups, accepting: tokio::spawn(accepting) })
    }

    /// Where the relay listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Drops as many connections as these before a word is said on them, as a load balancer does whose server restarts.
    pub fn hang_up(&self, connections: u32) {
        self.hang_ups.store(connections, Ordering::Relaxed);
    }

    /// How many connections are still to be dropped so.
    pub fn hang_ups(&self) -> u32 {
        self.hang_ups.load(Ordering::Relaxed)
    }

    /// Drops every connection there is; new ones are passed on again.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    target_port: u16,
    cuts: Arc<watch::Sender<u64>>,
    hang_ups: Arc<AtomicU32>,
) {
    while let Ok((client, _)) = listener.accept().await {
        if hang_ups.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            continue;
        }
        let mut cut = cuts.subscribe();
        tokio::spawn(async move {
            tokio::select! {
                () = pass(client, target_port) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn pass(mut client: TcpStream, target_port: u16) {
    if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target_port)).await {
        // Either side ending is the end of the connection, whatever the reason.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
