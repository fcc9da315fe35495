//! Who took part: traces matched to the lab's clients, and the columns of the cause matrix.

use std::collections::BTreeMap;

use lab_model::{
    Actor, AuthEvent, Cache, External, FIRST_EXTERNAL, Helpers, Lab, Mute, ReactTo, Reaction, Role, When,
    units::counted,
};
use lab_trace::Trace;

use crate::findings::{CauseColumn, ColumnKind};

/// The column of the workload.
pub(crate) const WORKLOAD: u16 = 0;

/// One process of the run.
#[derive(Clone, Debug)]
pub(crate) struct Participant {
    /// Its name in reports: a client's ID, `driver`, `orchestrator`.
    pub(crate) name: String,
    /// What tells its trace from the other ones of that name: `alpha.2` for a client's second process.
    pub(crate) label: String,
    /// What it is there for.
    pub(crate) role: Role,
    /// The client it is, as a place in [`Roster::clients`].
    pub(crate) client: Option<u16>,
    /// The client whose helper it is, as a place in [`Roster::clients`].
    pub(crate) serves: Option<u16>,
    /// The group of workers outside the clients that it belongs to: place N is client N's helpers, and the daemons
    /// follow the clients.
    pub(crate) group: Option<u16>,
    /// The column of the cause matrix that its operations fall into.
    pub(crate) column: u16,
}

/// One client of the lab.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) bundle_id: String,
    pub(crate) behavior: BTreeMap<String, String>,
    pub(crate) workers: usize,
    /// The groups of workers that it waits for on an open and on an exec, as bits.
    pub(crate) waits: [u128; 2],
}

/// All participants.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    /// One for each trace, in the order of the traces.
    pub(crate) participants: Vec<Participant>,
    /// The lab file's clients in its order, then clients that only a trace knows.
    pub(crate) clients: Vec<Member>,
    /// Workload, clients, other traced processes, products, external, unexplained.
    pub(crate) columns: Vec<CauseColumn>,
    /// How many of the columns are products', the last before `external`.
    pub(crate) products: usize,
    product_names: Vec<String>,
    by_actor: BTreeMap<u16, u16>,
    /// How many requests each group of workers outside the clients works on at once.
    pub(crate) servers: Vec<usize>,
    /// What was odd about the traces' identities.
    pub(crate) remarks: Vec<String>,
}

impl Roster {
    /// The traces of a client, as their places.
    pub(crate) fn traces_of(&self, client: usize) -> impl Iterator<Item = usize> {
        let participants = self.participants.iter().enumerate();
        participants
            .filter(move |(_, participant)| participant.client.map(usize::from) == Some(client))
            .map(|(trace, _)| trace)
    }

