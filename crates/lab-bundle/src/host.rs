//! The clients of a lab as system extensions in one host app.
//!
//! macOS starts and restarts system extensions by itself and wants a user's approval of each: the lab makes and checks
//! the bundles, and starts nothing that runs from them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use lab_model::{BundleId, Client};
use plist::Value;

use crate::{
    Bundle, BundleError, Check, Subject, Template,
    error::read_part,
    package::{self, move_into_place},
    property_list, seal, signature,
};

/// The host's name: of its folder, its executable and its process.
pub const HOST: &str = "lab-host";

/// The entitlement without which macOS takes no extension from an app.
pub const INSTALL_ENTITLEMENT: &str = "com.apple.developer.system-extension.install";

/// The entitlements of `signing/system-extension-host.entitlements`, as they were when this crate was built.
const HOST_ENTITLEMENTS: &str = include_str!("../../../signing/system-extension-host.entitlements");

/// The app that macOS wants around system extensions, and the clients that lie in it as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The app itself; it is no client.
    pub app: Bundle,
    /// The clients, each a bundle in the app.
    pub extensions: Vec<Bundle>,
}

impl Host {
    /// Names the host of these clients in the folder `into`; touches nothing.
    ///
    /// # Errors
    /// When the clients' bundle IDs have no common beginning to name the host by, or two share a name or a bundle ID.
    pub fn at(clients: &[Client], into: &Path) -> Result<Host, BundleError> {
        package::refuse_duplicates(clients)?;
        let bundle_id = common_beginning(clients).ok_or(BundleError::NoHostId)?;
        let client = HOST.parse().map_err(|_| BundleError::NoHostId)?;
        let root = into.join(format!("{HOST}.app"));
        let executable = package::executable_below(&root, &client);
        let app = Bundle { client, bundle_id, root, executable };
        let mut host = Host { app, extensions: Vec::new() };
        host.extensions = clients.iter().map(|client| host.extension(client, &host.app.root)).collect();
        Ok(host)
    }

    fn extension(&self, client: &Client, app: &Path) -> Bundle {
        let root = extensions_below(app).join(format!("{}.systemextension", client.bundle_id));
        let executable = package::executable_below(&root, &client.id);
        Bundle { client: client.id.clone(), bundle_id: client.bundle_id.clone(), root, executable }
    }

    /// The host and its extensions, as the checks of [`verify`](crate::verify) take them.
    #[must_use]
    pub fn bundles(&self) -> Vec<Bundle> {
        std::iter::once(&self.app).chain(&self.extensions).cloned().collect()
    }
}

fn extensions_below(app: &Path) -> PathBuf {
    app.join("Contents").join("Library").join("SystemExtensions")
}

/// The longest beginning, in whole parts, that all bundle IDs share and none is: macOS wants an extension's bundle ID to
/// begin with its host's.
fn common_beginning(clients: &[Client]) -> Option<BundleId> {
    let mut ids = clients.iter().map(|client| client.bundle_id.as_str().split('.').collect::<Vec<_>>());
    let mut common = ids.next()?;
    common.pop();
    for id in ids {
        let same = common.iter().zip(&id).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        common.truncate(same.min(id.len().saturating_sub(1)));
    }
    common.join(".").parse().ok()
}

/// Packages a host program and one client program as an app with one system extension for each client, whole or not at
/// all, as [`package`](crate::package()) does. A client with helpers gets a copy of `helper` in its extension.
///
/// # Errors
/// As [`Host::at`] (nothing is written then), or when a file cannot be written.
pub fn package_host(
    program: &Path,
    client_program: &Path,
    helper: Option<&Path>,
    clients: &[Client],
    into: &Path,
) -> Result<Host, BundleError> {
    let host = Host::at(clients, into)?;
    let program = package::open_program(program)?;
    let client_program = package::open_program(client_program)?;
    let has_helpers = clients.iter().any(|client| client.behavior.helpers.is_some());
    let helper = helper.filter(|_| has_helpers).map(package::open_program).transpose()?;
    let template = Template::embedded()?;
    fs::create_dir_all(into).map_err(BundleError::io("make the folder", into))?;
    let partial = into.join(format!(".{HOST}.app.partial"));
    package::remove_tree(&partial)?;
    let info = template.host_info(HOST, &host.app.bundle_id)?;
    package::lay_out(&partial, &host.app.client, &program, None, &info)?;
    for client in clients {
        let root = host.extension(client, &partial).root;
        let info = template.extension_info(&client.id, &client.bundle_id)?;
        let helper = helper.as_ref().filter(|_| client.behavior.helpers.is_some());
        package::lay_out(&root, &client.id, &client_program, helper, &info)?;
    }
    move_into_place(&partial, &host.app.root, &into.join(format!(".{HOST}.app.replaced")))?;
    Ok(host)
}

