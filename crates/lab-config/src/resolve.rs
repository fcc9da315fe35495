//! From the lab file as written to the lab as it runs: defaults filled in, rules across fields checked.

use std::ops::Range;

use lab_model::{
    AuthEvent, AuthEvents, BackendChoice, Behavior, Concurrency, DenyRule, Helpers, Lab, Mute, NotifyEvents,
    Phases, Reaction, Safety, Signature, Span, Via,
};

use crate::{
    Beside, Diagnostic, Limits,
    clients::clients,
    expectations::expectations,
    external::externals,
    faults::faults,
    loads::{knee_holds, workloads},
    nearest::nearest,
    raw::{
        BehaviorEntry, RawBehavior, RawClients, RawDenyRule, RawLab, RawMute, RawPhases, RawReaction,
        RawSafety,
    },
    read::{At, Field, List, Problems},
    sizes,
    tree::shortened,
    workers,
};

/// The longest name of a lab, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The longest a single phase may last: a day.
const PHASE_MAX: Span = Span::from_secs(86_400);

/// Resolves a lab; `None` when there are mistakes, all of which are then in `problems`.
pub(crate) fn resolve(
    raw: &RawLab,
    limits: &Limits,
    beside: &Beside<'_>,
    problems: &mut Problems<'_>,
) -> Option<Lab> {
    let name = raw.name.given().and_then(|name| lab_name(name, problems));
    let defaults = raw.defaults.value().and_then(|defaults| defaults.behavior.value());
    let base = match defaults {
        Some(BehaviorEntry(written)) => behavior(written, &Behavior::noop(), problems),
        None => Behavior::noop(),
    };
    let clients = clients(&raw.clients, name.as_deref(), &base, limits, problems);
    let safety = safety(raw.safety.value(), problems);
    let run_max = raw.safety.value().and_then(|safety| safety.run_max.given());
    let phases = phases(
        &raw.phases,
        !matches!(raw.external, Field::Absent),
        &safety,
        run_max.map(|at| &at.place),
        problems,
    );
    let workload = workloads(&raw.workload, &safety, beside, problems);
    let client_ids = clients
        .as_ref()
        .map(|clients| clients.iter().map(|client| client.id.as_str().to_owned()).collect::<Vec<String>>());
    let daemons = workers::daemons(&raw.daemons, client_ids.as_deref(), problems);
    let taken = client_ids.iter().flatten().cloned();
    let taken: Vec<String> =
        taken.chain(daemons.iter().flatten().map(|daemon| daemon.id.to_string())).collect();
    let external = externals(&raw.external, &taken, problems);
    if let (Some(ids), Some(daemons)) = (&client_ids, &daemons) {
        let products = external.iter().flatten().map(|product| product.id.as_str());
        let others: Vec<&str> = daemons.iter().map(|daemon| daemon.id.as_str()).chain(products).collect();
        check_processes(raw, ids, &others, problems);
        workers::check_asked(raw, daemons, clients.as_deref().unwrap_or_default(), problems);
    }
    let faults = match (&clients, &daemons) {
        (Some(clients), Some(daemons)) => faults(&raw.faults, (clients, daemons), &phases, problems),
        _ => Vec::new(),
    };
    let hold = knee_holds(raw, client_ids.as_deref(), problems);
    let expect = expectations(&raw.expect, client_ids.as_deref(), problems);
    let deadline = deadline(&raw.deadline, problems);
    let lab = Lab {
        name: name?,
        about: raw.about.value().cloned().unwrap_or_default(),
        seed: raw.seed.value().map_or(42, |seed| seed.0),
        backend: raw.backend.value().copied().unwrap_or(BackendChoice::Auto),
        deadline,
        clients: clients?,
        daemons: daemons?,
        external: external?,
        faults,
        hold,
        phases,
        workload,
        expect,
        safety,
    };
    // What is wrong in its parts is said first.
    if problems.found.is_empty() {
        let place = |at: Option<Range<usize>>| at.unwrap_or_default();
        let loads = place(raw.workload.given().map(|at| at.place.clone()));
        let clients = place(raw.clients.given().map(|at| at.place.clone()));
        sizes::check(&lab, loads, clients, problems);
    }
    Some(lab)
}

fn lab_name(name: &At<String>, problems: &mut Problems<'_>) -> Option<String> {
    let text = name.value.as_str();
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.chars().all(valid)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if good {
        return Some(text.to_owned());
    }
    let diagnostic =
        Diagnostic::new(name.place.clone(), format!("`{}` cannot be a lab's name", shortened(text)))
            .label("expected 1 to 64 lower-case letters, digits and hyphens");
    problems.add(match mended_word(text, NAME_BYTES_MAX) {
        Some(mended) => diagnostic.help(format!("write `{mended}`")),
        None => diagnostic.help("the run store's folder and the bundle IDs are named so"),
    });
    None
}