    pub(crate) fn new(lab: &Lab, traces: &[Trace<'_>]) -> Roster {
        let mut roster = Roster {
            participants: Vec::with_capacity(traces.len()),
            clients: lab.clients.iter().map(Member::of).collect(),
            columns: Vec::new(),
            products: lab.external.len(),
            product_names: lab.external.iter().map(|product| product.id.to_string()).collect(),
            by_actor: BTreeMap::new(),
            servers: Vec::new(),
            remarks: Vec::new(),
        };
        roster.name_clients(traces);
        roster.columns.push(CauseColumn::new("workload", ColumnKind::Workload));
        for member in &roster.clients {
            let client = Some(member.id.clone());
            roster.columns.push(CauseColumn { client, ..CauseColumn::new(&member.id, ColumnKind::Client) });
        }
        roster.find_helpers(traces);
        roster.group_workers(lab);
        roster.place_others();
        for name in &roster.product_names {
            roster.columns.push(CauseColumn::new(name, ColumnKind::External));
        }
        roster.columns.push(CauseColumn::new("external", ColumnKind::External));
        roster.columns.push(CauseColumn::new("unexplained", ColumnKind::Unexplained));
        roster
    }

    fn name_clients(&mut self, traces: &[Trace<'_>]) {
        let only_choice = self.only_choice(traces);
        for (place, trace) in (0_u16..).zip(traces) {
            let header = &trace.header;
            let name = &header.identity.name;
            let unnamed = is_unnamed(trace);
            let (role, actor) = (header.role, header.actor.0);
            let client =
                matches!(role, Role::Client | Role::External).then(|| match (unnamed, only_choice) {
                    (false, _) => self.client_of(name.clone()),
                    (true, Some(client)) => client,
                    (true, None) => self.client_of(format!("unnamed-{actor}")),
                });
            let name = match client {
                Some(client) => self.clients[usize::from(client)].id.clone(),
                None if unnamed => format!("{}-{actor}", role_name(role)),
                None => name.clone(),
            };
            if unnamed {
                self.remarks.push(format!(
                    "The trace of process number {actor} does not say whose it is (damaged metadata); it is taken for \"{name}\"."
                ));
            }
            // Two traces of one number are never admitted.
            self.by_actor.entry(actor).or_insert(place);
            let before = self.participants.iter().filter(|other| other.name == name && other.role == role);
            let label = match before.count() {
                0 => name.clone(),
                earlier => format!("{name}.{}", earlier.saturating_add(1)),
            };
            self.participants.push(Participant {
                name,
                label,
                role,
                client,
                serves: None,
                group: None,
                column: WORKLOAD,
            });
        }
    }

    /// The client that the only unnamed trace of a client must be, if every other client has a trace.
    fn only_choice(&self, traces: &[Trace<'_>]) -> Option<u16> {
        let clients = || traces.iter().filter(|trace| trace.header.role == Role::Client);
        if clients().filter(|trace| is_unnamed(trace)).count() != 1 {
            return None;
        }
        let named = |id: &str| clients().any(|trace| !is_unnamed(trace) && trace.header.identity.name == id);
        let mut left = (0_u16..).zip(&self.clients).filter(|(_, member)| !named(&member.id));
        let choice = left.next()?.0;
        left.next().is_none().then_some(choice)
    }

    /// The client with this name, added if the lab does not know it.
    fn client_of(&mut self, name: String) -> u16 {
        let known = self.clients.iter().position(|member| member.id == name);
        let place = known.unwrap_or_else(|| {
            self.clients.push(Member::unknown(name));
            self.clients.len().saturating_sub(1)
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// Finds out whose helpers the helpers are: the settings in their traces name the client.
    fn find_helpers(&mut self, traces: &[Trace<'_>]) {
        for (place, trace) in traces.iter().enumerate().filter(|(_, trace)| trace.header.role == Role::Helper)
        {
            let actor = trace.header.identity.settings.get("client").and_then(serde_json::Value::as_u64);
            let client = actor.and_then(|actor| self.trace_of(u16::try_from(actor).ok()?));
            self.participants[place].serves =
                client.and_then(|client| self.participants[usize::from(client)].client);
        }
    }

    /// Who works for whom outside the clients, and which client waits for it.
    fn group_workers(&mut self, lab: &Lab) {
        let clients = self.clients.len();
        let of_daemon = |name: &str| lab.daemons.iter().position(|daemon| daemon.id.as_str() == name);
        let bit = |group: usize| 1_u128.checked_shl(u32::try_from(group).unwrap_or(u32::MAX)).unwrap_or(0);
        self.servers = vec![0; clients.saturating_add(lab.daemons.len())];
        for (place, daemon) in lab.daemons.iter().enumerate() {
            self.servers[clients.saturating_add(place)] = usize::from(daemon.workers);
        }
        for (place, client) in lab.clients.iter().enumerate() {
            let behavior = &client.behavior;
            let helpers = behavior.helpers.filter(|helpers| helpers.wait);
            self.servers[place] = behavior.helpers.map_or(0, |helpers| usize::from(helpers.count));
            for (&event, waits) in AuthEvent::ALL.iter().zip(&mut self.clients[place].waits) {
                let helped = helpers.is_some_and(|helpers| helpers.on.contains(event.into()));
                let asked =
                    behavior.daemons.iter().filter(|asked| asked.wait && asked.on.contains(event.into()));
                let asked = asked.filter_map(|asked| of_daemon(asked.daemon.as_str()));
                *waits = asked.fold(if helped { bit(place) } else { 0 }, |bits, daemon| {
                    bits | bit(clients.saturating_add(daemon))
                });
            }
        }
        for participant in &mut self.participants {
            let group = match participant.role {
                Role::Helper => participant.serves.map(usize::from),
                Role::Daemon => of_daemon(&participant.name).map(|daemon| clients.saturating_add(daemon)),
                _ => None,
            };
            participant.group = group.and_then(|group| u16::try_from(group).ok());
        }
    }

    fn place_others(&mut self) {
        for place in 0..self.participants.len() {
            let participant = &self.participants[place];
            let column = match (participant.client, participant.role) {
                (Some(client), _) => client.saturating_add(1),
                (None, Role::Driver) => WORKLOAD,
                (None, role) => {
                    let client =
                        participant.serves.map(|client| self.clients[usize::from(client)].id.clone());
                    let name = match &client {
                        Some(client) => format!("{client}'s helpers"),
                        None => participant.name.clone(),
                    };
                    let kind = match role {
                        Role::Helper => ColumnKind::Helper,
                        Role::Daemon => ColumnKind::Daemon,
                        Role::Orchestrator | Role::Client | Role::Driver | Role::External => {
                            ColumnKind::External
                        }
                    };
                    let known = self.columns.iter().position(|column| column.name == name);
                    let place = known.unwrap_or_else(|| {
                        self.columns.push(CauseColumn { client, ..CauseColumn::new(&name, kind) });
                        self.columns.len().saturating_sub(1)
                    });
                    u16::try_from(place).unwrap_or(WORKLOAD)
                }
            };
            self.participants[place].column = column;
        }
    }

    /// The trace of the process with this number.
    pub(crate) fn trace_of(&self, actor: u16) -> Option<u16> {
        self.by_actor.get(&actor).copied()
    }

    /// The name of the process with this number.
    pub(crate) fn name_of(&self, actor: u16) -> String {
        match self.trace_of(actor) {
            Some(trace) => self.participants[usize::from(trace)].name.clone(),
            None if actor == 0 => "orchestrator".into(),
            None if actor >= FIRST_EXTERNAL => {
                let product = self.product_names.get(usize::from(actor.saturating_sub(FIRST_EXTERNAL)));
                product.cloned().unwrap_or_else(|| "lab".into())
            }
            None => format!("process {actor}"),
        }
    }

    /// Every process by the names that lab files call it by.
    pub(crate) fn names(&self) -> Vec<(String, Actor)> {
        let traced = self.by_actor.iter().map(|(&actor, &trace)| {
            let participant = &self.participants[usize::from(trace)];
            let name = match participant.serves {
                Some(client) => format!("{}{}", self.clients[usize::from(client)].id, Helpers::SUFFIX),
                None => participant.name.clone(),
            };
            (name, Actor(actor))
        });
        let products = self.product_names.iter().enumerate();
        traced.chain(products.map(|(place, name)| (name.clone(), External::actor(place)))).collect()
    }

    /// The column of decisions about processes outside the lab.
    pub(crate) fn external(&self) -> usize {
        self.columns.len().saturating_sub(2)
    }

    /// The column of decisions that nothing accounts for.
    pub(crate) fn unexplained(&self) -> usize {
        self.columns.len().saturating_sub(1)
    }
}

/// True when a trace does not say whose it is.
fn is_unnamed(trace: &Trace<'_>) -> bool {
    !trace.metadata_whole || trace.header.identity.name.is_empty()
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Orchestrator => "orchestrator",
        Role::Client => "client",
        Role::Driver => "driver",
        Role::Helper => "helper",
        Role::Daemon => "daemon",
        Role::External => "external",
    }
}

impl Member {
    fn of(client: &lab_model::Client) -> Member {
        let behavior = &client.behavior;
        let mut switches = BTreeMap::new();
        let mut put = |name: &str, value: String| switches.insert(name.to_owned(), value);
        put("concurrency", behavior.concurrency.get().to_string());
        for (event, reacts) in behavior.reactions.iter() {
            put(&format!("on_{}", event.word()), reaction(reacts));
        }
        put(
            "react_to",
            match behavior.react_to {
                ReactTo::Workload => "workload",
                ReactTo::Peers => "peers",
                ReactTo::Own => "self",
                ReactTo::All => "all",
            }
            .into(),
        );
        put("ignore_es_clients", behavior.ignore_es_clients.to_string());
        let Mute { helpers, paths, processes } = &behavior.mute;
        let helpers = helpers.then(|| "its helpers".to_owned());
        let muted: Vec<String> = helpers.into_iter().chain(paths.clone()).chain(processes.clone()).collect();
        put("mute", if muted.is_empty() { "nothing".into() } else { muted.join(", ") });
        put("cache", if behavior.cache == Cache::On { "on" } else { "off" }.into());
        let rule = |rule: &lab_model::DenyRule| {
            let signature = rule.signature.as_ref();
            let of = |name: Option<&String>, called: &str| name.map(|name| format!("{called}{name}"));
            let names = [
                of(rule.path.as_ref(), ""),
                of(rule.process.as_ref(), "by "),
                of(signature.and_then(|signature| signature.signing_id.as_ref()), "signed as "),
                of(signature.and_then(|signature| signature.team_id.as_ref()), "signed by "),
            ];
            names.into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        let denied: Vec<String> = behavior.deny.iter().map(rule).collect();
        put("deny", if denied.is_empty() { "nothing".into() } else { denied.join(", ") });
        put("subscribe", behavior.subscribe.to_string());
        let told: Vec<&str> = behavior.notify.iter().map(lab_model::NotifyEvent::word).collect();
        put("notify", if told.is_empty() { "nothing".into() } else { told.join(", ") });
        put("on_notify", deed(&behavior.on_notify));
        let answer_by = behavior.answer_by_percent.map(|percent| format!("{percent}% of the deadline"));
        put("answer_by", answer_by.unwrap_or_else(|| "never".into()));
        put("cpu", behavior.cpu.to_string());
        put("delay", behavior.delay.to_string());
        Member {
            id: client.id.to_string(),
            bundle_id: client.bundle_id.to_string(),
            behavior: switches,
            workers: usize::from(behavior.concurrency.get()),
            waits: [0; 2],
        }
    }

    fn unknown(id: String) -> Member {
        Member { id, bundle_id: String::new(), behavior: BTreeMap::new(), workers: 1, waits: [0; 2] }
    }
}

fn reaction(reaction: &Reaction) -> String {
    let when = match reaction.when {
        _ if reaction.is_none() => return deed(reaction),
        When::Before => "before the answer",
        When::After => "after the answer",
    };
    format!("{}, {when}", deed(reaction))
}

/// What a reaction does, whenever that is.
fn deed(reaction: &Reaction) -> String {
    if reaction.is_none() {
        return "nothing".into();
    }
    let content = if reaction.hash { "hash" } else { "read" };
    let mut parts = Vec::new();
    if reaction.reopen {
        parts
            .push(format!("reopen{}", if reaction.read { format!(" and {content}") } else { String::new() }));
    }
    if reaction.inspects() {
        parts.push(format!("{content} through the event's descriptor"));
    }
    if reaction.extra_opens > 0 {
        parts.push(counted(reaction.extra_opens.into(), "more open"));
    }
    if let Some(program) = reaction.spawn {
        parts.push(format!("run a {} program", format!("{program:?}").to_lowercase()));
    }
    parts.join(" and ")
}