/// Signs the extensions ad hoc as [`sign_ad_hoc`](crate::sign_ad_hoc) signs bundles, and then the app around them.
///
/// # Errors
/// As [`sign_ad_hoc`](crate::sign_ad_hoc).
pub fn sign_host_ad_hoc(host: &Host) -> Result<(), BundleError> {
    seal::sign_ad_hoc(&host.extensions)?;
    let resources = seal::resources(&[], &nested_files(&host.app)?)?;
    seal::sign_bundle(&host.app, &resources, HOST_ENTITLEMENTS)
}

/// Reads the signatures of a host and its extensions back, and how they are nested.
///
/// # Errors
/// When a part is there and cannot be read.
pub fn verify_host(host: &Host) -> Result<Vec<Check>, BundleError> {
    let mut checks = seal::verify_entitled(&host.app, INSTALL_ENTITLEMENT)?;
    let mut check = |bundle: &Bundle, subject, (passed, found)| {
        checks.push(Check { client: bundle.client.clone(), subject, passed, found });
    };
    check(&host.app, Subject::Sealed, sealed(&host.app)?);
    for extension in &host.extensions {
        check(extension, Subject::Extension, is_extension(extension));
    }
    checks.extend(seal::verify_signatures(&host.extensions)?);
    Ok(checks)
}

/// Every file within the app besides its own three: its path below `Contents`, and its bytes' hash.
fn nested_files(app: &Bundle) -> Result<Vec<(String, [u8; 32])>, BundleError> {
    let contents = app.root.join("Contents");
    let mut files = Vec::new();
    collect(&contents.join("Library"), &contents, &mut files)?;
    files.sort();
    Ok(files)
}

/// Walks a folder; the depth is that of a host of ours.
fn collect(folder: &Path, contents: &Path, files: &mut Vec<(String, [u8; 32])>) -> Result<(), BundleError> {
    for entry in fs::read_dir(folder).map_err(BundleError::io("list", folder))? {
        let path = entry.map_err(BundleError::io("list", folder))?.path();
        if path.is_dir() {
            collect(&path, contents, files)?;
            continue;
        }
        let bytes = read_part(&path)?;
        let name = path.strip_prefix(contents).unwrap_or(&path).to_string_lossy().into_owned();
        files.push((name, signature::sha256(&bytes)));
    }
    Ok(())
}

/// Checks that the app's seal names every file in it by its hash, and no other.
fn sealed(app: &Bundle) -> Result<(bool, String), BundleError> {
    let Some(sealed) = seal::sealed_files(app)? else { return Ok((false, "no seal".to_owned())) };
    let files = nested_files(app)?;
    for (name, hash) in &files {
        let found = sealed.get(name).and_then(|file| file.as_dictionary()?.get("hash2")?.as_data());
        if found != Some(&hash[..]) {
            return Ok((false, format!("{name} is not the file that was sealed")));
        }
    }
    if sealed.len() != files.len() {
        return Ok((false, format!("{} files are sealed, {} are there", sealed.len(), files.len())));
    }
    Ok((true, format!("{} files sealed", files.len())))
}

/// Checks what tells a system extension from another bundle: its type, its folder's name, what it says to the user.
fn is_extension(extension: &Bundle) -> (bool, String) {
    let info = match read_part(&extension.info_plist()).map(|bytes| property_list(&bytes)) {
        Ok(Ok(info)) => info,
        _ => return (false, "Info.plist cannot be read".to_owned()),
    };
    let text = |key: &str| info.get(key).and_then(Value::as_string).unwrap_or_default();
    let folder = format!("{}.systemextension", extension.bundle_id);
    let named = extension.root.file_name().is_some_and(|name| name.to_string_lossy() == folder);
    let kind = text("CFBundlePackageType");
    let service = text("NSEndpointSecurityMachServiceName");
    if kind != "SYSX" {
        (false, format!("CFBundlePackageType is \"{kind}\", wanted SYSX"))
    } else if !named {
        (false, format!("its folder is not called {folder}"))
    } else if text("NSSystemExtensionUsageDescription").is_empty() {
        (false, "NSSystemExtensionUsageDescription is absent".to_owned())
    } else if !service.starts_with(extension.bundle_id.as_str()) {
        (false, format!("NSEndpointSecurityMachServiceName is \"{service}\", wanted one of its own"))
    } else {
        (true, format!("SYSX, Mach service {service}"))
    }
}

#[cfg(test)]
mod tests {
    use lab_model::Behavior;

    use super::*;
    use crate::signature::tests::executable;

