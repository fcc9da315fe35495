use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use plist::{Dictionary, Value};

use crate::{
    Bundle, BundleError, Check, Subject, TemplateError,
    package::EXECUTABLE_MODE,
    signature::{self, AdHoc, Signature, SignatureError},
    verify::equal,
};

/// The entitlement without which Endpoint Security refuses a client.
pub const ENTITLEMENT: &str = "com.apple.developer.endpoint-security.client";

/// The entitlements of `signing/endpoint-security.entitlements`, as they were when this crate was built.
pub const ENTITLEMENTS: &str = include_str!("../../../signing/endpoint-security.entitlements");

const RESOURCES_NAME: &str = "CodeResources";
const RESOURCES: &str = include_str!("../../../bundles/client/CodeResources");

/// Signs bundles ad hoc with the hardened runtime and the entitlement, on any machine.
///
/// Each gets its bundle ID as signing identifier. A second call replaces what the first one made. An
/// executable is replaced whole, never written in place: a running program's pages are checked against its
/// signature, and one that changed under it is killed.
///
/// # Errors
/// When an executable is not one for arm64 Macs, a bundle holds files that ours do not, or writing fails.
pub fn sign_ad_hoc(bundles: &[Bundle]) -> Result<(), BundleError> {
    for bundle in bundles {
        refuse_other_files(bundle)?;
        let info = read(&bundle.info_plist())?;
        let resources = resources()?;
        let adhoc = AdHoc {
            identifier: bundle.bundle_id.as_str(),
            info: &info,
            resources: &resources,
            entitlements: ENTITLEMENTS.as_bytes(),
        };
        let signed = signature::sign(&read(&bundle.executable)?, &adhoc)
            .map_err(|source| BundleError::Signature { path: bundle.executable.clone(), source })?;
        let seal = seal_path(bundle);
        if let Some(folder) = seal.parent() {
            fs::create_dir_all(folder).map_err(BundleError::io("make the folder", folder))?;
        }
        fs::write(&seal, &resources).map_err(BundleError::io("write", &seal))?;
        replace_executable(&bundle.executable, &signed)?;
    }
    Ok(())
}

/// Reads signatures back and checks each against what was asked for: three checks a bundle, in order.
///
/// # Errors
/// When a part is there and cannot be read.
pub fn verify_signatures(bundles: &[Bundle]) -> Result<Vec<Check>, BundleError> {
    let mut checks = Vec::with_capacity(bundles.len() * Subject::SIGNED.len());
    for bundle in bundles {
        let signature = read_signature(bundle)?;
        for subject in Subject::SIGNED {
            let (passed, found) = match (&signature, subject) {
                (Err(error), _) => (false, error.clone()),
                (Ok(signature), Subject::SigningIdentifier) => {
                    equal(Some(&signature.identifier), bundle.bundle_id.as_str())
                }
                (Ok(signature), Subject::Entitlement) => entitlement(signature),
                (Ok(signature), _) => (true, describe(signature)),
            };
            checks.push(Check { client: bundle.client.clone(), subject, passed, found });
        }
    }
    Ok(checks)
}

fn read_signature(bundle: &Bundle) -> Result<Result<Signature, String>, BundleError> {
    let absent = |path: &Path| Ok(Err(format!("{} is absent", path.display())));
    let mut parts = Vec::new();
    for path in [bundle.executable.clone(), bundle.info_plist(), seal_path(bundle)] {
        match fs::read(&path) {
            Ok(bytes) => parts.push(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(&path),
            Err(error) => return Err(BundleError::io("read", &path)(error)),
        }
    }
    Ok(signature::read(&parts[0], &parts[1], &parts[2]).map_err(|error: SignatureError| error.to_string()))
}

fn describe(signature: &Signature) -> String {
    let kind = if signature.is_ad_hoc { "ad hoc" } else { "with a key" };
    let runtime = if signature.has_runtime { "hardened runtime" } else { "no hardened runtime" };
    let hash: String = signature.cdhash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}, {runtime}, cdhash {hash}")
}

fn entitlement(signature: &Signature) -> (bool, String) {
    let Some(xml) = &signature.entitlements else { return (false, "no entitlements".to_owned()) };
    let entitlements = Value::from_reader_xml(io::Cursor::new(xml)).ok().and_then(Value::into_dictionary);
    match entitlements.as_ref().and_then(|entries| entries.get(ENTITLEMENT)?.as_boolean()) {
        Some(true) => (true, ENTITLEMENT.to_owned()),
        _ => (false, format!("{ENTITLEMENT} is absent")),
    }
}

fn seal_path(bundle: &Bundle) -> PathBuf {
    bundle.root.join("Contents").join("_CodeSignature").join(RESOURCES_NAME)
}

/// The seal of a bundle that holds nothing but its executable and its `Info.plist`: rules, and no files.
fn resources() -> Result<Vec<u8>, TemplateError> {
    let name = RESOURCES_NAME;
    let value = Value::from_reader_xml(io::Cursor::new(RESOURCES))
        .map_err(|source| TemplateError::Syntax { name, source })?;
    let is_empty = |key: &str| {
        let files = value.as_dictionary().and_then(|seal| seal.get(key)?.as_dictionary());
        files.is_some_and(Dictionary::is_empty)
    };
    if !is_empty("files") || !is_empty("files2") {
        return Err(TemplateError::NotADictionary { name });
    }
    let mut bytes = Vec::new();
    value.to_writer_xml(&mut bytes).map_err(|source| TemplateError::Write { name, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Refuses a bundle with files that the empty seal would leave unsealed.
fn refuse_other_files(bundle: &Bundle) -> Result<(), BundleError> {
    let contents = bundle.root.join("Contents");
    let known = [bundle.info_plist(), contents.join("MacOS"), contents.join("_CodeSignature")];
    let macos = contents.join("MacOS");
    for (folder, allowed) in [(&contents, &known[..]), (&macos, std::slice::from_ref(&bundle.executable))] {
        for entry in fs::read_dir(folder).map_err(BundleError::io("list", folder))? {
            let path = entry.map_err(BundleError::io("list", folder))?.path();
            if !allowed.contains(&path) {
                return Err(BundleError::UnsealedFile { path });
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    fs::read(path).map_err(BundleError::io("read", path))
}

fn replace_executable(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    // A crash leaves it behind; then the next signing refuses the bundle, and packaging makes a new one.
    let beside = path.with_extension("signing");
    fs::write(&beside, bytes).map_err(BundleError::io("write", &beside))?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(EXECUTABLE_MODE))
        .map_err(BundleError::io("make executable", &beside))?;
    fs::rename(&beside, path).map_err(BundleError::io("move into place", path))
}
