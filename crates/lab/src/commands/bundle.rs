//! `lab bundle`: the clients of a lab as bundles, without running it.

use std::path::{Path, PathBuf};

use lab_bundle::{Bundle, BundleError, Check, Host};
use lab_files::Folder;
use lab_model::Lab;
use lab_orchestrator::{Failure, FailureKind, SigningFile};
use lab_process::platform::IS_MAC;
use serde_json::{Value, json};

use super::ExitError;
use crate::{
    arguments,
    labs::{Places, relative},
    table::Table,
    terminal,
};

pub(super) fn bundle(places: &Places, arguments: &arguments::Bundle) -> Result<u8, ExitError> {
    let lab = places.read(&arguments.name)?;
    let target = arguments.target.as_deref();
    let into = folder(places, &lab, arguments.into.as_ref())?;
    if arguments.form == arguments::BundleForm::SystemExtension {
        return extensions(places, &lab, &into, arguments);
    }
    let signing = match (arguments.sign, is_for_apple_silicon(target)) {
        (true, _) => Some(signing_of(places, arguments.signing.signing.as_deref())?),
        // The linker's own signature names no bundle and has no entitlement.
        (false, true) => Some(SigningFile::ad_hoc()),
        (false, false) => None,
    };
    if let Some(signing) = &signing {
        signing.check(&bundles_at(&lab, &into))?;
    }
    let (client, helper) = programs(places, &lab, target)?;
    let failed = |error: BundleError| ExitError::from(failure(&error));
    let bundles = lab_bundle::package(&client, helper.as_deref(), &lab.clients, &into).map_err(failed)?;
    if let Some(signing) = &signing {
        signing.sign(&bundles, &work(&into))?;
    }
    let mut checks = lab_bundle::verify(&bundles).map_err(failed)?;
    if signing.is_some() {
        checks.extend(lab_bundle::verify_signatures(&bundles).map_err(failed)?);
    }
    tell(&bundles, &checks, arguments.json)
}

/// The clients as system extensions in one host app.
fn extensions(
    places: &Places,
    lab: &Lab,
    into: &Path,
    arguments: &arguments::Bundle,
) -> Result<u8, ExitError> {
    let target = arguments.target.as_deref();
    if arguments.sign && !signing_of(places, arguments.signing.signing.as_deref())?.is_ad_hoc() {
        let message = "the lab signs system extensions ad hoc only";
        let mend = "leave --sign out, and sign from the inside out as docs/guides/signing.md shows";
        return Err(ExitError::usage(message, mend));
    }
    let failed = |error: BundleError| ExitError::from(failure(&error));
    // Before anything is built: the names may not do.
    Host::at(&lab.clients, into).map_err(failed)?;
    let (client, helper) = programs(places, lab, target)?;
    let program = lab_orchestrator::host_for(places.workspace()?, target)?;
    let host =
        lab_bundle::package_host(&program, &client, helper.as_deref(), &lab.clients, into).map_err(failed)?;
    let signs = arguments.sign || is_for_apple_silicon(target);
    if signs {
        lab_bundle::sign_host_ad_hoc(&host).map_err(failed)?;
    }
    let bundles = host.bundles();
    let mut checks = lab_bundle::verify(&bundles).map_err(failed)?;
    if signs {
        checks.extend(lab_bundle::verify_host(&host).map_err(failed)?);
    }
    tell(&bundles, &checks, arguments.json)
}

/// The programs that the bundles are copies of: the client's, and that of helpers where a client has any.
fn programs(
    places: &Places,
    lab: &Lab,
    target: Option<&str>,
) -> Result<(PathBuf, Option<PathBuf>), ExitError> {
    let workspace = places.workspace()?;
    let client = lab_orchestrator::client_for(workspace, target)?;
    let has_helpers = lab.clients.iter().any(|client| client.behavior.helpers.is_some());
    let helper = has_helpers.then(|| lab_orchestrator::helper_for(workspace, target)).transpose()?;
    for program in [Some(&client), helper.as_ref()].into_iter().flatten() {
        lab_orchestrator::trusted_program(program, &places.trusted)?;
    }
    Ok((client, helper))
}

fn tell(bundles: &[Bundle], checks: &[Check], json: bool) -> Result<u8, ExitError> {
    if json {
        terminal::print_json(&as_json(bundles, checks))?;
    } else {
        terminal::say(&as_text(bundles, checks))?;
    }
    let passed = checks.iter().all(|check| check.passed);
    Ok(if passed { 0 } else { FailureKind::Bug.exit_code() })
}

