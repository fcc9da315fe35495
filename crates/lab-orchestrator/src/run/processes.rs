//! The lab's own processes: the driver, the clients, the daemons, and what is known of the clients' helpers. Whoever wants
//! something of one asks here; only here is taken note of what they reply.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::OwnedFd,
    path::Path,
};

use lab_bundle::{Daemons, Death};
use lab_model::{Actor, Service};
use lab_protocol::{Assignment, FrameError, HelperReady, Order, Reply};
use lab_trace::ProcessMarkKind;
use lab_workload::Participant;

use super::{
    actors::{DRIVER, HelperPlace},
    context::Context,
    ending::{ProcessFailure, describe, end},
    helpers::{Helper, HelperTable},
    launchd::Launchd,
    process::{LabProcess, ProcessSpec, State},
};
use crate::{Failure, FailureKind};

/// All processes that the lab has had.
pub(super) struct Processes {
    all: BTreeMap<Actor, LabProcess>,
    helpers: HelperTable,
    launchd: Launchd,
    /// Those that the controller has killed itself.
    killed: BTreeSet<Actor>,
}

/// A process has ended.
pub(super) struct Ended {
    /// Its name in the lab.
    pub(super) name: String,
    /// What is to be said of it.
    pub(super) words: Option<String>,
}

/// A helper has ended.
pub(super) struct HelperEnded {
    /// Its name in the lab.
    pub(super) name: String,
    /// Its client lives: it has not ended in order, with its client or on its client's order.
    pub(super) alone: bool,
}

impl Processes {
    pub(super) fn new(daemons: Option<Daemons>) -> Processes {
        Processes {
            all: BTreeMap::new(),
            helpers: HelperTable::default(),
            launchd: Launchd::new(daemons),
            killed: BTreeSet::new(),
        }
    }

    pub(super) fn get(&self, actor: Actor) -> Option<&LabProcess> {
        self.all.get(&actor)
    }

