use std::fmt::{self, Write};

use lab_model::{FaultAction, Span};

use super::{Kind, Planned, Reader};

fault! {
    /// Makes a client work longer on every event that sets it off, or a helper or a daemon on every request.
    #[schemars(rename = "Slow")]
    "`slow`" Slow on restartable {
        /// By how much: comes on top of its `delay`.
        by: Span,
    } for span
}

impl Kind for Slow {
    fn action(&self, planned: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        Some(FaultAction::Slow { by: *self.by.value()?, span: planned.span? })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        let FaultAction::Slow { by, .. } = action else { return Ok(()) };
        writeln!(out, "      by: {by}")
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, Span};

    use crate::faults::tests::{check, refused};

    #[test]
    fn it_says_by_how_much_and_for_how_long() {
        let action = FaultAction::Slow { by: Span::from_millis(5), span: Span::from_secs(1) };
        check("slow: {on: alpha, at: 1s, by: 5ms, for: 1s}", "alpha", &action);
        refused("slow: {on: alpha, at: 1s, by: 5ms, for: 0s}", "a fault must last longer than 0");
    }
}
