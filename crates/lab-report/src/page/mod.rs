//! What a report says, apart from how it looks: verdict, findings and sections of sentences, tables and pictures.
//!
//! Both the text and the HTML report walk these values, so that they cannot come to differ. No markup in here,
//! and nothing is escaped: that is for whoever renders.

mod approvals;
pub(crate) mod bounds;
mod calls;
mod client;
mod eslogger;
mod notify;
mod run;
mod spent;
mod tables;

pub(crate) use client::client;
pub(crate) use run::{run, screen};
pub(crate) use spent::spent_parts;
pub(crate) use tables::{Cell, Column, Table};

use crate::visible::visible;

/// A whole report.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// What it is about: the lab or the client.
    pub(crate) title: String,
    /// What it is: `Run report`, `Client report`.
    pub(crate) kind: &'static str,
    /// The place of the client it is about, in a client report.
    pub(crate) client: Option<usize>,
    /// Where it comes from: names and values.
    pub(crate) origin: Vec<(&'static str, String)>,
    /// The block that comes first.
    pub(crate) verdict: Verdict,
    /// What the run comes to, a line each: first on a page, last on a terminal. Empty of what is no run.
    pub(crate) answers: Vec<Answer>,
    /// At most three sentences.
    pub(crate) findings: Vec<Remark>,
    /// The rest, in the order of an engineer's questions.
    pub(crate) sections: Vec<Section>,
}

/// How good something is. Never shown by colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Neither.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken.
    Bad,
    /// Not known.
    Unknown,
}

impl Mood {
    /// The sign that carries the mood without colour.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Mood::Plain => "·",
            Mood::Good => "✓",
            Mood::Warn => "!",
            Mood::Bad => "✗",
            Mood::Unknown => "?",
        }
    }

    /// The word that carries the mood for a reader who sees no signs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Mood::Plain => "plain",
            Mood::Good => "good",
            Mood::Warn => "warn",
            Mood::Bad => "bad",
            Mood::Unknown => "unknown",
        }
    }
}

/// The block that comes first.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The worst of what follows.
    pub(crate) mood: Mood,
    /// One line.
    pub(crate) headline: String,
    /// Conditions and what became of them.
    pub(crate) checks: Vec<Check>,
    /// A few words with a value: outcome, lost, replay.
    pub(crate) facts: Vec<Fact>,
}

/// A condition and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    /// Held, failed or unknown.
    pub(crate) mood: Mood,
    /// The condition.
    pub(crate) text: String,
    /// The value that was seen.
    pub(crate) observed: String,
}

/// A word with its value.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    /// What it is.
    pub(crate) label: &'static str,
    /// How good it is.
    pub(crate) mood: Mood,
    /// The value in few words; may be empty.
    pub(crate) value: String,
    /// What explains it.
    pub(crate) rest: String,
    /// Whether it is something to type.
    pub(crate) code: bool,
}

/// The answer to one question about the whole run, for one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// The question, in a word.
    pub(crate) label: &'static str,
    /// How good it is.
    pub(crate) mood: Mood,
    /// The answer.
    pub(crate) value: String,
    /// What can be added where there is room, the weightiest first.
    pub(crate) details: Vec<String>,
    /// Whether it is something to type.
    pub(crate) code: bool,
    /// Whether what stands behind its colon may be left out where room is scarce: it is said elsewhere.
    pub(crate) brief: bool,
}

impl Answer {
    /// An answer without words yet.
    pub(crate) fn new(label: &'static str) -> Answer {
        Answer { label, ..Answer::default() }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub(crate) struct Remark {
    /// How bad it is.
    pub(crate) mood: Mood,
    /// The sentence.
    pub(crate) text: String,
    /// What would mend it.
    pub(crate) advice: Option<String>,
    /// The ID of the section that shows it.
    pub(crate) section: Option<&'static str>,
}

/// One section.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its anchor.
    pub(crate) id: &'static str,
    /// Its heading.
    pub(crate) title: &'static str,
    /// Sentences that say what is to be seen.
    pub(crate) lead: Vec<String>,
    /// What shows it.
    pub(crate) blocks: Vec<Block>,
}

/// A part of a section.
#[derive(Clone, Debug)]
pub(crate) enum Block {
    /// A table.
    Table(Table),
    /// A drawing with its ID and caption; the text report has lines instead.
    Picture(Picture),
    /// An indented tree.
    Tree(Tree),
    /// Sentences, one a line.
    List(Vec<String>),
    /// Lines of a file, as they are.
    Code(Code),
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// Where it belongs.
    pub(crate) caption: String,
    /// Its lines.
    pub(crate) lines: Vec<String>,
}

/// A drawing.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// Which.
    pub(crate) drawing: Drawing,
    /// What to see in it, in one sentence.
    pub(crate) caption: String,
    /// Whether it takes the width of the page.
    pub(crate) wide: bool,
}

/// The drawings that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawing {
    /// The cause matrix.
    CauseMatrix,
    /// Clients and workload with gain and drive between them.
    GainGraph,
    /// Cause chains.
    Flame,
    /// How often each cascade size occurred.
    CascadeSize,
    /// How often each cascade depth occurred.
    CascadeDepth,
    /// Decisions a second by cause.
    Rate,
    /// Pending decisions by client.
    Queue,
    /// Lowest headroom by client.
    Headroom,
    /// Latency of root operations by phase.
    PhaseSpectrum,
    /// Latency of decisions by client.
    ClientsSpectrum,
    /// In which order the clients are asked.
    Waterfall,
    /// The slowest operations and where their time went.
    SlowOperations,
    /// A circle of waiting clients, by number.
    WaitCycle(usize),
    /// The latency of each step of a rate that was raised, and what failed.
    Knee,
    /// Median operation against baseline and control.
    Cost,
    /// One client's latency, with its control.
    ClientSpectrum,
    /// Where one client's time went.
    TimeSpent,
    /// One client's pending decisions.
    ClientQueue,
    /// One client's lowest headroom.
    ClientHeadroom,
}

/// An indented tree.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// What it shows.
    pub(crate) caption: String,
    /// Its lines: level, text, what stands at the right.
    pub(crate) lines: Vec<(u32, String, String)>,
    /// What was left out.
    pub(crate) note: Option<String>,
}

/// A picture with its caption, as a block.
fn picture(drawing: Drawing, caption: &str, wide: bool) -> Block {
    Block::Picture(Picture { drawing, caption: caption.to_owned(), wide })
}

/// A path or name as it can be shown, or what stands for *not known*.
pub(crate) fn shown_path(path: Option<&str>) -> String {
    path.map_or_else(|| "(path unknown)".to_owned(), visible)
}

/// Items joined as a sentence lists them: `a, b and c`.
pub(crate) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
