//! What Endpoint Security's refusals mean, and what fixes each.

use std::fmt;

/// What `es_new_client` said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "es_new_client_result_t")]
pub enum NewClientResult {
    /// The client is connected.
    Success,
    /// An argument was wrong: a fault of the lab.
    InvalidArgument,
    /// The subsystem could not be reached.
    Internal,
    /// The signature lacks the entitlement, or the system does not honour it.
    NotEntitled,
    /// The responsible process has no Full Disk Access.
    NotPermitted,
    /// The caller is not root.
    NotPrivileged,
    /// All client slots of the machine are taken.
    TooManyClients,
    /// A result this lab does not know, kept as the framework's own number.
    Other(u32),
}

/// One refusal explained: what is the matter, and the one thing that mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// What is the matter, in one sentence without a full stop.
    pub cause: &'static str,
    /// What mends it, in one sentence without a full stop.
    pub mend: &'static str,
}

impl NewClientResult {
    /// The refusals with an advice of their own, in the framework's order.
    pub const REFUSALS: [NewClientResult; 6] = [
        NewClientResult::InvalidArgument,
        NewClientResult::Internal,
        NewClientResult::NotEntitled,
        NewClientResult::NotPermitted,
        NewClientResult::NotPrivileged,
        NewClientResult::TooManyClients,
    ];

    /// The result with this number. Never fails: an unknown number is kept.
    #[must_use]
    pub const fn from_code(code: u32) -> NewClientResult {
        match code {
            0 => NewClientResult::Success,
            1 => NewClientResult::InvalidArgument,
            2 => NewClientResult::Internal,
            3 => NewClientResult::NotEntitled,
            4 => NewClientResult::NotPermitted,
            5 => NewClientResult::NotPrivileged,
            6 => NewClientResult::TooManyClients,
            other => NewClientResult::Other(other),
        }
    }

    /// The framework's own number.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            NewClientResult::Success => 0,
            NewClientResult::InvalidArgument => 1,
            NewClientResult::Internal => 2,
            NewClientResult::NotEntitled => 3,
            NewClientResult::NotPermitted => 4,
            NewClientResult::NotPrivileged => 5,
            NewClientResult::TooManyClients => 6,
            NewClientResult::Other(code) => code,
        }
    }

    /// The result that a message of [`NewClientResult`]'s own making names; `None` for any other message.
    #[must_use]
    pub fn of_message(message: &str) -> Option<NewClientResult> {
        let (_, rest) = message.split_once(REFUSED_WITH)?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
        digits.parse().ok().map(NewClientResult::from_code)
    }

    /// What is the matter and what mends it; `None` for a success.
    #[must_use]
    pub const fn advice(self) -> Option<Advice> {
        let (cause, mend) = match self {
            NewClientResult::Success => return None,
            NewClientResult::InvalidArgument => (
                "Endpoint Security refused the lab's own arguments",
                "report this as a fault of the lab, with the output of `lab doctor`",
            ),
            NewClientResult::Internal => (
                "the Endpoint Security subsystem could not be reached",
                "restart the virtual machine; if it stays so, look for `endpointsecurityd` in `log show`",
            ),
            NewClientResult::NotEntitled => (
                "the client's signature does not carry com.apple.developer.endpoint-security.client in a form this system honours",
                "sign with signing/endpoint-security.entitlements and switch SIP off in a disposable virtual machine, or sign with a Developer ID and a provisioning profile",
            ),
            NewClientResult::NotPermitted => (
                "the responsible process has no Full Disk Access",
                "add the terminal (for a client started with sudo) or the client's bundle (for a daemon) in System Settings > Privacy & Security > Full Disk Access",
            ),
            NewClientResult::NotPrivileged => (
                "the client does not run as root",
                "start the lab with sudo, or install the clients as daemons",
            ),
            NewClientResult::TooManyClients => (
                "all Endpoint Security client slots of this machine are taken",
                "use fewer clients in the lab file, or stop another security product; `lab doctor` counts the free slots",
            ),
            NewClientResult::Other(_) => (
                "Endpoint Security refused the client for a reason this lab does not know",
                "look the number up in EndpointSecurity/ESTypes.h of the newest SDK, under es_new_client_result_t",
            ),
        };
        Some(Advice { cause, mend })
    }
}

