//! `lab bundle`: the clients of a lab as bundles, without running it.

use lab_bundle::{Bundle, BundleError, Check};
use lab_orchestrator::{Failure, FailureKind};
use serde_json::{Value, json};

use super::Stop;
use crate::{
    arguments,
    labs::{Places, relative},
    table::Table,
    terminal,
};

pub(super) fn bundle(places: &Places, arguments: &arguments::Bundle) -> Result<u8, Stop> {
    let lab = places.read(&arguments.name)?;
    let target = arguments.target.as_deref();
    let into = arguments
        .into
        .clone()
        .unwrap_or_else(|| places.workspace.join("target").join("bundles").join(&lab.name));
    let client = lab_orchestrator::client_for(&places.workspace, target)?;
    let failed = |error: BundleError| Stop::from(failure(&error));
    let bundles = lab_bundle::package(&client, None, &lab.clients, &into).map_err(failed)?;
    let mut checks = lab_bundle::verify(&bundles).map_err(failed)?;
    if is_for_apple_silicon(target) {
        // The linker's own signature names no bundle and has no entitlement.
        lab_bundle::sign_ad_hoc(&bundles).map_err(failed)?;
        checks = lab_bundle::verify(&bundles).map_err(failed)?;
        checks.extend(lab_bundle::verify_signatures(&bundles).map_err(failed)?);
    }
    let passed = checks.iter().all(|check| check.passed);
    if arguments.json {
        terminal::print_json(&as_json(&bundles, &checks))?;
    } else {
        terminal::say(&as_text(&bundles, &checks))?;
    }
    Ok(if passed { 0 } else { FailureKind::Bug.exit_code() })
}

fn is_for_apple_silicon(target: Option<&str>) -> bool {
    let here = cfg!(all(target_os = "macos", target_arch = "aarch64"));
    target.map_or(here, |target| target == "aarch64-apple-darwin")
}

fn failure(error: &BundleError) -> Failure {
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
