//! Signs whole bundles: the resources, the helpers inside, and the executable last.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use plist::{Dictionary, Value};

use crate::{
    Bundle, BundleError, Check, Subject, TemplateError,
    error::{read_part, read_part_if_there},
    package::EXECUTABLE_MODE,
    property_list,
    signature::{self, AdHoc, Signature, SignatureError},
    verify::equal,
};

/// The entitlement without which Endpoint Security refuses a client.
pub const ENTITLEMENT: &str = "com.apple.developer.endpoint-security.client";

/// The entitlements of `signing/endpoint-security.entitlements`, as they were when this crate was built.
pub const ENTITLEMENTS: &str = include_str!("../../../signing/endpoint-security.entitlements");

/// What a helper is entitled to.
const NO_ENTITLEMENTS: &[u8] =
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\"><dict/></plist>\n";

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
        // From the inside out: the seal names what the helpers' signatures came to.
        let nested = sign_helpers(bundle)?;
        sign_bundle(bundle, &resources(&nested, &[])?, ENTITLEMENTS)?;
    }
    Ok(())
}

/// Signs one bundle around a seal, with these entitlements.
pub(crate) fn sign_bundle(bundle: &Bundle, resources: &[u8], entitlements: &str) -> Result<(), BundleError> {
    let info = read_part(&bundle.info_plist())?;
    let adhoc = AdHoc {
        identifier: bundle.bundle_id.as_str(),
        info: &info,
        resources,
        entitlements: entitlements.as_bytes(),
    };
    let signed = signature::sign(&read_part(&bundle.executable)?, &adhoc)
        .map_err(|source| BundleError::Signature { path: bundle.executable.clone(), source })?;
    let seal = seal_path(bundle);
    if let Some(folder) = seal.parent() {
        fs::create_dir_all(folder).map_err(BundleError::io("make the folder", folder))?;
    }
    fs::write(&seal, resources).map_err(BundleError::io("write", &seal))?;
    replace_executable(&bundle.executable, &signed)
}

/// The programs within a bundle besides its main one, in the order of their names.
///
/// # Errors
/// When the folder that holds them is there and cannot be listed.
pub(crate) fn helpers(bundle: &Bundle) -> Result<Vec<PathBuf>, BundleError> {
    let folder = helpers_folder(bundle);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(BundleError::io("list", &folder))?,
    };
    let paths: Result<Vec<PathBuf>, io::Error> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(BundleError::io("list", &folder))?;
    paths.sort();
    Ok(paths)
}

fn helpers_folder(bundle: &Bundle) -> PathBuf {
    bundle.root.join("Contents").join("Helpers")
}

/// The signing identifier of a helper: its own, so that nobody takes it for its client.
pub(crate) fn helper_identifier(bundle: &Bundle, helper: &Path) -> String {
    format!("{}.{}", bundle.bundle_id, helper.file_name().unwrap_or_default().to_string_lossy())
}

/// Nested code as the seal names it: its path below `Contents`, and what the kernel calls it.
type Nested = (String, [u8; 20]);

/// Signs the helpers without any entitlement: a client's helper is no Endpoint Security client.
fn sign_helpers(bundle: &Bundle) -> Result<Vec<Nested>, BundleError> {
    let mut nested = Vec::new();
    for helper in helpers(bundle)? {
        let failed = |source| BundleError::Signature { path: helper.clone(), source };
        let identifier = helper_identifier(bundle, &helper);
        let adhoc =
            AdHoc { identifier: &identifier, info: b"", resources: b"", entitlements: NO_ENTITLEMENTS };
        let signed = signature::sign(&read_part(&helper)?, &adhoc).map_err(failed)?;
        nested.push((below_contents(&helper), signature::read_linked(&signed).map_err(failed)?.cdhash));
        replace_executable(&helper, &signed)?;
    }
    Ok(nested)
}

fn below_contents(helper: &Path) -> String {
    format!("Helpers/{}", helper.file_name().unwrap_or_default().to_string_lossy())
}

/// Checks that each helper is signed under its own name, entitled to nothing, and the one that the seal names.
fn helpers_hold(bundle: &Bundle) -> Result<(bool, String), BundleError> {
    let sealed = sealed_files(bundle)?;
    let helpers = helpers(bundle)?;
    for helper in &helpers {
        let name = below_contents(helper);
        let found = match signature::read_linked(&read_part(helper)?) {
            Ok(found) => found,
            Err(error) => return Ok((false, format!("{name}: {error}"))),
        };
        let entry = sealed.as_ref().and_then(|files| files.get(&name)?.as_dictionary());
        let hash = entry.and_then(|entry| entry.get("cdhash")?.as_data());
        let (own, entitled) = (helper_identifier(bundle, helper), entitlement(&found, ENTITLEMENT).0);
        if hash != Some(&found.cdhash[..]) || found.identifier != own || entitled {
            return Ok((false, format!("{name} ({}) is not the helper that was sealed", found.identifier)));
        }
    }
    Ok((true, format!("{} sealed", helpers.len())))
}

