//! The multi-client chaos lab: `lab up three-clients`.
//!
//! This binary parses the command line, finds lab files and the run store, and prints. What it does lies in the
//! crates below it.
#![forbid(unsafe_code)]

mod arguments;
mod commands;
mod labs;
mod output;
mod parallel;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser;
use lab_orchestrator::FailureKind;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    // First of all: what root's caller has as mask would let others write what root executes.
    let mask = lab_files::mask_modes(0o077);
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors; anything else is a wrong use of the command line (EX_USAGE).
            if error.use_stderr() {
                // Without its colours: it repeats what was typed.
                terminal::eprint(&error.render().to_string());
                return ExitCode::from(64);
            }
            drop(error.print());
            return ExitCode::SUCCESS;
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn".into()))
        .with_writer(|| terminal::Log)
        .without_time()
        .init();
    match end_at_once(&arguments).and_then(|()| commands::run(&arguments, mask)) {
        Ok(code) => ExitCode::from(code),
        Err(stop) => {
            stop.say();
            ExitCode::from(stop.code)
        }
    }
}

/// From now on signals end the program. The controller, which is the first process of its lab, has its own way with them.
fn end_at_once(arguments: &Arguments) -> Result<(), ExitError> {
    if matches!(arguments.command, arguments::Command::Control) {
        return Ok(());
    }
    lab_orchestrator::interrupts::end_at_once()
        .map_err(|error| lab_orchestrator::Failure::system("cannot listen for signals", &error).into())
}

/// What this program says and does when memory ends, which no part of it can go on without.
#[global_allocator]
static MEMORY: lab_process::Memory = lab_process::Memory { exit_code: FailureKind::Output.exit_code() };

/// Why a command ended early: what to say, and the exit code.
#[derive(Debug)]
struct ExitError {
    code: u8,
    message: String,
    mend: Option<String>,
}

impl ExitError {
    /// Says it on standard error, unless that was done where it happened.
    fn say(&self) {
        if !self.message.is_empty() {
            terminal::complain(&self.message, self.mend.as_deref());
        }
    }

    /// A wrong use of the command line.
    fn usage(message: impl Into<String>, mend: impl Into<String>) -> ExitError {
        ExitError { code: 64, message: message.into(), mend: Some(mend.into()) }
    }

    /// The lab itself is at fault.
    fn bug(message: impl Into<String>) -> ExitError {
        ExitError { code: FailureKind::Bug.exit_code(), message: message.into(), mend: None }
    }

    /// Standard output or a file cannot be written.
    fn output(what: &str, error: &std::io::Error) -> ExitError {
        lab_orchestrator::Failure::output(what, error).into()
    }
}

impl From<lab_orchestrator::Failure> for ExitError {
    fn from(failure: lab_orchestrator::Failure) -> ExitError {
        ExitError { code: failure.kind.exit_code(), message: failure.message, mend: failure.mend }
    }
}
