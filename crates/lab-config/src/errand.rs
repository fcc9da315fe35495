//! What a worker outside the clients does for each request: as written, as meant, and written out. Helpers, daemons and
//! faults have these fields, each beside others of its own.

use std::{fmt, ops::Range};

use lab_model::{Daemon, Errand, Service};

use crate::{
    diagnostic::Diagnostic,
    distribution::RawTime,
    read::{At, Field, Problems},
    scalar::{Bounded, RawSpawn},
    write::word,
};

/// What a worker does unless the lab file says otherwise.
pub(crate) const ERRAND: Errand = Errand { open: true, ..Errand::none() };

/// Declares a section that has the fields of an errand among its own, which say what a worker does for each request.
macro_rules! with_errand {
    ($(#[$about:meta])* $what:literal $name:ident { $($before:tt)* } then { $($after:tt)* }) => {
        $crate::read::records! {
            $(#[$about])*
            $what $name {
                $($before)*
                /// Opens the target by its path.
                open [default]: bool,
                /// Reads from start to end what it opens.
                read [default]: bool,
                /// Hashes what it reads (SHA-256); reads it for that.
                hash [default]: bool,
                /// Opens this many other files of the arena.
                extra_opens [default]: $crate::scalar::Bounded<0, 1_000>,
                /// Runs a program of the arena, after the opens.
                spawn [default]: $crate::scalar::RawSpawn,
                /// Lets this much time pass before it opens anything.
                delay [default]: $crate::distribution::RawTime,
                /// Keeps a processor busy this long for each request, after the delay.
                cpu [default]: $crate::distribution::RawTime,
                $($after)*
            }
        }
    };
}
pub(crate) use with_errand;

with_errand! {
    /// What a helper or a daemon does for each request: fields that are left out stay what they are.
    #[schemars(rename = "Errand")]
    "`errand`" RawErrand {
        /// Requests that a daemon works on at once, at most as many as its `workers`.
        workers [default]: Bounded<1, { Daemon::WORKERS_MAX as u64 }>,
    } then {}
}

/// The fields of an errand as they are written, whoever does it.
pub(crate) struct Written<'a> {
    pub(crate) place: &'a Range<usize>,
    pub(crate) open: &'a Field<bool>,
    pub(crate) read: &'a Field<bool>,
    pub(crate) hash: &'a Field<bool>,
    pub(crate) extra_opens: Option<u32>,
    pub(crate) spawn: &'a Field<RawSpawn>,
    pub(crate) delay: &'a Field<RawTime>,
    pub(crate) cpu: &'a Field<RawTime>,
}

impl Written<'_> {
    /// The errand: `base` with the written fields laid over it. It must do something, and can read only what it
    /// opens.
    pub(crate) fn resolve(&self, who: &str, base: Errand, problems: &mut Problems<'_>) -> Errand {
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
        $crate::errand::Written {
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
pub(crate) use written;

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

/// An errand as fields of a mapping on one line.
pub(crate) struct Doing<'a>(pub(crate) &'a Errand);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Errand { delay, cpu, open, read, hash, extra_opens, spawn } = *self.0;
        let spawn = word(RawSpawn(spawn));
        write!(f, "open: {open}, read: {read}, hash: {hash}, extra_opens: {extra_opens}, spawn: {spawn}, ")?;
        write!(f, "delay: {delay}, cpu: {cpu}")
    }
}
