//! How a client behaves: as written, as meant, and written out.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use lab_model::{
    AuthEvent, AuthEvents, Behavior, Cache, Concurrency, NotifyEvent, NotifyEvents, Preset, ReactTo, Reaction,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    daemons::{RawAskedDaemon, asked_daemons, write_asked},
    diagnostic::Diagnostic,
    distribution::RawTime,
    helpers::{RawHelpers, helpers, write_helpers},
    mute::{RawMute, mute, write_mute},
    reaction::{Deed, Flow, RawReaction, reaction},
    read::{At, Field, List, Problems, Read, records},
    scalar::{AnswerBy, Bounded},
    tree::{Node, Value},
    verdict::{RawVerdict, deny, write_verdict},
    write::word,
};

records! {
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
        /// allowed because `react_to` leaves it alone is not. The simulator keeps answers by the same rules.
        cache [default]: Cache,
        /// The share of the deadline after which the client answers without having finished, or `never`.
        answer_by_percent [default]: AnswerBy,
        /// Works this long on every event that sets it off, before its reaction.
        delay [default]: RawTime,
        /// Keeps a processor busy this long on every such event, after the delay. Where there are more busy
        /// workers than processors they take turns, and it takes longer; so they do in the simulator.
        cpu [default]: RawTime,
        /// What the client denies; the operation then fails with `EPERM`.
        verdict [default]: RawVerdict,
        /// The helper processes that it asks, after its own operations.
        helpers [default]: RawHelpers,
        /// The daemons that it asks, after its helpers. A list that is written replaces the one it overrides.
        daemons [default]: List<RawAskedDaemon>,
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

/// A behaviour: the preset it names, else `base`, with the written fields laid over it.
pub(crate) fn behavior(written: &RawBehavior, base: &Behavior, problems: &mut Problems<'_>) -> Behavior {
    let start = written.preset.value().map_or_else(|| base.clone(), |preset| preset.behavior());
    let notify =
        written.notify.value().map_or(start.notify, |list| list.items.iter().map(|at| at.value).collect());
    let on_notify = reaction(&written.on_notify, start.on_notify, problems);
    let mut reactions = start.reactions;
    for (event, reacts) in reactions.iter_mut() {
        let written = match event {
            AuthEvent::Open => &written.on_open,
            AuthEvent::Exec => &written.on_exec,
        };
        *reacts = reaction(written, *reacts, problems);
    }
    check_told(written, notify, on_notify, problems);
    Behavior {
        notify,
        on_notify,
        subscribe: written.subscribe.value().copied().unwrap_or(start.subscribe),
        concurrency: written
            .concurrency
            .value()
            .map_or(start.concurrency, |workers| Concurrency::new(workers.get())),
        reactions,
        react_to: written.react_to.value().copied().unwrap_or(start.react_to),
        ignore_es_clients: written.ignore_es_clients.value().copied().unwrap_or(start.ignore_es_clients),
        mute: mute(&written.mute, start.mute, problems),
        cache: written.cache.value().copied().unwrap_or(start.cache),
        answer_by_percent: written.answer_by_percent.value().map_or(start.answer_by_percent, |by| by.0),
        delay: written.delay.value().map_or(start.delay, |time| time.0),
        cpu: written.cpu.value().map_or(start.cpu, |time| time.0),
        deny: deny(&written.verdict, start.deny, problems),
        helpers: helpers(&written.helpers, start.helpers, problems),
        daemons: asked_daemons(&written.daemons, start.daemons, problems),
    }
}

/// Checks what is written of being told.
fn check_told(written: &RawBehavior, notify: NotifyEvents, on_notify: Reaction, problems: &mut Problems<'_>) {
    if let Some(at) = written.on_notify.value().and_then(|reaction| reaction.when.given()) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), "a reaction to a NOTIFY event is always after the operation")
                .label("a NOTIFY event has no answer that it could come before")
                .help("remove `when`");
        problems.add(diagnostic);
    }
    if let (Some(at), true, false) = (written.on_notify.given(), notify.is_empty(), on_notify.is_none()) {
        let diagnostic = Diagnostic::new(at.place.clone(), "nothing ever sets this reaction off")
            .label("the client subscribes to no NOTIFY event")
            .help("add for example `notify: [open]`");
        problems.add(diagnostic);
    }
    let unasked = written.subscribe.given().filter(|at| at.value == AuthEvents::NONE);
    if let (Some(at), true) = (unasked, notify.is_empty()) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), "a client that subscribes to nothing does nothing")
                .label("asked about nothing")
                .help("add for example `notify: [open]`, or write `subscribe: all`");
        problems.add(diagnostic);
    }
}

impl RawBehavior {
    /// The daemons that it asks, by name.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &At<String>> {
        let lists = self.daemons.value().into_iter().flat_map(|list| &list.items);
        lists.filter_map(|item| item.value.ask.given())
    }

    /// The processes that its mutes and rules name.
    pub(crate) fn named_processes(&self) -> impl Iterator<Item = &At<String>> {
        let muted = self.mute.value().and_then(|mute| mute.processes.value());
        let denied = self.verdict.value().and_then(|verdict| verdict.deny.value());
        let denied = denied.into_iter().flat_map(|rules| &rules.items);
        let denied = denied.filter_map(|rule| rule.value.process.given());
        muted.into_iter().flat_map(|list| &list.items).chain(denied)
    }
}

pub(crate) fn write_behavior(out: &mut String, behavior: &Behavior, indent: &str) -> fmt::Result {
    writeln!(out, "{indent}subscribe: {}", word(behavior.subscribe))?;
    let told: Vec<&str> = behavior.notify.iter().map(NotifyEvent::word).collect();
    writeln!(out, "{indent}notify: [{}]", told.join(", "))?;
    writeln!(out, "{indent}concurrency: {}", behavior.concurrency.get())?;
    for (event, reaction) in behavior.reactions.iter() {
        writeln!(out, "{indent}on_{}: {}", event.word(), Flow(reaction))?;
    }
    writeln!(out, "{indent}on_notify: {{ {} }}", Deed(&behavior.on_notify))?;
    writeln!(out, "{indent}react_to: {}", word(behavior.react_to))?;
    writeln!(out, "{indent}ignore_es_clients: {}", behavior.ignore_es_clients)?;
    write_mute(out, &behavior.mute, indent)?;
    writeln!(out, "{indent}cache: {}", word(behavior.cache))?;
    match behavior.answer_by_percent {
        Some(percent) => writeln!(out, "{indent}answer_by_percent: {percent}")?,
        None => writeln!(out, "{indent}answer_by_percent: never")?,
    }
    writeln!(out, "{indent}delay: {}", behavior.delay)?;
    writeln!(out, "{indent}cpu: {}", behavior.cpu)?;
    write_helpers(out, behavior.helpers.as_ref(), indent)?;
    write_asked(out, &behavior.daemons, indent)?;
    write_verdict(out, &behavior.deny, indent)
}

/// A behaviour as the fields of a lab file, each on a line that begins with `indent`.
pub(crate) fn behavior_to_yaml(behavior: &Behavior, indent: &str) -> String {
    let mut text = String::new();
    let written = write_behavior(&mut text, behavior, indent);
    debug_assert!(written.is_ok());
    text
}
