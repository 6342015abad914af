//! The `iothub` command: devices, services and telemetry of an IoT Hub over AMQP 1.0, and a hub to try them on.
//!
//! This file parses the command line, dispatches to the verb and turns its end into an exit code. Each verb has a
//! file of its own; none but those under `amqp` knows AMQP, all others speak through the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod amqp_args;
mod amqp_credit;
mod amqp_decode;
mod amqp_failure;
mod amqp_link;
mod amqp_receive;
mod amqp_received;
mod amqp_send;
mod amqp_url;
mod amqp_values;
mod args;
mod c2d_send;
mod connect;
mod demo;
mod device_listen;
mod device_send;
mod emulator;
mod exit;
mod feedback;
mod frames;
mod hub_args;
mod input;
mod interrupt;
mod lines;
mod log;
mod monitor;
mod output;
mod progress;
mod properties;
mod receive;
mod records;
mod sending;
mod tally;
mod token;
mod values;

use args::{AmqpVerb, C2dVerb, Cli, DeviceVerb, Verb};
use exit::{Class, End, Failure};
use interrupt::Interrupt;

fn main() -> ExitCode {
    let arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    match Cli::read(arguments) {
        Ok(cli) => exit::report(run(&cli)),
        Err((text, 0)) => {
            output::tell(&text);
            ExitCode::SUCCESS
        }
        Err((text, code)) => {
            output::note(text.trim_end());
            ExitCode::from(code)
        }
    }
}

fn run(cli: &Cli) -> Result<End, Failure> {
    log::start(&cli.verb, cli.global.trace_frames);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Class::Failed, format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        let interrupt = Interrupt::listen()?;
        let global = &cli.global;
        match &cli.verb {
            Verb::Emulator(args) => emulator::run(global, args, &interrupt).await,
            Verb::Demo(args) => demo::run(global, args, &interrupt).await,
            Verb::Device(DeviceVerb::Send(args)) => device_send::run(global, args, &interrupt).await,
            Verb::Device(DeviceVerb::Listen(args)) => device_listen::run(global, args, &interrupt).await,
            Verb::C2d(C2dVerb::Send(args)) => c2d_send::run(global, args, &interrupt).await,
            Verb::Feedback(args) => feedback::run(global, args, &interrupt).await,
            Verb::Monitor(args) => monitor::run(global, args, &interrupt).await,
            Verb::Token(args) => token::run(global, args),
            Verb::Amqp(AmqpVerb::Send(args)) => amqp_send::run(global, args, &interrupt).await,
            Verb::Amqp(AmqpVerb::Receive(args)) => amqp_receive::run(global, args, &interrupt).await,
            Verb::Amqp(AmqpVerb::Decode(args)) => amqp_decode::run(args),
        }
    })
}
