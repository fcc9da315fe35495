//! Muting as Endpoint Security has it: which calls, in which order, confine a client to the arena.

use std::collections::BTreeSet;

use lab_model::EventKind;

use crate::ProcessId;

/// Which part of the machine a client is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only files below this folder: the real path, as `fcntl(F_GETPATH)` gives it.
    Arena(Vec<u8>),
    /// Everything. A faulty client freezes the machine.
    System,
}

/// One call that changes what a client is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MuteStep {
    /// Empties the set of muted target paths, which a new connection is not born with empty.
    #[doc(alias = "es_unmute_all_target_paths")]
    ClearTargetPaths,
    /// Puts all files whose path begins so into the set of muted target paths.
    #[doc(alias = "ES_MUTE_PATH_TYPE_TARGET_PREFIX")]
    MuteTargetPrefix(Vec<u8>),
    /// Puts one file into the set of muted target paths.
    #[doc(alias = "ES_MUTE_PATH_TYPE_TARGET_LITERAL")]
    MuteTargetLiteral(Vec<u8>),
    /// Takes back [`MuteStep::MuteTargetPrefix`].
    UnmuteTargetPrefix(Vec<u8>),
    /// Takes back [`MuteStep::MuteTargetLiteral`].
    UnmuteTargetLiteral(Vec<u8>),
    /// Turns the set of muted target paths into the set of selected ones.
    #[doc(alias = "es_invert_muting")]
    InvertTargetPaths,
    /// Mutes all events of programs with this path.
    #[doc(alias = "ES_MUTE_PATH_TYPE_LITERAL")]
    MuteExecutable(Vec<u8>),
    /// Mutes all events of one execution of a program, named by its audit token.
    #[doc(alias = "es_mute_process")]
    MuteProcess([u32; 8]),
}

/// The calls that confine a client, in the one order that is safe.
///
/// Inversion *selects* whatever is in the set, so the default set is cleared first and the arena put in before
/// the set is inverted. All of it comes before any subscription. The default set of muted *executables* stays:
/// it protects the system's own watchdogs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutePlan {
    steps: Vec<MuteStep>,
}

/// What a confined client selects, when it is not to see some paths of its arena.
///
/// Muting is inverted to confine the client, so a path of the arena cannot be muted: it is left out of what is
/// selected. The folders on the way to it are not selected as a whole then, but entry by entry; what is made in one
/// of them later is not seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arena {
    path: Vec<u8>,
    files: Vec<Vec<u8>>,
}

impl Arena {
    /// The arena at `path` (as in [`Scope::Arena`]) with these files, named relative to it.
    #[must_use]
    pub fn new(path: &[u8], files: Vec<Vec<u8>>) -> Arena {
        Arena { path: path.strip_suffix(b"/").unwrap_or(path).to_vec(), files }
    }

    /// What is selected when `muted`, by absolute path, is not to be seen: files, and folders with all below them.
    #[must_use]
    pub fn selection(&self, muted: &[Vec<u8>]) -> BTreeSet<MuteStep> {
        let whole = [self.path.as_slice(), b"/"].concat();
        let muted: Vec<&[u8]> = muted
            .iter()
            .map(|path| path.strip_suffix(b"/").unwrap_or(path))
            .filter(|path| path.starts_with(&whole) || *path == self.path)
            .collect();
        if muted.is_empty() {
            return BTreeSet::from([MuteStep::MuteTargetPrefix(whole)]);
        }
        let is_hidden = |path: &[u8]| muted.iter().any(|mute| path == *mute || is_below(path, mute));
        let leads_to_muted = |folder: &[u8]| muted.iter().any(|mute| is_below(mute, folder));
        let files = self.files.iter().map(|file| [whole.as_slice(), file].concat());
        let select = |file: Vec<u8>| {
            // The shortest folder on the way to the file with nothing muted in it; else the file itself.
            let slashes =
                file.iter().enumerate().filter(|(at, byte)| *at > self.path.len() && **byte == b'/');
            let mut folders = slashes.map(|(at, _)| &file[..at]);
            match folders.find(|folder| !leads_to_muted(folder)) {
                Some(folder) => MuteStep::MuteTargetPrefix([folder, b"/"].concat()),
                None => MuteStep::MuteTargetLiteral(file),
            }
        };
        files.filter(|file| !is_hidden(file)).map(select).collect()
    }
}

