//! `iothub feedback`: prints what became of commands.

use iothub_profile::service::{FeedbackReceiver, ServiceClient};

use crate::args::Global;
use crate::connect::{close, failure, narrate, options, service_string};
use crate::exit::{End, Failure};
use crate::hub_args::FeedbackArgs;
use crate::interrupt::Interrupt;
use crate::output::{Output, Stopped, note};
use crate::receive::{Next, Until};

/// Prints feedback records until it has seen enough. Records come in batches, and a batch is printed whole.
///
/// # Errors
/// The connection, or a batch that cannot be read.
pub(crate) async fn run(global: &Global, args: &FeedbackArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let string = service_string(global)?;
    let options = options(global, &args.auth)?;
    let opening = async {
        let client = ServiceClient::open(&string, options).await?;
        narrate(client.status());
        let feedback = client.feedback().await?;
        Ok((client, feedback))
    };
    let Some(opened) = interrupt.unless(opening).await else { return Ok(End::Interrupted) };
    let (client, feedback) = opened.map_err(|error| failure(&error))?;
    note("waiting for feedback; Ctrl-C ends it");
    let mut until = Until::new(&args.until, interrupt);
    let result = receive(&feedback, &mut until, global).await;
    close(feedback.close()).await;
    close(client.close()).await;
    note(&format!("received {}", until.received()));
    match result {
        Ok(end) => Ok(end),
        Err(Stopped::ReaderGone) => Ok(End::Done),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

async fn receive(
    feedback: &FeedbackReceiver,
    until: &mut Until<'_>,
    global: &Global,
) -> Result<End, Stopped> {
    let mut output = Output::stdout(global.output);
    loop {
        let batch = match until.next(feedback.recv()).await {
            Next::Item(batch) => batch.map_err(|error| Stopped::Failed(failure(&error)))?,
            Next::End(end) => return Ok(end),
        };
        for record in batch.records() {
            output.record(record)?;
            until.count();
        }
        output.flush()?;
        batch.complete().await.map_err(|error| Stopped::Failed(failure(&error)))?;
    }
}
