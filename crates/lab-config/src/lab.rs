//! The lab file as a whole: its sections, each of which a file beside this one reads and writes, the rules across them,
//! and the lab written out.
//!
//! What may be left out is a [`Field`]. The documentation of the fields is the JSON Schema's and the text of `lab
//! explain`, so it is written for the person who writes a lab file.

use std::{
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{BackendChoice, Behavior, Helpers, Lab, Mute, Span};

use crate::{
    behavior::{BehaviorEntry, RawBehavior, behavior},
    checks::mended_word,
    clients::{RawClients, clients, write_client},
    daemons::{RawDaemon, check_asked, daemons, write_daemons},
    diagnostic::Diagnostic,
    expectations::{RawExpectation, expectations, write_expectations},
    external::{RawExternal, externals, write_external},
    faults::{RawFault, faults, write_fault},
    limits::{Beside, Limits},
    loads::{RawWorkload, knee_holds, workloads, write_workload},
    nearest::nearest,
    phases::{RawPhases, phases, write_phases},
    read::{At, Field, List, Problems, records},
    safety::{PHASE_MAX, RawSafety, safety, write_safety},
    scalar::{Bounded, SchemaVersion},
    sizes,
    tree::shortened,
    write::Scalar,
};

/// The longest name of a lab, in bytes.
const NAME_BYTES_MAX: usize = 64;

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
}

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
    let daemons = daemons(&raw.daemons, client_ids.as_deref(), problems);
    let taken = client_ids.iter().flatten().cloned();
    let taken: Vec<String> =
        taken.chain(daemons.iter().flatten().map(|daemon| daemon.id.to_string())).collect();
    let external = externals(&raw.external, &taken, problems);
    if let (Some(ids), Some(daemons)) = (&client_ids, &daemons) {
        let products = external.iter().flatten().map(|product| product.id.as_str());
        let others: Vec<&str> = daemons.iter().map(|daemon| daemon.id.as_str()).chain(products).collect();
        check_processes(raw, ids, &others, problems);
        let asked: Vec<&At<String>> = written_behaviors(raw).flat_map(RawBehavior::asked).collect();
        check_asked(&raw.daemons, &asked, daemons, clients.as_deref().unwrap_or_default(), problems);
    }
    let faults = match (&clients, &daemons) {
        (Some(clients), Some(daemons)) => faults(&raw.faults, clients, daemons, &phases, problems),
        _ => Vec::new(),
    };
    let hold = knee_holds(&raw.workload, client_ids.as_deref(), problems);
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
        sizes::check(&lab, &to_yaml(&lab), loads, clients, problems);
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

/// All behaviours as they are written.
fn written_behaviors(raw: &RawLab) -> impl Iterator<Item = &RawBehavior> {
    let defaults = raw.defaults.value().and_then(|defaults| defaults.behavior.value());
    let defaults = defaults.map(|BehaviorEntry(written)| written);
    let clients = raw.clients.value().map(RawClients::behaviors).unwrap_or_default();
    let faults = raw.faults.value().into_iter().flat_map(|faults| &faults.items);
    let faults = faults.filter_map(|fault| fault.value.behavior());
    defaults.into_iter().chain(clients).chain(faults)
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
    let named = written_behaviors(raw).flat_map(RawBehavior::named_processes);
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

/// The lab as a lab file with every default written out; reads back as the same lab.
#[must_use]
pub fn to_yaml(lab: &Lab) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let written = write_lab(&mut text, lab);
    debug_assert!(written.is_ok());
    text
}

fn write_lab(out: &mut String, lab: &Lab) -> fmt::Result {
    writeln!(out, "# The lab as it ran: every default is written out.")?;
    writeln!(out, "schema: 1")?;
    writeln!(out, "name: {}", Scalar(&lab.name))?;
    writeln!(out, "about: {}", Scalar(&lab.about))?;
    writeln!(out, "seed: {}", lab.seed)?;
    writeln!(out, "backend: {}", lab.backend.name())?;
    writeln!(out, "deadline: {}", lab.deadline)?;
    writeln!(out, "clients:")?;
    for client in &lab.clients {
        write_client(out, client)?;
    }
    write_daemons(out, &lab.daemons)?;
    if !lab.external.is_empty() {
        writeln!(out, "external:")?;
    }
    for external in &lab.external {
        write_external(out, external)?;
    }
    write_phases(out, &lab.phases, !lab.external.is_empty())?;
    writeln!(out, "workload:")?;
    for workload in &lab.workload {
        write_workload(out, workload, &lab.hold)?;
    }
    if !lab.faults.is_empty() {
        writeln!(out, "faults:")?;
    }
    for fault in &lab.faults {
        write_fault(out, fault)?;
    }
    write_expectations(out, &lab.expect)?;
    write_safety(out, &lab.safety)
}
