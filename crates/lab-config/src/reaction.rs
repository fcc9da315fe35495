//! What a client does when an event sets it off: as written, as meant, and written out.

use std::fmt;

use lab_model::{Reaction, Via, When};

use crate::{
    diagnostic::Diagnostic,
    read::{At, Field, Problems, records},
    scalar::{Bounded, RawSpawn},
    write::word,
};

records! {
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
}

/// A reaction: `base` with the written fields laid over it. Of `reopen` and `via: descriptor`, each of which
/// takes the other's place, the one that is written wins over the one that is inherited.
pub(crate) fn reaction(field: &Field<RawReaction>, base: Reaction, problems: &mut Problems<'_>) -> Reaction {
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

/// A reaction as a mapping on one line.
pub(crate) struct Flow<'a>(pub(crate) &'a Reaction);

impl fmt::Display for Flow<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: When = self.0.when;
        write!(f, "{{ {}, when: {} }}", Deed(self.0), word(when))
    }
}

/// What a reaction does, as fields of a mapping on one line.
pub(crate) struct Deed<'a>(pub(crate) &'a Reaction);

impl fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reaction { reopen, read, hash, via, extra_opens, spawn, when: _ } = *self.0;
        let (via, spawn) = (word(via), word(RawSpawn(spawn)));
        write!(f, "reopen: {reopen}, read: {read}, hash: {hash}, via: {via}, ")?;
        write!(f, "extra_opens: {extra_opens}, spawn: {spawn}")
    }
}
