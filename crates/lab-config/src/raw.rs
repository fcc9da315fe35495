//! The lab file as it is written, apart from the model: what may be left out is a [`Field`].
//!
//! The documentation of the fields is the JSON Schema's and the text of `lab explain`, so it is written for
//! the person who writes a lab file.

use std::borrow::Cow;

use lab_model::{
    AuthEvents, BackendChoice, Cache, Daemon, Helpers, NotifyEvent, Preset, ReactTo, Span, Via, When,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    distribution::RawTime,
    external::RawExternal,
    faults::RawFault,
    loads::RawWorkload,
    read::{At, Field, List, Problems, Read, records},
    scalar::{AnswerBy, Bounded, RawSpawn, SchemaVersion},
    tree::{Node, Value},
};

/// The most clients that a lab file can ask for; the machine allows fewer.
const CLIENTS_MAX: usize = 9_999;

records! {
    /// A lab: N clients under N bundle IDs, what drives them, and what must hold.
    #[schemars(rename = "Lab")]
    "the lab file" RawLab {
        /// The version of this format.
        #[expect(dead_code, reason = "there is one version, and reading checked it")]
        schema: SchemaVersion,
        /// The lab's name: 1 to 64 lower-case letters, digits and hyphens. The run store's folder is named so.
        #[schemars(extend("pattern" = "^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$"))]
        name: String,
        /// What the lab shows, in a sentence or two.
        about [default]: String,
        /// The seed of everything that is drawn. The same seed draws the same.
        #[schemars(extend("default" = 42))]
        seed [default]: Bounded<0, { u64::MAX }>,
        /// The kernel to run on.
        #[schemars(extend("default" = "auto"))]
        backend [default]: BackendChoice,
        /// How long a client may take to answer. The warden kills a client that is later, where the kernel
        /// does not.
        #[schemars(extend("default" = "5s"))]
        deadline [default]: Span,
        /// What every client starts from.
        defaults [default]: RawDefaults,
        /// The clients: a list, or `{ count: N }` for N alike.
        clients: RawClients,
        /// The daemons that clients ask: indirect workers, which act for several clients and cannot say for whom.
        daemons [default]: List<RawDaemon>,
        /// Products under test that the lab did not build and that take part beside its clients.
        external [default]: List<RawExternal>,
        /// How long each phase of a run lasts.
        phases [default]: RawPhases,
        /// What drives the lab: at least one load. All of them run at the same time.
        #[schemars(extend("minItems" = 1))]
        workload: List<RawWorkload>,
        /// What is done to the lab while it runs. A fault whose time never comes fails the run.
        faults [default]: List<RawFault>,
        /// What must hold for exit code 0.
        expect [default]: List<RawExpectation>,
        /// Limits that keep the lab from harming its machine.
        safety [default]: RawSafety,
    }

    /// What every client starts from.
    #[schemars(rename = "Defaults")]
    "`defaults`" RawDefaults {
        /// The behaviour of every client that does not say otherwise: a preset, or its fields.
        behavior [default]: BehaviorEntry,
    }

    /// One client: one process that answers AUTH events, in a bundle of its own.
    #[schemars(rename = "Client")]
    "a client" RawClient {
        /// The client's name in this lab: 1 to 32 lower-case letters, digits and hyphens, a letter first.
        #[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"))]
        id: String,
        /// The bundle's reverse-DNS name, distinct from every other client's. Left out, it is
        /// `org.eslab.<lab>.<id>`.
        #[schemars(extend(
            "pattern" = "^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$",
            "maxLength" = 155
        ))]
        bundle_id [default]: String,
        /// What the client does: a preset, or fields that override those of `defaults`.
        behavior [default]: BehaviorEntry,
        /// After any death it is started again, so long after it: a new process under the same bundle ID that has
        /// kept no answer. Left out, it stays dead.
        restart [default]: Span,
    }

    /// A daemon: a process that clients ask over a socket, and that belongs to none of them. What it opens, every
    /// client is asked about, those that asked it included, and nothing in the event says who did.
    #[schemars(rename = "Daemon")]
    "a daemon" RawDaemon {
        /// The daemon's name in this lab, distinct from every client's: 1 to 32 lower-case letters, digits and
        /// hyphens, a letter first.
        #[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"))]
        id: String,
        /// Requests that it works on at once; each takes a thread.
        #[schemars(extend("default" = 1))]
        workers [default]: Bounded<1, { Daemon::WORKERS_MAX as u64 }>,
        /// Opens the target by its path.
        #[schemars(extend("default" = true))]
        open [default]: bool,
        /// Reads from start to end what it opens.
        #[schemars(extend("default" = false))]
        read [default]: bool,
        /// Hashes what it reads (SHA-256); reads it for that.
        #[schemars(extend("default" = false))]
        hash [default]: bool,
        /// Opens this many other files of the arena.
        #[schemars(extend("default" = 0))]
        extra_opens [default]: Bounded<0, 1_000>,
        /// Runs a program of the arena, after the opens.
        #[schemars(extend("default" = "none"))]
        spawn [default]: RawSpawn,
        /// Lets this much time pass before it opens anything.
        #[schemars(extend("default" = "0s"))]
        delay [default]: RawTime,
        /// Keeps a processor busy this long for each request, after the delay.
        #[schemars(extend("default" = "0s"))]
        cpu [default]: RawTime,
    }

    /// A client's direct workers: processes that it starts from inside its bundle and asks about every event that
    /// sets it off. They are not the client's process: it is asked about what they do, and to other clients they
    /// look like anybody.
    #[schemars(rename = "Helpers")]
    "`helpers`" RawHelpers {
        /// How many; each does one request at a time, and a request goes to one of them. None with 0.
        count [default]: Bounded<0, { Helpers::COUNT_MAX as u64 }>,
        /// Opens the target by its path.
        open [default]: bool,
        /// Reads from start to end what it opens.
        read [default]: bool,
        /// Hashes what it reads (SHA-256); reads it for that.
        hash [default]: bool,
        /// Opens this many other files of the arena.
        extra_opens [default]: Bounded<0, 1_000>,
        /// Runs a program of the arena, after the opens.
        spawn [default]: RawSpawn,
        /// Lets this much time pass before it opens anything.
        delay [default]: RawTime,
        /// Keeps a processor busy this long for each request, after the delay.
        cpu [default]: RawTime,
        /// Which events they are asked about.
        on [default]: AuthEvents,
        /// The client's worker waits for the reply. With `when: before` the subject then waits for it, too.
        wait [default]: bool,
    }

    /// A daemon that the client asks about every event that sets it off, after its helpers.
    #[schemars(rename = "AskedDaemon")]
    "a request" RawAskedDaemon {
        /// Which daemon, by its `id`.
        ask: String,
        /// Which events it is asked about.
        #[schemars(extend("default" = "all"))]
        on [default]: AuthEvents,
        /// The client's worker waits for the reply. With `when: before` the subject then waits for it, too.
        #[schemars(extend("default" = true))]
        wait [default]: bool,
    }

    /// N clients that are alike, named `client-01` and so on.
    #[schemars(rename = "ClientCount")]
    "`clients`" RawClientCount {
        /// How many.
        count: Bounded<1, { CLIENTS_MAX as u64 }>,
        /// What their names begin with.
        #[schemars(extend("default" = "client", "pattern" = "^[a-z][a-z0-9-]*$"))]
        prefix [default]: String,
        /// What they do: a preset, or fields that override those of `defaults`.
        behavior [default]: BehaviorEntry,
        /// After any death each is started again, so long after it. Left out, it stays dead.
        restart [default]: Span,
    }

    /// How a client behaves. A field that is left out comes from `preset`, or, without one, from `defaults`.
    #[schemars(rename = "Behavior")]
    "a behavior" RawBehavior {
        /// The preset to start from.
        preset [default]: Preset,
        /// Which events the client is asked about.
        subscribe [default]: AuthEvents,
        /// Which events the client is told of after they have happened. Nobody waits for it, so it costs the others
        /// next to nothing and decides nothing. Endpoint Security tells of all of these. fanotify tells of no
        /// `fork` and `exit`, and merges what one thread does on one file while it lies unread. A list that is written replaces the one it overrides.
        notify [default]: List<NotifyEvent>,
        /// Decisions worked on at once; 1 is one event at a time.
        concurrency [default]: Bounded<1, 256>,
        /// The reaction to an AUTH open.
        on_open [default]: RawReaction,
        /// The reaction to an AUTH exec.
        on_exec [default]: RawReaction,
        /// The reaction to a NOTIFY event. NOTIFY arrives after the operation, so there is no `when`. Of the other fields only `react_to`,
        /// `ignore_es_clients`, `mute` and `concurrency` apply to it.
        on_notify [default]: RawReaction,
        /// Which processes' events this client reacts to.
        react_to [default]: ReactTo,
        /// Allows at once what another client does, as Santa does with `is_es_client`; the report counts
        /// these answers apart. What a helper or a daemon does for that client is not recognised.
        ignore_es_clients [default]: bool,
        /// What it does not want to decide about.
        mute [default]: RawMute,
        /// Whether the kernel keeps the client's answers. Only what its rule has allowed is kept; what is
        /// allowed because `react_to` leaves it alone is not. The simulator asks every time.
        cache [default]: Cache,
        /// The share of the deadline after which the client answers without having finished, or `never`.
        answer_by_percent [default]: AnswerBy,
        /// Works this long on every event that sets it off, before its reaction.
        delay [default]: RawTime,
        /// Keeps a processor busy this long on every such event, after the delay. Where there are more busy
        /// workers than processors they take turns, and it takes longer; the simulator only lets the time pass.
        cpu [default]: RawTime,
        /// What the client denies; the operation then fails with `EPERM`.
        verdict [default]: RawVerdict,
        /// The helper processes that it asks, after its own operations.
        helpers [default]: RawHelpers,
        /// The daemons that it asks, after its helpers. A list that is written replaces the one it overrides.
        daemons [default]: List<RawAskedDaemon>,
    }

    /// What a client denies. It allows everything else.
    #[schemars(rename = "Verdict")]
    "`verdict`" RawVerdict {
        /// The rules; one that fits is enough. A list that is written replaces the one it overrides.
        deny [default]: List<RawDenyRule>,
    }

    /// Denies an event that fits everything the rule names, and it names something. Never anything of the client's
    /// own process.
    #[schemars(rename = "DenyRule", extend("anyOf" = [
        { "required": ["path"] },
        { "required": ["process"] },
        { "required": ["signing_id"] },
        { "required": ["team_id"] },
    ]))]
    "a rule" RawDenyRule {
        /// A file, or a folder with all below it, relative to the arena. A worker finds the path out before the
        /// answer; one that cannot be told is allowed.
        path [default]: String,
        /// A client by its ID, its helpers as `ID/helpers`, a daemon or a product of `external` by its ID, or
        /// `workload` for all that is no client's. Without a path, denied at once.
        process [default]: String,
        /// The signing ID of the program that an exec runs, whole. Endpoint Security only: no other kernel says who
        /// signed a program. A worker looks before the answer.
        #[schemars(length(min = 1, max = 255))]
        signing_id [default]: String,
        /// The team ID of that program's signature. Ad hoc and platform code has none, and fits no team.
        #[schemars(length(min = 1, max = 255))]
        team_id [default]: String,
        /// Which events. With `signing_id` or `team_id` it is `exec`, and need not be written.
        #[schemars(extend("default" = "all"))]
        on [default]: AuthEvents,
    }

    /// What a client does not want to decide about. A list that is written replaces the one it overrides.
    #[schemars(rename = "Mute")]
    "`mute`" RawMute {
        /// What its own helpers do is allowed at once.
        helpers [default]: bool,
        /// Files and folders of the arena, relative to it; a folder stands for all below it, as it is when the
        /// mute is set. The kernel hides what happens to them: the client's trace has none of it.
        paths [default]: List<String>,
        /// Clients by their ID, another client's helpers as `ID/helpers`, daemons and products of `external` by their
        /// ID, or `workload` for all that is no client's: what they do is allowed at once. A product's new thread is
        /// known within a tenth of a second.
        processes [default]: List<String>,
    }

    /// What a client does when an event sets it off.
    #[schemars(rename = "Reaction")]
    "a reaction" RawReaction {
        /// Opens the target again, by path.
        reopen [default]: bool,
        /// Reads the target from start to end, and the other files that it opens.
        read [default]: bool,
        /// Hashes what it reads with SHA-256, so it reads. Real work for a processor.
        hash [default]: bool,
        /// How it gets at the target's content: `path` reads what it has reopened, `descriptor` reads what came
        /// with the event and takes the place of `reopen`.
        via [default]: Via,
        /// Opens this many other files of the arena.
        extra_opens [default]: Bounded<0, 1_000>,
        /// Runs this program of the arena once, after the opens, and waits for its end. To the other clients what
        /// it does is the workload's, so two clients that do this on execs or opens never come to rest; to this
        /// client it is a helper's.
        spawn [default]: RawSpawn,
        /// Before the answer, while the subject waits, or after it.
        when [default]: When,
    }

    /// How long each phase lasts, one after the other; `0s` leaves one out.
    #[schemars(rename = "Phases")]
    "`phases`" RawPhases {
        /// The workload without any client: what an operation costs by itself.
        #[schemars(extend("default" = "1s"))]
        baseline [default]: Span,
        /// The workload with all clients answering at once: what being asked costs.
        #[schemars(extend("default" = "1s"))]
        control [default]: Span,
        /// The control again, beside the products of `external`: what those cost. Left out, it lasts as long
        /// as the control in a lab with such products.
        external [default]: Span,
        /// The workload with the clients as the lab file has them; longer than zero.
        #[schemars(extend("default" = "3s"))]
        storm [default]: Span,
        /// No workload: does it calm down? The longest wait for it.
        #[schemars(extend("default" = "5s"))]
        drain [default]: Span,
    }

    /// What a helper or a daemon does for each request: fields that are left out stay what they are.
    #[schemars(rename = "Errand")]
    "`errand`" RawErrand {
        /// Requests that a daemon works on at once, at most as many as its `workers`.
        workers [default]: Bounded<1, { Daemon::WORKERS_MAX as u64 }>,
        /// Opens the target by its path.
        open [default]: bool,
        /// Reads from start to end what it opens.
        read [default]: bool,
        /// Hashes what it reads (SHA-256); reads it for that.
        hash [default]: bool,
        /// Opens this many other files of the arena.
        extra_opens [default]: Bounded<0, 1_000>,
        /// Runs a program of the arena, after the opens.
        spawn [default]: RawSpawn,
        /// Lets this much time pass before it opens anything.
        delay [default]: RawTime,
        /// Keeps a processor busy this long for each request, after the delay.
        cpu [default]: RawTime,
    }

    /// A condition in its long form; exactly one of `text` and `sometimes`.
    #[schemars(
        rename = "LongExpectation",
        extend("oneOf" = [{ "required": ["text"] }, { "required": ["sometimes"] }])
    )]
    "an expectation" RawLongExpectation {
        /// A condition that has to hold at the end of the run.
        text [default]: String,
        /// A condition that has to hold at some time in the run, else the lab proved nothing.
        sometimes [default]: String,
        /// Ends the run as soon as the condition no longer holds.
        #[schemars(extend("default" = false))]
        abort [default]: bool,
        /// How long into the storm an aborting condition is first looked at.
        #[schemars(extend("default" = "0s"))]
        after [default]: Span,
    }

    /// Limits that keep the lab from harming its machine.
    #[schemars(rename = "Safety")]
    "`safety`" RawSafety {
        /// The most a single trace file may grow to, in bytes; what comes after is counted as lost.
        #[schemars(extend("default" = 4_294_967_296_u64))]
        trace_bytes_max [default]: Bounded<{ 1 << 20 }, { 1 << 40 }>,
        /// The size of the arena's file system, in bytes.
        #[schemars(extend("default" = 268_435_456))]
        arena_bytes_max [default]: Bounded<{ 1 << 20 }, { 1 << 40 }>,
        /// The longest a whole run may take before the warden ends it. A run that is cut short fails: exit code 1.
        #[schemars(extend("default" = "10m"))]
        run_max [default]: Span,
        /// The baseline ends early after this many operations: they are cheap, and each one is recorded.
        #[schemars(extend("default" = 200_000))]
        baseline_operations_max [default]: Bounded<1, { u64::MAX }>,
    }
}

