//! The paths of files, from whichever trace named them.

use std::rc::Rc;

use lab_model::Lab;
use lab_trace::{Target, Trace};

use crate::{
    pass::{merge::Merge, slots::Table},
    show::path,
};

/// The files of which a path is remembered for traces that do not have it.
const KNOWN_MAX: usize = 65_536;

/// A file, by its inode and device.
type File = (u64, u32);

/// What is known of the paths of files.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The trace that named a file and the path's number there.
    pub(crate) known: Table<File, (u16, u32)>,
    /// As text, kept where somebody mutes paths.
    texts: Table<File, Rc<str>>,
    wanted: bool,
}

impl Paths {
    pub(super) fn of(lab: &Lab) -> Paths {
        let mut behaviors = lab.clients.iter().flat_map(|client| lab.behaviors_of(client));
        let wanted = behaviors.any(|behavior| !behavior.mute.paths.is_empty());
        Paths { known: Table::default(), texts: Table::default(), wanted }
    }

    /// Remembers that a trace names a file.
    pub(super) fn learn(&mut self, trace: u16, target: &Target) {
        if target.path != 0 && self.known.len() < KNOWN_MAX {
            self.known.entry((target.inode, target.device)).or_insert((trace, target.path));
        }
    }

    /// A file's path, where somebody mutes paths.
    pub(super) fn text(
        &mut self,
        trace: u16,
        target: &Target,
        merge: &Merge<'_>,
        traces: &[Trace<'_>],
    ) -> Option<Rc<str>> {
        if !self.wanted {
            return None;
        }
        let file = (target.inode, target.device);
        if let Some(text) = self.texts.get(&file) {
            return Some(Rc::clone(text));
        }
        let known = self.known.get(&file).copied();
        let named = (target.path != 0).then_some((trace, target.path));
        let (trace, number) = named.or(known)?;
        let text: Rc<str> = path(traces.get(usize::from(trace))?, merge.side(trace), number)?.into();
        if self.texts.len() < KNOWN_MAX {
            self.texts.insert(file, Rc::clone(&text));
        }
        Some(text)
    }
}
