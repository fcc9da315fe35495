//! What a client does with events: queue, concurrency, reactions, verdicts, caching.

use std::ops::{Index, IndexMut};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    AskedDaemon, AuthEvent, AuthEvents, Distribution, Errand, ExecProgram, Helpers, NotifyEvents, Signature,
    Span, SubjectClass,
};

/// A named set of behaviours from which a lab file starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Answers every event at once and does nothing else.
    Noop,
    /// Decides by the path, one event at a time: denies what lies in the arena's folder `denied`. Opens nothing.
    Sample,
    /// Opens and reads the target of every workload event before it answers.
    Scanner,
    /// Reopens the target of every workload event and opens more files, one event at a time.
    Pathological,
    /// Reads every target through the event's descriptor, allows other clients and its helpers at once, lets the
    /// kernel keep its answers, and answers in time.
    WellBehaved,
    /// Reopens the target of every event, whoever made it, and opens more files; every protection is off.
    WorstEnemy,
}

impl Preset {
    /// All presets, in the order of the documentation.
    pub const ALL: [Preset; 6] = [
        Preset::Noop,
        Preset::Sample,
        Preset::Scanner,
        Preset::Pathological,
        Preset::WellBehaved,
        Preset::WorstEnemy,
    ];

    /// The name in lab files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Preset::Noop => "noop",
            Preset::Sample => "sample",
            Preset::Scanner => "scanner",
            Preset::Pathological => "pathological",
            Preset::WellBehaved => "well-behaved",
            Preset::WorstEnemy => "worst-enemy",
        }
    }

    /// The behaviour that this name stands for.
    #[must_use]
    pub fn behavior(self) -> Behavior {
        match self {
            Preset::Noop => Behavior::noop(),
            Preset::Sample => Behavior {
                deny: vec![DenyRule {
                    path: Some("denied".to_owned()),
                    process: None,
                    signature: None,
                    on: AuthEvents::ALL,
                }],
                ..Behavior::noop()
            },
            Preset::WellBehaved => {
                let reaction = Reaction { read: true, via: Via::Descriptor, ..Reaction::none() };
                Behavior {
                    concurrency: Concurrency::new(8),
                    reactions: Reactions::all(reaction),
                    ignore_es_clients: true,
                    mute: Mute { helpers: true, ..Mute::default() },
                    cache: Cache::On,
                    answer_by_percent: Some(80),
                    ..Behavior::noop()
                }
            }
            Preset::WorstEnemy => Behavior { react_to: ReactTo::All, ..Preset::Pathological.behavior() },
            Preset::Scanner => Behavior {
                concurrency: Concurrency::new(8),
                reactions: Reactions::all(Reaction { reopen: true, read: true, ..Reaction::none() }),
                ..Behavior::noop()
            },
            Preset::Pathological => Behavior {
                concurrency: Concurrency::new(1),
                reactions: Reactions::all(Reaction {
                    reopen: true,
                    read: true,
                    extra_opens: 4,
                    ..Reaction::none()
                }),
                ..Behavior::noop()
            },
        }
    }
}

/// How many decisions a client works on at once: 1 to [`Concurrency::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Concurrency(u16);

impl Concurrency {
    /// The most decisions one client works on at once; each takes a thread.
    pub const MAX: u16 = 256;

    /// A concurrency, forced into 1 to [`Concurrency::MAX`].
    #[must_use]
    pub const fn new(workers: u16) -> Concurrency {
        if workers == 0 {
            Concurrency(1)
        } else if workers > Concurrency::MAX {
            Concurrency(Concurrency::MAX)
        } else {
            Concurrency(workers)
        }
    }

    /// The number of workers.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Whose events set a client's reaction off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReactTo {
    /// Only those that no client made.
    Workload,
    /// Those of the workload and of other clients.
    Peers,
    /// Those of the workload and of the client's own process.
    #[serde(rename = "self")]
    Own,
    /// All of them.
    All,
}

/// Whether the reaction comes before or after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The subject waits for the reaction.
    Before,
    /// The subject goes on; the reaction follows.
    After,
}

/// How a client gets at the content of the file that an event is about.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// Through an open of its own, about which every client is asked.
    #[default]
    Path,
    /// Through the descriptor that came with the event, about which nobody is asked. Endpoint Security
    /// hands none over.
    Descriptor,
}