/// The nearest text of lower-case letters, digits and hyphens that begins with a letter.
pub(crate) fn mended_word(text: &str, bytes_max: usize) -> Option<String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mended: String = text.to_lowercase().chars().map(|c| if valid(c) { c } else { '-' }).collect();
    let start = mended.find(|c: char| c.is_ascii_lowercase())?;
    let mended = mended[start..].trim_end_matches('-');
    (mended.len() <= bytes_max).then(|| mended.to_owned())
}

fn deadline(field: &Field<Span>, problems: &mut Problems<'_>) -> Span {
    const DEADLINE: Span = Span::from_secs(5);
    let Some(at) = field.given() else { return DEADLINE };
    if at.value.is_zero() || at.value > PHASE_MAX {
        let diagnostic =
            Diagnostic::new(at.place.clone(), format!("a deadline of {} is no deadline", at.value))
                .label("expected more than 0s and at most 24h")
                .help("macOS gives a client up to a minute; the lab's default is `5s`");
        problems.add(diagnostic);
    }
    at.value
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
        deny: match written.verdict.value().and_then(|verdict| verdict.deny.value()) {
            Some(rules) => rules.items.iter().filter_map(|rule| deny_rule(rule, problems)).collect(),
            None => start.deny,
        },
        helpers: workers::helpers(&written.helpers, start.helpers, problems),
        daemons: workers::asked_daemons(&written.daemons, start.daemons, problems),
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

/// Which AUTH events something is about: `base` when it is not written, and never none.
pub(crate) fn auth_events(
    field: &Field<AuthEvents>,
    base: AuthEvents,
    problems: &mut Problems<'_>,
) -> AuthEvents {
    let Some(at) = field.given() else { return base };
    if at.value == AuthEvents::NONE {
        let diagnostic = Diagnostic::new(at.place.clone(), "what is about no event is never used")
            .label("expected `all`, `open` or `exec`")
            .help("remove it, or write for example `on: open`");
        problems.add(diagnostic);
    }
    at.value
}

/// All behaviours as they are written.
pub(crate) fn written_behaviors(raw: &RawLab) -> impl Iterator<Item = &RawBehavior> {
    let of_defaults = raw.defaults.value().and_then(|defaults| defaults.behavior.value());
    let mut behaviors: Vec<&BehaviorEntry> = of_defaults.into_iter().collect();
    match raw.clients.value() {
        Some(RawClients::List(list)) => {
            behaviors.extend(list.items.iter().filter_map(|client| client.value.behavior.value()));
        }
        Some(RawClients::Count(count)) => behaviors.extend(count.behavior.value()),
        None => {}
    }
    let faults = raw.faults.value().into_iter().flat_map(|faults| &faults.items);
    behaviors.extend(faults.filter_map(|fault| fault.value.behave.value()?.set.value()));
    behaviors.into_iter().map(|BehaviorEntry(written)| written)
}

/// Checks that every process which a behaviour names is one of the lab's.
fn check_processes(raw: &RawLab, clients: &[String], others: &[&str], problems: &mut Problems<'_>) {
    let helpers: Vec<String> = clients.iter().map(|id| format!("{id}{}", Helpers::SUFFIX)).collect();
    let words: Vec<&str> = clients
        .iter()
        .chain(&helpers)
        .map(String::as_str)
        .chain(others.iter().copied())
        .chain([Mute::WORKLOAD])
        .collect();
    let named = written_behaviors(raw).flat_map(|written| {
        let muted = written.mute.value().and_then(|mute| mute.processes.value());
        let denied = written.verdict.value().and_then(|verdict| verdict.deny.value());
        let denied = denied.into_iter().flat_map(|rules| &rules.items);
        let denied = denied.filter_map(|rule| rule.value.process.given());
        muted.into_iter().flat_map(|list| &list.items).chain(denied)
    });
    for at in named.filter(|at| !words.contains(&at.value.as_str())) {
        let text = at.value.as_str();
        let diagnostic = Diagnostic::new(
            at.place.clone(),
            format!("`{}` is no process of this lab", shortened(text)),
        )
        .help(
            "write the ID of a client, daemon or product, `ID/helpers`, or `workload` for all that is no client's",
        );
        problems.add(match nearest(text, words.iter().copied()) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic.label("no such process"),
        });
    }
}

