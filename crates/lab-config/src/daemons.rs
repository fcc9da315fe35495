//! The daemons of a lab, and which of them a client asks: as written, as meant, and written out.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{AskedDaemon, AuthEvents, Client, ClientId, Daemon};

use crate::{
    checks::{CLIENT_ID_BYTES_MAX, RESERVED_IDS, auth_events, mended_word},
    diagnostic::Diagnostic,
    distribution::RawTime,
    errand::{Doing, ERRAND, written},
    nearest::nearest,
    read::{At, Field, List, Problems, records},
    scalar::{Bounded, RawSpawn},
    tree::shortened,
    write::{Scalar, word},
};

records! {
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
}

/// The daemons that a behaviour asks; whether they exist is checked by [`check_asked`].
pub(crate) fn asked_daemons(
    field: &Field<List<RawAskedDaemon>>,
    base: Vec<AskedDaemon>,
    problems: &mut Problems<'_>,
) -> Vec<AskedDaemon> {
    let Some(list) = field.given() else { return base };
    let items = &list.value.items;
    if items.len() > AskedDaemon::COUNT_MAX {
        let message = format!("a client asks at most {} daemons", AskedDaemon::COUNT_MAX);
        problems
            .add(Diagnostic::new(list.place.clone(), message).label(format!("{} are asked", items.len())));
    }
    let mut seen: BTreeMap<&str, Range<usize>> = BTreeMap::new();
    let mut asked = Vec::new();
    for item in items {
        let Some(ask) = item.value.ask.given() else { continue };
        if let Some(first) = seen.insert(&ask.value, ask.place.clone()) {
            let message = format!("`{}` is asked twice", shortened(&ask.value));
            let diagnostic = Diagnostic::new(ask.place.clone(), message)
                .label("asked again here")
                .related(first, "first asked here")
                .help("ask each daemon once; it can open more with `extra_opens`");
            problems.add(diagnostic);
            continue;
        }
        // A name that is none has been told of where the daemon should be, or is told of as unknown.
        let Ok(daemon) = ask.value.parse() else { continue };
        asked.push(AskedDaemon {
            daemon,
            on: auth_events(&item.value.on, AuthEvents::ALL, problems),
            wait: item.value.wait.value().copied().unwrap_or(true),
        });
    }
    asked
}

/// The daemons of the lab, when all of them are good.
pub(crate) fn daemons(
    field: &Field<List<RawDaemon>>,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Option<Vec<Daemon>> {
    let list = match field {
        Field::Absent => return Some(Vec::new()),
        Field::Bad => return None,
        Field::Given(list) => &list.value,
    };
    let mut seen = BTreeMap::new();
    let daemons: Vec<Option<Daemon>> = list
        .items
        .iter()
        .map(|at| {
            let raw = &at.value;
            let id = raw.id.given().and_then(|id| daemon_id(id, clients, &mut seen, problems));
            let errand = written!(at).resolve("a daemon", ERRAND, problems);
            Some(Daemon { id: id?, workers: raw.workers.value().map_or(1, |workers| workers.get()), errand })
        })
        .collect();
    if list.complete { daemons.into_iter().collect() } else { None }
}

fn daemon_id(
    written: &At<String>,
    clients: Option<&[String]>,
    seen: &mut BTreeMap<String, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<ClientId> {
    let (text, place) = (&written.value, written.place.clone());
    let taken = clients.into_iter().flatten().any(|id| id == text);
    let reserved = RESERVED_IDS.contains(&text.as_str());
    if taken || reserved {
        let why = if taken { "a client has this ID" } else { "the reports use this word for something else" };
        let diagnostic = Diagnostic::new(place, format!("no daemon can be named `{text}`"))
            .label(why)
            .help("choose another name, such as `indexer`");
        problems.add(diagnostic);
        return None;
    }
    let Ok(id) = text.parse::<ClientId>() else {
        let diagnostic = Diagnostic::new(place, format!("`{}` is not a daemon's ID", shortened(text)))
            .label("expected 1 to 32 lower-case letters, digits and hyphens, a letter first");
        problems.add(match mended_word(text, CLIENT_ID_BYTES_MAX) {
            Some(mended) => diagnostic.help(format!("write `{mended}`")),
            None => diagnostic.help("write for example `indexer`"),
        });
        return None;
    };
    if let Some(first) = seen.get(text) {
        let diagnostic = Diagnostic::new(place, format!("two daemons have the ID `{text}`"))
            .label("used again here")
            .related(first.clone(), "first used here")
            .help("give each daemon an ID of its own");
        problems.add(diagnostic);
        return None;
    }
    seen.insert(text.clone(), place);
    Some(id)
}

/// Checks that every daemon that is asked, by the names that are written, exists, and that every one that exists is asked.
pub(crate) fn check_asked(
    field: &Field<List<RawDaemon>>,
    asked: &[&At<String>],
    daemons: &[Daemon],
    clients: &[Client],
    problems: &mut Problems<'_>,
) {
    let known: Vec<&str> = daemons.iter().map(|daemon| daemon.id.as_str()).collect();
    let mut all_known = true;
    for at in asked.iter().filter(|at| !known.contains(&at.value.as_str())) {
        all_known = false;
        let text = at.value.as_str();
        let diagnostic =
            Diagnostic::new(at.place.clone(), format!("the lab has no daemon `{}`", shortened(text)));
        problems.add(match nearest(text, known.iter().copied()) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic
                .label("no such daemon")
                .help(format!("add `daemons: [{{ id: {} }}]` at the top level", shortened(text))),
        });
    }
    // One that is asked under a wrong name would be told of twice.
    let written = field.value().map(|list| &list.items);
    for at in written.into_iter().flatten().filter(|_| all_known) {
        let Some(id) = at.value.id.given() else { continue };
        let mut asked = clients.iter().flat_map(|client| &client.behavior.daemons);
        if !asked.any(|asked| asked.daemon.as_str() == id.value) {
            let diagnostic =
                Diagnostic::new(id.place.clone(), format!("no client asks the daemon `{}`", id.value))
                    .label("nobody uses it")
                    .help(format!(
                        "add `daemons: [{{ ask: {} }}]` to a client's behavior, or remove it",
                        id.value
                    ));
            problems.add(diagnostic);
        }
    }
}

/// Writes the daemons as a section of the lab file; nothing when there is none.
pub(crate) fn write_daemons(out: &mut String, daemons: &[Daemon]) -> fmt::Result {
    if !daemons.is_empty() {
        writeln!(out, "daemons:")?;
    }
    for Daemon { id, workers, errand } in daemons {
        writeln!(out, "  - {{ id: {}, workers: {workers}, {} }}", Scalar(id.as_str()), Doing(errand))?;
    }
    Ok(())
}

/// Writes whom a client asks as the field of its behaviour.
pub(crate) fn write_asked(out: &mut String, asked: &[AskedDaemon], indent: &str) -> fmt::Result {
    let asked = asked.iter().map(|AskedDaemon { daemon, on, wait }| {
        format!("{{ ask: {}, on: {}, wait: {wait} }}", Scalar(daemon.as_str()), word(*on))
    });
    let asked: Vec<String> = asked.collect();
    writeln!(out, "{indent}daemons: [{}]", asked.join(", "))
}
