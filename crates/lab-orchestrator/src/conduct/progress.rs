//! What a person sees while a lab runs: a line that moves on a terminal, a line a phase elsewhere.

use std::{io::Write, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::warden::Glance;

/// The progress line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    began: Glance,
}

impl Progress {
    pub(super) fn new(terminal: bool) -> Progress {
        let bar = terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:10} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress { bar, title: String::new(), began: Glance::default() }
    }

    /// A new part of the run begins.
    pub(super) fn begin(&mut self, title: &str, detail: &str, glance: Glance) {
        title.clone_into(&mut self.title);
        self.began = glance;
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(title.to_owned());
                bar.set_message(detail.to_owned());
                bar.tick();
            }
            None => say(&format!("{title:10} {detail}")),
        }
    }

    /// Shows how it goes.
    pub(super) fn show(&self, elapsed: Duration, of: Duration, glance: Glance) {
        let Some(bar) = &self.bar else { return };
        let operations = glance.operations.saturating_sub(self.began.operations);
        let events = glance.events.saturating_sub(self.began.events);
        bar.set_message(format!(
            "{:.1} of {:.1} s · {operations} operations · {events} decisions · {} pending",
            elapsed.as_secs_f64(),
            of.as_secs_f64(),
            glance.pending
        ));
        bar.tick();
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
