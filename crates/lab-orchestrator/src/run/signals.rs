//! What ends a lab from outside.

use std::os::fd::AsFd;

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use super::event::Event;
use crate::Failure;

pub(super) fn listen_for_signals(report: &mpsc::Sender<Event>) -> Result<(), Failure> {
    let ending: [(SignalKind, fn() -> Event); 4] = [
        (SignalKind::interrupt(), || Event::Interrupted),
        (SignalKind::terminate(), || Event::Interrupted),
        (SignalKind::hangup(), || Event::Interrupted),
        (SignalKind::user_defined1(), || Event::Aborted),
    ];
    for (kind, event) in ending {
        let mut signals =
            signal(kind).map_err(|error| Failure::system("cannot listen for signals", &error))?;
        let report = report.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if report.send(event()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Ends the run when the launcher is gone: it holds the other end of the pipe that is standard input. On Linux the
/// kernel does that, and standard input is no pipe.
pub(super) fn listen_for_the_launcher(report: &mpsc::Sender<Event>) -> Result<(), Failure> {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let mut input = input
        .and_then(pipe::Receiver::from_owned_fd)
        .map_err(|error| Failure::system("the launcher's end would go unnoticed", &error))?;
    let report = report.clone();
    tokio::spawn(async move {
        // Nothing is ever written: this returns at the end, or with an error that means the same.
        drop(input.read_u8().await);
        drop(report.send(Event::Interrupted).await);
    });
    Ok(())
}
