use std::fmt::{self, Write};

use lab_model::FaultAction;

use super::{Kind, Planned, Reader};
use crate::{checks::check_path, write::Scalar};

fault! {
    /// Makes a client deny everything but what its own process does.
    #[schemars(rename = "Deny")]
    "`deny`" Deny on clients {
        /// Only this file or folder, relative to the arena.
        path [default]: String,
    } for span
}

impl Kind for Deny {
    fn action(&self, planned: &mut Planned, reader: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        if let Some(path) = self.path.given() {
            check_path(path, reader.problems);
        }
        Some(FaultAction::Deny { path: self.path.value().cloned(), span: planned.span? })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        match action {
            FaultAction::Deny { path: Some(path), .. } => writeln!(out, "      path: {}", Scalar(path)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, Span};

    use crate::faults::tests::{check, refused};

    #[test]
    fn a_client_denies_one_path_or_all() {
        let deny = |path: Option<&str>| FaultAction::Deny {
            path: path.map(str::to_owned),
            span: Span::from_secs(1),
        };
        check("deny: {on: alpha, at: 1s, for: 1s}", "alpha", &deny(None));
        check("deny: {on: alpha, at: 1s, for: 1s, path: files/x}", "alpha", &deny(Some("files/x")));
        refused("deny: {on: indexer, at: 1s, for: 1s}", "this cannot be done to `indexer`");
    }
}
