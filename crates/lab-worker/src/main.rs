//! A worker outside the clients' processes: the helper of one client, or a daemon that several ask.
//!
//! Standard input is the connection to its owner: a helper's client, a daemon's controller. It is told on it who it is
//! and how to serve, and is handed the channels over which it is asked; its end is the order to finish, so no helper
//! outlives its client. It listens nowhere, and opens files below the arena only.
#![forbid(unsafe_code)]

mod channels;
mod errands;
mod serve;

use std::{io, process::ExitCode};

use lab_process::{Control, failure};
use lab_protocol::{FrameError, Reply};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).without_time().init();
    let mut control = match Control::from_standard_input() {
        Ok(control) => control,
        Err(error) => {
            tracing::error!("no connection on standard input: {error}");
            return ExitCode::from(failure::reason_of(&error).exit_status());
        }
    };
    let writer = control.writer();
    // Returning ends the other threads wherever they are: an operation may be waiting for a client's answer.
    match serve::run(&mut control) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever started it is gone: ending is all that is left to do.
        Err(error) if matches!(error.downcast_ref(), Some(FrameError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let (message, reason) = (format!("{error:#}"), failure::reason_of(error.as_ref()));
            let failed = Reply::Failed { message, reason, mend: None };
            if let Err(error) = writer.reply(&failed) {
                tracing::debug!("nobody to tell: {error}");
            }
            ExitCode::from(reason.exit_status())
        }
    }
}