/// What a client does when an event sets it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reaction {
    /// Opens the target again, by path.
    pub reopen: bool,
    /// Reads the target from start to end, and the other files that it opens.
    pub read: bool,
    /// Hashes what it reads (SHA-256); only together with `read`.
    #[serde(default)]
    pub hash: bool,
    /// How it gets at the target's content; never [`Via::Descriptor`] together with `reopen`.
    #[serde(default)]
    pub via: Via,
    /// Opens this many other files of the arena.
    pub extra_opens: u32,
    /// Runs this program of the arena, once, after the opens.
    #[serde(default)]
    pub spawn: Option<ExecProgram>,
    /// Before or after the answer.
    pub when: When,
}

impl Reaction {
    /// No reaction.
    #[must_use]
    pub const fn none() -> Reaction {
        Reaction {
            reopen: false,
            read: false,
            hash: false,
            via: Via::Path,
            extra_opens: 0,
            spawn: None,
            when: When::Before,
        }
    }

    /// True when nothing is to be done.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        !self.reopen && self.extra_opens == 0 && self.spawn.is_none() && !self.inspects()
    }

    /// True when the target is read through the event's own descriptor, which is no operation.
    #[must_use]
    pub const fn inspects(&self) -> bool {
        self.read && matches!(self.via, Via::Descriptor)
    }

    /// How many files one reaction opens.
    #[must_use]
    pub const fn opens(&self) -> u64 {
        self.reopen as u64 + self.extra_opens as u64
    }

    /// How many operations one reaction makes: opens and execs.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.opens() + self.spawn.is_some() as u64
    }
}

/// Whether a client lets the kernel keep its answers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// It is asked every time.
    #[default]
    Off,
    /// It is not asked again about a file that its rule has allowed, until the file is written to.
    On,
}

/// What a client does when it is asked, for each kind of event. Stored as `on_open`, `on_exec` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "StoredReactions", into = "StoredReactions")]
pub struct Reactions([Reaction; AuthEvent::ALL.len()]);

impl Reactions {
    /// The same to every event.
    #[must_use]
    pub const fn all(reaction: Reaction) -> Reactions {
        Reactions([reaction; AuthEvent::ALL.len()])
    }

    /// The reaction to each event.
    pub fn iter(&self) -> impl Iterator<Item = (AuthEvent, &Reaction)> {
        AuthEvent::ALL.iter().copied().zip(&self.0)
    }

    /// The reaction to each event.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (AuthEvent, &mut Reaction)> {
        AuthEvent::ALL.iter().copied().zip(&mut self.0)
    }
}

impl Index<AuthEvent> for Reactions {
    type Output = Reaction;

    fn index(&self, event: AuthEvent) -> &Reaction {
        &self.0[event as usize]
    }
}

impl IndexMut<AuthEvent> for Reactions {
    fn index_mut(&mut self, event: AuthEvent) -> &mut Reaction {
        &mut self.0[event as usize]
    }
}

/// Reactions as they are stored.
#[derive(Serialize, Deserialize)]
struct StoredReactions {
    on_open: Reaction,
    on_exec: Reaction,
}

impl From<StoredReactions> for Reactions {
    fn from(stored: StoredReactions) -> Reactions {
        let mut reactions = Reactions::all(Reaction::none());
        reactions[AuthEvent::Open] = stored.on_open;
        reactions[AuthEvent::Exec] = stored.on_exec;
        reactions
    }
}

impl From<Reactions> for StoredReactions {
    fn from(reactions: Reactions) -> StoredReactions {
        StoredReactions { on_open: reactions[AuthEvent::Open], on_exec: reactions[AuthEvent::Exec] }
    }
}

/// What a client denies: an event that fits everything the rule names. In a lab file it names something; a rule that
/// names nothing, as a planned fault makes it, fits every event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyRule {
    /// A file, or a folder with all below it, relative to the arena.
    pub path: Option<String>,
    /// A client by its ID, or [`Mute::WORKLOAD`].
    pub process: Option<String>,
    /// Who signed the program that an exec runs.
    pub signature: Option<Signature>,
    /// Which events; with a signature, execs only.
    pub on: AuthEvents,
}

/// What a client does not want to decide about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// What its own helpers do.
    pub helpers: bool,
    /// What happens to these files and folders, relative to the arena; a folder stands for all below it. The
    /// kernel hides these events, so the client's trace has none of them.
    pub paths: Vec<String>,
    /// What these do: clients by their ID, or [`Mute::WORKLOAD`].
    pub processes: Vec<String>,
}

impl Mute {
    /// The name of all that is no process of a client.
    pub const WORKLOAD: &'static str = "workload";

    /// True when nothing is muted.
    #[must_use]
    pub fn is_none(&self) -> bool {
        !self.helpers && self.paths.is_empty() && self.processes.is_empty()
    }
}

