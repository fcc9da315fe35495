//! How operations came to be approved, and the vocabularies that the model has and a report writes.

use std::borrow::Cow;

use lab_model::{Approval, BackendChoice, EventKind, LoadKind, NotifyEvent, OperationKind};

use super::{Vocabulary, Word};

/// How an operation came to be approved, or denied, as far as one client is concerned: by its decision, or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalWay {
    /// As the client, or the kernel in its place, decided. Also of operations that it was not asked about: a mute of a
    /// path, a kept answer, its own process, its death.
    By(Approval),
    /// It was asked, and the run ended before it answered.
    Unanswered,
    /// It does not subscribe to such events.
    NotSubscribed,
    /// Another's denial came first.
    DeniedBefore,
    /// The file lies outside the arena.
    OutOfScope,
    /// The operation failed before anybody could be asked.
    FailedBefore,
    /// It had no descriptor left for the event, so the kernel denied.
    Exhausted,
    /// The operation had not ended when its process or the run did.
    Unfinished,
    /// How it answered is on a damaged place of its trace.
    Damaged,
    /// Of an import: it was told, and never asked.
    Told,
}

impl Vocabulary for ApprovalWay {
    const NAME: &'static str = "ApprovalWay";
    const ABOUT: &'static str =
        "How an operation came to be approved, or denied, as far as one client is concerned.";

    fn all() -> Vec<ApprovalWay> {
        let others = [
            ApprovalWay::Unanswered,
            ApprovalWay::NotSubscribed,
            ApprovalWay::DeniedBefore,
            ApprovalWay::OutOfScope,
            ApprovalWay::FailedBefore,
            ApprovalWay::Exhausted,
            ApprovalWay::Unfinished,
            ApprovalWay::Damaged,
            ApprovalWay::Told,
        ];
        Approval::ALL.into_iter().map(ApprovalWay::By).chain(others).collect()
    }

    fn word(&self) -> Cow<'static, str> {
        let word = match self {
            ApprovalWay::By(approval) => approval.name(),
            ApprovalWay::Unanswered => "unanswered",
            ApprovalWay::NotSubscribed => "not-subscribed",
            ApprovalWay::DeniedBefore => "denied-before",
            ApprovalWay::OutOfScope => "out-of-scope",
            ApprovalWay::FailedBefore => "failed-before",
            ApprovalWay::Exhausted => "exhausted",
            ApprovalWay::Unfinished => "unfinished",
            ApprovalWay::Damaged => "damaged",
            ApprovalWay::Told => "notify",
        };
        word.into()
    }
}

impl From<Approval> for ApprovalWay {
    fn from(approval: Approval) -> ApprovalWay {
        ApprovalWay::By(approval)
    }
}

impl From<Approval> for Word<ApprovalWay> {
    fn from(approval: Approval) -> Word<ApprovalWay> {
        Word::Known(ApprovalWay::By(approval))
    }
}

impl Vocabulary for EventKind {
    const NAME: &'static str = "EventKind";
    const ABOUT: &'static str = "An event by its name: `other` stands for all that no lab subscribes to.";

    fn all() -> Vec<EventKind> {
        EventKind::known().collect()
    }

    fn word(&self) -> Cow<'static, str> {
        self.name().into()
    }
}

impl Vocabulary for NotifyEvent {
    const NAME: &'static str = "NotifyEventWord";
    const ABOUT: &'static str = "What a client can be told of, by its word in lab files.";

    fn all() -> Vec<NotifyEvent> {
        NotifyEvent::ALL.to_vec()
    }

    fn word(&self) -> Cow<'static, str> {
        NotifyEvent::word(*self).into()
    }
}

impl Vocabulary for OperationKind {
    const NAME: &'static str = "OperationKind";
    const ABOUT: &'static str = "What an operation does.";

    fn all() -> Vec<OperationKind> {
        OperationKind::ALL.to_vec()
    }

    fn word(&self) -> Cow<'static, str> {
        self.name().into()
    }
}

/// A kind of load, by its word in lab files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadWord(&'static str);

impl From<&LoadKind> for LoadWord {
    fn from(kind: &LoadKind) -> LoadWord {
        LoadWord(kind.name())
    }
}

impl Vocabulary for LoadWord {
    const NAME: &'static str = "LoadWord";
    const ABOUT: &'static str = "A kind of load, by its word in lab files.";

    fn all() -> Vec<LoadWord> {
        LoadKind::NAMES.iter().copied().map(LoadWord).collect()
    }

    fn word(&self) -> Cow<'static, str> {
        self.0.into()
    }
}

/// Where what a report tells of took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportBackend {
    /// In a lab, as its file or the command line chose.
    Lab(BackendChoice),
    /// On a Mac on which `eslogger` recorded; no lab was there.
    Eslogger,
}

impl Default for ReportBackend {
    fn default() -> ReportBackend {
        ReportBackend::Lab(BackendChoice::Auto)
    }
}

impl Vocabulary for ReportBackend {
    const NAME: &'static str = "ReportBackend";
    const ABOUT: &'static str = "Where what a report tells of took place.";

    fn all() -> Vec<ReportBackend> {
        BackendChoice::ALL.into_iter().map(ReportBackend::Lab).chain([ReportBackend::Eslogger]).collect()
    }

    fn word(&self) -> Cow<'static, str> {
        match self {
            ReportBackend::Lab(choice) => choice.name().into(),
            ReportBackend::Eslogger => "eslogger".into(),
        }
    }
}

/// Why a cascade is shown in full: it is the largest, the deepest, the longest of all, or several of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WhyShown {
    /// No other has more decisions.
    pub largest: bool,
    /// No other has more levels.
    pub deepest: bool,
    /// No other lasted longer.
    pub longest: bool,
}

impl WhyShown {
    /// For this and for the other reason.
    #[must_use]
    pub const fn and(self, other: WhyShown) -> WhyShown {
        WhyShown {
            largest: self.largest || other.largest,
            deepest: self.deepest || other.deepest,
            longest: self.longest || other.longest,
        }
    }
}

impl Vocabulary for WhyShown {
    const NAME: &'static str = "WhyShown";
    const ABOUT: &'static str =
        "Why a cascade is shown in full: it is the largest, the deepest, the longest of all.";

    fn all() -> Vec<WhyShown> {
        let bits =
            |bits: u8| WhyShown { largest: bits & 4 != 0, deepest: bits & 2 != 0, longest: bits & 1 != 0 };
        (1..8).rev().map(bits).collect()
    }

    fn word(&self) -> Cow<'static, str> {
        let reasons = [(self.largest, "largest"), (self.deepest, "deepest"), (self.longest, "longest")];
        let reasons: Vec<&str> = reasons.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        reasons.join(", ").into()
    }
}
