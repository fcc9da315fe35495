//! One client of a lab: the program that is packaged N times.
//!
//! Standard input is the control connection, or, for a launchd daemon, the socket that `--control` names; it stands
//! before anything is subscribed to. Threads: *control* (this one) talks to the orchestrator; the
//! *reader* takes events in and answers; *workers* do what the behaviour asks for; the *housekeeper* resolves
//! targets after the answer, grows the trace and answers what is nearly overdue. The reader never opens,
//! never logs, and takes no lock that a worker can hold.
#![forbid(unsafe_code)]

mod client;
mod housekeeper;
mod intake;
mod job;
mod kernel;
mod observer;
mod pending;
mod queue;
mod settings;
mod shared;
mod worker;
mod worker_processes;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};
use lab_process::{Control, failure};
use lab_protocol::{FrameError, Reply};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).without_time().init();
    if let Some(max) = probe_of(std::env::args().skip(1)) {
        return kernel::probe(max);
    }
    let outcome = control().and_then(|mut control| {
        let writer = control.writer();
        client::run(&mut control).inspect_err(|error| {
            // The orchestrator may be gone, and then there is nobody to tell.
            let (message, reason) = (format!("{error:#}"), failure::reason_of(error.as_ref()));
            let told = writer.reply(&Reply::Failed { message, reason, mend: None });
            if let Err(error) = told {
                tracing::debug!("nobody to tell: {error}");
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        // The orchestrator is gone: ending is all that is left to do, and it allows what is pending.
        Err(error) if matches!(error.downcast_ref(), Some(FrameError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(failure::reason_of(error.as_ref()).exit_status())
        }
    }
}

/// The connection to the orchestrator.
fn control() -> Result<Control> {
    let mut arguments = std::env::args_os().skip(1);
    match (arguments.next(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(Control::from_standard_input()?),
        (Some(option), Some(socket), None) if option == "--control" => {
            let socket = PathBuf::from(socket);
            Control::connect(&socket).with_context(|| format!("nobody waits at {}", socket.display()))
        }
        _ => bail!("a client takes its control connection as standard input, or --control SOCKET"),
    }
}

/// How many clients are to be connected for `--probe MAX`; `None` for a client's usual work.
fn probe_of(mut arguments: impl Iterator<Item = String>) -> Option<u32> {
    match (arguments.next()?.as_str(), arguments.next()?.parse(), arguments.next()) {
        ("--probe", Ok(max), None) => Some(max),
        _ => None,
    }
}
