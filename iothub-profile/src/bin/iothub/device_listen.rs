//! `iothub device listen`: receives cloud-to-device messages, prints them and answers them.

use iothub_profile::device::{Command, CommandOptions, CommandReceiver, DeviceClient};

use crate::args::Global;
use crate::connect::{close, device_string, failure, narrate, options};
use crate::exit::{End, Failure};
use crate::hub_args::{Answer, ListenArgs};
use crate::interrupt::Interrupt;
use crate::output::{Output, Stopped, note};
use crate::receive::{Next, Until};

/// Listens until it has seen enough.
///
/// # Errors
/// The connection, or an answer that the hub did not take.
pub(crate) async fn run(global: &Global, args: &ListenArgs, interrupt: &Interrupt) -> Result<End, Failure> {
    let string = device_string(global)?;
    let options = options(global, &args.auth)?;
    let opening = async {
        let client = DeviceClient::open(&string, options).await?;
        narrate(client.status());
        // Commands fetched ahead would stay locked for a minute after this verb has ended.
        let commands = client.commands(CommandOptions::new().one_by_one()).await?;
        Ok((client, commands))
    };
    let Some(opened) = interrupt.unless(opening).await else { return Ok(End::Interrupted) };
    let (client, commands) = opened.map_err(|error| failure(&error))?;
    note(&format!("listening as device {}; Ctrl-C ends it", client.device_id()));
    let mut until = Until::new(&args.until, interrupt);
    let result = listen(&commands, args.answer, &mut until, global).await;
    close(commands.close()).await;
    close(client.close()).await;
    note(&format!("received {}", until.received()));
    match result {
        Ok(end) => Ok(end),
        Err(Stopped::ReaderGone) => Ok(End::Done),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

async fn listen(
    commands: &CommandReceiver,
    answer: Answer,
    until: &mut Until<'_>,
    global: &Global,
) -> Result<End, Stopped> {
    let mut output = Output::stdout(global.output);
    loop {
        let command = match until.next(commands.recv()).await {
            Next::Item(command) => command.map_err(|error| Stopped::Failed(failure(&error)))?,
            Next::End(end) => return Ok(end),
        };
        // Printed first: a command is answered only when its reader has it.
        output.record(command.message())?;
        output.flush()?;
        until.count();
        settle(command, answer).await.map_err(|error| Stopped::Failed(failure(&error)))?;
    }
}

async fn settle(command: Command, answer: Answer) -> Result<(), iothub_profile::Error> {
    match answer {
        Answer::Complete => command.complete().await,
        Answer::Reject => command.reject().await,
        Answer::Abandon => command.abandon().await,
    }
}