/// True when `path` lies below `folder`.
fn is_below(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// The calls that lead from one selection to another. What is new comes first: the client sees too much for a moment,
/// never too little, and nothing outside its arena.
#[must_use]
pub fn change_of_selection(from: &BTreeSet<MuteStep>, to: &BTreeSet<MuteStep>) -> Vec<MuteStep> {
    let gone = from.difference(to).filter_map(|step| match step {
        MuteStep::MuteTargetPrefix(path) => Some(MuteStep::UnmuteTargetPrefix(path.clone())),
        MuteStep::MuteTargetLiteral(path) => Some(MuteStep::UnmuteTargetLiteral(path.clone())),
        _ => None,
    });
    to.difference(from).cloned().chain(gone).collect()
}

/// Why a plan would not confine what it is meant to confine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A relative path, or one with empty, `.` or `..` parts.
    #[error("the arena \"{0}\" is no absolute path in its shortest form")]
    NotAbsolute(String),
    /// The whole machine.
    #[error("the arena is the root of the machine: choose a folder, or the scope system")]
    Root,
    /// A path through one of the system's symbolic links; the kernel compares real paths only.
    #[error("the arena \"{0}\" goes through a symbolic link of macOS: write /private{0}")]
    NotReal(String),
    /// A path with a zero byte.
    #[error("the path \"{0}\" has a zero byte")]
    ZeroByte(String),
}

/// The links of `/` that lead to `/private` on every macOS.
const LINKS_TO_PRIVATE: [&[u8]; 3] = [b"/etc", b"/tmp", b"/var"];

impl MutePlan {
    /// Plans a client that sees `scope`, but not the programs `executables` and the executions `processes`.
    ///
    /// # Errors
    /// When the arena's path would select nothing, or more than the arena.
    pub fn new(scope: &Scope, executables: &[Vec<u8>], processes: &[[u32; 8]]) -> Result<MutePlan, Refusal> {
        let mut steps = Vec::new();
        if let Scope::Arena(path) = scope {
            steps.push(MuteStep::ClearTargetPaths);
            steps.push(MuteStep::MuteTargetPrefix(arena_prefix(path)?));
            steps.push(MuteStep::InvertTargetPaths);
        }
        for executable in executables {
            refuse_zero_byte(executable)?;
            steps.push(MuteStep::MuteExecutable(executable.clone()));
        }
        steps.extend(processes.iter().copied().map(MuteStep::MuteProcess));
        Ok(MutePlan { steps })
    }

    /// The calls in order.
    #[must_use]
    pub fn steps(&self) -> &[MuteStep] {
        &self.steps
    }

    /// True when the client sees the arena only.
    #[must_use]
    pub fn is_confined(&self) -> bool {
        self.steps.contains(&MuteStep::InvertTargetPaths)
    }

    /// The executions that the client does not see.
    pub fn muted_processes(&self) -> impl Iterator<Item = ProcessId> {
        self.steps.iter().filter_map(|step| match step {
            MuteStep::MuteProcess(words) => Some(ProcessId::of_audit_token(*words)),
            _ => None,
        })
    }
}

/// The arena as a prefix: closed by a slash, or `/arena` would select `/arena-of-somebody-else` as well.
fn arena_prefix(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    let text = || String::from_utf8_lossy(path).into_owned();
    refuse_zero_byte(path)?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let Some(below_root) = path.strip_prefix(b"/") else {
        return Err(if path.is_empty() && !text().is_empty() {
            Refusal::Root
        } else {
            Refusal::NotAbsolute(text())
        });
    };
    if below_root.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err(Refusal::NotAbsolute(text()));
    }
    let leads_away =
        |link: &[u8]| path.strip_prefix(link).is_some_and(|rest| rest.first().is_none_or(|b| *b == b'/'));
    if LINKS_TO_PRIVATE.into_iter().any(leads_away) {
        return Err(Refusal::NotReal(String::from_utf8_lossy(path).into_owned()));
    }
    let mut prefix = path.to_vec();
    prefix.push(b'/');
    Ok(prefix)
}

