//! One client without its kernel.
//!
//! Time, events and results of operations come in as values; answers, operations and waits go out as
//! values. There is no clock, thread, file or lock in here, so a live backend runs this code on threads
//! and the simulator runs the same code in virtual time.
//!
//! - [`Policy`] decides what an event sets off; [`Task`] is the work on one decision, step by step;
//!   [`Budget`] says by when to answer. A live client uses these three from its threads.
//! - [`ClientCore`] puts them together behind `step(now, input) -> actions`, with the queue and the limit on
//!   concurrency, for whoever has only one thread.
//! - [`Backend`] is what a kernel has to offer.
#![forbid(unsafe_code)]

mod backend;
mod budget;
mod core;
mod judge;
mod policy;
mod rounds;
mod task;

pub use crate::core::{Action, ClientCore, Input};
pub use backend::{
    Backend, BackendError, Disposition, DroppedNotifications, Event, FileFacts, Intake, Listener,
    Notification,
};
pub use budget::Budget;
pub use judge::{Found, Judge};
pub use policy::{Admission, Policy, Question};
pub use rounds::Rounds;
pub use task::{Ask, Asks, OperationPlan, Outcome, PlannedTarget, REQUESTS_MAX, Step, Task, Whom};