/// The files that a bundle's seal names; `None` when there is no seal that can be read as one.
pub(crate) fn sealed_files(bundle: &Bundle) -> Result<Option<Dictionary>, BundleError> {
    let Some(seal) = read_part_if_there(&seal_path(bundle))? else { return Ok(None) };
    Ok(property_list(&seal).ok().and_then(|mut seal| seal.remove("files2")?.into_dictionary()))
}

/// Reads signatures back and checks each against what was asked for: four checks a bundle, in order.
///
/// # Errors
/// When a part is there and cannot be read.
pub fn verify_signatures(bundles: &[Bundle]) -> Result<Vec<Check>, BundleError> {
    let mut checks = Vec::with_capacity(bundles.len() * Subject::SIGNED.len());
    for bundle in bundles {
        checks.extend(verify_entitled(bundle, ENTITLEMENT)?);
    }
    Ok(checks)
}

/// Reads one signature back: four checks, in order.
pub(crate) fn verify_entitled(bundle: &Bundle, wanted: &str) -> Result<Vec<Check>, BundleError> {
    let signature = read_signature(bundle)?;
    let mut checks = Vec::with_capacity(Subject::SIGNED.len());
    for subject in Subject::SIGNED {
        let (passed, found) = match (&signature, subject) {
            (Err(error), _) => (false, error.clone()),
            (Ok(signature), Subject::SigningIdentifier) => {
                equal(Some(&signature.identifier), bundle.bundle_id.as_str())
            }
            (Ok(signature), Subject::Entitlement) => entitlement(signature, wanted),
            (Ok(_), Subject::Helpers) => helpers_hold(bundle)?,
            (Ok(signature), _) => (true, describe(signature)),
        };
        checks.push(Check { client: bundle.client.clone(), subject, passed, found });
    }
    Ok(checks)
}

