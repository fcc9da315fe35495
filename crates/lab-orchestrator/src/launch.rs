//! The launcher: what happens outside the lab, before and after it.

use std::{
    fs::File,
    io::{self, Seek},
    path::{Path, PathBuf},
    time::Duration,
};

use lab_bundle::StepError;
use lab_files::{Folder, Trusted};
use lab_model::Lab;
use lab_process::platform::KERNEL;
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    Active, Call, ClientsAre, Failure, FailureKind, Plan, ProcessName, Programs, RunFolder, Runs,
    SigningFile, abort::AbortWatch, freezer::LabGroup, interrupts, lack::Lack, load::Neighbours,
    owner::Owner, preflight, products::require_products,
};

/// What is to be launched.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// The run store.
    pub runs: &'a Runs,
    /// What to package.
    pub programs: &'a Programs,
    /// This program, which can become the controller.
    pub program: &'a Path,
    /// The arguments that make it the controller; the plan comes to it as standard input.
    pub controller_arguments: &'a [&'a str],
    /// Whether progress can be drawn.
    pub terminal: bool,
    /// How the clients are started.
    pub clients_are: ClientsAre,
    /// How the clients are signed, where that matters.
    pub signing: Option<&'a SigningFile>,
    /// How the run was called for, to be kept beside it.
    pub call: Option<&'a Call>,
}

