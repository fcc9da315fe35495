//! A stand-in for macOS's `launchctl` and launchd, as far as the lab uses them: jobs are loaded from property lists,
//! started on request, printed, and taken away; nothing restarts by itself. The client that it starts is real.
//!
//! It lies in a folder as `launchctl` and keeps its jobs in `jobs/` beside itself. A job that runs has a keeper: a
//! process that started it, waits for its end and ends it when somebody connects to its socket.
//!
//! Labels say what goes wrong: after `.refused-N` the program connects and says that Endpoint Security refused it
//! with result N; after `.dies` it is killed before it connects; a job with `.unloadable` cannot be loaded.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::zombie_processes,
    reason = "a program of the tests: what it cannot do has failed"
)]

use std::{
    env,
    fs::{self, File},
    io::Read,
    os::unix::{
        net::{UnixListener, UnixStream},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::Duration,
};

use lab_backend_es::NewClientResult;
use lab_model::FailureReason;
use lab_process::Control;
use lab_protocol::Reply;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// launchctl's exit codes.
const NO_SUCH_JOB: u8 = 113;
const NO_SUCH_PROCESS: u8 = 3;
const ALREADY_LOADED: u8 = 37;
const INPUT_OUTPUT: u8 = 5;

/// Runs this program as the stand-in when it was started under that name.
pub fn instead_of_the_tests() -> Option<ExitCode> {
    let own = PathBuf::from(env::args_os().next()?);
    if own.file_name()? != "launchctl" {
        return None;
    }
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let folder = own.parent()?;
    Some(match words[..] {
        ["bootstrap", "system", plist] => bootstrap(folder, Path::new(plist)),
        ["kickstart", target] => kickstart(&own, &job(folder, target)),
        ["bootout", target] => bootout(&job(folder, target)),
        ["print", target] => print(&job(folder, target), target),
        ["keep", job] => keep(&own, Path::new(job)),
        ["refuse", code, socket] => refuse(code, socket),
        _ => panic!("launchctl knows no {words:?}"),
    })
}

/// Puts the stand-in into a folder.
pub fn install(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    std::os::unix::fs::symlink(env::current_exe().unwrap(), folder.join("launchctl")).unwrap();
}

/// The labels of the jobs that are loaded.
pub fn loaded(folder: &Path) -> Vec<String> {
    let Ok(jobs) = fs::read_dir(folder.join("jobs")) else { return Vec::new() };
    let mut labels: Vec<_> = jobs.map(|job| job.unwrap().file_name().into_string().unwrap()).collect();
    labels.sort();
    labels
}

fn job(folder: &Path, target: &str) -> PathBuf {
    folder.join("jobs").join(target.strip_prefix("system/").unwrap())
}

fn bootstrap(folder: &Path, plist: &Path) -> ExitCode {
    let value = plist::Value::from_file(plist).unwrap();
    let label = value.as_dictionary().unwrap().get("Label").unwrap().as_string().unwrap().to_owned();
    let job = folder.join("jobs").join(&label);
    if job.exists() {
        return ExitCode::from(ALREADY_LOADED);
    }
    if label.contains(".unloadable") {
        println!("Bootstrap failed: 5: Input/output error");
        return ExitCode::from(INPUT_OUTPUT);
    }
    fs::create_dir_all(&job).unwrap();
    fs::copy(plist, job.join("plist")).unwrap();
    fs::write(job.join("runs"), "0").unwrap();
    ExitCode::SUCCESS
}

fn kickstart(own: &Path, job: &Path) -> ExitCode {
    if !job.exists() {
        return ExitCode::from(NO_SUCH_JOB);
    }
    let runs: u64 = fs::read_to_string(job.join("runs")).unwrap().parse().unwrap();
    fs::write(job.join("runs"), (runs + 1).to_string()).unwrap();
    drop(fs::remove_file(job.join("ended")));
    let mut keeper = Command::new(own);
    keeper.arg("keep").arg(job).process_group(0);
    keeper.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !job.join("pid").exists() && !job.join("ended").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    ExitCode::SUCCESS
}

/// Starts a job's program, and stays until it has ended.
fn keep(own: &Path, job: &Path) -> ExitCode {
    let value = plist::Value::from_file(job.join("plist")).unwrap();
    let dictionary = value.as_dictionary().unwrap();
    let words = dictionary.get("ProgramArguments").unwrap().as_array().unwrap();
    let words: Vec<&str> = words.iter().map(|word| word.as_string().unwrap()).collect();
    let label = job.file_name().unwrap().to_str().unwrap();
    let socket = job.join("keeper");
    drop(fs::remove_file(&socket));
    let listener = UnixListener::bind(&socket).unwrap();

    let mut program = if let Some((_, code)) = label.split_once(".refused-") {
        let mut program = Command::new(own);
        program.args(["refuse", code, words.last().unwrap()]);
        program
    } else if label.ends_with(".dies") {
        let mut program = Command::new("/bin/sh");
        program.args(["-c", "echo not entitled >&2; kill -9 $$"]);
        program
    } else {
        let mut program = Command::new(words[0]);
        program.args(&words[1..]);
        program
    };
    let log = File::create(dictionary.get("StandardErrorPath").unwrap().as_string().unwrap()).unwrap();
    program.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = program.spawn().unwrap();
    let pid = child.id();
    fs::write(job.join("pid.new"), pid.to_string()).unwrap();
    fs::rename(job.join("pid.new"), job.join("pid")).unwrap();
    thread::spawn(move || {
        // Held until this process ends: that is what the one who connected waits for.
        let _who = listener.accept();
        // It may have ended by itself just now.
        let _ended = kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGKILL);
        thread::park();
    });
    let status = child.wait().unwrap();
    let ended = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("\tlast terminating signal = Ended: {signal}\n"),
        (None, code) => format!("\tlast exit code = {}\n", code.unwrap_or_default()),
    };
    fs::write(job.join("ended.new"), ended).unwrap();
    fs::rename(job.join("ended.new"), job.join("ended")).unwrap();
    fs::remove_file(job.join("pid")).unwrap();
    ExitCode::SUCCESS
}

