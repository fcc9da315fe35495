//! Which kernels ask clients, and where a lab runs: on such a kernel, or by its rules in virtual time.
//!
//! This is the only place that knows how either is written, in lab files, on the command line, in traces and in
//! reports. All else compares values.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::NotifyEvents;

/// What the name of the kernel begins with in the traces of a simulated run; whose rules it followed comes after it.
const SIMULATED: &str = "simulated ";

/// A kernel that asks clients before it lets an operation happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Kernel {
    /// Linux fanotify permission events.
    Fanotify,
    /// macOS Endpoint Security.
    EndpointSecurity,
}

impl Kernel {
    /// All of them.
    pub const ALL: &'static [Kernel] = Kernel::VARIANTS;

    /// The name in lab files, on the command line and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kernel::Fanotify => "fanotify",
            Kernel::EndpointSecurity => "endpoint-security",
        }
    }

    /// The system that has it.
    #[must_use]
    pub const fn system(self) -> &'static str {
        match self {
            Kernel::Fanotify => "Linux",
            Kernel::EndpointSecurity => "macOS",
        }
    }

    /// What it is, as a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Kernel::Fanotify => "Linux fanotify permission events.",
            Kernel::EndpointSecurity => "macOS Endpoint Security.",
        }
    }
}

/// What a kernel does, one property a method: whoever needs one asks for it and names no kernel.
impl Kernel {
    /// The kernel whose rules the simulator follows when nobody says which.
    pub const DEFAULT_RULES: Kernel = Kernel::Fanotify;