    fn clients(ids: &[(&str, &str)]) -> Vec<Client> {
        let client = |&(id, bundle_id): &(&str, &str)| Client {
            id: id.parse().unwrap(),
            bundle_id: bundle_id.parse().unwrap(),
            behavior: Behavior::noop(),
            restart: None,
        };
        ids.iter().map(client).collect()
    }

    #[test]
    fn the_host_is_called_by_what_its_clients_share() {
        let id = |ids: &[&str]| {
            let named: Vec<(&str, &str)> = ["a", "b", "c"].into_iter().zip(ids.iter().copied()).collect();
            common_beginning(&clients(&named)).map(|id| id.to_string())
        };
        assert_eq!(
            id(&["com.example.lab.alpha", "com.example.lab.bravo"]).as_deref(),
            Some("com.example.lab")
        );
        assert_eq!(id(&["com.example.lab", "com.example.lab.bravo"]).as_deref(), Some("com.example"));
        assert_eq!(id(&["com.example.alpha"]).as_deref(), Some("com.example"));
        assert_eq!(id(&["com.example.alpha", "org.example.bravo"]), None);
        let strangers = clients(&[("a", "com.example.alpha"), ("b", "org.example.bravo")]);
        let refusal = Host::at(&strangers, Path::new("/nowhere")).unwrap_err();
        assert!(refusal.to_string().starts_with("the clients' bundle IDs share no beginning"), "{refusal}");
    }

    /// A signed host of two clients, in a folder of the test's own.
    fn host(test: &str) -> (PathBuf, Host) {
        let into = std::env::temp_dir().join(format!("lab-host-{test}-{}", std::process::id()));
        drop(fs::remove_dir_all(&into));
        fs::create_dir_all(&into).unwrap();
        let (program, client) = (into.join("host-program"), into.join("client-program"));
        fs::write(&program, executable(4096)).unwrap();
        fs::write(&client, executable(8192)).unwrap();
        let mut clients = clients(&[("alpha", "com.example.lab.alpha"), ("bravo", "com.example.lab.bravo")]);
        clients[0].behavior.helpers = Some(lab_model::Helpers {
            count: 1,
            wait: true,
            on: lab_model::AuthEvents::ALL,
            errand: lab_model::Errand {
                delay: lab_model::Span::default().into(),
                cpu: lab_model::Span::default().into(),
                open: true,
                read: false,
                hash: false,
                extra_opens: 0,
                spawn: None,
            },
        });
        let host = package_host(&program, &client, Some(&client), &clients, &into).unwrap();
        sign_host_ad_hoc(&host).unwrap();
        (into, host)
    }

    fn failed(host: &Host) -> Vec<(String, Subject)> {
        let mut checks = crate::verify(&host.bundles()).unwrap();
        checks.extend(verify_host(host).unwrap());
        let failed = checks.into_iter().filter(|check| !check.passed);
        failed.map(|check| (check.client.to_string(), check.subject)).collect()
    }

    #[test]
    fn a_host_vouches_for_its_extensions_and_they_for_themselves() {
        let (into, host) = host("whole");
        assert_eq!(failed(&host), []);
        let below =
            into.join("lab-host.app/Contents/Library/SystemExtensions/com.example.lab.alpha.systemextension");
        assert_eq!(host.extensions[0].root, below);
        assert!(host.extensions[0].helper().is_file() && !host.extensions[1].helper().exists());
        sign_host_ad_hoc(&host).unwrap();
        assert_eq!(failed(&host), [], "signing again changes nothing");

        // A file that nobody sealed, and one that was changed after its sealing.
        let stray = host.extensions[1].root.join("Contents").join("stray");
        fs::write(&stray, "x").unwrap();
        assert_eq!(failed(&host), [("lab-host".to_owned(), Subject::Sealed)]);
        fs::remove_file(&stray).unwrap();
        let info = host.extensions[1].info_plist();
        let text = fs::read_to_string(&info).unwrap();
        fs::write(&info, text.replace("SYSX", "APPL")).unwrap();
        let found = failed(&host);
        let bravo = |subject| ("bravo".to_owned(), subject);
        assert!(found.contains(&("lab-host".to_owned(), Subject::Sealed)), "{found:?}");
        assert!(found.contains(&bravo(Subject::Extension)), "{found:?}");
        assert!(found.contains(&bravo(Subject::Signature)), "{found:?}");
        fs::remove_dir_all(&into).unwrap();
    }

    #[test]
    fn a_client_s_entitlement_does_not_make_a_host() {
        let (into, host) = host("entitled");
        let resources = seal::resources(&[], &nested_files(&host.app).unwrap()).unwrap();
        seal::sign_bundle(&host.app, &resources, crate::ENTITLEMENTS).unwrap();
        assert_eq!(failed(&host), [("lab-host".to_owned(), Subject::Entitlement)]);
        fs::remove_dir_all(&into).unwrap();
    }
}
