//! The hot path: how long an open takes with N clients that answer at once.

use std::{
    env, fs,
    io::{Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use lab_backend_fanotify::confine;
use lab_model::{Actor, Behavior, Span};
use lab_process::{clock, thread_id};
use lab_protocol::{
    Assignment, ClientAssignment, Order, PROTOCOL, Reply, TraceAssignment, Welcome, receive, send,
};
use nix::{
    fcntl::{OFlag, open},
    sched::{CpuSet, sched_setaffinity},
    sys::{stat::Mode, wait::waitpid},
    unistd::Pid,
};

const ROUNDS: usize = 9;
const FILES: usize = 64;
const WARM_NANOSECONDS: u64 = 200_000_000;
const MEASURED_NANOSECONDS: u64 = 1_000_000_000;
const CLIENTS: [u16; 2] = [1, 3];

/// What one round of one contestant gave.
#[derive(Clone, Copy, Debug)]
struct Round {
    p50: u64,
    p99: u64,
    per_second: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contestant {
    Reference,
    Lab,
}

/// Outside: builds and confines. Inside: measures.
pub(crate) fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().collect();
    if let [_, inside, work, client] = arguments.as_slice()
        && inside == "inside"
    {
        return measure(Path::new(work), Path::new(client));
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no workspace")?;
    let programs = lab_orchestrator::programs(workspace)?;
    let work = programs.client.parent().context("no target folder")?.join("bench");
    drop(fs::remove_dir_all(&work));
    fs::create_dir_all(work.join("traces"))?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/responder.c");
    duct::cmd!("cc", "-O2", "-Wall", "-o", work.join("responder"), source)
        .run()
        .context("cannot compile the reference")?;
    let (work_text, client) = (work.to_string_lossy(), programs.client.to_string_lossy());
    let pid = confine::spawn_first_process(&env::current_exe()?, &["inside", &work_text, &client])
        .context("cannot confine the benchmark; it needs root")?;
    let status = waitpid(Pid::from_raw(i32::try_from(pid)?), None)?;
    drop(fs::remove_dir_all(&work));
    if status != nix::sys::wait::WaitStatus::Exited(Pid::from_raw(i32::try_from(pid)?), 0) {
        bail!("the benchmark ended with {status:?}");
    }
    Ok(())
}

fn measure(work: &Path, client: &Path) -> Result<()> {
    let arena = work.join("arena");
    confine::enter(&arena, lab_model::ArenaKind::Tmpfs, 64 << 20)?;
    let mut one = CpuSet::new();
    one.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &one)?;
    let files: Vec<PathBuf> = (0..FILES).map(|file| arena.join(format!("f{file}"))).collect();
    for file in &files {
        fs::write(file, b"x")?;
    }
    let out = &mut std::io::stdout();
    writeln!(out, "open latency with clients that answer at once, one opener, all on processor 0;")?;
    writeln!(
        out,
        "{ROUNDS} rounds of 1 s each, reference and lab in turn; median [least, most] of the rounds\n"
    )?;
    for clients in CLIENTS {
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..ROUNDS {
            let mut order = [Contestant::Reference, Contestant::Lab];
            order.rotate_left(round % 2);
            for contestant in order {
                let running = start(contestant, clients, work, client, &arena)?;
                let found = opens(&files)?;
                stop(running)?;
                rounds[usize::from(contestant == Contestant::Lab)].push(found);
            }
        }
        report(out, clients, &rounds)?;
    }
    Ok(())
}

fn report(out: &mut impl Write, clients: u16, [reference, lab]: &[Vec<Round>; 2]) -> Result<()> {
    let line = |of: fn(&Round) -> u64| {
        let text = |rounds: &[Round]| {
            let mut values: Vec<u64> = rounds.iter().map(of).collect();
            values.sort_unstable();
            format!("{} [{}, {}]", values[values.len() / 2], values[0], values[values.len() - 1])
        };
        // Neighbours in time are compared, so that drift of the machine cancels out.
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
        let mut ratios: Vec<f64> =
            reference.iter().zip(lab).map(|(reference, lab)| of(lab) as f64 / of(reference) as f64).collect();
        ratios.sort_by(f64::total_cmp);
        let (least, middle, most) = (ratios[0], ratios[ratios.len() / 2], ratios[ratios.len() - 1]);
        (text(reference), text(lab), format!("{middle:.3} [{least:.3}, {most:.3}]"))
    };
    type Named = (&'static str, fn(&Round) -> u64);
    let named: [Named; 3] =
        [("p50 ns", |round| round.p50), ("p99 ns", |round| round.p99), ("opens/s", |round| round.per_second)];
    writeln!(out, "{clients} client{}", if clients == 1 { "" } else { "s" })?;
    for (name, of) in named {
        let (reference, lab, ratio) = line(of);
        writeln!(out, "  {name:8} reference {reference:28} lab {lab:28} ratio {ratio}")?;
    }
    Ok(writeln!(out)?)
}

fn start(
    contestant: Contestant,
    clients: u16,
    work: &Path,
    client: &Path,
    arena: &Path,
) -> Result<Vec<Running>> {
    let running: Result<Vec<Running>> = (0..clients)
        .map(|number| match contestant {
            Contestant::Reference => start_reference(work, arena),
            Contestant::Lab => start_client(number, work, client, arena),
        })
        .collect();
    running
}

/// A responder and what keeps it alive.
struct Running {
    child: Child,
    _control: Option<UnixStream>,
}

fn start_reference(work: &Path, arena: &Path) -> Result<Running> {
    let mut child = Command::new(work.join("responder")).arg(arena).stdout(Stdio::piped()).spawn()?;
    let mut ready = [0];
    child
        .stdout
        .as_mut()
        .context("no pipe")?
        .read_exact(&mut ready)
        .context("the reference did not start")?;
    Ok(Running { child, _control: None })
}

fn start_client(number: u16, work: &Path, client: &Path, arena: &Path) -> Result<Running> {
    let (mut control, other) = UnixStream::pair()?;
    let child = Command::new(client).stdin(Stdio::from(OwnedFd::from(other))).spawn()?;
    let trace = work.join("traces").join(format!("{number}.trace"));
    drop(fs::remove_file(&trace));
    let welcome = Welcome {
        protocol: PROTOCOL,
        actor: Actor(number + 2),
        name: format!("client-{number}"),
        seed: 1,
        arena: arena.display().to_string(),
        trace: TraceAssignment { path: trace.display().to_string(), salt: 7, bytes_max: 4 << 30 },
        assignment: Assignment::Client(Box::new(ClientAssignment {
            bundle_id: format!("org.eslab.bench.client-{number}"),
            behavior: Box::new(Behavior::noop()),
            workers_max: 1,
            notifies: lab_model::NotifyEvents::NONE,
            deadline: Span::from_secs(5),
            workload: Vec::new(),
            helpers: None,
            daemons: Vec::new(),
        })),
    };
    send(&mut control, &Order::Welcome(Box::new(welcome)))?;
    let reply: Reply = receive(&mut control)?;
    let Reply::Ready { .. } = reply else { bail!("the client did not start: {reply:?}") };
    let threads = vec![(thread_id(), Actor(1))];
    send(
        &mut control,
        &Order::Participants { threads, clients: vec![Actor(number + 2)], names: Vec::new() },
    )?;
    let Reply::Done = receive(&mut control)? else { bail!("the client did not learn of the others") };
    Ok(Running { child, _control: Some(control) })
}

fn stop(running: Vec<Running>) -> Result<()> {
    for mut running in running {
        running.child.kill()?;
        running.child.wait()?;
    }
    Ok(())
}

/// Opens files in a closed loop and times every open.
fn opens(files: &[PathBuf]) -> Result<Round> {
    let mut latencies = Vec::with_capacity(2_000_000);
    let began = clock::now();
    let (mut next, mut measured_from) = (0, began);
    loop {
        let before = clock::now();
        let file = open(&files[next % files.len()], OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let after = clock::now();
        drop(file);
        next += 1;
        if before.since(began) < WARM_NANOSECONDS {
            measured_from = after;
            continue;
        }
        latencies.push(after.since(before));
        if after.since(measured_from) >= MEASURED_NANOSECONDS {
            let count = u64::try_from(latencies.len())?;
            let per_second = count * 1_000_000_000 / after.since(measured_from);
            latencies.sort_unstable();
            let share = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
            return Ok(Round { p50: share(50), p99: share(99), per_second });
        }
    }
}
