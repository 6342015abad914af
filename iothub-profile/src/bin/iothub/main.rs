//! The `iothub` command: devices, services and telemetry of an IoT Hub over AMQP 1.0, and a hub to try them on.
//!
//! This file parses the command line, dispatches to the verb and turns its end into an exit code. Each verb has a
//! file of its own; none of them knows AMQP, all of them speak through the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;

mod args;
mod connect;
mod exit;
mod input;
mod interrupt;
mod lines;
mod output;
mod progress;
mod tally;
mod token;
mod values;

use args::{Cli, Verb};

fn main() -> ExitCode {
    let cli = Cli::parse();
    exit::report(match &cli.verb {
        Verb::Token(args) => token::run(&cli.global, args),
        _ => Ok(exit::End::Done),
    })
}