fn refuse_zero_byte(path: &[u8]) -> Result<(), Refusal> {
    if path.contains(&0) {
        Err(Refusal::ZeroByte(String::from_utf8_lossy(path).into_owned()))
    } else {
        Ok(())
    }
}

/// The half of a connection that belongs to the thread that made it.
pub trait Connection {
    /// Makes one muting call.
    ///
    /// # Errors
    /// When the framework refuses it.
    fn mute(&mut self, step: &MuteStep) -> Result<(), StepFailed>;

    /// Asks the framework whether target-path muting is inverted.
    ///
    /// # Errors
    /// When the framework does not say.
    #[doc(alias = "es_muting_inverted")]
    fn target_paths_are_inverted(&mut self) -> Result<bool, StepFailed>;

    /// Subscribes to events; they begin to arrive at once.
    ///
    /// # Errors
    /// When the framework refuses it.
    #[doc(alias = "es_subscribe")]
    fn subscribe(&mut self, kinds: &[EventKind]) -> Result<(), StepFailed>;

    /// Ends all subscriptions; what is queued still arrives.
    ///
    /// # Errors
    /// When the framework refuses it.
    #[doc(alias = "es_unsubscribe_all")]
    fn unsubscribe_all(&mut self) -> Result<(), StepFailed>;
}

/// A call that the framework refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepFailed {
    /// A muting call.
    #[error("Endpoint Security refused to {0}")]
    Mute(String),
    /// The inversion was made and is not in force: the client would see the whole machine.
    #[error("Endpoint Security does not confine the client to the arena")]
    NotConfined,
    /// A subscription.
    #[error("Endpoint Security refused the subscription to {0}")]
    Subscribe(String),
    /// The end of all subscriptions.
    #[error("Endpoint Security refused to end the client's subscriptions")]
    Unsubscribe,
    /// Emptying the result caches.
    #[error("Endpoint Security refused to empty the result caches: it is not to be asked often")]
    ClearCache,
}

/// Confines a connection and then subscribes it: never the other way round.
///
/// # Errors
/// At the first call that fails; nothing is subscribed to then.
pub fn start(
    connection: &mut impl Connection,
    plan: &MutePlan,
    kinds: &[EventKind],
) -> Result<(), StepFailed> {
    confine(connection, plan)?;
    connection.subscribe(kinds)
}