fn bootout(job: &Path) -> ExitCode {
    if !job.exists() {
        return ExitCode::from(NO_SUCH_PROCESS);
    }
    // A keeper that was killed with its namespace does not listen any more.
    if let Ok(mut keeper) = UnixStream::connect(job.join("keeper")) {
        drop(keeper.read(&mut [0]));
    }
    fs::remove_dir_all(job).unwrap();
    ExitCode::SUCCESS
}

fn print(job: &Path, target: &str) -> ExitCode {
    let Ok(runs) = fs::read_to_string(job.join("runs")) else {
        println!("Could not find service");
        return ExitCode::from(NO_SUCH_JOB);
    };
    let ended = fs::read_to_string(job.join("ended")).unwrap_or_default();
    let pid = fs::read_to_string(job.join("pid"));
    let pid = pid.map(|pid| format!("\tpid = {pid}\n")).unwrap_or_default();
    println!(
        "{target} = {{\n\tactive count = 1\n\targuments = {{\n\t\tpid = 7\n\t}}\n\truns = {runs}\n{pid}{ended}}}"
    );
    ExitCode::SUCCESS
}

/// A client that Endpoint Security refuses.
fn refuse(code: &str, socket: &str) -> ExitCode {
    let mut control = Control::connect(Path::new(socket)).unwrap();
    control.order().unwrap();
    let code = code.parse().unwrap();
    let (message, reason) = (NewClientResult::from_code(code).to_string(), FailureReason::Refused { code });
    control.writer().reply(&Reply::Failed { message, reason, mend: None }).unwrap();
    ExitCode::from(reason.exit_status())
}
