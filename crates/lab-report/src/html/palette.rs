//! One colour for each cause, the same in all pictures: classes that the style sheet gives colours to.

use lab_analysis::findings::{CauseColumn, ColumnKind, Findings};

const CLIENTS: [&str; 7] = ["k0", "k1", "k2", "k3", "k4", "k5", "k6"];
/// The workload's class.
pub(super) const WORKLOAD: &str = "kw";
/// The class of everything that is neither workload nor client.
pub(super) const OTHER: &str = "kx";

/// The class of the client at this place.
pub(super) fn client(place: usize) -> &'static str {
    CLIENTS[place.checked_rem(CLIENTS.len()).unwrap_or(0)]
}

/// The class of the client with this ID.
pub(super) fn named(findings: &Findings, id: &str) -> Option<&'static str> {
    findings.clients.iter().position(|client| client.id == id).map(client)
}

/// The class of a column of the cause matrix.
pub(super) fn cause(findings: &Findings, column: &CauseColumn) -> &'static str {
    match column.kind {
        ColumnKind::Workload => WORKLOAD,
        ColumnKind::Client | ColumnKind::Helper => {
            column.client.as_ref().and_then(|client| named(findings, client)).unwrap_or(OTHER)
        }
        _ => OTHER,
    }
}
