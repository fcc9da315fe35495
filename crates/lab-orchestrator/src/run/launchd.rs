//! The clients that launchd starts, all together: who is one, where each writes, and why it died.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::SystemTime};

use lab_bundle::{Daemons, Death};
use lab_model::{Actor, Lab, Role};
use lab_trace::FaultKind;

use super::{context::Context, daemon::Daemon, event::Event, process::ProcessSpec};
use crate::RunFolder;

/// What the controller has to do with launchd; nothing where clients are its children.
pub(super) struct Launchd {
    daemons: Option<Arc<Daemons>>,
    /// Dead clients of which the system has not said yet why they died.
    unexplained: BTreeSet<Actor>,
    /// Crash reports from before are of no process of this run.
    began: SystemTime,
}

impl Launchd {
    pub(super) fn new(daemons: Option<Daemons>) -> Launchd {
        Launchd { daemons: daemons.map(Arc::new), unexplained: BTreeSet::new(), began: SystemTime::now() }
    }

    /// The launchd daemon that a client is; `None` for a child.
    pub(super) fn daemon(&self, lab: &Lab, spec: ProcessSpec<'_>) -> Option<Daemon> {
        let mut clients = lab.clients.iter();
        let client = clients.find(|client| spec.role == Role::Client && client.id.as_str() == spec.name)?;
        Some(Daemon::new(self.daemons.as_ref()?, &client.id, &client.bundle_id))
    }

    /// Where a process writes what it says while it runs: a daemon's log is launchd's until the end.
    pub(super) fn log_of(&self, folder: &RunFolder, spec: ProcessSpec<'_>) -> PathBuf {
        match (&self.daemons, spec.name.parse()) {
            (Some(daemons), Ok(client)) if spec.role == Role::Client => daemons.places().log(&client),
            _ => folder.logs().join(format!("{}.log", spec.file)),
        }
    }

    /// Has the system's reason for a daemon's end looked up, while the lab goes on.
    pub(super) fn ask_why(&mut self, context: &Context, actor: Actor, daemon: Daemon, pid: u32) {
        self.unexplained.insert(actor);
        let (events, since) = (context.events().clone(), self.began);
        tokio::spawn(async move {
            let death = daemon.death(pid, since).await;
            // The controller may have ended first, and then nobody asks.
            drop(events.send(Event::Explained(actor, death)).await);
        });
    }

    /// Takes in why a client died, or that nobody says. Records a deadline kill that was the kernel's own act; returns
    /// what is to be said.
    pub(super) fn explained(
        &mut self,
        context: &Context,
        actor: Actor,
        name: &str,
        death: Option<&Death>,
    ) -> Option<String> {
        self.unexplained.remove(&actor);
        match death? {
            Death::DeadlineMissed => {
                // Which decision it was the system does not say; the trace shows those that were pending.
                context.fault(FaultKind::DeadlineKill, actor, u64::MAX);
                Some(format!("{name} missed the kernel's deadline and was killed for it"))
            }
            Death::Other { namespace, code } => {
                Some(format!("{name} was ended by the system: {namespace}, code {code}"))
            }
        }
    }

    /// True when it is known of every dead client why it died, or that nobody will say.
    pub(super) fn all_explained(&self) -> bool {
        self.unexplained.is_empty()
    }

    /// Keeps what the daemons said, and takes them away, whatever state they are in.
    pub(super) fn take_away(&self, context: &Context) {
        let Some(daemons) = &self.daemons else { return };
        for client in &context.lab().clients {
            let log = context.folder().logs().join(format!("{}.log", client.id));
            if let Err(error) = daemons.keep_log(&client.id, &log) {
                tracing::warn!("the log of {} is not kept: {error}", client.id);
            }
        }
        if let Err(error) = daemons.uninstall() {
            tracing::warn!("`lab down` has to take the clients away: {error}");
        }
    }
}
