//! A product under test that the lab did not build: how it is started, known and waited for.

use serde::{Deserialize, Serialize};

use crate::{Actor, ClientId, Span};

/// The number of the first external product in a run; the lab's own processes have lower ones.
pub const FIRST_EXTERNAL: u16 = 0xE000;

/// A product under test that the lab did not build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Its name in this lab; distinct from every client's.
    pub id: ClientId,
    /// The program, by its absolute path, and its arguments.
    pub start: Vec<String>,
    /// Names and values for its environment, which is otherwise the lab's.
    pub environment: Vec<(String, String)>,
    /// How to know that it takes part.
    pub ready: Ready,
    /// How long that may take.
    pub ready_within: Span,
    /// How to know its processes beside those that descend from the started one.
    pub process: Recognized,
    /// The kind of file system that it needs the arena to be; `None` leaves it as it is.
    pub arena: Option<ArenaKind>,
    /// Folders that it gets for itself, and that vanish with the run.
    pub private: Vec<PrivateFolder>,
}

impl External {
    /// The number in the run's traces of the product at this place of [`crate::Lab::external`].
    #[must_use]
    pub fn actor(place: usize) -> Actor {
        Actor(
            u16::try_from(place).ok().and_then(|place| FIRST_EXTERNAL.checked_add(place)).unwrap_or(u16::MAX),
        )
    }
}

/// How to know that a product takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ready {
    /// The kernel asks it: it has a fanotify group with a mark for permission events on the arena.
    Mark,
    /// It runs; nothing else is waited for.
    Started,
    /// A file or socket is there, by its absolute path.
    File(String),
    /// It has written a line that holds this text.
    Line(String),
}

/// The kinds of file system that an arena can be. A product may mark only some kinds; `tmpfs` is the lab's own choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArenaKind {
    /// In memory, of a limited size.
    #[default]
    Tmpfs,
    /// In memory, without a limit: for products that choose what to watch by the kind of file system.
    Ramfs,
}

impl ArenaKind {
    /// The kernel's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ArenaKind::Tmpfs => "tmpfs",
            ArenaKind::Ramfs => "ramfs",
        }
    }
}

/// A folder of the machine that a product gets for itself: a file system in memory lies over it in the lab's
/// mount namespace, and what was there before is neither seen nor changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateFolder {
    /// The folder, by its absolute path; it has to exist.
    pub path: String,
    /// A folder whose content is copied in first.
    pub from: Option<String>,
    /// Folders to make in it, relative.
    pub folders: Vec<String>,
    /// Files to write in it: relative path and content.
    pub files: Vec<(String, String)>,
}

/// How a product's processes are known: everything that is given has to fit, and nothing given fits nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recognized {
    /// The executable, by its absolute path.
    pub path: Option<String>,
    /// The signing ID of its code (macOS).
    pub signing_id: Option<String>,
    /// The team ID of its signature (macOS).
    pub team_id: Option<String>,
}

/// What a kernel tells about a process: on Linux the executable, in an Endpoint Security message all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessFacts<'a> {
    /// The path of its executable.
    pub path: Option<&'a str>,
    /// The signing ID of its code.
    pub signing_id: Option<&'a str>,
    /// The team ID of its signature.
    pub team_id: Option<&'a str>,
}

impl Recognized {
    /// True when a process is one of the product's. What is not known of it fits nothing.
    #[must_use]
    #[doc(alias = "es_process_t")]
    pub fn fits(&self, process: &ProcessFacts<'_>) -> bool {
        let wanted = [
            (self.path.as_deref(), process.path),
            (self.signing_id.as_deref(), process.signing_id),
            (self.team_id.as_deref(), process.team_id),
        ];
        let mut given = wanted.into_iter().filter(|(wanted, _)| wanted.is_some()).peekable();
        given.peek().is_some() && given.all(|(wanted, has)| wanted == has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: [Option<&str>; 3], process: [Option<&str>; 3], fits: bool) {
        let [path, signing_id, team_id] = wanted.map(|text| text.map(str::to_owned));
        let recognized = Recognized { path, signing_id, team_id };
        let [path, signing_id, team_id] = process;
        assert_eq!(recognized.fits(&ProcessFacts { path, signing_id, team_id }), fits, "{recognized:?}");
    }

    #[test]
    fn a_process_fits_when_all_that_is_given_fits() {
        let mac = [Some("/Applications/P.app/P"), Some("com.example.p"), Some("ABCDE12345")];
        check([None; 3], mac, false);
        check([Some("/usr/sbin/p"), None, None], [Some("/usr/sbin/p"), None, None], true);
        check([Some("/usr/sbin/p"), None, None], [Some("/usr/sbin/q"), None, None], false);
        check([Some("/usr/sbin/p"), None, None], [None; 3], false);
        check([None, Some("com.example.p"), Some("ABCDE12345")], mac, true);
        check([None, Some("com.example.p"), Some("OTHERTEAM1")], mac, false);
        // The same name, signed by nobody: a forgery.
        check([None, Some("com.example.p"), Some("ABCDE12345")], [mac[0], mac[1], None], false);
    }

    #[test]
    fn products_are_numbered_above_the_labs_own_processes() {
        assert_eq!(External::actor(0), Actor(0xE000));
        assert_eq!(External::actor(2), Actor(0xE002));
        assert_eq!(External::actor(usize::MAX), Actor::UNKNOWN);
    }
}