/// Confines a connection that is subscribed to nothing yet.
///
/// # Errors
/// At the first call that fails.
pub fn confine(connection: &mut impl Connection, plan: &MutePlan) -> Result<(), StepFailed> {
    for step in plan.steps() {
        connection.mute(step)?;
    }
    if plan.is_confined() && !connection.target_paths_are_inverted()? {
        return Err(StepFailed::NotConfined);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(path: &str) -> Result<MutePlan, Refusal> {
        MutePlan::new(&Scope::Arena(path.into()), &[], &[])
    }

    #[test]
    fn the_default_set_is_cleared_before_the_inversion() {
        let steps = [
            MuteStep::ClearTargetPaths,
            MuteStep::MuteTargetPrefix(b"/private/var/lab/".to_vec()),
            MuteStep::InvertTargetPaths,
        ];
        assert_eq!(arena("/private/var/lab").unwrap().steps(), steps);
        assert_eq!(arena("/private/var/lab/").unwrap().steps(), steps);
    }

    #[test]
    fn own_helpers_are_muted_after_the_confinement() {
        let words = [0, 0, 0, 0, 0, 77, 0, 3];
        let plan = MutePlan::new(&Scope::System, &[b"/opt/helper".to_vec()], &[words]).unwrap();
        assert!(!plan.is_confined());
        assert_eq!(
            plan.steps(),
            [MuteStep::MuteExecutable(b"/opt/helper".to_vec()), MuteStep::MuteProcess(words)]
        );
        assert_eq!(plan.muted_processes().collect::<Vec<_>>(), [ProcessId { pid: 77, version: 3 }]);
    }

    fn paths(steps: &BTreeSet<MuteStep>) -> Vec<String> {
        let text = |path: &Vec<u8>| String::from_utf8(path.clone()).unwrap();
        steps
            .iter()
            .map(|step| match step {
                MuteStep::MuteTargetPrefix(path) => format!("{}*", text(path)),
                MuteStep::MuteTargetLiteral(path) => text(path),
                other => panic!("{other:?} selects nothing"),
            })
            .collect()
    }

    #[test]
    fn what_is_muted_is_left_out_of_the_selection() {
        let files = ["files/0", "files/1", "secret/0", "secret/deep/1", "program"];
        let arena = Arena::new(b"/a", files.map(|file| file.as_bytes().to_vec()).to_vec());
        let selected = |muted: &[&str]| {
            let muted: Vec<Vec<u8>> = muted.iter().map(|path| path.as_bytes().to_vec()).collect();
            paths(&arena.selection(&muted))
        };
        assert_eq!(selected(&[]), ["/a/*"]);
        assert_eq!(selected(&["/elsewhere", "/ab"]), ["/a/*"]);
        assert_eq!(selected(&["/a/secret"]), ["/a/files/*", "/a/program"]);
        assert_eq!(selected(&["/a/secret/"]), ["/a/files/*", "/a/program"]);
        assert_eq!(selected(&["/a/secret/deep"]), ["/a/files/*", "/a/program", "/a/secret/0"]);
        assert_eq!(selected(&["/a/files/1", "/a/secret"]), ["/a/files/0", "/a/program"]);
        assert_eq!(selected(&["/a"]), Vec::<String>::new(), "a client that sees nothing");
        assert_eq!(
            selected(&["/a/sec"]),
            ["/a/files/*", "/a/secret/*", "/a/program"],
            "a name is no beginning"
        );
    }

    #[test]
    fn a_changed_selection_is_never_blind_in_between() {
        let arena = Arena::new(b"/a/", vec![b"x/0".to_vec(), b"y/0".to_vec()]);
        let (all, some) = (arena.selection(&[]), arena.selection(&[b"/a/x".to_vec()]));
        assert_eq!(
            change_of_selection(&all, &some),
            [MuteStep::MuteTargetPrefix(b"/a/y/".to_vec()), MuteStep::UnmuteTargetPrefix(b"/a/".to_vec()),]
        );
        assert_eq!(change_of_selection(&some, &some), []);
    }

    #[test]
    fn an_arena_that_would_select_the_wrong_files_is_refused() {
        assert_eq!(arena("/"), Err(Refusal::Root));
        for path in ["", "arena", "./arena", "/arena/../etc", "/arena//x", "/arena/./x", "//"] {
            assert_eq!(arena(path), Err(Refusal::NotAbsolute(path.to_owned())), "{path}");
        }
        for path in ["/tmp", "/tmp/arena", "/var/folders/x", "/etc/lab"] {
            assert_eq!(arena(path), Err(Refusal::NotReal(path.to_owned())), "{path}");
        }
        assert_eq!(
            arena("/tmp/a").unwrap_err().to_string(),
            "the arena \"/tmp/a\" goes through a symbolic link of macOS: write /private/tmp/a"
        );
        assert!(arena("/tmpfs/arena").is_ok());
        assert_eq!(arena("/a\0b"), Err(Refusal::ZeroByte("/a\0b".to_owned())));
        assert!(MutePlan::new(&Scope::System, &[b"/a\0".to_vec()], &[]).is_err());
    }
}
