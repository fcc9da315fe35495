//! Clients that launchd starts: how the controller gets hold of one, and how it learns of its end.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lab_bundle::{Daemons, Death, JobState, StepError};
use lab_model::{BundleId, ClientId};
use lab_process::channel;
use rustix::fs::{Mode, OFlags, fchmod, fstat, open};
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

    /// Starts it and waits for its connection, and for its alone. A daemon that ends before it connects is noticed.
    pub(super) async fn start(&self) -> io::Result<UnixStream> {
        let socket = self.daemons.places().socket(&self.client);
        let listener = listen(&socket)?;
        let connected = self.start_and_accept(&listener).await;
        // Nobody else is waited for.
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => connected,
        }
    }

    async fn start_and_accept(&self, listener: &UnixListener) -> io::Result<UnixStream> {
        let runs_before = self.state().await.map_err(io::Error::other)?.runs.unwrap_or(0);
        let (daemons, label) = (Arc::clone(&self.daemons), self.label.clone());
        let started = tokio::task::spawn_blocking(move || daemons.start(label.as_str())).await;
        started.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let until = Instant::now() + CONNECTS_WITHIN;
        let mut waiting: Option<UnixStream> = None;
        loop {
            tokio::select! {
                accepted = listener.accept(), if waiting.is_none() => {
                    // Another user's is refused before anybody is asked about it.
                    waiting = accepted.map(|(stream, _)| stream).ok().filter(is_of_this_user);
                }
                () = sleep(ASK_EVERY) => {}
            }
            let state = self.state().await.map_err(io::Error::other)?;
            if let (Some(stream), Some(pid)) = (&waiting, state.pid) {
                if peer(stream) == Some(pid) {
                    return waiting.ok_or_else(|| io::ErrorKind::NotConnected.into());
                }
                tracing::warn!("a process that is not {} has connected and is refused", self.client);
                waiting = None;
            }
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

/// Listens in a folder that nobody else can enter, in place of what was left there.
fn listen(socket: &Path) -> io::Result<UnixListener> {
    let folder = socket.parent().unwrap_or(Path::new("."));
    let _kept: OwnedFd = private(folder)?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (name, _folder): (PathBuf, _) = channel::short(socket)?;
    UnixListener::bind(name)
}

/// Takes every right to a folder from everybody else. It must be this user's own, and no link.
fn private(folder: &Path) -> io::Result<OwnedFd> {
    let opened = open(folder, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let owner = fstat(&opened)?.st_uid;
    if owner != rustix::process::geteuid().as_raw() {
        let message = format!("{} belongs to user {owner}, who could be in the way", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    fchmod(&opened, Mode::RWXU)?;
    Ok(opened)
}

fn is_of_this_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    let is = stream.peer_cred().is_ok_and(|peer| peer.uid() == own);
    if !is {
        tracing::warn!("another user's process has connected and is refused");
    }
    is
}

/// The process at the other end, as the kernel knows it.
fn peer(stream: &UnixStream) -> Option<u32> {
    u32::try_from(stream.peer_cred().ok()?.pid()?).ok()
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[tokio::test]
    async fn a_socket_lies_where_nobody_else_can_come() {
        let root = std::env::temp_dir().join(format!("lab-sockets-{}", std::process::id()));
        let folder = root.join("s".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
        let socket = folder.join("alpha.sock");
        let listener = listen(&socket).unwrap();
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
        drop(listener);
        listen(&socket).unwrap();
        symlink(&folder, root.join("link")).unwrap();
        assert!(listen(&root.join("link/alpha.sock")).is_err(), "a link is followed by nobody");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&folder, Some(65534), None).unwrap();
            assert_eq!(listen(&socket).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    #[tokio::test]
    async fn a_peer_is_who_the_kernel_says() {
        let (own, _other) = UnixStream::pair().unwrap();
        assert!(is_of_this_user(&own));
        assert_eq!(peer(&own), Some(std::process::id()));
    }

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