/// A behaviour as it may be written: a preset's name, or a mapping.
#[derive(Clone, Debug)]
pub(crate) struct BehaviorEntry(pub(crate) RawBehavior);

impl Read for BehaviorEntry {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<BehaviorEntry> {
        match &node.value {
            Value::Map(_) => RawBehavior::read(node, problems).map(BehaviorEntry),
            Value::Text(_) => At::read(node, problems).map(|preset| {
                BehaviorEntry(RawBehavior {
                    preset: Field::Given(preset),
                    subscribe: Field::Absent,
                    notify: Field::Absent,
                    on_notify: Field::Absent,
                    verdict: Field::Absent,
                    concurrency: Field::Absent,
                    on_open: Field::Absent,
                    on_exec: Field::Absent,
                    react_to: Field::Absent,
                    ignore_es_clients: Field::Absent,
                    mute: Field::Absent,
                    cache: Field::Absent,
                    answer_by_percent: Field::Absent,
                    delay: Field::Absent,
                    cpu: Field::Absent,
                    helpers: Field::Absent,
                    daemons: Field::Absent,
                })
            }),
            _ => {
                problems.wrong_type(node, "a preset or a mapping", "`scanner`, or `{ preset: scanner }`");
                None
            }
        }
    }
}

impl JsonSchema for BehaviorEntry {
    fn schema_name() -> Cow<'static, str> {
        "BehaviorEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let preset = generator.subschema_for::<Preset>();
        let fields = generator.subschema_for::<RawBehavior>();
        json_schema!({
            "description": "How a client behaves: the name of a preset, or a mapping of its fields.",
            "anyOf": [preset, fields]
        })
    }
}

