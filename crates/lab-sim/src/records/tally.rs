//! What the simulator itself counts while it runs: enough for a search or a sweep without any trace.

use lab_model::{Approval, PhaseKind};

use crate::{hardware::NONE, kernel::operation::Lineage, records::histogram::Histogram};

/// Why a run was ended before its script was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The lab's own limit on its length.
    RunMax,
    /// The caller's limit on decisions.
    DecisionsMax,
}

/// Clients that waited for each other in a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// When it was found: at a deadline kill or at the end. Nanoseconds of virtual time.
    pub at: u64,
    /// The clients, by their place in the lab.
    pub clients: Vec<u16>,
}

/// What a client was to be told of, as the kernel knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyTally {
    /// Events of any kind; what a kernel raises as one counts as one.
    pub events: Heard,
    /// Of those, the opens.
    pub opens: Heard,
}

/// What became of events. Counted exactly: `happened` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Events that a client listened to.
    pub happened: u64,
    /// Notices of them, each of which stands for at least one.
    pub notices: u64,
    /// Events that the kernel had merged into a notice of another.
    pub merged: u64,
    /// Events that it was not told of: the queue was full, there was no descriptor, or the client died first.
    pub lost: u64,
    /// Events that lay unread at the end.
    pub unread: u64,
}

impl NotifyTally {
    /// Takes note of as many events and opens.
    pub(crate) fn note(&mut self, of: fn(&mut Heard) -> &mut u64, (events, opens): (u64, u64)) {
        *of(&mut self.events) += events;
        *of(&mut self.opens) += opens;
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Tally {
    clients: usize,
    /// Decisions read.
    pub(crate) decisions: u64,
    /// Of the storm and drain, by client and by who made the operation (the last column is the workload).
    pub(crate) seen: Vec<u64>,
    pub(crate) by_approval: [u64; 8],
    pub(crate) late_answers: u64,
    /// Questions put, by the client asked and the client whose decision on a workload event caused them.
    pub(crate) driven: Vec<u64>,
    /// The same for decisions on events that clients had caused.
    pub(crate) fed_back: Vec<u64>,
    /// By client.
    pub(crate) told: Vec<NotifyTally>,
    pub(crate) decision_latency: Histogram,
    /// From the (planned) start to the end of the workload's operations, by phase.
    pub(crate) latency: [Histogram; PhaseKind::ALL.len()],
    pub(crate) roots_begun: u64,
    pub(crate) phase_decisions: [u64; PhaseKind::ALL.len()],
    pub(crate) phase_spans: [u64; PhaseKind::ALL.len()],
    pub(crate) dropped: u64,
    pub(crate) kills: u32,
    pub(crate) pending_max: u64,
    pub(crate) cycle: Option<Cycle>,
    pub(crate) in_flight: u64,
    pub(crate) late: [u64; 4],
    /// Feedback was still asked about in the last quarter of the drain.
    pub(crate) feeds_itself_late: bool,
    pub(crate) ended_at: u64,
    pub(crate) cut: Option<Cut>,
}

impl Tally {
    pub(crate) fn new(clients: usize) -> Tally {
        Tally {
            clients,
            decisions: 0,
            seen: vec![0; clients * (clients + 1)],
            by_approval: [0; 8],
            late_answers: 0,
            driven: vec![0; clients * clients],
            fed_back: vec![0; clients * clients],
            told: vec![NotifyTally::default(); clients],
            decision_latency: Histogram::default(),
            latency: std::array::from_fn(|_| Histogram::default()),
            roots_begun: 0,
            phase_decisions: [0; PhaseKind::ALL.len()],
            phase_spans: [0; PhaseKind::ALL.len()],
            dropped: 0,
            kills: 0,
            pending_max: 0,
            cycle: None,
            in_flight: 0,
            late: [0; 4],
            feeds_itself_late: false,
            ended_at: 0,
            cut: None,
        }
    }

    /// A question was put to a client.
    #[inline]
    pub(crate) fn asked(&mut self, client: u16, lineage: Lineage, pending: u64) {
        self.pending_max = self.pending_max.max(pending);
        let row = usize::from(client) * self.clients;
        match lineage {
            Lineage::Root => {}
            Lineage::Drive(by) => self.driven[row + usize::from(by)] += 1,
            Lineage::Feedback(by) => self.fed_back[row + usize::from(by)] += 1,
        }
    }

    /// A client has read a question about an operation of `subject`.
    #[inline]
    pub(crate) fn read(&mut self, client: usize, subject: u32, phase: Option<PhaseKind>) {
        self.decisions += 1;
        let Some(phase) = phase else { return };
        self.phase_decisions[phase.place()] += 1;
        if matches!(phase, PhaseKind::Storm | PhaseKind::Drain) {
            let column = if subject == NONE { self.clients } else { subject as usize };
            self.seen[client * (self.clients + 1) + column] += 1;
        }
    }

    #[inline]
    pub(crate) fn answered(&mut self, approval: Approval, took: u64, late: bool) {
        self.by_approval[usize::from(approval.code()) - 1] += 1;
        self.late_answers += u64::from(late);
        self.decision_latency.record(took);
    }

    #[inline]
    pub(crate) fn began_root(&mut self) {
        self.roots_begun += 1;
    }

    /// An operation of the workload has ended; it took so long from when it was to start.
    #[inline]
    pub(crate) fn ended_root(&mut self, phase: Option<PhaseKind>, took: u64) {
        if let Some(phase) = phase {
            self.latency[phase.place()].record(took);
        }
    }

    pub(crate) fn phase_ended(&mut self, phase: PhaseKind, span: u64) {
        self.phase_spans[phase.place()] = span;
    }

    /// A full queue let a question through.
    pub(crate) fn dropped(&mut self) {
        self.dropped += 1;
    }

    /// A client was killed for a deadline.
    pub(crate) fn killed(&mut self) {
        self.kills += 1;
    }

    /// Something became of so many events and opens that a client was to be told of.
    pub(crate) fn notify(&mut self, client: usize, of: fn(&mut Heard) -> &mut u64, count: (u64, u64)) {
        self.told[client].note(of, count);
    }

    /// Feedback was still asked about in the last quarter of the drain.
    pub(crate) fn feeds_itself_late(&mut self) {
        self.feeds_itself_late = true;
    }

    /// Clients wait for each other in a circle.
    pub(crate) fn cycle(&mut self, cycle: Cycle) {
        self.cycle = Some(cycle);
    }

    /// The run ends before its script does.
    pub(crate) fn cut(&mut self, cut: Option<Cut>) {
        self.cut = cut;
    }

    /// So much is under way when the last phase ends.
    pub(crate) fn left_in_flight(&mut self, count: u64) {
        self.in_flight = count;
    }

    /// The run has ended, so long after its start; by so much was the workload late in each quarter of the storm.
    pub(crate) fn ended(&mut self, at: u64, late: [u64; 4]) {
        (self.ended_at, self.late) = (at, late);
    }
}
