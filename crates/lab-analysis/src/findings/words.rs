//! The words of a report that stand for one of a few things.

use lab_model::OperationKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An enum whose variants are words in `report.json`, the only place where the words are written.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum $name {
            $($(#[$one])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The word in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(super) use words;

/// An enum whose variants are words that other versions may have more of: what a [`super::Word`] holds.
macro_rules! vocabulary {
    ($about:literal $name:ident { $($(#[$one:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        #[doc = $about]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$one])* $variant),+
        }

        impl $crate::findings::Vocabulary for $name {
            const NAME: &'static str = stringify!($name);
            const ABOUT: &'static str = $about;

            fn all() -> Vec<$name> {
                vec![$($name::$variant),+]
            }

            fn word(&self) -> ::std::borrow::Cow<'static, str> {
                match self {
                    $($name::$variant => $word.into()),+
                }
            }
        }
    };
}

pub(super) use vocabulary;

vocabulary! {
    "What a line of a ranking stands for."
    BlameKind {
        /// The client itself.
        Own = "own",
        /// The driver.
        Workload = "workload",
        /// Another client.
        Client = "client",
        /// The helpers of a client.
        Helper = "helper",
        /// A daemon that clients ask.
        Daemon = "daemon",
        /// Somebody outside the lab, or a product beside its clients.
        External = "external",
        /// Nobody knows whose operations they were.
        Unexplained = "unexplained",
        /// A file.
        File = "file",
        /// The extension of a file's name.
        Extension = "extension",
        /// Of an import: a program with the entitlement of an Endpoint Security client.
        EsClient = "ES client",
        /// Of an import: a program of the system's own.
        PlatformBinary = "platform binary",
        /// Of an import: any other program.
        Program = "program",
    }
}

impl From<ColumnKind> for BlameKind {
    fn from(kind: ColumnKind) -> BlameKind {
        match kind {
            ColumnKind::Client => BlameKind::Client,
            ColumnKind::Daemon => BlameKind::Daemon,
            ColumnKind::External => BlameKind::External,
            ColumnKind::Helper => BlameKind::Helper,
            ColumnKind::Unexplained => BlameKind::Unexplained,
            ColumnKind::Workload => BlameKind::Workload,
        }
    }
}

vocabulary! {
    "A change of a client that would have spared it decisions."
    Mitigation {
        /// It has the kernel keep what it allowed.
        CacheAllows = "cache allows",
        /// It mutes its own process.
        MuteOwnProcess = "mute own process",
        /// It allows at once what other clients do.
        AllowOtherClients = "allow other clients' events",
    }
}

vocabulary! {
    "What kind of group of fanotify a product has: groups of a later class are asked first."
    GroupClass {
        /// It is told only.
        Notify = "notify",
        /// It is asked when the file's content is there.
        Content = "content",
        /// It is asked before the file's content has to be there.
        PreContent = "pre-content",
        /// Both bits of the flags are set, which no kernel takes.
        Unknown = "unknown",
    }
}

vocabulary! {
    "What a node of a cascade is: an operation by its kind, or what a client made of it."
    CascadeNodeKind {
        /// An open.
        Open = "open",
        /// An exec.
        Exec = "exec",
        /// A process or a thread of a command.
        Process = "process",
        /// An operation whose record could not be read again.
        Operation = "operation",
        /// A client was asked.
        Decision = "decision",
        /// A client was told, and reacted to it.
        Notice = "notice",
    }
}

impl From<OperationKind> for CascadeNodeKind {
    fn from(kind: OperationKind) -> CascadeNodeKind {
        match kind {
            OperationKind::Open => CascadeNodeKind::Open,
            OperationKind::Exec => CascadeNodeKind::Exec,
            OperationKind::Process => CascadeNodeKind::Process,
        }
    }
}

words! {
    /// How bad a finding is.
    Weight {
        /// Something broke: a deadlock, a missed deadline, a blind spot.
        Bad = "bad",
        /// Something came close, or costs more than it has to.
        Warn = "warn",
        /// Worth knowing.
        Info = "info",
    }
}

words! {
    /// The section of the report that shows a finding.
    ReportSection {
        /// What each client did.
        Clients = "clients",
        /// Who made what the clients had to approve.
        Causes = "causes",
        /// How many events one event brings.
        Gain = "gain",
        /// The trees below root operations.
        Cascades = "cascades",
        /// The run over time.
        Time = "time",
        /// In which order clients were asked.
        Pipeline = "pipeline",
        /// Products beside the clients.
        Outside = "outside",
        /// Clients that waited for each other.
        Waiting = "waiting",
        /// Calm after the storm.
        Drain = "drain",
        /// What it costs the user.
        Cost = "cost",
        /// What was recorded and what was not.
        Record = "record",
    }
}

words! {
    /// What ended a circle of clients that waited for each other.
    CycleEnd {
        /// The warden killed one of them for its deadline.
        DeadlineKill = "deadline kill",
        /// One of them answered.
        Answer = "answer",
        /// The process of one of them ended for another reason.
        ProcessEnd = "process end",
        /// Nothing did, until the run was over.
        EndOfRun = "end of run",
    }
}

words! {
    /// How several clients are asked about one operation.
    DeliveryOrder {
        /// One after the other.
        Serial = "serial",
        /// At once.
        Parallel = "parallel",
        /// Now so, now otherwise.
        Mixed = "mixed",
    }
}

words! {
    /// What a denial means for a client that has not answered yet.
    AfterDeny {
        /// It is not asked any more.
        Spared = "spared",
        /// It is asked, and the operation ends without its answer.
        NotWaited = "not-waited",
        /// Its answer is waited for.
        Waited = "waited",
        /// Now so, now otherwise.
        Mixed = "mixed",
    }
}

words! {
    /// Whom a kept answer serves.
    KeptAnswers {
        /// The client that gave it.
        Own = "own",
        /// Others too.
        Shared = "shared",
        /// Nobody.
        NotKept = "not-kept",
        /// Others at times.
        Mixed = "mixed",
    }
}

words! {
    /// Whose operations a column of the cause matrix has.
    ColumnKind {
        /// A client's own process.
        Client = "client",
        /// A daemon that clients ask.
        Daemon = "daemon",
        /// Somebody outside the lab, or a product beside its clients.
        External = "external",
        /// The helpers of a client.
        Helper = "helper",
        /// Nobody knows.
        Unexplained = "unexplained",
        /// The driver.
        Workload = "workload",
    }
}
