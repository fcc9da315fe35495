//! Why a process of a lab cannot do its work, as a kind that the lab's exit code and advice follow from.
//!
//! The process says it with its last message, and by the status that it exits with: that arrives even when it could
//! send no message. Whoever reads either never has to look at the words.

use serde::{Deserialize, Serialize};

/// The kind of reason for which a process of a lab ends without having done its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FailureReason {
    /// It lacks a privilege.
    Privilege,
    /// The kernel was built without the interface.
    NoInterface,
    /// All of the kernel's places for clients are taken.
    NoClientSlot,
    /// Endpoint Security refused the client, with this `es_new_client_result_t`.
    Refused {
        /// The framework's number.
        code: u32,
    },
    /// The machine or the process has too little of something, as this `errno` of the machine it ran on says.
    Lack {
        /// The number.
        errno: i32,
    },
    /// None of these: a fault of the lab.
    #[default]
    Other,
}

/// Exit statuses of `sysexits.h`.
const UNAVAILABLE: u8 = 69;
const TRY_AGAIN: u8 = 75;
const NO_PERMISSION: u8 = 77;
/// The exit status for the refusal with number 0; the others follow.
const REFUSED: u8 = 40;
/// The most refusals that have an exit status of their own.
const REFUSALS_MAX: u8 = 20;
/// The exit status for `errno` 0; the others follow, as far as there are statuses.
const LACK: u8 = 128;

impl FailureReason {
    /// The exit status of a process that ends for this reason: never 0, and 1 for what has none of its own.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        let own = match self {
            FailureReason::Privilege => Some(NO_PERMISSION),
            FailureReason::NoInterface => Some(UNAVAILABLE),
            FailureReason::NoClientSlot => Some(TRY_AGAIN),
            FailureReason::Refused { code } => {
                u8::try_from(code).ok().filter(|code| *code < REFUSALS_MAX).map(|code| REFUSED + code)
            }
            FailureReason::Lack { errno } => {
                u8::try_from(errno).ok().filter(|errno| *errno > 0).and_then(|errno| LACK.checked_add(errno))
            }
            FailureReason::Other => None,
        };
        own.unwrap_or(1)
    }

    /// The reason of a process that exited with this status. [`FailureReason::Other`] for any that says no other.
    #[must_use]
    pub fn of_exit_status(status: u8) -> FailureReason {
        match status {
            NO_PERMISSION => FailureReason::Privilege,
            UNAVAILABLE => FailureReason::NoInterface,
            TRY_AGAIN => FailureReason::NoClientSlot,
            REFUSED.. if status < REFUSED + REFUSALS_MAX => {
                FailureReason::Refused { code: u32::from(status - REFUSED) }
            }
            status if status > LACK => FailureReason::Lack { errno: i32::from(status - LACK) },
            _ => FailureReason::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_status_says_the_reason_again() {
        let mut reasons = vec![
            FailureReason::Privilege,
            FailureReason::NoInterface,
            FailureReason::NoClientSlot,
            FailureReason::Other,
        ];
        reasons.extend((0..20).map(|code| FailureReason::Refused { code }));
        reasons.extend((1..128).map(|errno| FailureReason::Lack { errno }));
        for reason in &reasons {
            assert_eq!(FailureReason::of_exit_status(reason.exit_status()), *reason);
            assert_ne!(reason.exit_status(), 0);
        }
        let statuses: std::collections::BTreeSet<u8> = reasons.iter().map(|r| r.exit_status()).collect();
        assert_eq!(statuses.len(), reasons.len(), "two reasons have one status");
    }

    #[test]
    fn what_has_no_status_of_its_own_exits_with_1_and_reads_as_other() {
        let beyond = [
            FailureReason::Refused { code: 20 },
            FailureReason::Refused { code: u32::MAX },
            FailureReason::Lack { errno: 0 },
            FailureReason::Lack { errno: -5 },
            FailureReason::Lack { errno: 128 },
        ];
        for reason in beyond {
            assert_eq!(reason.exit_status(), 1, "{reason:?}");
        }
        // A success, a failure, a panic and a program that cannot be started say nothing.
        for status in [0, 1, 101, 126, 127, 128] {
            assert_eq!(FailureReason::of_exit_status(status), FailureReason::Other, "{status}");
        }
    }
}