fn deny_rule(rule: &At<RawDenyRule>, problems: &mut Problems<'_>) -> Option<DenyRule> {
    let RawDenyRule { path, process, signing_id, team_id, on } = &rule.value;
    if [path, process, signing_id, team_id].iter().all(|field| matches!(field, Field::Absent)) {
        let diagnostic = Diagnostic::new(rule.place.clone(), "a rule names what it denies")
            .label("expected `path`, `process`, `signing_id` or `team_id`")
            .help("write for example `{ path: files }`");
        problems.add(diagnostic);
        return None;
    }
    if let Some(at) = path.given() {
        check_path(at, problems);
    }
    let signature = signature(signing_id, team_id, problems);
    let every = if signature.is_some() { AuthEvents::of(AuthEvent::Exec) } else { AuthEvents::ALL };
    if let Some(at) =
        on.given().filter(|at| signature.is_some() && at.value != AuthEvents::of(AuthEvent::Exec))
    {
        let diagnostic = Diagnostic::new(at.place.clone(), "a rule about a signature fits execs only")
            .label("an open runs no program")
            .help("write `on: exec`, or leave it out");
        problems.add(diagnostic);
        return None;
    }
    let on = auth_events(on, every, problems);
    Some(DenyRule { path: path.value().cloned(), process: process.value().cloned(), signature, on })
}

fn signature(
    signing_id: &Field<String>,
    team_id: &Field<String>,
    problems: &mut Problems<'_>,
) -> Option<Signature> {
    const BYTES_MAX: usize = 255;
    let mut name = |field: &Field<String>, what: &str| {
        let at = field.given()?;
        if at.value.is_empty() || at.value.len() > BYTES_MAX || at.value.contains(char::is_control) {
            let message = format!("`{}` is no {what}", shortened(&at.value));
            let label = format!("expected 1 to {BYTES_MAX} bytes, none of them a control character");
            problems.add(Diagnostic::new(at.place.clone(), message).label(label));
        }
        Some(at.value.clone())
    };
    let signing_id = name(signing_id, "signing ID");
    let team_id = name(team_id, "team ID");
    (signing_id.is_some() || team_id.is_some()).then_some(Signature { signing_id, team_id })
}

fn mute(field: &Field<RawMute>, base: Mute, problems: &mut Problems<'_>) -> Mute {
    let Some(written) = field.value() else { return base };
    for path in written.paths.value().into_iter().flat_map(|list| &list.items) {
        check_path(path, problems);
    }
    let texts = |field: &Field<List<String>>, base| {
        field.value().map_or(base, |list| list.items.iter().map(|at| at.value.clone()).collect())
    };
    Mute {
        helpers: written.helpers.value().copied().unwrap_or(base.helpers),
        paths: texts(&written.paths, base.paths),
        processes: texts(&written.processes, base.processes),
    }
}

/// A reaction: `base` with the written fields laid over it. Of `reopen` and `via: descriptor`, each of which
/// takes the other's place, the one that is written wins over the one that is inherited.
fn reaction(field: &Field<RawReaction>, base: Reaction, problems: &mut Problems<'_>) -> Reaction {
    let Some(written) = field.value() else { return base };
    let by_descriptor = written.via.given().filter(|at| at.value == Via::Descriptor);
    let reopened = written.reopen.given().filter(|at| at.value);
    if let (Some(descriptor), Some(reopened)) = (by_descriptor, reopened) {
        let message = "a target that is read through the event's descriptor is not reopened";
        let diagnostic = Diagnostic::new(descriptor.place.clone(), message)
            .label("takes the place of `reopen`")
            .related(reopened.place.clone(), "reopened here")
            .help("remove `reopen: true`, or write `via: path`");
        problems.add(diagnostic);
    }
    let inherited = if reopened.is_some() { Via::Path } else { base.via };
    let via = written.via.value().copied().unwrap_or(inherited);
    let reopen = via == Via::Path && written.reopen.value().copied().unwrap_or(base.reopen);
    let readable = reopen || via == Via::Descriptor;
    let unread = matches!(written.read.value(), Some(false));
    let hash = written.hash.value().copied().unwrap_or(base.hash && !unread);
    if let (true, true, Some(at)) = (hash, unread, written.hash.given()) {
        let diagnostic = Diagnostic::new(at.place.clone(), "content that is not read cannot be hashed")
            .label("needs `read: true`, which is the default with it")
            .help("remove `read: false` or `hash: true`");
        problems.add(diagnostic);
    }
    let read = hash || written.read.value().copied().unwrap_or(base.read);
    let asked = [written.read.given(), written.hash.given()].into_iter().flatten().find(|at| at.value);
    if let (false, Some(At { place, .. })) = (readable, asked) {
        let diagnostic = Diagnostic::new(place.clone(), "a target that is not reopened cannot be read")
            .label("needs `reopen: true` or `via: descriptor`")
            .help("add `reopen: true` or `via: descriptor`, or remove `read` and `hash`");
        problems.add(diagnostic);
    }
    Reaction {
        reopen,
        read: read && readable,
        hash: hash && readable,
        via,
        extra_opens: written.extra_opens.value().map_or(base.extra_opens, |opens| opens.get()),
        spawn: written.spawn.value().map_or(base.spawn, |spawn| spawn.0),
        when: written.when.value().copied().unwrap_or(base.when),
    }
}

