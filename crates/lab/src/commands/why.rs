//! `lab why`: who waits for whom on this machine now.

use std::time::Duration;

use lab_model::Visible;
use lab_orchestrator::{Failure, FailureKind};
use lab_report::text::paragraph;
use lab_waits::{ProcessName, Snapshot, WaitReport, Waiting};

use super::ExitError;
use crate::{arguments::Why, labs::Places, output, terminal};

/// The largest snapshot that is read, in bytes: a machine with some ten thousand threads.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
/// Nothing shorter can be told from two looks.
const LASTING_MS_MIN: u64 = 20;
/// The most threads outside of circles that are shown; further ones are only counted.
const LINES_MAX: usize = 40;

/// Nobody waits long.
const NOBODY: u8 = 0;
/// Somebody waits long.
const SOMEBODY: u8 = 1;
/// Some are in a circle.
const CIRCLE: u8 = 2;

pub(super) fn why(places: Option<&Places>, arguments: &Why) -> Result<u8, ExitError> {
    let lasting_ms = u64::try_from(arguments.longer_than.duration().as_millis()).unwrap_or(u64::MAX);
    if lasting_ms < LASTING_MS_MIN {
        let message = format!("--longer-than {} is too short", arguments.longer_than);
        return Err(ExitError::usage(message, format!("name at least {LASTING_MS_MIN}ms")));
    }
    let snapshot = match &arguments.from {
        Some(path) => {
            let text =
                lab_files::read(path, SNAPSHOT_BYTES_MAX).map_err(|error| Failure::unread(path, &error))?;
            Snapshot::parse(&text).map_err(|error| ExitError {
                code: FailureKind::Data.exit_code(),
                message: format!("{}: {error}", path.display()),
                mend: Some("name a file that `lab why --save` has written".to_owned()),
            })?
        }
        None => watch(lasting_ms)?,
    };
    if let (Some(path), Some(places)) = (&arguments.save, places) {
        let text = serde_json::to_string(&snapshot).unwrap_or_default();
        output::replace(places, path, &text)
            .map_err(|error| ExitError::output(&format!("cannot write {}", path.display()), &error))?;
    }
    let seen = WaitReport::of(&snapshot, lasting_ms.min(snapshot.watched_ms), &arguments.pids);
    let unknown = arguments.pids.iter().find(|pid| snapshot.process(**pid).is_none());
    if let Some(pid) = unknown {
        let mend = "see `ps -e` for the processes of this machine; a process in another PID namespace has another number here";
        return Err(ExitError::usage(format!("there is no process {pid}"), mend));
    }
    if arguments.json {
        let whole = serde_json::json!({
            "schema": 1,
            "watched_ms": snapshot.watched_ms,
            "took_us": snapshot.took_us,
            "processes": snapshot.processes.len(),
            "threads": threads(&snapshot),
            "waits": seen.waits,
            "circles": seen.circles,
            "unreadable": seen.unreadable,
        });
        terminal::print_json(&whole)?;
    } else {
        terminal::say(&text(&snapshot, &seen))?;
    }
    Ok(match () {
        () if seen.circles.iter().any(|circle| circle.sure) => CIRCLE,
        () if !seen.is_empty() => SOMEBODY,
        () => NOBODY,
    })
}

/// Looks at this machine twice, so far apart as a wait must last.
fn watch(lasting_ms: u64) -> Result<Snapshot, Failure> {
    let look = || {
        lab_observer::look().map_err(|error| {
            Failure::new(
                FailureKind::BackendMissing,
                format!("this machine does not show what its threads wait in: {error}"),
            )
            .mend("run it on Linux, with /proc mounted; elsewhere `--from FILE` reads what was saved there")
        })
    };
    let first = look()?;
    std::thread::sleep(Duration::from_millis(lasting_ms));
    let mut second = look()?;
    // At least so long lies between the two looks at each thread.
    second.follow(&first, lasting_ms);
    Ok(second)
}

fn threads(snapshot: &Snapshot) -> usize {
    snapshot.processes.iter().map(|process| process.threads.len()).sum()
}

fn text(snapshot: &Snapshot, seen: &WaitReport) -> String {
    let style = terminal::style();
    let mut text = String::new();
    for circle in &seen.circles {
        let word = if circle.sure { "circle" } else { "perhaps a circle" };
        let lead = format!("{word}, for at least {}", seconds(circle.lasted_ms));
        text.push_str(&format!("{lead}\n"));
        for link in &circle.links {
            text.push_str(&paragraph("  ", &line(link), &style));
        }
        if let Some(end) = &circle.end {
            let advice = if circle.sure {
                format!("nobody in it can go on by itself; end {} and the others go on", named(end))
            } else {
                "a thread of it that sleeps may be deciding, slowly; watch for longer (--longer-than)"
                    .to_owned()
            };
            text.push_str(&paragraph("  ", &advice, &style));
        }
        text.push('\n');
    }
    let in_circle = |wait: &Waiting| {
        let links = seen.circles.iter().flat_map(|circle| &circle.links);
        links.clone().any(|link| link.process.pid == wait.process.pid && link.tid == wait.tid)
    };
    let others: Vec<&Waiting> = seen.waits.iter().filter(|wait| !in_circle(wait)).collect();
    for wait in others.iter().take(LINES_MAX) {
        let stuck = if wait.stuck { "; it cannot go on before somebody else does something" } else { "" };
        let words = format!("{} - for at least {}{stuck}", line(wait), seconds(wait.since_ms));
        text.push_str(&paragraph("", &words, &style));
    }
    if others.len() > LINES_MAX {
        text.push_str(&format!("and {} more threads\n", others.len() - LINES_MAX));
    }
    for what in &seen.unreadable {
        text.push_str(&paragraph("", &format!("not seen: {what}"), &style));
    }
    let looked = format!(
        "{} threads of {} processes, watched for {}",
        threads(snapshot),
        snapshot.processes.len(),
        seconds(snapshot.watched_ms)
    );
    let circles = seen.circles.iter().filter(|circle| circle.sure).count();
    let verdict = match (circles, seen.waits.len()) {
        (0, 0) => format!("nobody has waited for somebody else all that time ({looked})"),
        (0, _) => format!("no circle ({looked})"),
        (1, _) => format!("1 circle ({looked})"),
        (circles, _) => format!("{circles} circles ({looked})"),
    };
    text.push_str(&paragraph("", &verdict, &style));
    text
}

fn line(wait: &Waiting) -> String {
    format!("{}, thread {}, {}", named(&wait.process), wait.tid, wait.words)
}

fn named(process: &ProcessName) -> String {
    format!("{} ({})", Visible::new(&process.name), process.pid)
}

fn seconds(milliseconds: u64) -> String {
    lab_model::units::time(milliseconds.saturating_mul(1_000_000))
}
