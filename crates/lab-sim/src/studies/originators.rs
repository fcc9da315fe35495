//! Who makes operations, and what each makes for one operation of another: as the clients' own policies have it.

use lab_client_core::{Admission, Outcome, PlannedTarget, Policy, Question, Step, Task, Whom};
use lab_model::{
    Actor, Client, Errand, EventKind, ExecProgram, Helpers, Lab, NotifyEvent, OperationKind, SubjectClass,
    Ticks, Timebase, Verdict,
};

use crate::{
    Kernel,
    kernel::operation::{Linkage, OPEN, Pass, notified_of, passes},
};

/// What a client can tell of whoever acts.
#[derive(Clone, Copy, Debug)]
struct Looks {
    class: SubjectClass,
    actor: Actor,
}

impl Looks {
    const WORKLOAD: Looks = Looks { class: SubjectClass::Workload, actor: Actor::UNKNOWN };
}

/// Whose operations they are, as far as it makes a difference to who is asked and what they make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Originator {
    /// The client at this place.
    Client(usize),
    /// That client's helpers.
    Helpers(usize),
    /// The daemon at this place.
    Daemon(usize),
    /// Programs that this client runs.
    Programs(usize),
    /// Programs that helpers and daemons run: nobody knows whose they are.
    Strangers,
}

/// What one question sets off, by originator.
#[derive(Clone, Debug, Default)]
pub(crate) struct SetOff {
    /// Operations of each originator, opens and programs.
    pub(crate) operations: Vec<u64>,
    /// The client's own opens of files beside the one in question, or an errand's.
    pub(crate) others: bool,
}

impl SetOff {
    /// Both together.
    pub(crate) fn and(mut self, other: &SetOff) -> SetOff {
        self.operations.iter_mut().zip(&other.operations).for_each(|(sum, more)| *sum += more);
        self.others |= other.others;
        self
    }

    pub(crate) fn total(&self) -> u64 {
        self.operations.iter().sum()
    }
}

/// How many notices a client gets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Notices {
    pub(crate) of_files: u64,
    /// Of forks and ends: there is no file in them to open again.
    pub(crate) of_processes: u64,
}

impl Notices {
    pub(crate) const fn total(self) -> u64 {
        self.of_files + self.of_processes
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    File,
    Process,
}

/// The originators of a lab, the clients first and in their order, and the clients' policies.
pub(crate) struct Originators<'a> {
    lab: &'a Lab,
    kernel: Kernel,
    pub(crate) list: Vec<Originator>,
    policies: Vec<Policy>,
    /// There are files to open beside the one in question.
    others: bool,
}

