//! Endpoint Security, as the lab uses it: one message in, exactly one answer out.
//!
//! Almost everything here is portable and tested without a Mac: who answers, when, how often, what is muted
//! and what a gap in the sequence numbers means. Only the module `darwin` calls the framework, and it decides
//! nothing. Nothing in this crate may open a file, log, wait or talk to another process: its code runs inside
//! the handler that a whole machine waits for.

mod advice;
mod backend;
#[cfg(target_os = "macos")]
mod darwin;
pub mod fake;
mod message;
mod message_handler;
mod mute;
mod notify;
mod places;
mod probe;
mod sequence;
mod subscription;
mod ticket;
mod version;
mod window;

pub use advice::{Advice, NewClientResult, RespondError};
pub use backend::{Counts, EsBackend, Shared};
#[cfg(target_os = "macos")]
pub use darwin::{ConnectError, EsClient, EsMessage, EsResponder, now, timebase};
pub use lab_model::ProcessId;
pub use message::{Cache, Facts, Message, Responder, Signer, Target};
pub use message_handler::{Answer, Delivery, Grounds, MessageHandler, Notice, Observer, Question, Watch};
pub use mute::{
    Arena, Connection, MutePlan, MuteStep, Refusal, Scope, StepFailed, change_of_selection, confine, start,
};
pub use notify::Missing;
pub use probe::Probed;
pub use sequence::{Gap, Sequences};
pub use ticket::Ticket;
pub use version::{InvalidVersion, SystemVersion};
pub use window::Window;
