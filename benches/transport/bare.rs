//! The same octets over the same sockets, without a protocol: what the machine and tokio leave to be reached.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::mpsc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::cases::Mode;
use crate::run::{BoxError, Meter, Plan};
use crate::tls;

/// Reads both stretches and answers each with one octet, or each unit where one is in flight.
pub(crate) async fn serve(
    bound: mpsc::Sender<SocketAddr>,
    plan: Plan,
    meter: Meter,
) -> Result<Meter, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    bound.send(listener.local_addr()?)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    if plan.case.tls {
        drain(TlsAcceptor::from(tls::server()?).accept(stream).await?, &plan).await?;
    } else {
        drain(stream, &plan).await?;
    }
    Ok(meter)
}

async fn drain<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO, plan: &Plan) -> Result<(), BoxError> {
    let mut buffer = vec![0; READ];
    let unit = unit(plan);
    for stretch in [plan.warm_up, plan.case.messages] {
        if plan.case.mode == Mode::OneInFlight {
            for _ in 0..stretch {
                read_exactly(&mut io, &mut buffer, unit).await?;
                io.write_all(&[0; OUTCOME]).await?;
                io.flush().await?;
            }
        } else {
            read_exactly(&mut io, &mut buffer, rounds(plan, stretch) * plan.batch * unit).await?;
            io.write_all(&[0]).await?;
            io.flush().await?;
        }
    }
    // The peer's end of stream.
    let _ = io.read(&mut buffer).await;
    Ok(())
}

async fn read_exactly<IO: AsyncRead + Unpin>(
    io: &mut IO,
    buffer: &mut [u8],
    octets: usize,
) -> Result<(), BoxError> {
    let mut left = octets;
    while left > 0 {
        let room = left.min(buffer.len());
        let Some(room) = buffer.get_mut(..room) else { break };
        let count = io.read(room).await?;
        if count == 0 {
            return Err("the sender ended early".into());
        }
        left -= count;
    }
    Ok(())
}

/// Writes both stretches in batches, and returns the meter with the second one in it.
pub(crate) async fn send(address: SocketAddr, plan: Plan, meter: Meter) -> Result<Meter, BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if plan.case.tls {
        let connector = TlsConnector::from(tls::client_config()?);
        write(connector.connect(tls::server_name()?, stream).await?, &plan, meter).await
    } else {
        write(stream, &plan, meter).await
    }
}

async fn write<IO: AsyncRead + AsyncWrite + Unpin>(
    mut io: IO,
    plan: &Plan,
    mut meter: Meter,
) -> Result<Meter, BoxError> {
    write_stretch(&mut io, plan, plan.warm_up).await?;
    meter.start();
    write_stretch(&mut io, plan, plan.case.messages).await?;
    meter.stop();
    Ok(meter)
}

async fn write_stretch<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    plan: &Plan,
    count: usize,
) -> Result<(), BoxError> {
    let unit = unit(plan);
    if plan.case.mode == Mode::OneInFlight {
        let (message, mut outcome) = (vec![7; unit], [0; OUTCOME]);
        for _ in 0..count {
            io.write_all(&message).await?;
            io.flush().await?;
            io.read_exact(&mut outcome).await?;
        }
        return Ok(());
    }
    let batch = vec![7; unit * plan.batch];
    for _ in 0..rounds(plan, count) {
        write_batch(io, &batch, unit).await?;
    }
    io.flush().await?;
    io.read_exact(&mut [0]).await?;
    Ok(())
}

async fn write_batch<IO: AsyncWrite + Unpin>(io: &mut IO, batch: &[u8], unit: usize) -> Result<(), BoxError> {
    let mut rest = batch;
    while !rest.is_empty() {
        let slices: Vec<IoSlice<'_>> = rest.chunks(unit).map(IoSlice::new).collect();
        let count = io.write_vectored(&slices).await?;
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(())
}

const fn rounds(plan: &Plan, messages: usize) -> usize {
    messages.div_ceil(plan.batch)
}

const fn unit(plan: &Plan) -> usize {
    plan.case.payload + FRAMING
}

/// Frame header, transfer and the body's section around a payload.
const FRAMING: usize = 32;
/// Octets of a disposition.
const OUTCOME: usize = 32;
const READ: usize = 256 * 1024;
