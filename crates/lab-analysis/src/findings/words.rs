//! The words of a report that stand for one of a few things.

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
