use std::fmt::{self, Write};

use lab_model::{FaultAction, Span};

use super::{Kind, Planned, Reader};

fault! {
    /// Kills a client, a helper or a daemon and starts it again, whatever a client's own `restart` says. A client's
    /// helpers come back with it; a helper by itself is started again by its client.
    #[schemars(rename = "Restart")]
    "`restart`" Restart on restartable {
        /// How long after its death it is started again.
        #[schemars(extend("default" = "500ms"))]
        after [default]: Span,
    } for never
}

impl Kind for Restart {
    fn action(&self, _: &mut Planned, _: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        let after = self.after.value().copied().unwrap_or(Span::from_millis(500));
        Some(FaultAction::Restart { after })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        let FaultAction::Restart { after } = action else { return Ok(()) };
        writeln!(out, "      after: {after}")
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, Span};

    use crate::faults::tests::check;

    #[test]
    fn half_a_second_passes_unless_it_is_said() {
        let restart = |after| FaultAction::Restart { after: Span::from_millis(after) };
        check("restart: {on: alpha, at: 1s}", "alpha", &restart(500));
        check("restart: {on: indexer, at: 1s, after: 20ms}", "indexer", &restart(20));
    }
}