pub(super) fn sign(places: &Places, arguments: &arguments::Sign) -> Result<u8, ExitError> {
    let lab = places.read(&arguments.name)?;
    let into = folder(places, &lab, arguments.into.as_ref())?;
    let signing = signing_of(places, arguments.signing.signing.as_deref())?;
    let bundles = bundles_at(&lab, &into);
    if arguments.dry_run {
        // The commands first: they are what was asked for, whatever stands in their way.
        for step in signing.plan(&bundles, &work(&into)) {
            terminal::print(&format!("{step}\n"))?;
        }
        signing.check(&bundles)?;
        if !signing.is_ad_hoc() && !IS_MAC {
            terminal::eprint("no keychain was asked: this is no Mac\n");
        }
        return Ok(0);
    }
    if let Some(absent) = bundles.iter().find(|bundle| !bundle.executable.is_file()) {
        let message = format!("there is no bundle at {}", relative(&absent.root).display());
        return Err(ExitError::usage(
            message,
            format!("make the bundles first: lab bundle {}", arguments.name),
        ));
    }
    signing.sign(&bundles, &work(&into))?;
    let checks = lab_bundle::verify_signatures(&bundles).map_err(|error| ExitError::from(failure(&error)))?;
    terminal::say(&as_text(&bundles, &checks))?;
    let passed = checks.iter().all(|check| check.passed);
    Ok(if passed { 0 } else { FailureKind::Bug.exit_code() })
}

/// How bundles are signed: as the file says that is named, else as the workspace's own, else ad hoc.
pub(super) fn signing_of(places: &Places, choice: Option<&Path>) -> Result<SigningFile, ExitError> {
    let own = places.workspace()?.join("signing").join("signing.yaml");
    match choice {
        Some(path) => Ok(SigningFile::read(path, &places.trusted)?),
        None if own.is_file() => Ok(SigningFile::read(&own, &places.trusted)?),
        None => Ok(SigningFile::ad_hoc()),
    }
}

/// Where the bundles lie, or are to lie: root makes and signs programs only where nobody else may write.
fn folder(places: &Places, lab: &Lab, into: Option<&PathBuf>) -> Result<PathBuf, ExitError> {
    let folder = match into {
        Some(into) => into.clone(),
        None => places.workspace()?.join("target").join("bundles").join(&lab.name),
    };
    match Folder::trusted(&folder, &places.trusted) {
        Err(distrust) if distrust.is_refusal() => {
            Err(Failure::from(&distrust).mend("name a folder of your own with --into").into())
        }
        // Whether it can be made is found out when it is.
        _ => Ok(folder),
    }
}

fn bundles_at(lab: &Lab, into: &Path) -> Vec<Bundle> {
    lab.clients.iter().map(|client| Bundle::at(client, into)).collect()
}

/// Where the entitlements are written that `codesign` reads.
fn work(into: &Path) -> PathBuf {
    into.join("entitlements")
}

fn is_for_apple_silicon(target: Option<&str>) -> bool {
    let here = IS_MAC && cfg!(target_arch = "aarch64");
    target.map_or(here, |target| target == "aarch64-apple-darwin")
}

fn failure(error: &BundleError) -> Failure {
    if let BundleError::NoHostId = error {
        return Failure::new(FailureKind::Usage, error.to_string())
            .mend("give the clients bundle_ids that begin alike, or bundle them as daemons");
    }
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    Failure::new(FailureKind::Output, message).mend("name a folder that can be written with --into")
}

fn as_text(bundles: &[Bundle], checks: &[Check]) -> String {
    let mut text = String::new();
    for bundle in bundles {
        text.push_str(&format!("{}  {}\n", relative(&bundle.root).display(), bundle.bundle_id));
        let mut table = Table::default().words([1, 2]);
        for check in checks.iter().filter(|check| check.client == bundle.client) {
            let mark = if check.passed { "ok" } else { "FAILED" };
            table.row([mark.to_owned(), check.subject.name().to_owned(), check.found.clone()]);
        }
        text.push_str(&table.text());
    }
    let failed = checks.iter().filter(|check| !check.passed).count();
    text.push_str(&match failed {
        0 => format!("{} bundles, {} checks passed\n", bundles.len(), checks.len()),
        failed => format!("{} bundles, {failed} of {} checks failed\n", bundles.len(), checks.len()),
    });
    text
}

fn as_json(bundles: &[Bundle], checks: &[Check]) -> Value {
    let of = |bundle: &Bundle| -> Vec<Value> {
        let own = checks.iter().filter(|check| check.client == bundle.client);
        own.map(
            |check| json!({ "check": check.subject.name(), "passed": check.passed, "found": check.found }),
        )
        .collect()
    };
    let bundles: Vec<Value> = bundles
        .iter()
        .map(|bundle| {
            json!({
                "client": bundle.client.as_str(),
                "bundle_id": bundle.bundle_id.as_str(),
                "path": bundle.root.display().to_string(),
                "checks": of(bundle),
            })
        })
        .collect();
    json!({ "schema": 1, "bundles": bundles })
}