/// The clients as they may be written: a list, or how many.
#[derive(Clone, Debug)]
pub(crate) enum RawClients {
    List(List<RawClient>),
    Count(Box<RawClientCount>),
}

impl Read for RawClients {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawClients> {
        match &node.value {
            Value::List(nodes) => Some(RawClients::List(List::of(nodes, CLIENTS_MAX, problems))),
            Value::Map(_) => {
                RawClientCount::read(node, problems).map(|count| RawClients::Count(count.into()))
            }
            _ => {
                problems.wrong_type(
                    node,
                    "a list of clients or how many",
                    "`- { id: alpha }`, or `clients: { count: 3 }`",
                );
                None
            }
        }
    }
}

impl JsonSchema for RawClients {
    fn schema_name() -> Cow<'static, str> {
        "Clients".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let client = generator.subschema_for::<RawClient>();
        let count = generator.subschema_for::<RawClientCount>();
        json_schema!({
            "description": "The clients: a list, or `{ count: N }` for N alike.",
            "anyOf": [{ "type": "array", "minItems": 1, "maxItems": CLIENTS_MAX, "items": client }, count]
        })
    }
}

/// An expectation as it may be written: the condition, or its long form.
#[derive(Clone, Debug)]
pub(crate) enum RawExpectation {
    Short(String),
    Long(RawLongExpectation),
}

impl Read for RawExpectation {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawExpectation> {
        match &node.value {
            Value::Text(text) => Some(RawExpectation::Short(text.clone())),
            Value::Map(_) => RawLongExpectation::read(node, problems).map(RawExpectation::Long),
            _ => {
                problems.wrong_type(node, "a condition", "`deadline.misses == 0`");
                None
            }
        }
    }
}

impl JsonSchema for RawExpectation {
    fn schema_name() -> Cow<'static, str> {
        "Expectation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<RawLongExpectation>();
        json_schema!({
            "description": "A condition on the run's report: a metric, a comparison and a value, such as \
                `headroom.p01 > 50%`; or its long form.",
            "anyOf": [{ "type": "string", "examples": ["deadline.misses == 0", "headroom.p01 > 50%"] }, long]
        })
    }
}