fn read_signature(bundle: &Bundle) -> Result<Result<Signature, String>, BundleError> {
    let absent = |path: &Path| Ok(Err(format!("{} is absent", path.display())));
    let mut parts = Vec::new();
    for path in [bundle.executable.clone(), bundle.info_plist(), seal_path(bundle)] {
        match read_part_if_there(&path)? {
            Some(bytes) => parts.push(bytes),
            None => return absent(&path),
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

fn entitlement(signature: &Signature, wanted: &str) -> (bool, String) {
    let Some(xml) = &signature.entitlements else { return (false, "no entitlements".to_owned()) };
    let entitlements = property_list(xml).ok();
    match entitlements.as_ref().and_then(|entries| entries.get(wanted)?.as_boolean()) {
        Some(true) => (true, wanted.to_owned()),
        _ => (false, format!("{wanted} is absent")),
    }
}

fn seal_path(bundle: &Bundle) -> PathBuf {
    bundle.root.join("Contents").join("_CodeSignature").join(RESOURCES_NAME)
}

/// The seal of a bundle: the rules, the code nested in it by its cdhash, and other files by their own hash. The
/// executable and `Info.plist` are not in it: the executable's own signature vouches for them.
pub(crate) fn resources(nested: &[Nested], plain: &[(String, [u8; 32])]) -> Result<Vec<u8>, TemplateError> {
    let name = RESOURCES_NAME;
    let mut value = Value::from_reader_xml(io::Cursor::new(RESOURCES))
        .map_err(|source| TemplateError::Syntax { name, source })?;
    let is_empty = |key: &str| {
        let files = value.as_dictionary().and_then(|seal| seal.get(key)?.as_dictionary());
        files.is_some_and(Dictionary::is_empty)
    };
    if !is_empty("files") || !is_empty("files2") {
        return Err(TemplateError::NotADictionary { name });
    }
    let files = value.as_dictionary_mut().and_then(|seal| seal.get_mut("files2")?.as_dictionary_mut());
    let files = files.ok_or(TemplateError::NotADictionary { name })?;
    for (path, cdhash) in nested {
        let hexadecimal: String = cdhash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut entry = Dictionary::new();
        entry.insert("cdhash".to_owned(), Value::Data(cdhash.to_vec()));
        entry.insert("requirement".to_owned(), Value::String(format!("cdhash H\"{hexadecimal}\"")));
        files.insert(path.clone(), Value::Dictionary(entry));
    }
    for (path, hash) in plain {
        let mut entry = Dictionary::new();
        entry.insert("hash2".to_owned(), Value::Data(hash.to_vec()));
        files.insert(path.clone(), Value::Dictionary(entry));
    }
    let mut bytes = Vec::new();
    value.to_writer_xml(&mut bytes).map_err(|source| TemplateError::Write { name, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Refuses a bundle with files that the empty seal would leave unsealed.
fn refuse_other_files(bundle: &Bundle) -> Result<(), BundleError> {
    let contents = bundle.root.join("Contents");
    let known = [
        bundle.info_plist(),
        contents.join("MacOS"),
        contents.join("_CodeSignature"),
        helpers_folder(bundle),
    ];
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

fn replace_executable(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    // A crash leaves it behind; then the next signing refuses the bundle, and packaging makes a new one.
    let beside = path.with_extension("signing");
    fs::write(&beside, bytes).map_err(BundleError::io("write", &beside))?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(EXECUTABLE_MODE))
        .map_err(BundleError::io("make executable", &beside))?;
    fs::rename(&beside, path).map_err(BundleError::io("move into place", path))
}

#[cfg(test)]
mod tests {
    use lab_model::{Behavior, Client};

    use super::*;
    use crate::signature::tests::executable;

    /// A bundle with a helper, in a folder of the test's own.
    fn bundle(test: &str) -> Bundle {
        let into = std::env::temp_dir().join(format!("lab-seal-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&into));
        fs::create_dir_all(&into).unwrap();
        let program = into.join("program");
        fs::write(&program, executable(4096)).unwrap();
        let client = Client {
            id: "alpha".parse().unwrap(),
            bundle_id: "com.example.alpha".parse().unwrap(),
            behavior: Behavior::noop(),
            restart: None,
        };
        let bundle = Bundle::at(&client, &into);
        fs::create_dir_all(bundle.executable.parent().unwrap()).unwrap();
        fs::create_dir_all(helpers_folder(&bundle)).unwrap();
        fs::copy(&program, &bundle.executable).unwrap();
        fs::copy(&program, helpers_folder(&bundle).join("lab-worker")).unwrap();
        fs::write(bundle.info_plist(), "<plist version=\"1.0\"><dict/></plist>").unwrap();
        bundle
    }

    fn failed(bundle: &Bundle) -> Vec<Subject> {
        let checks = verify_signatures(std::slice::from_ref(bundle)).unwrap();
        checks.into_iter().filter(|check| !check.passed).map(|check| check.subject).collect()
    }

    #[test]
    fn a_helper_is_signed_under_its_own_name_and_sealed() {
        let bundle = bundle("nested");
        sign_ad_hoc(std::slice::from_ref(&bundle)).unwrap();
        assert_eq!(failed(&bundle), []);
        let helper = helpers_folder(&bundle).join("lab-worker");
        let found = signature::read_linked(&read_part(&helper).unwrap()).unwrap();
        assert_eq!(found.identifier, "com.example.alpha.lab-worker");
        assert!(!entitlement(&found, ENTITLEMENT).0, "a helper is no client");
        sign_ad_hoc(std::slice::from_ref(&bundle)).unwrap();
        assert_eq!(failed(&bundle), [], "signing again changes nothing");

        // Another program in its place, well signed by itself, is not the one that was sealed.
        let adhoc = AdHoc {
            identifier: "com.example.alpha.lab-worker",
            info: b"",
            resources: b"",
            entitlements: NO_ENTITLEMENTS,
        };
        fs::write(&helper, signature::sign(&executable(8192), &adhoc).unwrap()).unwrap();
        assert_eq!(failed(&bundle), [Subject::Helpers]);
        let mut bytes = read_part(&helper).unwrap();
        bytes[1000] ^= 1;
        fs::write(&helper, bytes).unwrap();
        assert_eq!(failed(&bundle), [Subject::Helpers]);
        fs::remove_dir_all(bundle.root.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_bundle_without_helpers_has_an_empty_seal() {
        let bundle = bundle("plain");
        fs::remove_dir_all(helpers_folder(&bundle)).unwrap();
        sign_ad_hoc(std::slice::from_ref(&bundle)).unwrap();
        assert_eq!(failed(&bundle), []);
        let seal = Value::from_file(seal_path(&bundle)).unwrap();
        assert!(seal.as_dictionary().unwrap().get("files2").unwrap().as_dictionary().unwrap().is_empty());
        fs::remove_dir_all(bundle.root.parent().unwrap()).unwrap();
    }
}
