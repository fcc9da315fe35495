//! The kernel that this client is compiled for. It is chosen here and nowhere else in this program: each backend needs
//! the system that has its kernel.

#[cfg(target_os = "macos")]
pub(crate) use endpoint_security::{probe, start};
#[cfg(target_os = "linux")]
pub(crate) use fanotify::{probe, start};
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) use none::{probe, start};

#[cfg(target_os = "linux")]
mod fanotify {
    use std::{path::Path, process::ExitCode};

    use anyhow::{Context, Result};
    use lab_process::{
        Control,
        failure::Failed,
        privileges::{self, Capability},
    };

    use crate::client::{Start, serve};

    pub(crate) fn start(control: &mut Control, start: Start<'_>) -> Result<()> {
        let (welcome, assignment) = (start.welcome, start.assignment);
        privileges::with(&[Capability::Resource], lab_backend_fanotify::confine::raise_descriptor_limit)?
            .context("cannot raise the limit on descriptors")?;
        // Everything that opens a file has been done by now: from here on the arena's opens wait for this client.
        let group = privileges::with(&[Capability::Administer], || {
            lab_backend_fanotify::Group::create(Path::new(&welcome.arena))?.observing(assignment.notifies)
        })?
        .map_err(|error| Failed::of(&error))?;
        let queue = Some(group.descriptor());
        serve(control, start, group, queue)
    }

    /// There is nothing to probe.
    pub(crate) fn probe(_: u32) -> ExitCode {
        tracing::error!("there is no Endpoint Security here to probe");
        ExitCode::FAILURE
    }
}

#[cfg(target_os = "macos")]
mod endpoint_security {
    use std::{io::Write, process::ExitCode};

    use anyhow::Result;
    use lab_backend_es::{Cache, EsBackend, EsClient, Probed, Scope, Shared};
    use lab_process::{Control, failure::Failed};
    use lab_protocol::{ClientAssignment, Welcome};

    use crate::client::{Start, serve};

    /// Events of Endpoint Security that may be pending at a time; about the kernel's own limit.
    const PENDING_MAX: u32 = 4096;

    /// Notices of Endpoint Security that may wait for the observer at a time, each with a retained message.
    const NOTICES_MAX: u32 = 16_384;

    pub(crate) fn start(control: &mut Control, start: Start<'_>) -> Result<()> {
        let (welcome, assignment) = (start.welcome, start.assignment);
        let listens = !assignment.notifies.is_empty();
        let backend = EsBackend::observing(PENDING_MAX, if listens { NOTICES_MAX } else { 0 });
        let arena = Scope::Arena(welcome.arena.clone().into_bytes());
        backend.confined_to(lab_backend_es::Arena::new(
            welcome.arena.as_bytes(),
            arena_files(welcome, assignment)?,
        ));
        // Everything that opens a file has been done by now: from here on the arena's opens wait for this client.
        let client = EsClient::open(&backend, &arena, Cache::Off).map_err(|error| Failed::of(&error))?;
        let listener = listens.then(|| EsClient::listen(&backend, &arena)).transpose();
        let listener = listener.map_err(|error| Failed::of(&error))?;
        let outcome = serve(control, start, Shared(backend), None);
        // Deleted on the thread that connected them; what is still pending is allowed.
        drop((listener, client));
        outcome
    }

    /// The files of the arena, by what they are made from: looking would be an event for every other client. Programs that
    /// this lab does not have do no harm.
    fn arena_files(welcome: &Welcome, assignment: &ClientAssignment) -> Result<Vec<Vec<u8>>> {
        use lab_model::ExecProgram;

        let machine = lab_workload::elf::Machine::this();
        let host = lab_workload::ArenaHost { root: welcome.arena.clone(), machine };
        let programs = [ExecProgram::Static, ExecProgram::Dynamic, ExecProgram::Script];
        let entries = lab_workload::arena(&assignment.workload, &programs, &host)?;
        Ok(entries.into_iter().map(|entry| entry.path.into_bytes()).collect())
    }

    /// Says on standard output how many clients with this program's signature can connect: for `lab doctor --probe`.
    pub(crate) fn probe(max: u32) -> ExitCode {
        let probed = Probed::of(max, || EsClient::connect(&EsBackend::new(1), Cache::Off));
        match writeln!(std::io::stdout(), "{probed}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod none {
    use std::process::ExitCode;

    use anyhow::{Result, bail};
    use lab_process::Control;

    use crate::client::Start;

    pub(crate) fn start(_: &mut Control, _: Start<'_>) -> Result<()> {
        bail!("this build has no kernel to ask")
    }

    /// There is nothing to probe.
    pub(crate) fn probe(_: u32) -> ExitCode {
        tracing::error!("there is no Endpoint Security here to probe");
        ExitCode::FAILURE
    }
}