    /// True when it asks one client after another, in a fixed order, and a denial ends the pass; false when it asks all
    /// at once and waits for all.
    #[must_use]
    pub const fn asks_in_turn(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when it asks a client about what the client's own process does, too.
    #[must_use]
    pub const fn asks_about_own_events(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when each event has a deadline that the kernel itself enforces (`es_message_t.deadline`); false when the lab
    /// has to.
    #[must_use]
    pub const fn enforces_deadlines(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when one read returns several events, as many as fit.
    #[must_use]
    pub const fn delivers_in_batches(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when an event comes with an open descriptor of its file, which takes one of the client's.
    #[must_use]
    pub const fn hands_descriptors_over(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when an answer wakes all threads that wait for one, of which all but one sleep again (fanotify has one wait
    /// queue for a group).
    #[must_use]
    pub const fn wakes_all_waiting(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when it merges NOTIFY events of one thread on one file that lie unread.
    #[must_use]
    pub const fn merges_notices(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when it tells of processes: that they were forked, and that they ended.
    #[must_use]
    pub const fn tells_of_processes(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when an event says which process acts, who signed its program, when it was made and which number it has;
    /// false when it names a thread only.
    #[must_use]
    pub const fn names_programs(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when a new client empties the cache of all (`es_new_client`).
    #[must_use]
    pub const fn forgets_answers_for_new_clients(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when it keeps an answer about a file that somebody has open for writing.
    #[must_use]
    pub const fn keeps_answers_about_files_in_writing(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when a close says whether the file was written to (`es_event_close_t.modified`).
    #[must_use]
    pub const fn says_whether_written(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// True when a lab on it is confined by namespaces of its own and a mounted arena; false when the arena is a folder.
    #[must_use]
    pub const fn confines_by_namespaces(self) -> bool {
        match self {
            Kernel::Fanotify => true,
            Kernel::EndpointSecurity => false,
        }
    }

    /// True when its clients have to be signed, and are installed where the system starts them.
    #[must_use]
    pub const fn installs_clients(self) -> bool {
        match self {
            Kernel::Fanotify => false,
            Kernel::EndpointSecurity => true,
        }
    }

    /// The queues besides that for AUTH events that a client has for these NOTIFY events.
    #[must_use]
    pub fn notice_queues(self, events: NotifyEvents) -> usize {
        match self {
            Kernel::Fanotify => events.groups(),
            Kernel::EndpointSecurity => usize::from(!events.is_empty()),
        }
    }

    /// What a client takes another of for NOTIFY events, in words.
    #[must_use]
    pub const fn notice_queue(self) -> &'static str {
        match self {
            Kernel::Fanotify => "group, and one more for names that come and go",
            Kernel::EndpointSecurity => "connection, and so another client slot",
        }
    }

    /// Which system has it, as a sentence without its end.
    #[must_use]
    pub const fn whose(self) -> &'static str {
        match self {
            Kernel::Fanotify => "fanotify is Linux's",
            Kernel::EndpointSecurity => "Endpoint Security is macOS's",
        }
    }
}

impl FromStr for Kernel {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<Kernel, UnknownBackend> {
        let found = Kernel::ALL.iter().copied().find(|kernel| kernel.name() == text);
        found.ok_or_else(|| UnknownBackend(text.to_owned()))
    }
}

/// Whether a lab runs on a kernel or in virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Execution {
    /// Processes of this machine, asked by its kernel.
    Live,
    /// The simulator, by the rules of a kernel.
    Simulated,
}

/// Where a lab runs: whose rules decide who is asked, and whether it is that kernel which asks.
///
/// It is written as results of a sweep have it: `fanotify`, or `sim, fanotify rules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Backend {
    /// Whose rules.
    pub kernel: Kernel,
    /// On that kernel, or simulated.
    pub execution: Execution,
}

impl Backend {
    /// The kernel itself.
    #[must_use]
    pub const fn live(kernel: Kernel) -> Backend {
        Backend { kernel, execution: Execution::Live }
    }

    /// The simulator with the rules of a kernel.
    #[must_use]
    pub const fn simulated(kernel: Kernel) -> Backend {
        Backend { kernel, execution: Execution::Simulated }
    }

    /// What a lab file says of it. That has no word for whose rules the simulator follows.
    #[must_use]
    pub const fn choice(self) -> BackendChoice {
        match self.execution {
            Execution::Live => BackendChoice::Live(self.kernel),
            Execution::Simulated => BackendChoice::Simulated,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernel = self.kernel.name();
        match self.execution {
            Execution::Live => write!(formatter, "{kernel}"),
            Execution::Simulated => write!(formatter, "{SIMULATOR}, {kernel} rules"),
        }
    }
}

impl From<Backend> for String {
    fn from(backend: Backend) -> String {
        backend.to_string()
    }
}

impl TryFrom<String> for Backend {
    type Error = UnknownBackend;

    fn try_from(text: String) -> Result<Backend, UnknownBackend> {
        let live = Kernel::ALL.iter().map(|kernel| Backend::live(*kernel));
        let simulated = Kernel::ALL.iter().map(|kernel| Backend::simulated(*kernel));
        let found = live.chain(simulated).find(|backend| backend.to_string() == text);
        found.ok_or(UnknownBackend(text))
    }
}

/// What the traces of a simulated run name as their kernel.
#[must_use]
pub fn simulated_kernel_name(rules: Kernel) -> String {
    format!("{SIMULATED}{}", rules.name())
}

/// Whose rules a simulated run followed, from what its traces name as their kernel; `None` for a live run, and for
/// rules that this version does not know.
#[must_use]
pub fn simulated_rules(kernel_name: &str) -> Option<Kernel> {
    kernel_name.strip_prefix(SIMULATED)?.parse().ok()
}

/// The word for the simulator in lab files, on the command line and in reports.
const SIMULATOR: &str = "sim";

/// The kernel a lab runs on, as the lab file or the command line asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum BackendChoice {
    /// The first that works here.
    Auto,
    /// This kernel, live.
    Live(Kernel),
    /// The simulator.
    Simulated,
}

impl BackendChoice {
    /// All choices, in the order in which the schema of lab files lists them.
    pub const ALL: [BackendChoice; Kernel::ALL.len() + 2] = [
        BackendChoice::Auto,
        BackendChoice::Live(Kernel::EndpointSecurity),
        BackendChoice::Live(Kernel::Fanotify),
        BackendChoice::Simulated,
    ];

    /// The word in lab files, on the command line and, once it is decided, in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BackendChoice::Auto => "auto",
            BackendChoice::Live(kernel) => kernel.name(),
            BackendChoice::Simulated => SIMULATOR,
        }
    }

    /// What it is, as a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            BackendChoice::Auto => "The first that works here.",
            BackendChoice::Live(kernel) => kernel.about(),
            BackendChoice::Simulated => "The simulator.",
        }
    }

    /// Whose rules a run followed whose lab says this and whose traces name these kernels. `None` where neither says it.
    #[must_use]
    pub fn rules_of_run<'a>(self, kernel_names: impl IntoIterator<Item = &'a str>) -> Option<Kernel> {
        kernel_names.into_iter().find_map(simulated_rules).or(match self {
            BackendChoice::Live(kernel) => Some(kernel),
            BackendChoice::Auto | BackendChoice::Simulated => None,
        })
    }
}

impl From<BackendChoice> for &'static str {
    fn from(choice: BackendChoice) -> &'static str {
        choice.name()
    }
}

impl FromStr for BackendChoice {
    type Err = UnknownBackend;

    fn from_str(text: &str) -> Result<BackendChoice, UnknownBackend> {
        let found = BackendChoice::ALL.into_iter().find(|choice| choice.name() == text);
        found.ok_or_else(|| UnknownBackend(text.to_owned()))
    }
}

impl TryFrom<String> for BackendChoice {
    type Error = UnknownBackend;

    fn try_from(text: String) -> Result<BackendChoice, UnknownBackend> {
        text.parse()
    }
}

impl JsonSchema for BackendChoice {
    fn schema_name() -> Cow<'static, str> {
        "BackendChoice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        const ABOUT: &str = "The kernel a lab runs on, as the lab file or the command line asks for it.";
        let words = BackendChoice::ALL.map(|choice| {
            json_schema!({ "type": "string", "const": choice.name(), "description": choice.about() })
        });
        json_schema!({ "description": ABOUT, "oneOf": words })
    }
}

/// A text that names no backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` names no backend", crate::Visible::new(.0))]
pub struct UnknownBackend(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_choice_is_listed_and_its_word_reads_back() {
        for kernel in Kernel::ALL {
            assert!(BackendChoice::ALL.contains(&BackendChoice::Live(*kernel)), "{kernel:?}");
            assert_eq!(kernel.name().parse(), Ok(*kernel));
            let json = serde_json::to_string(kernel).unwrap();
            assert_eq!(json, format!("\"{}\"", kernel.name()));
        }
        for choice in BackendChoice::ALL {
            assert_eq!(choice.name().parse(), Ok(choice));
            let json = serde_json::to_string(&choice).unwrap();
            assert_eq!(json, format!("\"{}\"", choice.name()));
            assert_eq!(serde_json::from_str::<BackendChoice>(&json).unwrap(), choice);
        }
        assert!("Fanotify".parse::<BackendChoice>().is_err());
    }

    #[test]
    fn a_backend_is_written_as_sweeps_have_always_written_it() {
        let check = |backend: Backend, expected: &str| {
            let json = serde_json::to_string(&backend).unwrap();
            assert_eq!(json, format!("\"{expected}\""));
            assert_eq!(serde_json::from_str::<Backend>(&json).unwrap(), backend);
        };
        check(Backend::live(Kernel::Fanotify), "fanotify");
        check(Backend::live(Kernel::EndpointSecurity), "endpoint-security");
        check(Backend::simulated(Kernel::Fanotify), "sim, fanotify rules");
        check(Backend::simulated(Kernel::EndpointSecurity), "sim, endpoint-security rules");
        for other in ["", "sim", "auto", "sim, windows rules", "fanotify rules"] {
            assert_eq!(Backend::try_from(other.to_owned()), Err(UnknownBackend(other.to_owned())));
        }
    }

    #[test]
    fn the_traces_say_whose_rules_a_run_followed_and_else_the_lab_does() {
        use BackendChoice::{Auto, Live, Simulated};
        let check = |choice: BackendChoice, names: &[&str], expected| {
            assert_eq!(choice.rules_of_run(names.iter().copied()), expected, "{choice:?} {names:?}");
        };
        for kernel in Kernel::ALL {
            let name = simulated_kernel_name(*kernel);
            assert_eq!(simulated_rules(&name), Some(*kernel));
            for choice in BackendChoice::ALL {
                check(choice, &["Linux 6.1", &name], Some(*kernel));
            }
            check(Live(*kernel), &["Linux 6.1"], Some(*kernel));
            check(Live(*kernel), &["simulated plan9"], Some(*kernel));
        }
        assert_eq!(simulated_kernel_name(Kernel::EndpointSecurity), "simulated endpoint-security");
        check(Simulated, &["Linux 6.1"], None);
        check(Simulated, &[], None);
        check(Auto, &["Darwin 24.0"], None);
    }
}
