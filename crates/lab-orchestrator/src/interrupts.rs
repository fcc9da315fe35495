//! What SIGINT, SIGTERM and SIGHUP do to this process outside a live lab: they end it at once, but never in the middle of
//! a file.
//!
//! While a lab runs its launcher listens for them with tokio, whose handlers stay for the rest of the process and do
//! nothing once nobody listens. So the ending is done by a handler of its own, which needs no thread (the launcher must
//! have one only) and neither memory nor locks, so that it also works where memory is short.

use std::{
    io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    flag, low_level,
};

use crate::FailureKind;

/// What the handlers look at.
#[derive(Debug, Default)]
struct State {
    /// True while a signal ends the process at once.
    ends: Arc<AtomicBool>,
    /// True once a signal came that nobody has heeded.
    came: Arc<AtomicBool>,
    /// How many parts of the process must not be cut off now.
    holds: Mutex<usize>,
}

static STATE: OnceLock<State> = OnceLock::new();

/// From now on SIGINT and SIGTERM end this process at once, as interrupted.
///
/// # Errors
/// Those of installing a handler.
pub fn end_at_once() -> io::Result<()> {
    let state = STATE.get_or_init(State::default);
    state.ends.store(true, Ordering::SeqCst);
    // Handled, so that a file that may not grow is an error of the write (EFBIG) and no death. Programs that are started
    // do not inherit a handler.
    flag::register(SIGXFSZ, Arc::default())?;
    [SIGINT, SIGTERM].into_iter().try_for_each(|signal| install(state, signal))
}

fn install(state: &State, signal: i32) -> io::Result<()> {
    let code = i32::from(FailureKind::Interrupted.exit_code());
    // In this order: one that does not end the process must have been noted.
    flag::register(signal, Arc::clone(&state.came))?;
    flag::register_conditional_shutdown(signal, code, Arc::clone(&state.ends)).map(drop)
}

/// True when a signal wants this process to end. Long work that holds it off asks now and then.
#[must_use]
pub fn wanted() -> bool {
    STATE.get().is_some_and(|state| state.came.load(Ordering::SeqCst))
}

/// The signals so far have had their effect: a lab ends.
pub(crate) fn heeded() {
    if let Some(state) = STATE.get() {
        state.came.store(false, Ordering::SeqCst);
    }
}

/// While it lives a signal does not end the process; one that came meanwhile does so when the last hold is dropped.
#[derive(Debug)]
#[must_use = "it holds as long as it lives"]
pub struct Hold {
    _private: (),
}

/// Holds the end off: for a file that is being written, or a lab that ends in its own way.
pub fn hold() -> Hold {
    if let Some(state) = STATE.get() {
        let mut holds = state.holds.lock().unwrap_or_else(PoisonError::into_inner);
        *holds += 1;
        state.ends.store(false, Ordering::SeqCst);
    }
    Hold { _private: () }
}

/// As [`hold`], for a live lab, whose launcher listens for SIGHUP as well.
pub(crate) fn hold_for_a_lab() -> io::Result<Hold> {
    let hold = hold();
    if let Some(state) = STATE.get() {
        static LISTENS: OnceLock<()> = OnceLock::new();
        if LISTENS.set(()).is_ok() {
            install(state, SIGHUP)?;
        }
    }
    Ok(hold)
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(state) = STATE.get() else { return };
        let mut holds = state.holds.lock().unwrap_or_else(PoisonError::into_inner);
        *holds -= 1;
        if *holds == 0 {
            state.ends.store(true, Ordering::SeqCst);
            if state.came.load(Ordering::SeqCst) {
                low_level::exit(i32::from(FailureKind::Interrupted.exit_code()));
            }
        }
    }
}