/// How long after asking the controller to end it is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often a run is looked at for expectations that end it.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// Packages the clients, runs the lab and takes everything away again except what it recorded. The calling
/// process must have one thread. Returns the run's folder and how controlling it went.
///
/// # Errors
/// [`Failure`] when nothing was started.
pub fn launch(request: &Request<'_>) -> Result<(RunFolder, Result<(), Failure>), Failure> {
    preflight::check(request.lab)?;
    let needed = [request.runs.path(), &request.programs.client, &request.programs.driver, request.program];
    require_products(request.lab, &needed.map(Path::to_owned))?;
    if let Some(signing) = request.signing {
        // Where they will lie makes no difference to whether they can be signed.
        let bundles = request.lab.clients.iter().map(|client| lab_bundle::Bundle::at(client, Path::new("")));
        signing.check(&bundles.collect::<Vec<_>>())?;
    }
    // One thread, as cloning the controller demands. Signals are listened for before there is anything to end.
    let _hold =
        interrupts::hold_for_a_lab().map_err(|error| Failure::system("cannot listen for signals", &error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::system("no event loop", &error))?;
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let daemons = request.clients_are.daemons();
    let _owner = daemons.as_ref().map(|daemons| Owner::take(daemons, request.runs.trusted())).transpose()?;
    let trusted = request.runs.trusted();
    // Nothing but a path says which program the kernel is to execute, but no folder on its way is others' to write.
    crate::trusted_program(request.program, trusted)?;
    let programs = OpenPrograms::of(request.programs, request.lab, trusted)?;
    let freezer = LabGroup::of(request.lab)?;
    let folder = RunFolder::create(request.runs, &request.lab.name)?;
    mark_active(&folder, None);
    let mut neighbours = Neighbours::default();
    neighbours.look();
    let prepared = preflight::executes(folder.root())
        .and_then(|()| prepare(request, &programs, &folder, freezer.as_ref()));
    let outcome = prepared.and_then(|plan| runtime.block_on(confined(request, &plan, &folder, &mut signals)));
    // The controller has done so already, unless it was killed.
    if let Some(error) = daemons.and_then(|daemons| daemons.uninstall().err()) {
        tracing::warn!("`lab down` has to take the clients away: {error}");
    }
    neighbours.look();
    if let Err(error) = neighbours.keep(&folder) {
        tracing::warn!("who else was on the machine is not kept: {error}");
    }
    // The controller has thawed what it froze, or the kernel has ended it with the controller.
    drop(freezer);
    folder.uninstall();
    if let Err(error) = folder.hand_over() {
        tracing::warn!("the run stays root's: {error}");
    }
    match outcome {
        Ok(Err(failure)) if !folder.has_operations() => Err(abandon(&folder, failure)),
        Ok(controlled) => Ok((folder, controlled)),
        Err(failure) => Err(abandon(&folder, failure)),
    }
}

/// Nothing was recorded, so nothing is worth keeping but the reason.
fn abandon(folder: &RunFolder, failure: Failure) -> Failure {
    if let Err(error) = folder.discard() {
        tracing::warn!("the empty run {} stays behind: {error}", folder.root().display());
    }
    failure
}

/// The programs as they were when it was seen that nobody else may write them: copied from these descriptors, so that
/// they cannot be exchanged between the look and the copying.
struct OpenPrograms {
    client: File,
    driver: File,
    /// Only a lab with helpers or daemons needs it.
    worker: Option<File>,
}

impl OpenPrograms {
    fn of(programs: &Programs, lab: &Lab, trusted: &Trusted) -> Result<OpenPrograms, Failure> {
        let has_helpers = lab.clients.iter().any(|client| client.behavior.helpers.is_some());
        let needs_worker = has_helpers || !lab.daemons.is_empty();
        let worker = needs_worker.then(|| crate::trusted_program(&programs.worker, trusted));
        Ok(OpenPrograms {
            client: crate::trusted_program(&programs.client, trusted)?,
            driver: crate::trusted_program(&programs.driver, trusted)?,
            worker: worker.transpose()?,
        })
    }
}

/// Writes the resolved lab, installs the bundles and says what the controller is to do.
fn prepare(
    request: &Request<'_>,
    programs: &OpenPrograms,
    folder: &RunFolder,
    freezer: Option<&LabGroup>,
) -> Result<Vec<u8>, Failure> {
    let output = |what: &'static str| move |error: io::Error| Failure::output(what, &error);
    let of_run = folder.folder();
    folder
        .write(RunFolder::LAB, lab_config::to_yaml(request.lab).as_bytes())
        .map_err(output("cannot write the resolved lab"))?;
    if let Some(call) = request.call {
        call.keep(folder, request.lab).map_err(output("cannot keep how the run was called for"))?;
    }
    let place = folder.bundles();
    let installed = of_run
        .create_folder(RunFolder::BUNDLES, 0o700)
        .map_err(|error| Failure::output(&format!("cannot make {}", place.display()), &error))?;
    let install = |program: &File, name: &str| {
        copy_program(program, &installed, name)
            .map_err(|error| Failure::output(&format!("cannot write {}", place.join(name).display()), &error))
    };
    let OpenPrograms { client, driver, worker } = programs;
    let bundles = lab_bundle::package_open(client, worker.as_ref(), &request.lab.clients, &folder.bundles())
        .map_err(|error| bundle_failure(&error))?;
    if let Some(signing) = request.signing {
        signing.sign(&bundles, &folder.bundles())?;
    }
    lab_bundle::verify(&bundles).and_then(lab_bundle::require).map_err(|error| bundle_failure(&error))?;
    if let Some(daemons) = request.clients_are.daemons() {
        daemons.install(&bundles).map_err(|error| step_failure(&error))?;
    }
    let plan = Plan {
        lab: request.lab.clone(),
        run: folder.root().to_owned(),
        helpers: bundles.iter().map(|bundle| (bundle.client.clone(), bundle.helper())).collect(),
        clients: bundles.into_iter().map(|bundle| (bundle.client, bundle.executable)).collect(),
        driver: install(driver, "lab-driver")?,
        worker: match worker.as_ref().filter(|_| !request.lab.daemons.is_empty()) {
            Some(worker) => install(worker, "lab-worker")?,
            None => PathBuf::new(),
        },
        terminal: request.terminal,
        cpus: Vec::new(),
        clients_are: request.clients_are.clone(),
        freezer: freezer.map_or_else(PathBuf::new, |group| group.path().to_owned()),
        caller: request.runs.trusted().caller(),
    };
    serde_json::to_vec(&plan)
        .map_err(|error| Failure::new(FailureKind::Bug, format!("the plan cannot be written: {error}")))
}

/// What runs does so from a copy of its own: a new build must not change a run.
fn copy_program(mut program: &File, into: &Folder, name: &str) -> io::Result<PathBuf> {
    // It may have been copied before.
    program.seek(io::SeekFrom::Start(0))?;
    io::copy(&mut program, &mut into.create_file(name, 0o700)?)?;
    Ok(into.path().join(name))
}

/// What keeps daemons from being installed, as a failure of the run.
pub(crate) fn step_failure(error: &StepError) -> Failure {
    match error {
        StepError::File(error) => bundle_failure(error),
        _ => Failure::new(FailureKind::Bug, chain(error)).mend("`lab down` takes away what is left of a lab"),
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

fn bundle_failure(error: &lab_bundle::BundleError) -> Failure {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    let mut lack = None;
    while let Some(cause) = source {
        lack = lack.or_else(|| cause.downcast_ref::<io::Error>().and_then(Lack::of));
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    let kind = lack.map_or(FailureKind::Output, Lack::kind);
    Failure::new(kind, message).mend(lack.map_or("name a folder that can be written with --runs", Lack::mend))
}

/// Runs the controller in namespaces of its own and waits for its end.
async fn confined(
    request: &Request<'_>,
    plan: &[u8],
    folder: &RunFolder,
    signals: &mut Signals,
) -> Result<Result<(), Failure>, Failure> {
    // A signal that came before they were listened for was noted, and no more.
    if interrupts::wanted() || signals.pending().await {
        interrupts::heeded();
        return Err(Failure::new(FailureKind::Interrupted, "interrupted before the lab was started"));
    }
    let controller = spawn_controller(request.program, request.controller_arguments, plan)?;
    let pid = controller.pid;
    mark_active(folder, Some(pid));
    Ok(watch(pid, signals, AbortWatch::of(request.lab, folder)).await)
}

/// The controller, for as long as the launcher holds on to it.
struct ControllerProcess {
    pid: u32,
    /// Where nothing else ends the controller with its launcher, the end of this pipe does.
    _lifeline: Option<std::process::ChildStdin>,
}

fn spawn_controller(program: &Path, arguments: &[&str], plan: &[u8]) -> Result<ControllerProcess, Failure> {
    if KERNEL.confines_by_namespaces() {
        spawn_in_namespaces(program, arguments, plan)
    } else {
        spawn_child(program, arguments, plan)
    }
}

/// The plan is in memory that nobody can write any more, and has no name that somebody else could use.
fn spawn_in_namespaces(
    program: &Path,
    arguments: &[&str],
    plan: &[u8],
) -> Result<ControllerProcess, Failure> {
    use std::os::fd::AsFd;

    let failed = |error: io::Error| match error.raw_os_error() {
        Some(nix::libc::EPERM) => {
            Failure::new(FailureKind::Privilege, "a lab needs namespaces of its own (CAP_SYS_ADMIN)")
                .mend("run it as root")
        }
        _ => Failure::system("cannot start the controller", &error),
    };
    let plan = lab_files::sealed("lab-plan", plan).map_err(failed)?;
    // The controller inherits standard input. This process has one thread, so nobody reads the plan instead.
    let own = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(own) => own,
        Err(_) => File::open("/dev/null").map_err(failed)?.into(),
    };
    let replaced = |error: rustix::io::Errno| failed(error.into());
    rustix::stdio::dup2_stdin(&plan).map_err(replaced)?;
    let spawned = lab_backend_fanotify::confine::spawn_first_process(program, arguments);
    rustix::stdio::dup2_stdin(&own).map_err(replaced)?;
    Ok(ControllerProcess { pid: spawned.map_err(failed)?, _lifeline: None })
}

/// The controller as a child in a process group of its own: a signal to the terminal's group reaches the launcher only,
/// which passes it on.
fn spawn_child(program: &Path, arguments: &[&str], plan: &[u8]) -> Result<ControllerProcess, Failure> {
    use std::{io::Write, os::unix::process::CommandExt};
    let failed = |error: io::Error| Failure::system("cannot start the controller", &error);
    let mut command = std::process::Command::new(program);
    let started = command.args(arguments).process_group(0).stdin(std::process::Stdio::piped()).spawn();
    let mut child = started.map_err(failed)?;
    let mut lifeline = child.stdin.take();
    if let Some(pipe) = &mut lifeline {
        pipe.write_all(plan).and_then(|()| pipe.write_all(b"\n")).map_err(failed)?;
    }
    // Waited for by its ID, as one in namespaces is.
    Ok(ControllerProcess { pid: child.id(), _lifeline: lifeline })
}

struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    child: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Signals, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::system("cannot listen for signals", &error));
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            child: listen(SignalKind::child())?,
        })
    }

    /// Whether somebody has wanted the run to end since the last look. Waits for nothing.
    async fn pending(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.wanted_end() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    /// Waits for the next signal that ends a run.
    async fn wanted_end(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// Waits for the controller's end. The first signal asks it to end the lab, the third ends it at once.
async fn watch(pid: u32, signals: &mut Signals, mut abort: Option<AbortWatch<'_>>) -> Result<(), Failure> {
    let controller = Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
    let mut asked = 0;
    loop {
        match waitpid(controller, Some(nix::sys::wait::WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, 0)) => return Ok(()),
            Ok(WaitStatus::Exited(_, code)) => return Err(exit_failure(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                let message = format!("the controller was ended by {signal}, and the lab with it");
                return Err(Failure::new(FailureKind::Bug, message));
            }
            Ok(_) => {}
            Err(error) => {
                return Err(Failure::new(FailureKind::Bug, format!("the controller is gone: {error}")));
            }
        }
        let Signals { interrupt, terminate, hangup, child } = signals;
        tokio::select! {
            _ = child.recv() => continue,
            _ = interrupt.recv() => asked += heeded(),
            _ = terminate.recv() => asked += heeded(),
            _ = hangup.recv() => asked += heeded(),
            // The first process of a PID namespace is not told of a signal that it does not handle yet.
            () = tokio::time::sleep(ASK_AGAIN_AFTER), if asked > 0 => {}
            () = tokio::time::sleep(LOOK_EVERY), if abort.is_some() => {
                if let Some(broken) = abort.as_ref().and_then(AbortWatch::broken) {
                    tracing::warn!("the run ends early, because this no longer holds: {broken}");
                    abort = None;
                    send(controller, Signal::SIGUSR1);
                }
                continue;
            }
        }
        let signal = if asked < 3 { Signal::SIGTERM } else { Signal::SIGKILL };
        send(controller, signal);
    }
}

/// One more signal, which the controller is now told of; one that comes after its end is not heeded here.
fn heeded() -> u32 {
    interrupts::heeded();
    1
}

fn send(controller: Pid, signal: Signal) {
    if let Err(error) = kill(controller, signal) {
        tracing::debug!("the controller has just ended: {error}");
    }
}

/// The controller has said what was wrong; its exit code says what kind of thing.
fn exit_failure(code: i32) -> Failure {
    let kind = FailureKind::ALL.into_iter().find(|kind| i32::from(kind.exit_code()) == code);
    Failure::new(kind.unwrap_or(FailureKind::Bug), String::new())
}

/// Notes which processes the run consists of, for `lab down`.
fn mark_active(folder: &RunFolder, controller: Option<u32>) {
    let launcher = ProcessName::of(std::process::id());
    let active = Active { launcher, controller: controller.map(ProcessName::of) };
    let written = serde_json::to_vec(&active)
        .map_err(io::Error::other)
        .and_then(|text| folder.write(RunFolder::ACTIVE, &text));
    if let Err(error) = written {
        tracing::warn!("`lab down` will not find this run: {error}");
    }
}