/// The phases; without any of them written, the place of `run_max` is that of a run too long for it.
fn phases(
    field: &Field<RawPhases>,
    beside_products: bool,
    safety: &Safety,
    run_max_place: Option<&Range<usize>>,
    problems: &mut Problems<'_>,
) -> Phases {
    let raw = field.value();
    let mut span = |written: Option<&Field<Span>>, default: Span| {
        let Some(at) = written.and_then(Field::given) else { return default };
        if at.value > PHASE_MAX {
            let diagnostic =
                Diagnostic::new(at.place.clone(), format!("a phase of {} is too long", at.value))
                    .label("at most 24h");
            problems.add(diagnostic);
        }
        at.value
    };
    let control = span(raw.map(|raw| &raw.control), Span::from_secs(1));
    let phases = Phases {
        baseline: span(raw.map(|raw| &raw.baseline), Span::from_secs(1)),
        control,
        external: span(raw.map(|raw| &raw.external), if beside_products { control } else { Span::default() }),
        storm: span(raw.map(|raw| &raw.storm), Span::from_secs(3)),
        drain: span(raw.map(|raw| &raw.drain), Span::from_secs(5)),
    };
    if let (true, Some(at)) = (phases.storm.is_zero(), raw.and_then(|raw| raw.storm.given())) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), "the storm is the experiment: it cannot be left out")
                .label("expected more than 0s")
                .help("write for example `storm: 3s`");
        problems.add(diagnostic);
    }
    let beside = raw.and_then(|raw| raw.external.given()).filter(|at| !at.value.is_zero());
    if let (false, Some(at)) = (beside_products, beside) {
        let message = "there is no product for the clients to run beside";
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("the lab has no `external`")
            .help("name the product under `external`, or leave this phase out");
        problems.add(diagnostic);
    }
    let total = phases.iter().map(|phase| phase.span.nanos()).fold(0, u64::saturating_add);
    let place = field.given().map(|at| &at.place).or(run_max_place);
    if let (true, Some(place)) = (total > safety.run_max.nanos(), place) {
        let total = Span::from_nanos(total);
        let message = format!("the phases take {total}, a run at most {}", safety.run_max);
        let diagnostic = Diagnostic::new(place.clone(), message)
            .label("longer than `safety.run_max`")
            .help("shorten the phases, or raise `run_max` under `safety`");
        problems.add(diagnostic);
    }
    phases
}

/// What keeps a path from staying below a folder: it has to be relative and of plain names only.
pub(crate) fn path_mistake(path: &str) -> Option<&'static str> {
    const BYTES_MAX: usize = 255;
    Some(if path.starts_with('/') {
        "an absolute path"
    } else if path.split('/').any(|part| part == "..") {
        "`..` leads out of it"
    } else if path.is_empty() || path.split('/').any(|part| part.is_empty() || part == ".") {
        "expected plain names joined by `/`"
    } else if path.len() > BYTES_MAX {
        "longer than 255 bytes"
    } else if path.contains(char::is_control) {
        "control characters are not allowed"
    } else {
        return None;
    })
}

/// Checks that a path stays in the arena.
pub(crate) fn check_path(at: &At<String>, problems: &mut Problems<'_>) {
    let path = at.value.as_str();
    let Some(why) = path_mistake(path) else { return };
    let message = match why {
        "an absolute path" | "`..` leads out of it" => format!("`{}` leaves the arena", shortened(path)),
        _ => format!("`{}` is not a path", shortened(path)),
    };
    let diagnostic = Diagnostic::new(at.place.clone(), message)
        .label(why)
        .help("write a path below the arena, such as `files` or `files/deep`");
    problems.add(diagnostic);
}

fn safety(raw: Option<&RawSafety>, problems: &mut Problems<'_>) -> Safety {
    let default = Safety::default();
    let Some(raw) = raw else { return default };
    if let Some(at) = raw.run_max.given().filter(|at| at.value.is_zero() || at.value > PHASE_MAX) {
        let diagnostic =
            Diagnostic::new(at.place.clone(), format!("a run cannot be limited to {}", at.value))
                .label("expected more than 0s and at most 24h");
        problems.add(diagnostic);
    }
    Safety {
        trace_bytes_max: raw.trace_bytes_max.value().map_or(default.trace_bytes_max, |max| max.0),
        arena_bytes_max: raw.arena_bytes_max.value().map_or(default.arena_bytes_max, |max| max.0),
        run_max: raw.run_max.value().copied().unwrap_or(default.run_max),
        baseline_operations_max: raw
            .baseline_operations_max
            .value()
            .map_or(default.baseline_operations_max, |max| max.0),
    }
}