impl<'a> Originators<'a> {
    pub(crate) fn of(lab: &'a Lab, kernel: Kernel) -> Originators<'a> {
        let clients = 0..lab.clients.len();
        let has_helpers = |&place: &usize| lab.clients[place].behavior.helpers.is_some();
        let spawns = lab.clients.iter().any(|client| client.behavior.spawns());
        let errands = lab.clients.iter().filter_map(|client| client.behavior.helpers.map(|it| it.errand));
        let mut errands = errands.chain(lab.daemons.iter().map(|daemon| daemon.errand));
        let mut list: Vec<Originator> = clients.clone().map(Originator::Client).collect();
        list.extend(clients.clone().filter(has_helpers).map(Originator::Helpers));
        list.extend((0..lab.daemons.len()).map(Originator::Daemon));
        if spawns {
            list.extend(clients.map(Originator::Programs));
        }
        if errands.any(|errand| errand.spawn.is_some()) {
            list.push(Originator::Strangers);
        }
        let named = |originator: &Originator| match originator {
            Originator::Client(place) => Some(lab.clients[*place].id.to_string()),
            Originator::Helpers(place) => Some(format!("{}{}", lab.clients[*place].id, Helpers::SUFFIX)),
            Originator::Daemon(place) => Some(lab.daemons[*place].id.to_string()),
            Originator::Programs(_) | Originator::Strangers => None,
        };
        let names: Vec<(String, Actor)> = list
            .iter()
            .enumerate()
            .filter_map(|(place, originator)| named(originator).map(|name| (name, number(place))))
            .collect();
        let policy = |client: &Client| {
            let policy = Policy::new(client.behavior.clone(), lab.deadline, Timebase::NANOSECONDS);
            policy.among(names.iter().map(|(name, actor)| (name.as_str(), *actor)))
        };
        let policies = lab.clients.iter().map(policy).collect();
        let others = lab.workload.iter().any(|load| load.files() > 0);
        Originators { lab, kernel, list, policies, others }
    }

    /// What an originator is called in a plan.
    pub(crate) fn name(&self, place: usize) -> String {
        let client = |place: usize| &self.lab.clients[place].id;
        match self.list[place] {
            Originator::Client(place) => client(place).to_string(),
            Originator::Helpers(place) => format!("{}{}", client(place), Helpers::SUFFIX),
            Originator::Daemon(place) => self.lab.daemons[place].id.to_string(),
            Originator::Programs(place) => format!("programs of {}", client(place)),
            Originator::Strangers => "programs of workers".to_owned(),
        }
    }

    fn place(&self, originator: Originator) -> Option<usize> {
        self.list.iter().position(|other| *other == originator)
    }

    /// True when client i is asked about opens of this originator.
    pub(crate) fn sees(&self, client: usize, originator: usize) -> bool {
        let own = self.list[originator] == Originator::Client(client) && !self.kernel.asks_about_own_events();
        !own && self.lab.clients[client].behavior.subscribe.contains(EventKind::AUTH_OPEN)
    }

    /// How many notices a client gets of one operation with these passes, as long as nothing is merged.
    pub(crate) fn notices(&self, client: usize, rounds: &[Pass]) -> Notices {
        let all = (0..rounds.len()).map(|place| self.notices_of(client, rounds, place));
        all.fold(Notices::default(), |sum, one| Notices {
            of_files: sum.of_files + one.of_files,
            of_processes: sum.of_processes + one.of_processes,
        })
    }

    /// The same of one pass alone. What lies unread of one file is one notice, and an open and its close lie together:
    /// see [`Originators::merges`].
    pub(crate) fn notices_of(&self, client: usize, rounds: &[Pass], place: usize) -> Notices {
        let wanted = self.lab.clients[client].behavior.notify;
        let told = notified_of(self.kernel, rounds, place);
        let heard = told.iter().filter(|&event| wanted.contains(event)).count() as u64;
        let also = |event| u64::from(!told.is_empty() && wanted.contains(event));
        let (of_files, of_processes) = if self.kernel.merges_notices() {
            (heard.min(1) + also(NotifyEvent::Close), 0)
        } else if told.contains(NotifyEvent::Open) {
            (heard + also(NotifyEvent::Close), 0)
        } else {
            (heard, also(NotifyEvent::Fork) + also(NotifyEvent::Exit))
        };
        Notices { of_files, of_processes }
    }

    /// True when a client acts on what it is told of.
    pub(crate) fn acts(&self, client: usize) -> bool {
        let behavior = &self.lab.clients[client].behavior;
        !behavior.notify.is_empty() && !behavior.on_notify.is_none()
    }

    /// True when how often a client acts depends on what lies unread together, or on which opens write or make
    /// a file.
    pub(crate) fn merges(&self, client: usize) -> bool {
        let wanted = self.lab.clients[client].behavior.notify;
        let opens = wanted.contains(NotifyEvent::Open) || wanted.contains(NotifyEvent::Exec);
        let closes = self.kernel.merges_notices() && wanted.contains(NotifyEvent::Close) && opens;
        let mixed = |event| wanted.contains(event);
        let of_some = [NotifyEvent::Write, NotifyEvent::Create, NotifyEvent::Unlink].into_iter().any(mixed);
        self.acts(client) && (closes || of_some)
    }

    /// True when client i is told of opens of this originator.
    pub(crate) fn hears(&self, client: usize, originator: usize) -> bool {
        self.notices(client, self.programs_of(self.list[originator]).unwrap_or(OPEN)).total() > 0
    }

    /// What a client makes when it is told of one operation of this originator, as often as it is told.
    pub(crate) fn on_notice(&self, client: usize, originator: usize) -> SetOff {
        let times = self.notices(client, self.programs_of(self.list[originator]).unwrap_or(OPEN));
        self.on_notices(client, self.looks(client, originator), times)
    }

    /// The same for the workload.
    pub(crate) fn on_notice_of_workload(&self, client: usize, times: Notices) -> SetOff {
        self.on_notices(client, Looks::WORKLOAD, times)
    }

    fn on_notices(&self, client: usize, Looks { class, actor }: Looks, times: Notices) -> SetOff {
        let question = Question {
            read: Ticks(1),
            event: EventKind::Notify(NotifyEvent::Open),
            class,
            actor,
            deadline: None,
        };
        let Some(task) = self.policies[client].on_notify(&question, 0).filter(|_| times.total() > 0) else {
            return self.nothing();
        };
        let mut found = self.nothing();
        for (about, times) in [(About::File, times.of_files), (About::Process, times.of_processes)] {
            let mut each = self.carry_out(client, task, about);
            each.operations.iter_mut().for_each(|operations| *operations *= times);
            found = found.and(&each);
        }
        found
    }

    fn nothing(&self) -> SetOff {
        SetOff { operations: vec![0; self.list.len()], others: false }
    }

    /// How an originator looks to a client.
    fn looks(&self, client: usize, originator: usize) -> Looks {
        let (class, actor) = match self.list[originator] {
            Originator::Client(place) if place == client => (SubjectClass::Own, number(originator)),
            Originator::Client(_) => (SubjectClass::Peer, number(originator)),
            Originator::Helpers(place) if place == client => (SubjectClass::OwnHelper, number(originator)),
            Originator::Helpers(_) | Originator::Daemon(_) => (SubjectClass::Workload, number(originator)),
            Originator::Programs(place) if place == client => (SubjectClass::OwnHelper, number(place)),
            Originator::Programs(_) | Originator::Strangers => return Looks::WORKLOAD,
        };
        Looks { class, actor }
    }

    /// What a client and its workers make of the workload's event.
    pub(crate) fn on_workload(&self, client: usize, event: EventKind) -> SetOff {
        self.set_off(client, event, Looks::WORKLOAD)
    }

    fn set_off(&self, client: usize, event: EventKind, Looks { class, actor }: Looks) -> SetOff {
        let question = Question { read: Ticks(1), event, class, actor, deadline: None };
        match self.policies[client].admit(&question, 0) {
            Admission::Answer { .. } => self.nothing(),
            Admission::AnswerThenWork { task, .. } | Admission::Work { task, .. } => {
                self.carry_out(client, task, About::File)
            }
        }
    }

    /// The operations that a client's task and the workers that it asks make.
    fn carry_out(&self, client: usize, mut task: Task, about: About) -> SetOff {
        let mut found = self.nothing();
        let mut last = Outcome::Begin;
        loop {
            let step = task.step(std::mem::replace(&mut last, Outcome::Finished));
            match step {
                Step::Judge => last = Outcome::Judged(Verdict::Allow),
                Step::Operate(plan) => match plan.target {
                    PlannedTarget::Same => found.operations[client] += u64::from(about == About::File),
                    PlannedTarget::Other(_) => {
                        found.operations[client] += u64::from(self.others);
                        found.others |= self.others;
                    }
                    PlannedTarget::Program(_) => self.add(&mut found, Originator::Programs(client), 1),
                },
                Step::Ask(ask) => self.errand(&mut found, client, ask.whom),
                Step::Done => return found,
                Step::Wait(_) | Step::Burn(_) | Step::Inspect { .. } | Step::Answer { .. } => {}
            }
        }
    }

    fn errand(&self, found: &mut SetOff, client: usize, whom: Whom) {
        let behavior = &self.lab.clients[client].behavior;
        let (originator, errand): (Originator, Option<Errand>) = match whom {
            Whom::Helper => (Originator::Helpers(client), behavior.helpers.map(|helpers| helpers.errand)),
            Whom::Daemon(place) => {
                let id = &behavior.daemons[usize::from(place)].daemon;
                let place = self.lab.daemons.iter().position(|daemon| daemon.id == *id);
                let Some(place) = place else { return };
                (Originator::Daemon(place), Some(self.lab.daemons[place].errand))
            }
        };
        let Some(errand) = errand else { return };
        let extra = if self.others { u64::from(errand.extra_opens) } else { 0 };
        found.others |= extra > 0;
        self.add(found, originator, u64::from(errand.open) + extra);
        self.add(found, Originator::Strangers, u64::from(errand.spawn.is_some()));
    }

    fn add(&self, found: &mut SetOff, originator: Originator, operations: u64) {
        if let Some(place) = self.place(originator) {
            found.operations[place] += operations;
        }
    }

    /// What a client and its workers make for one open of this originator; nothing when it is not asked.
    pub(crate) fn on_open(&self, client: usize, originator: usize) -> SetOff {
        if self.sees(client, originator) {
            self.set_off(client, EventKind::AUTH_OPEN, self.looks(client, originator))
        } else {
            self.nothing()
        }
    }

    /// What it makes for one open of this originator, asked or told.
    pub(crate) fn because_of(&self, client: usize, originator: usize) -> SetOff {
        self.on_open(client, originator).and(&self.on_notice(client, originator))
    }

    /// `[x][y]`: the operations that originator x makes for one operation of originator y, over all clients that are asked.
    pub(crate) fn makes(&self) -> Vec<Vec<u64>> {
        let mut makes = vec![vec![0; self.list.len()]; self.list.len()];
        for y in 0..self.list.len() {
            for client in 0..self.lab.clients.len() {
                let mut set_off = match self.programs_of(self.list[y]) {
                    None => vec![self.on_open(client, y)],
                    Some(rounds) => {
                        let subscribe = self.lab.clients[client].behavior.subscribe;
                        let asked = rounds.iter().filter(|pass| subscribe.contains(pass.event));
                        let looks = self.looks(client, y);
                        asked.map(|pass| self.set_off(client, pass.event, looks)).collect()
                    }
                };
                set_off.push(self.on_notice(client, y));
                for (x, row) in makes.iter_mut().enumerate() {
                    row[y] += set_off.iter().map(|found| found.operations[x]).sum::<u64>();
                }
            }
        }
        makes
    }

    /// The questions that a program of this originator raises: of those it may run, the one that raises most stands for
    /// all. `None` for an originator of opens.
    fn programs_of(&self, originator: Originator) -> Option<&'static [Pass]> {
        let lab = self.lab;
        let programs: Vec<ExecProgram> = match originator {
            Originator::Client(_) | Originator::Helpers(_) | Originator::Daemon(_) => return None,
            Originator::Programs(place) => {
                let behavior = &lab.clients[place].behavior;
                behavior.all_reactions().filter_map(|reaction| reaction.spawn).collect()
            }
            Originator::Strangers => {
                let helpers = lab.clients.iter().filter_map(|client| client.behavior.helpers);
                let errands = helpers.map(|helpers| helpers.errand);
                let errands = errands.chain(lab.daemons.iter().map(|daemon| daemon.errand));
                errands.filter_map(|errand| errand.spawn).collect()
            }
        };
        let rounds = programs.into_iter().map(Linkage::of);
        let rounds = rounds.map(|linkage| passes(self.kernel, OperationKind::Exec, linkage));
        Some(rounds.max_by_key(|rounds| rounds.len()).unwrap_or_default())
    }

    /// True when anybody runs programs in answer to an event.
    pub(crate) fn run_programs(&self) -> bool {
        self.list
            .iter()
            .any(|originator| matches!(originator, Originator::Programs(_) | Originator::Strangers))
    }

    /// True when anybody opens other files than the one in question.
    pub(crate) fn open_others(&self) -> bool {
        let events = [EventKind::AUTH_OPEN, EventKind::AUTH_EXEC];
        let opens = |client| events.iter().any(|&event| self.on_workload(client, event).others);
        let acts = |client| {
            let once = Notices { of_files: 1, of_processes: 0 };
            self.on_notice_of_workload(client, once).others
        };
        (0..self.lab.clients.len()).any(|client| opens(client) || acts(client))
    }
}

fn number(place: usize) -> Actor {
    Actor(u16::try_from(place + 1).unwrap_or(u16::MAX))
}
