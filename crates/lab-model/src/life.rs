//! The lives of processes and who signed their programs, as Endpoint Security tells of them.

use serde::{Deserialize, Serialize};

use crate::Ticks;

/// The bytes of a team ID that are kept; Apple's have ten.
pub const TEAM_ID_BYTES: usize = 16;
/// The bytes of a signing ID that are kept.
pub const SIGNING_ID_BYTES: usize = 48;

/// One execution of a program: a pid alone is reused, the pair is not until the next start of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// The process.
    pub pid: u32,
    /// Changes with every fork and exec.
    #[doc(alias = "pidversion")]
    pub version: u32,
}

impl ProcessId {
    /// Reads the pair out of the eight words of an audit token, in the order `auid, euid, egid, ruid, rgid,
    /// pid, asid, pidversion`.
    #[must_use]
    #[doc(alias = "audit_token_t")]
    pub const fn of_audit_token(words: [u32; 8]) -> ProcessId {
        ProcessId { pid: words[5], version: words[7] }
    }
}

/// What became of a process, as a kernel tells it (Endpoint Security: NOTIFY fork, exec and exit), or that a first question
/// was about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LifeStep {
    /// It was there when it was first asked about.
    Seen,
    /// Another process forked it.
    Forked,
    /// The process became another program.
    Became,
    /// It ended.
    Ended,
    /// Another step, by number.
    Other(u16),
}

impl LifeStep {
    /// Its number in a trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            LifeStep::Seen => 1,
            LifeStep::Forked => 2,
            LifeStep::Became => 3,
            LifeStep::Ended => 4,
            LifeStep::Other(code) => code,
        }
    }

    /// The step with a number.
    #[must_use]
    pub const fn from_code(code: u16) -> LifeStep {
        match code {
            1 => LifeStep::Seen,
            2 => LifeStep::Forked,
            3 => LifeStep::Became,
            4 => LifeStep::Ended,
            other => LifeStep::Other(other),
        }
    }
}

/// Who signed a program, in a fixed size: it is filled in where nothing may be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedBy {
    /// The team ID's bytes, then zeros; all zeros for ad hoc and platform code.
    pub team: [u8; TEAM_ID_BYTES],
    /// The hash of the code directory.
    pub cdhash: [u8; 20],
    /// The signing ID's bytes as far as they fit, then zeros.
    pub id: [u8; SIGNING_ID_BYTES],
    /// The length of the whole signing ID; 0 for a program without a signature.
    pub id_length: u16,
    /// The program has the Endpoint Security entitlement, connected or not.
    pub is_es_client: bool,
}

impl SignedBy {
    /// Takes down a signature. What does not fit is cut, and the signing ID's whole length tells.
    #[must_use]
    pub fn new(signing_id: &[u8], team_id: &[u8], cdhash: [u8; 20], is_es_client: bool) -> SignedBy {
        let id_length = u16::try_from(signing_id.len()).unwrap_or(u16::MAX);
        SignedBy { team: fitted(team_id), cdhash, id: fitted(signing_id), id_length, is_es_client }
    }

    /// The signing ID as text, with `…` where it was cut; `None` when there is none.
    #[must_use]
    pub fn signing_id(&self) -> Option<String> {
        let length = usize::from(self.id_length);
        let text = String::from_utf8_lossy(&self.id[..length.min(SIGNING_ID_BYTES)]).into_owned();
        match length {
            0 => None,
            _ if length > SIGNING_ID_BYTES => Some(text + "…"),
            _ => Some(text),
        }
    }

    /// The team ID as text; `None` when there is none.
    #[must_use]
    pub fn team_id(&self) -> Option<String> {
        let length = self.team.iter().position(|&byte| byte == 0).unwrap_or(TEAM_ID_BYTES);
        (length > 0).then(|| String::from_utf8_lossy(&self.team[..length]).into_owned())
    }
}

/// What a program's signature says, or has to say to fit a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The signing ID.
    pub signing_id: Option<String>,
    /// The team ID; ad hoc and platform code has none.
    pub team_id: Option<String>,
}

impl Signature {
    /// True when a signature says all that is given here. What it does not say fits nothing, and nothing given fits
    /// nobody.
    #[must_use]
    pub fn fits(&self, signature: &Signature) -> bool {
        let Signature { signing_id, team_id } = self;
        (signing_id.is_some() || team_id.is_some())
            && (signing_id.is_none() || *signing_id == signature.signing_id)
            && (team_id.is_none() || *team_id == signature.team_id)
    }
}

fn fitted<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut fitted = [0; N];
    let length = bytes.len().min(N);
    fitted[..length].copy_from_slice(&bytes[..length]);
    fitted
}

/// One step in the life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessLife {
    /// When the kernel stamped the event that tells of it.
    pub at: Ticks,
    /// What happened.
    pub step: LifeStep,
    /// The process: the child of a fork, the new program of an exec.
    pub process: ProcessId,
    /// Where it comes from: its parent, or for an exec itself before; `None` when the kernel did not say.
    pub from: Option<ProcessId>,
    /// Who signed its program; `None` at its end.
    pub signed: Option<SignedBy>,
    /// The wait status of an end; else 0.
    pub status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_token_names_one_execution() {
        let words = [501, 0, 0, 501, 20, 4711, 100_003, 9];
        assert_eq!(ProcessId::of_audit_token(words), ProcessId { pid: 4711, version: 9 });
    }

    #[test]
    fn a_signature_says_what_it_lacks_and_what_was_cut() {
        let of = |id: &str, team: &str| SignedBy::new(id.as_bytes(), team.as_bytes(), [7; 20], true);
        let whole = of("com.example.alpha", "ABCDE12345");
        assert_eq!(whole.signing_id().as_deref(), Some("com.example.alpha"));
        assert_eq!(whole.team_id().as_deref(), Some("ABCDE12345"));
        let bare = of("", "");
        assert_eq!((bare.signing_id(), bare.team_id()), (None, None));
        let fits = "x".repeat(SIGNING_ID_BYTES);
        assert_eq!(of(&fits, "").signing_id(), Some(fits.clone()));
        assert_eq!(of(&format!("{fits}y"), "").signing_id(), Some(format!("{fits}…")));
    }

    #[test]
    fn a_signature_fits_when_all_that_is_given_fits() {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let rows = [
            (("", ""), ("com.example.p", "ABCDE12345"), false),
            (("com.example.p", ""), ("com.example.p", "OTHERTEAM1"), true),
            (("com.example.p", "ABCDE12345"), ("com.example.p", "ABCDE12345"), true),
            // The same name, signed by nobody: a forgery.
            (("com.example.p", "ABCDE12345"), ("com.example.p", ""), false),
            (("", "ABCDE12345"), ("com.example.q", "ABCDE12345"), true),
            (("", "ABCDE12345"), ("", ""), false),
        ];
        for ((id, team), (has_id, has_team), fits) in rows {
            let of = |id, team| Signature { signing_id: text(id), team_id: text(team) };
            assert_eq!(of(id, team).fits(&of(has_id, has_team)), fits, "{id} {team} {has_id} {has_team}");
        }
    }
}
