//! Packages a Mach-O executable as bundles, signs them ad hoc and checks them, on any machine:
//! `package-for-mac EXECUTABLE FOLDER ID...` makes `FOLDER/ID.app` with the bundle ID `com.example.lab.ID`.

use std::{path::Path, process::ExitCode};

use lab_bundle::{package, sign_ad_hoc, verify, verify_signatures};
use lab_model::{Behavior, Client};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let reason = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            eprintln!("{error}{reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<bool, Box<dyn std::error::Error>> {
    let [executable, folder, ids @ ..] = arguments else {
        return Err("usage: package-for-mac EXECUTABLE FOLDER ID...".into());
    };
    let mut clients = Vec::new();
    for id in ids {
        let bundle_id = format!("com.example.lab.{id}").parse()?;
        clients.push(Client { id: id.parse()?, bundle_id, behavior: Behavior::noop(), restart: None });
    }
    let bundles = package(Path::new(executable), None, &clients, Path::new(folder))?;
    sign_ad_hoc(&bundles)?;
    let mut checks = verify(&bundles)?;
    checks.extend(verify_signatures(&bundles)?);
    for check in &checks {
        eprintln!("{check}");
    }
    Ok(checks.iter().all(|check| check.passed))
}
