//! Clients that launchd starts: how the conductor gets hold of one, and how it learns of its end.

use std::{io, sync::Arc, time::Duration};

use lab_bundle::{Daemons, Death, JobState, StepError};
use lab_model::{BundleId, ClientId};
use tokio::{
    net::{UnixListener, UnixStream},
    time::{Instant, sleep},
};

/// How long a daemon may take from being started to having connected.
const CONNECTS_WITHIN: Duration = Duration::from_secs(20);
/// How often launchd is asked about a daemon that does not connect, or has just ended.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long launchd may take to learn of the end of a daemon whose connection is closed.
const ENDED_WITHIN: Duration = Duration::from_secs(2);
/// How long the system may take to write the crash report of a process that the kernel killed.
const REPORTED_WITHIN: Duration = Duration::from_secs(10);
/// The wait status of an end that nobody could tell.
const STATUS_UNKNOWN: i32 = -1;

/// One client as a daemon.
#[derive(Clone)]
pub(super) struct Daemon {
    daemons: Arc<Daemons>,
    client: ClientId,
    label: BundleId,
}

impl Daemon {
    pub(super) fn new(daemons: &Arc<Daemons>, client: &ClientId, label: &BundleId) -> Daemon {
        Daemon { daemons: Arc::clone(daemons), client: client.clone(), label: label.clone() }
    }

    /// Starts it and waits for its connection. A daemon that ends before it connects is noticed.
    pub(super) async fn start(&self) -> io::Result<UnixStream> {
        let socket = self.daemons.places().socket(&self.client);
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        let runs_before = self.state().await.map_err(io::Error::other)?.runs.unwrap_or(0);
        let (daemons, label) = (Arc::clone(&self.daemons), self.label.clone());
        let started = tokio::task::spawn_blocking(move || daemons.start(label.as_str())).await;
        started.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let until = Instant::now() + CONNECTS_WITHIN;
        loop {
            tokio::select! {
                accepted = listener.accept() => return accepted.map(|(stream, _)| stream),
                () = sleep(ASK_EVERY) => {}
            }
            let state = self.state().await.map_err(io::Error::other)?;
            if state.runs.unwrap_or(0) > runs_before && state.pid.is_none() {
                return Err(io::Error::other(format!("it ended at once, {}", describe(&state))));
            }
            if Instant::now() >= until {
                return Err(io::Error::other(format!("it did not connect within {CONNECTS_WITHIN:?}")));
            }
        }
    }

    /// How it ended, as a wait status. To be asked once its connection is closed.
    pub(super) async fn status(&self) -> i32 {
        let until = Instant::now() + ENDED_WITHIN;
        loop {
            match self.state().await {
                Ok(state) if state.pid.is_none() => return wait_status(&state),
                // It is no longer loaded: somebody took it away, and its end with it.
                Err(_) => return STATUS_UNKNOWN,
                Ok(_) if Instant::now() >= until => return STATUS_UNKNOWN,
                Ok(_) => sleep(ASK_EVERY).await,
            }
        }
    }

    /// Why its process was ended, as its crash report says; `None` when none comes.
    pub(super) async fn death(&self, pid: u32, since: std::time::SystemTime) -> Option<Death> {
        let until = Instant::now() + REPORTED_WITHIN;
        loop {
            if let Some(death) = self.daemons.death(pid, since) {
                return Some(death);
            }
            if Instant::now() >= until {
                return None;
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Asks launchd, beside the event loop: the warden goes on watching.
    async fn state(&self) -> Result<JobState, StepError> {
        let (daemons, label) = (Arc::clone(&self.daemons), self.label.clone());
        let asked = tokio::task::spawn_blocking(move || daemons.state(label.as_str())).await;
        asked.unwrap_or_else(|error| {
            Err(StepError::Start { call: "launchctl print".to_owned(), source: io::Error::other(error) })
        })
    }
}

/// The wait status of a job that does not run. launchd keeps its last exit code beside a later signal.
fn wait_status(state: &JobState) -> i32 {
    match (state.signal, state.exit_code) {
        (Some(signal), _) => signal & 0x7f,
        (None, Some(code)) => (code & 0xff) << 8,
        (None, None) => STATUS_UNKNOWN,
    }
}

fn describe(state: &JobState) -> String {
    match wait_status(state) {
        STATUS_UNKNOWN => "nobody says how".to_owned(),
        status => super::ending::describe(status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_job_is_a_wait_status() {
        let state = |signal, exit_code| JobState { pid: None, runs: Some(1), exit_code, signal };
        assert_eq!(wait_status(&state(Some(9), None)), 9);
        assert_eq!(wait_status(&state(None, Some(0))), 0);
        assert_eq!(wait_status(&state(None, Some(78))), 78 << 8);
        assert_eq!(wait_status(&state(None, None)), STATUS_UNKNOWN);
        assert_eq!(describe(&state(Some(9), None)), "signal 9");
        assert_eq!(describe(&state(None, None)), "nobody says how");
    }
}
