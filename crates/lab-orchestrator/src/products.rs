//! Products under test and commands of the user's own: what they need of this machine, found out before anything is
//! started.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lab_model::{External, Lab, LoadKind, Run, Workload};

use crate::{Failure, FailureKind, run::private};

/// What the lab's products and its own commands lack on this machine, one sentence each.
#[must_use]
pub fn missing_products(lab: &Lab) -> Vec<Failure> {
    lab.external.iter().flat_map(lacks).chain(lab.workload.iter().filter_map(absent_command)).collect()
}

/// A command that cannot be run because there is no such program. One that is named by its place below the working
/// directory is not looked for: that is in the arena, which is not there yet.
fn absent_command(load: &Workload) -> Option<Failure> {
    let LoadKind::Run(Run { command, .. }) = &load.kind else { return None };
    let program = command.first()?;
    let (there, lack) = if program.starts_with('/') {
        (is_program(Path::new(program)), "there is no such program")
    } else if program.contains('/') {
        return None;
    } else {
        let path = env::var_os("PATH").unwrap_or_default();
        let there = env::split_paths(&path).any(|folder| is_program(&folder.join(program)));
        (there, "no folder of PATH has it")
    };
    (!there).then(|| {
        Failure::new(FailureKind::Product, format!("{program} cannot be run: {lack}"))
            .mend("install it, or correct `command` of `run` in the lab file")
    })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

fn lacks(product: &External) -> Vec<Failure> {
    let id = &product.id;
    let lacking = |message: String| Failure::new(FailureKind::Product, message);
    let mut found = Vec::new();
    if let Some(program) = product.start.first()
        && !is_program(Path::new(program))
    {
        let failure = lacking(format!("{id} cannot be started: there is no program {program}"));
        found.push(failure.mend(format!("install it, or correct `start` of {id} in the lab file")));
    }
    for folder in &product.private {
        let from = folder.from.as_ref().map(|from| (from, "to copy from"));
        for (path, what) in [Some((&folder.path, "to lie over")), from].into_iter().flatten() {
            if !Path::new(path).is_dir() {
                let failure =
                    lacking(format!("{id} wants {path} for itself, and there is no such folder {what}"));
                found.push(failure.mend("name a folder that exists, and make others in it with `folders`"));
            }
        }
    }
    found
}

/// Refuses a lab whose products lack something here, or would hide what the lab itself needs.
pub(crate) fn require_products(lab: &Lab, needed: &[PathBuf]) -> Result<(), Failure> {
    if let Some(failure) = missing_products(lab).into_iter().next() {
        return Err(failure);
    }
    for (place, product) in lab.external.iter().enumerate() {
        let programs = product.start.first().map(PathBuf::from);
        let enters = private::is_contested(place, &lab.external);
        if enters && !is_program(Path::new(private::ENTER)) {
            let message = format!(
                "{} wants a folder for itself that another product wants, too, and there is no program {} to give each \
                 its own",
                product.id,
                private::ENTER
            );
            return Err(Failure::new(FailureKind::Product, message).mend("install util-linux"));
        }
        for folder in &product.private {
            let whole = fs::canonicalize(&folder.path).unwrap_or_else(|_| PathBuf::from(&folder.path));
            let hidden = needed.iter().chain(&programs).find(|path| path.starts_with(&whole));
            if let Some(hidden) = hidden {
                let message = format!(
                    "{} wants {} for itself, and that holds what the lab needs: {}",
                    product.id,
                    folder.path,
                    hidden.display()
                );
                return Err(Failure::new(FailureKind::Product, message).mend("name a deeper folder"));
            }
        }
    }
    Ok(())
}