/// What stands before the number in a refusal's message.
const REFUSED_WITH: &str = "es_new_client refused the client with result ";

impl fmt::Display for NewClientResult {
    /// Writes the refusal as a sentence, in a form that [`NewClientResult::of_message`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.advice() {
            None => f.write_str("es_new_client took the client"),
            Some(advice) => write!(f, "{REFUSED_WITH}{}: {}", self.code(), advice.cause),
        }
    }
}

/// Why an answer did not reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[doc(alias = "es_respond_result_t")]
pub enum RespondError {
    /// An argument was wrong.
    #[error("the framework refused the arguments of the answer")]
    InvalidArgument,
    /// The subsystem could not be reached.
    #[error("the answer did not reach the kernel")]
    Internal,
    /// The kernel does not wait for this answer, because the deadline has passed for instance.
    #[error("the kernel does not wait for this answer")]
    NotFound,
    /// The event was answered before.
    #[error("the event was answered before")]
    Duplicate,
    /// The event takes another form of answer, or none.
    #[error("the event takes another form of answer")]
    EventType,
    /// The client had been deleted; the kernel has allowed the event.
    #[error("the client was gone before the answer")]
    Closed,
    /// A result this lab does not know, kept as the framework's own number.
    #[error("the framework refused the answer with code {0}")]
    Other(u32),
}

impl RespondError {
    /// The number in traces: the framework's own, or the highest one for an answer that was never sent.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            RespondError::InvalidArgument => 1,
            RespondError::Internal => 2,
            RespondError::NotFound => 3,
            RespondError::Duplicate => 4,
            RespondError::EventType => 5,
            RespondError::Closed => u32::MAX,
            RespondError::Other(code) => code,
        }
    }

    /// The outcome with this number of `es_respond_result_t`.
    ///
    /// # Errors
    /// For every number but 0.
    pub const fn check(code: u32) -> Result<(), RespondError> {
        match code {
            0 => Ok(()),
            1 => Err(RespondError::InvalidArgument),
            2 => Err(RespondError::Internal),
            3 => Err(RespondError::NotFound),
            4 => Err(RespondError::Duplicate),
            5 => Err(RespondError::EventType),
            other => Err(RespondError::Other(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for code in 0..20 {
            assert_eq!(NewClientResult::from_code(code).code(), code);
        }
    }

    #[test]
    fn a_refusal_is_read_out_of_its_own_message() {
        for refusal in NewClientResult::REFUSALS.into_iter().chain([NewClientResult::Other(27)]) {
            let message = format!("cannot start: {refusal}; and more");
            assert_eq!(NewClientResult::of_message(&message), Some(refusal), "{message}");
        }
        for other in
            ["", "result 6", "es_new_client refused the client with result ", "es_new_client took the client"]
        {
            assert_eq!(NewClientResult::of_message(other), None, "{other}");
        }
    }

    #[test]
    fn each_refusal_has_advice_of_its_own() {
        assert_eq!(NewClientResult::Success.advice(), None);
        let mut mends: Vec<_> = NewClientResult::REFUSALS.iter().map(|r| r.advice().unwrap().mend).collect();
        mends.sort_unstable();
        mends.dedup();
        assert_eq!(mends.len(), NewClientResult::REFUSALS.len());
        assert!(NewClientResult::Other(99).advice().is_some());
    }

    #[test]
    fn only_zero_is_an_answer_that_arrived() {
        assert_eq!(RespondError::check(0), Ok(()));
        for code in 1..20 {
            assert_eq!(RespondError::check(code).unwrap_err().code(), code);
        }
        assert_eq!(RespondError::check(7), Err(RespondError::Other(7)));
    }
}