/// How one client behaves: its policy and its planned misbehaviour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behavior {
    /// Which events it is asked about.
    #[serde(default)]
    pub subscribe: AuthEvents,
    /// Which events it is told of after they have happened; nobody waits for it.
    #[serde(default)]
    pub notify: NotifyEvents,
    /// The reaction to a NOTIFY event. NOTIFY arrives after the operation, so [`Reaction::when`] means nothing.
    #[serde(default = "Reaction::none")]
    pub on_notify: Reaction,
    /// Decisions worked on at once; 1 is one event at a time.
    pub concurrency: Concurrency,
    /// The reactions to AUTH events.
    #[serde(flatten)]
    pub reactions: Reactions,
    /// Which processes' events this client reacts to.
    pub react_to: ReactTo,
    /// Allows at once what another client does.
    #[serde(default)]
    pub ignore_es_clients: bool,
    /// What it does not want to decide about.
    #[serde(default)]
    pub mute: Mute,
    /// Whether the kernel keeps its answers.
    #[serde(default)]
    pub cache: Cache,
    /// The share of the deadline, in percent (1 to 99), after which the client answers without having
    /// finished; `None` lets the deadline hit.
    pub answer_by_percent: Option<u8>,
    /// Works this long on every event that sets it off, before its reaction.
    pub delay: Distribution<Span>,
    /// Keeps a processor busy this long on every such event, after the delay.
    pub cpu: Distribution<Span>,
    /// What it denies; never anything of its own process.
    #[serde(default)]
    pub deny: Vec<DenyRule>,
    /// The helper processes that it asks about every event that sets it off, after its own operations.
    #[serde(default)]
    pub helpers: Option<Helpers>,
    /// The daemons that it asks about every such event, after its helpers: at most
    /// [`AskedDaemon::COUNT_MAX`], each once.
    #[serde(default)]
    pub daemons: Vec<AskedDaemon>,
}

impl Behavior {
    /// Answers every event at once.
    #[must_use]
    pub const fn noop() -> Behavior {
        Behavior {
            mute: Mute { helpers: false, paths: Vec::new(), processes: Vec::new() },
            cache: Cache::Off,
            subscribe: AuthEvents::ALL,
            notify: NotifyEvents::NONE,
            on_notify: Reaction::none(),
            deny: Vec::new(),
            helpers: None,
            daemons: Vec::new(),
            concurrency: Concurrency::new(1),
            reactions: Reactions::all(Reaction::none()),
            react_to: ReactTo::Workload,
            ignore_es_clients: false,
            answer_by_percent: None,
            delay: Distribution::Fixed(Span::from_nanos(0)),
            cpu: Distribution::Fixed(Span::from_nanos(0)),
        }
    }

    /// The same, with this reaction to one kind of event.
    #[must_use]
    pub fn reacting(mut self, event: AuthEvent, reaction: Reaction) -> Behavior {
        self.reactions[event] = reaction;
        self
    }

    /// Is asked and told the same, answers at once and does nothing else.
    #[must_use]
    pub fn without_reactions(&self) -> Behavior {
        Behavior { subscribe: self.subscribe, notify: self.notify, ..Behavior::noop() }
    }

    /// The reactions to all that it is asked about and told of.
    pub fn all_reactions(&self) -> impl Iterator<Item = &Reaction> {
        self.reactions.iter().map(|(_, reaction)| reaction).chain([&self.on_notify])
    }

    /// The same, to change them.
    pub fn all_reactions_mut(&mut self) -> impl Iterator<Item = &mut Reaction> {
        self.reactions.iter_mut().map(|(_, reaction)| reaction).chain([&mut self.on_notify])
    }

    /// True when it runs programs of its own.
    #[must_use]
    pub fn spawns(&self) -> bool {
        self.all_reactions().any(|reaction| reaction.spawn.is_some())
    }

    /// Whether an event of such a subject sets the reaction off.
    #[must_use]
    pub const fn reacts_to(&self, class: SubjectClass) -> bool {
        match class {
            SubjectClass::Workload => true,
            SubjectClass::Peer => {
                !self.ignore_es_clients && matches!(self.react_to, ReactTo::Peers | ReactTo::All)
            }
            SubjectClass::Own | SubjectClass::OwnHelper => {
                matches!(self.react_to, ReactTo::Own | ReactTo::All)
            }
        }
    }
}

impl Errand {
    /// True when nothing is to be done.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.reaction().is_none() && self.delay.is_zero() && self.cpu.is_zero()
    }

    /// The operations of an errand, as a reaction.
    #[must_use]
    pub const fn reaction(&self) -> Reaction {
        Reaction {
            reopen: self.open,
            read: self.read,
            hash: self.hash,
            extra_opens: self.extra_opens,
            spawn: self.spawn,
            ..Reaction::none()
        }
    }
}
