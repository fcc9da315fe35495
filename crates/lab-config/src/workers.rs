//! Workers outside the clients' processes: helpers of one client, and daemons that several ask.

use std::{collections::BTreeMap, ops::Range};

use lab_model::{AskedDaemon, AuthEvents, Client, ClientId, Daemon, Errand, Helpers, Service};

use crate::{
    Diagnostic,
    clients::{CLIENT_ID_BYTES_MAX, RESERVED_IDS},
    distribution::RawTime,
    nearest::nearest,
    raw::{RawAskedDaemon, RawDaemon, RawErrand, RawHelpers, RawLab},
    read::{At, Field, List, Problems},
    resolve::{auth_events, mended_word, written_behaviors},
    scalar::RawSpawn,
    tree::shortened,
};

/// What a worker does unless the lab file says otherwise.
const ERRAND: Errand = Errand { open: true, ..Errand::none() };

/// The fields of an errand as they are written, whoever does it.
struct Written<'a> {
    place: &'a Range<usize>,
    open: &'a Field<bool>,
    read: &'a Field<bool>,
    hash: &'a Field<bool>,
    extra_opens: Option<u32>,
    spawn: &'a Field<RawSpawn>,
    delay: &'a Field<RawTime>,
    cpu: &'a Field<RawTime>,
}

impl Written<'_> {
    /// The errand: `base` with the written fields laid over it. It must do something, and can read only what it
    /// opens.
    fn resolve(&self, who: &str, base: Errand, problems: &mut Problems<'_>) -> Errand {
        let unread = self.read.value() == Some(&false);
        let hash = self.hash.value().copied().unwrap_or(base.hash && !unread);
        let errand = Errand {
            delay: self.delay.value().map_or(base.delay, |time| time.0),
            cpu: self.cpu.value().map_or(base.cpu, |time| time.0),
            open: self.open.value().copied().unwrap_or(base.open),
            read: hash || self.read.value().copied().unwrap_or(base.read),
            hash,
            extra_opens: self.extra_opens.unwrap_or(base.extra_opens),
            spawn: self.spawn.value().map_or(base.spawn, |spawn| spawn.0),
        };
        if errand.is_none() {
            let diagnostic = Diagnostic::new(self.place.clone(), format!("{who} that does nothing"))
                .label("nothing is left for it to do")
                .help("write `open: true`, `extra_opens: 1`, or a `delay` or `cpu` above 0s");
            problems.add(diagnostic);
        }
        let wanted = [self.read.given(), self.hash.given()].into_iter().flatten().find(|at| at.value);
        if let (true, false, Some(At { place, .. })) = (!errand.is_none(), errand.opens(), wanted) {
            let diagnostic = Diagnostic::new(place.clone(), format!("{who} that opens nothing cannot read"))
                .label("needs `open: true` or `extra_opens`")
                .help("add `open: true` or `extra_opens: 1`, or remove `read` and `hash`");
            problems.add(diagnostic);
        }
        if let (true, true, Some(at)) = (hash, unread, self.hash.given()) {
            let diagnostic = Diagnostic::new(at.place.clone(), "content that is not read cannot be hashed")
                .label("needs `read: true`")
                .help("remove `read: false` or `hash: true`");
            problems.add(diagnostic);
        }
        let read = errand.read && errand.opens();
        Errand { read, hash: hash && read, ..errand }
    }
}

/// The fields of an errand as they are written: three sections have them, each beside others of its own.
macro_rules! written {
    ($at:ident) => {
        Written {
            place: &$at.place,
            open: &$at.value.open,
            read: &$at.value.read,
            hash: &$at.value.hash,
            extra_opens: $at.value.extra_opens.value().map(|opens| opens.get()),
            spawn: &$at.value.spawn,
            delay: &$at.value.delay,
            cpu: &$at.value.cpu,
        }
    };
}

/// The helpers of a behaviour: `base` with the written fields laid over it; `None` for none.
pub(crate) fn helpers(
    field: &Field<RawHelpers>,
    base: Option<Helpers>,
    problems: &mut Problems<'_>,
) -> Option<Helpers> {
    let Some(at) = field.given() else { return base };
    let raw = &at.value;
    let base = base.unwrap_or(Helpers { count: 1, errand: ERRAND, on: AuthEvents::ALL, wait: true });
    let count = raw.count.value().map_or(base.count, |count| count.get());
    if count == 0 {
        return None;
    }
    let errand = written!(at).resolve("a helper", base.errand, problems);
    Some(Helpers {
        count,
        errand,
        on: auth_events(&raw.on, base.on, problems),
        wait: raw.wait.value().copied().unwrap_or(base.wait),
    })
}

/// How the worker `on` serves under a fault: `base` with the written fields laid over it. It has no more threads than
/// it was started with.
pub(crate) fn service(
    at: &At<RawErrand>,
    on: &str,
    base: Service,
    problems: &mut Problems<'_>,
) -> Option<Service> {
    let raw = &at.value;
    let errand = written!(at).resolve("a worker", base.errand, problems);
    let Some(workers) = raw.workers.given() else { return Some(Service { errand, ..base }) };
    let count = workers.value.get();
    if count <= base.workers {
        return Some(Service { errand, workers: count });
    }
    let message = match base.workers {
        1 => format!("{on} works on one request at a time"),
        most => format!("{on} works on at most {most} requests at once"),
    };
    let diagnostic = Diagnostic::new(workers.place.clone(), message)
        .label("more than it has threads for")
        .help("give a daemon more `workers` to begin with, or a client more helpers; a fault can only lower that");
    problems.add(diagnostic);
    None
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

/// Checks that every daemon that is asked exists, and that every one that exists is asked.
pub(crate) fn check_asked(raw: &RawLab, daemons: &[Daemon], clients: &[Client], problems: &mut Problems<'_>) {
    let known: Vec<&str> = daemons.iter().map(|daemon| daemon.id.as_str()).collect();
    let lists = written_behaviors(raw).filter_map(|written| written.daemons.value());
    let asks = lists.flat_map(|list| &list.items).filter_map(|item| item.value.ask.given());
    let mut all_known = true;
    for at in asks.filter(|at| !known.contains(&at.value.as_str())) {
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
    let written = raw.daemons.value().map(|list| &list.items);
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
