//! What a person sees while a lab runs: a line that moves on a terminal, a line a phase elsewhere.

use std::{collections::BTreeSet, io::Write, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lab_analysis::live::Standstill;

use super::warden::ProgressSnapshot;

/// The progress line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    began: ProgressSnapshot,
    /// What was said of the phase where there is no line that moves: each client's slowness once, a deadlock again
    /// when it has come again.
    said: BTreeSet<String>,
    said_deadlock: Option<String>,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Progress {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:10} {wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        let (said, said_deadlock) = (BTreeSet::new(), None);
        Progress { bar, title: String::new(), began: ProgressSnapshot::default(), said, said_deadlock }
    }

    /// A new part of the run begins.
    pub(super) fn begin(&mut self, title: &str, detail: &str, snapshot: ProgressSnapshot) {
        title.clone_into(&mut self.title);
        self.began = snapshot;
        self.said.clear();
        self.said_deadlock = None;
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(title.to_owned());
                bar.set_message(detail.to_owned());
                bar.tick();
            }
            None => say(&format!("{title:10} {detail}")),
        }
    }

    /// Shows how it goes, and what stands still in place of what does not move.
    pub(super) fn show(
        &self,
        elapsed: Duration,
        of: Duration,
        snapshot: ProgressSnapshot,
        standstill: Option<&Standstill>,
    ) {
        let Some(bar) = &self.bar else { return };
        let course = format!("{:.1} of {:.1} s", elapsed.as_secs_f64(), of.as_secs_f64());
        let pending = snapshot.pending;
        bar.set_message(match standstill {
            Some(standstill) => format!("{course} · {pending} pending · {}", standstill.short()),
            None => {
                let operations = snapshot.operations.saturating_sub(self.began.operations);
                let events = snapshot.events.saturating_sub(self.began.events);
                format!("{course} · {operations} operations · {events} decisions · {pending} pending")
            }
        });
        bar.tick();
    }

    /// Says what stands still, once each time it comes, where no line moves that shows it.
    pub(super) fn stands(&mut self, standstill: Option<&Standstill>) {
        if self.bar.is_some() {
            return;
        }
        let key = standstill.map(Standstill::key);
        let deadlock = key
            .clone()
            .filter(|_| matches!(standstill, Some(Standstill::Deadlock { .. } | Standstill::Circle { .. })));
        let is_new = match (&deadlock, key) {
            (Some(_), _) => deadlock != self.said_deadlock,
            (None, Some(key)) => self.said.insert(key),
            (None, None) => false,
        };
        self.said_deadlock = deadlock;
        if let Some(standstill) = standstill.filter(|_| is_new) {
            say(&format!("{:10} {standstill}", self.title));
        }
    }

    /// Says something that stays.
    pub(super) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Writes a line to standard error. Nobody may be reading it any more, and the lab goes on all the same.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