    /// All that are not helpers, in the order of their numbers, those that have ended as well.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &LabProcess> {
        self.all.values()
    }

    pub(super) fn driver(&self) -> Option<&LabProcess> {
        self.get(DRIVER)
    }

    /// All clients, those that have ended as well.
    pub(super) fn clients(&self) -> impl Iterator<Item = &LabProcess> {
        self.iter().filter(|process| process.is_client())
    }

    /// The clients that have not ended.
    pub(super) fn living_clients(&self) -> Vec<Actor> {
        self.clients().filter(|process| process.alive()).map(LabProcess::actor).collect()
    }

    /// True when there were clients and none is left.
    pub(super) fn no_client_left(&self) -> bool {
        let mut clients = self.clients().peekable();
        clients.peek().is_some() && clients.all(|process| !process.alive())
    }

    /// The helpers that run.
    pub(super) fn living_helpers(&self) -> impl Iterator<Item = (Actor, &Helper)> {
        self.helpers.living()
    }

    pub(super) fn helper(&self, actor: Actor) -> Option<&Helper> {
        self.helpers.get(actor)
    }

    /// The living process of this name, not a helper's.
    pub(super) fn living(&self, name: &str) -> Option<&LabProcess> {
        self.iter().rev().find(|process| process.alive() && process.name() == name)
    }

    /// The number and process ID of the living process of this name, a helper's as well.
    pub(super) fn alive_by_name(&self, name: &str) -> Option<(Actor, u32)> {
        let process = self.living(name).map(|process| (process.actor(), process.pid()));
        let helper = || {
            let (actor, helper) = self.helpers.living().find(|(_, helper)| helper.name() == name)?;
            Some((actor, helper.pid()))
        };
        process.or_else(helper)
    }

    /// True when every process has ended, helpers as well.
    pub(super) fn all_ended(&self) -> bool {
        let ended = self.iter().all(|process| matches!(process.state(), State::Ended(_)));
        ended && self.helpers.all_ended()
    }

    /// Whether somebody who was started again is ready; `None` while that is open.
    pub(super) fn readiness(&self, whom: Participant, actor: Actor) -> Option<bool> {
        match whom {
            // Its client is at it, and a client that dies takes this restart with it.
            Participant::Helper(..) => self.helpers.get(actor).map(Helper::alive),
            Participant::Client(_) | Participant::Daemon(_) => match self.get(actor).map(LabProcess::state) {
                Some(State::Starting) => None,
                Some(State::Idle | State::Ordered) => Some(true),
                Some(State::Closed | State::Ended(_)) | None => Some(false),
            },
        }
    }

    /// Starts a process and tells it who it is.
    pub(super) async fn start(
        &mut self,
        context: &Context,
        spec: ProcessSpec<'_>,
        program: &Path,
        assignment: Assignment,
    ) -> Result<(), Failure> {
        let ProcessSpec { actor, name, file, .. } = spec;
        let log = context.folder().logs().join(format!("{file}.log"));
        let mut process = match self.launchd.daemon(context.lab(), spec) {
            None => LabProcess::start(program, spec, &log, context.events())
                .map_err(|error| Failure::output(&format!("cannot start {}", program.display()), &error))?,
            Some(daemon) => {
                LabProcess::start_daemon(daemon, spec, context.events()).await.map_err(|error| {
                    let log = self.launchd.log_of(context.folder(), spec);
                    ProcessFailure::unreached(&error, &log).of(name)
                })?
            }
        };
        context.mark(actor, ProcessMarkKind::Started, process.pid(), 0);
        let welcome = context.welcome(spec, assignment);
        let sent = process.order(&Order::Welcome(Box::new(welcome))).await;
        self.all.insert(actor, process);
        sent.map_err(|error| order_failure(name, &error))
    }

    /// Has a client start one of its helpers again.
    pub(super) async fn start_helper(
        &mut self,
        client: Actor,
        number: u16,
        welcome: lab_protocol::Welcome,
    ) -> Result<(), Failure> {
        self.helpers.expect(welcome.actor, number);
        self.order(client, &Order::StartHelper { welcome: Box::new(welcome) }).await
    }

    /// Gives an order. Whoever is gone is not told; its end arrives as an event.
    pub(super) async fn order(&mut self, actor: Actor, order: &Order) -> Result<(), Failure> {
        self.hand_over(actor, order, &[]).await
    }

    /// Gives an order, and descriptors with it.
    pub(super) async fn hand_over(
        &mut self,
        actor: Actor,
        order: &Order,
        descriptors: &[OwnedFd],
    ) -> Result<(), Failure> {
        let Some(process) = self.all.get_mut(&actor) else { return Ok(()) };
        let sent = process.hand_over(order, descriptors).await;
        sent.map_err(|error| order_failure(process.name(), &error))
    }

    /// Tells a helper, through its client, or a daemon how to serve; returns who is to say that it is so.
    pub(super) async fn order_service(&mut self, actor: Actor, service: Service) -> Result<Actor, Failure> {
        let client = self.helpers.get(actor).map(Helper::client);
        let order = Order::Work { helper: client.map(|_| actor), service };
        let by = client.unwrap_or(actor);
        self.order(by, &order).await?;
        Ok(by)
    }

    /// Tells every client which threads belong to whom, and who is called what: those that are lent, and all that are
    /// known here.
    pub(super) async fn tell_participants(
        &mut self,
        lent_threads: Vec<(u64, Actor)>,
        lent_names: Vec<(String, Actor)>,
    ) -> Result<(), Failure> {
        let alive = || self.iter().filter(|process| process.alive());
        let threads = alive().flat_map(|process| process.threads().iter().map(|&tid| (tid, process.actor())));
        let helpers = self.helpers.living();
        let of_helpers =
            helpers.flat_map(|(actor, helper)| helper.threads().iter().map(move |&tid| (tid, actor)));
        let threads: Vec<_> = threads.chain(of_helpers).chain(lent_threads).collect();
        let clients = self.living_clients();
        let name_of = |actor: Actor| Some(self.get(actor)?.name().to_owned());
        let nameable = alive().filter(|process| process.is_client() || process.is_daemon());
        let names = nameable.map(|process| (process.name().to_owned(), process.actor()));
        let names: Vec<_> = names.chain(self.helpers.names(name_of)).chain(lent_names).collect();
        for actor in clients.clone() {
            let (threads, clients, names) = (threads.clone(), clients.clone(), names.clone());
            self.order(actor, &Order::Participants { threads, clients, names }).await?;
        }
        Ok(())
    }

    /// From now on clients that start are connected with this daemon.
    pub(super) fn make_reachable(&mut self, daemon: Actor) {
        if let Some(process) = self.all.get_mut(&daemon) {
            process.make_reachable();
        }
    }

    /// Takes note of what a process replied of itself.
    pub(super) fn heard(&mut self, context: &Context, actor: Actor, reply: Reply) {
        let Some(process) = self.all.get_mut(&actor) else { return };
        let ready = matches!(reply, Reply::Ready { .. });
        process.heard(reply);
        if ready {
            context.mark(actor, ProcessMarkKind::Ready, process.pid(), 0);
        }
    }

    /// Takes note that a client has started a helper, the `nth` process of its name.
    pub(super) fn helper_ready(
        &mut self,
        context: &Context,
        client: Actor,
        helper: HelperPlace,
        nth: u32,
        ready: &HelperReady,
    ) {
        self.helpers.ready(context.lab(), client, helper, nth, ready);
        context.mark(ready.actor, ProcessMarkKind::Started, ready.pid, 0);
        context.mark(ready.actor, ProcessMarkKind::Ready, ready.pid, 0);
    }

    /// The number among its client's of a helper that was to be started again; asked once.
    pub(super) fn expected_helper(&mut self, helper: Actor) -> Option<u16> {
        self.helpers.expected(helper)
    }

    /// Takes note that a helper has ended; `None` when that was known.
    pub(super) fn helper_ended(
        &mut self,
        context: &Context,
        actor: Actor,
        status: i32,
    ) -> Option<HelperEnded> {
        let helper = self.helpers.ended(actor)?;
        let (name, client) = (helper.name().to_owned(), helper.client());
        context.mark(actor, ProcessMarkKind::Ended, helper.pid(), status);
        let alone = self.get(client).is_some_and(LabProcess::alive);
        Some(HelperEnded { name, alone })
    }

    /// Takes note that a process has ended; `None` when the number is nobody's here. Ends what is left of its helpers,
    /// and asks the system why it died where that may be known.
    pub(super) fn ended(&mut self, context: &Context, actor: Actor, status: i32) -> Option<Ended> {
        self.helpers.end_of(actor, context.events());
        let process = self.all.get_mut(&actor)?;
        let orderly = process.state() == State::Closed && status == 0;
        if process.state() == State::Starting {
            let log = self.launchd.log_of(context.folder(), process.spec());
            process.fail(|| ProcessFailure::ended(status, &log));
        }
        // What a process says of itself is said once, as the run's failure.
        let explained = process.failure().is_some();
        process.ended(status);
        let (name, pid) = (process.name().to_owned(), process.pid());
        context.mark(actor, ProcessMarkKind::Ended, pid, status);
        if !orderly
            && !self.killed.contains(&actor)
            && let Some(daemon) = self.launchd.daemon(context.lab(), process.spec())
        {
            self.launchd.ask_why(context, actor, daemon, pid);
        }
        let words = (!orderly && !explained).then(|| format!("{name} ended: {}", describe(status)));
        Some(Ended { name, words })
    }

    /// Takes in why a client died; returns what is to be said.
    pub(super) fn explained(
        &mut self,
        context: &Context,
        actor: Actor,
        death: Option<&Death>,
    ) -> Option<String> {
        let name = self.all.get(&actor).map_or("", LabProcess::name);
        self.launchd.explained(context, actor, name, death)
    }

    /// True when it is known of every dead client why it died, or that nobody will say.
    pub(super) fn all_explained(&self) -> bool {
        self.launchd.all_explained()
    }

    /// Ends a process for good.
    pub(super) fn kill(&mut self, actor: Actor, pid: u32) {
        end(pid);
        self.killed.insert(actor);
    }

    /// Ends all for good that have not ended.
    pub(super) fn kill_all(&mut self) {
        for process in self.all.values().filter(|process| !matches!(process.state(), State::Ended(_))) {
            end(process.pid());
            self.killed.insert(process.actor());
        }
    }

    /// Takes the clients away that launchd has, once all have ended.
    pub(super) fn take_daemons_away(&self, context: &Context) {
        self.launchd.take_away(context);
    }
}

/// An order that could not be given.
fn order_failure(name: &str, error: &FrameError) -> Failure {
    let what = format!("cannot talk to {name}");
    match error {
        FrameError::Io(error) => Failure::system(&what, error),
        error => Failure::new(FailureKind::Bug, format!("{what}: {error}")),
    }
}
