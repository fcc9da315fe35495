//! How a run was called for: what its lab file does not say, and what the line needs that runs it again.

use std::{io, path::PathBuf};

use lab_bundle::quoted;
use lab_model::{Kernel, Lab};
use serde::{Deserialize, Serialize};

use crate::{Failure, FailureKind, RunFolder};

/// The largest file of a call, in bytes: three paths and a reason, and what escapes make of them.
const CALL_BYTES_MAX: u64 = 64 << 10;

/// What `lab up` was given beside what its lab file says. Paths are whole ones, so that it does not matter where the line
/// is typed again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The lab's name, or the path of its file.
    pub lab: String,
    /// The folder of lab files, where it was named.
    pub configs: Option<PathBuf>,
    /// The run store, where it was named.
    pub runs: Option<PathBuf>,
    /// The kernel of a live run, where it was named.
    pub backend: Option<Kernel>,
    /// Why it was simulated although its lab would have run live; only where it was.
    #[serde(default)]
    pub simulated_because: Option<String>,
}

impl Call {
    /// Keeps it beside the run, unless the lab alone says as much.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn keep(&self, folder: &RunFolder, lab: &Lab) -> io::Result<()> {
        if *self == Call::of(lab) {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        folder.write(RunFolder::CALL, text.as_bytes())
    }

    /// How the run was called for; as its lab's name alone, where nothing else was kept.
    ///
    /// # Errors
    /// [`FailureKind::Output`] when the file cannot be read or is damaged.
    pub(crate) fn kept(folder: &RunFolder, lab: &Lab) -> Result<Call, Failure> {
        let path = folder.root().join(RunFolder::CALL);
        let kept =
            lab_files::read_if_any(&path, CALL_BYTES_MAX).map_err(|error| Failure::unread(&path, &error))?;
        let Some(text) = kept else { return Ok(Call::of(lab)) };
        serde_json::from_slice(&text).map_err(|error| {
            Failure::new(FailureKind::Output, format!("{} is damaged: {error}", path.display()))
                .mend("remove it; the report then names the lab only")
        })
    }

    fn of(lab: &Lab) -> Call {
        Call { lab: lab.name.clone(), ..Call::default() }
    }

    /// The line that runs the lab again with this seed: live, or simulated by these rules.
    pub(crate) fn replay(&self, seed: u64, rules: Option<Kernel>) -> String {
        let mut line = format!("lab up {}", quoted(&self.lab));
        line.push_str(&self.places());
        line.push_str(&format!(" --seed {seed}"));
        match (rules, self.backend) {
            (Some(rules), _) => line.push_str(&format!(" --backend sim --rules {}", rules.name())),
            (None, Some(backend)) => line.push_str(&format!(" --backend {}", backend.name())),
            (None, None) => {}
        }
        line
    }

    /// The options that name folders, each with a blank before it.
    #[must_use]
    pub fn places(&self) -> String {
        let options = [("--configs", &self.configs), ("--runs", &self.runs)];
        let named = options.iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        named.map(|(option, path)| format!(" {option} {}", quoted(&path.display().to_string()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_repeats_what_was_said_beside_the_name() {
        let plain = Call { lab: "echo-chamber".to_owned(), ..Call::default() };
        assert_eq!(plain.replay(7, None), "lab up echo-chamber --seed 7");
        let call = Call {
            lab: "/srv/my labs/it's.yaml".to_owned(),
            configs: Some("/srv/labs".into()),
            runs: Some("/tmp/my runs".into()),
            backend: Some(Kernel::Fanotify),
            ..Call::default()
        };
        assert_eq!(
            call.replay(7, None),
            r"lab up '/srv/my labs/it'\''s.yaml' --configs /srv/labs --runs '/tmp/my runs' --seed 7 --backend fanotify"
        );
        assert!(
            call.replay(7, Some(Kernel::EndpointSecurity))
                .ends_with("--seed 7 --backend sim --rules endpoint-security")
        );
    }
}
