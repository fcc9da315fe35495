//! What a Mac says of itself, read from the output of its own tools.

use lab_backend_es::{NewClientResult, Probed};

/// What a Mac says about itself: for most of it, what one of its tools printed. `None` means that it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MacFacts {
    /// What `sw_vers -productVersion` printed.
    pub version: Option<String>,
    /// What `id -u` printed.
    pub user: Option<String>,
    /// What `csrutil status` printed.
    pub integrity_protection: Option<String>,
    /// What `nvram boot-args` printed; `Some` and empty when there are none.
    pub boot_arguments: Option<String>,
    /// What `sysctl -n kern.hv_vmm_present` printed.
    pub virtual_machine: Option<String>,
    /// What `systemextensionsctl list` printed.
    pub extensions: Option<String>,
    /// What `codesign -d --entitlements - --xml` printed of a packaged client.
    pub entitlements: Option<String>,
    /// Whether this process can open a file that only Full Disk Access opens.
    pub full_disk_access: Option<bool>,
    /// What `es_new_client` said to a probe with the client's signature, by its number.
    pub new_client: Option<u32>,
    /// Clients that could still connect, as far as a probe went.
    pub free_slots: Option<u32>,
}

/// A system extension that may be an Endpoint Security client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its bundle ID.
    pub bundle_id: String,
    /// True when it is switched on.
    pub is_active: bool,
}

/// The kind of extensions that are Endpoint Security clients.
const CATEGORY: &str = "com.apple.system_extension.endpoint_security";

impl Extension {
    /// Reads the Endpoint Security extensions in what `systemextensionsctl list` printed.
    ///
    /// Each kind has a heading of dashes and its name, then a line of column names, then a line an extension
    /// with tabs between `enabled`, `active`, team, bundle ID with version, name and state.
    #[must_use]
    pub fn parse(listing: &str) -> Vec<Extension> {
        let mut of_our_kind = false;
        let mut found = Vec::new();
        for line in listing.lines() {
            if let Some(kind) = line.strip_prefix("--- ") {
                of_our_kind = kind.split_whitespace().next() == Some(CATEGORY);
            } else if of_our_kind && let Some(bundle) = line.split('\t').nth(3) {
                let bundle_id = bundle.split_whitespace().next().unwrap_or_default();
                if bundle_id.contains('.') {
                    let is_active = line.contains("[activated enabled]");
                    found.push(Extension { bundle_id: bundle_id.to_owned(), is_active });
                }
            }
        }
        found
    }
}

impl MacFacts {
    /// The same facts with what a packaged client printed for `--probe`; unchanged when it printed something else,
    /// or was killed before it could.
    #[must_use]
    pub fn probed(self, printed: &str) -> MacFacts {
        let Ok(probed) = printed.parse::<Probed>() else { return self };
        let is_full = matches!(probed.refused, None | Some(NewClientResult::TooManyClients));
        MacFacts {
            new_client: Some(probed.first().code()),
            // A refusal of another kind says nothing about the slots.
            free_slots: is_full.then_some(probed.connected),
            ..self
        }
    }
}

impl MacFacts {
    /// Asks this machine, as far as it is a Mac; with the path of a packaged client also what it is entitled to. Of
    /// another system nothing is known.
    #[must_use]
    pub fn here(client: Option<&std::path::Path>) -> MacFacts {
        #[cfg(target_os = "macos")]
        return MacFacts::gather(client);
        #[cfg(not(target_os = "macos"))]
        {
            let _of_a_mac = client;
            MacFacts::default()
        }
    }
}

#[cfg(target_os = "macos")]
impl MacFacts {
    /// Asks this Mac; with the path of a packaged client also what it is entitled to. What the Mac does not say
    /// stays unknown.
    ///
    /// No client is connected for it, because that empties the result caches of all others: the two facts that
    /// need one are left to a probe.
    #[must_use]
    fn gather(client: Option<&std::path::Path>) -> MacFacts {
        // Absolute paths: what is asked here may be asked as root, and nobody's PATH decides what that runs.
        let ask = |program: &str, arguments: &[&str]| {
            duct::cmd(program, arguments).stderr_null().stdin_null().read().ok()
        };
        let unchecked = |program: &str, arguments: &[&str]| {
            duct::cmd(program, arguments).stderr_null().stdin_null().unchecked().read().ok()
        };
        let entitlements = client.and_then(|client| {
            let client = client.to_string_lossy();
            ask("/usr/bin/codesign", &["-d", "--entitlements", "-", "--xml", &client])
        });
        // Without Full Disk Access this file cannot be opened, not even by root; it is not read.
        let guarded = std::fs::File::open("/Library/Application Support/com.apple.TCC/TCC.db");
        let full_disk_access = match guarded {
            Ok(_) => Some(true),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(false),
            Err(_) => None,
        };
        MacFacts {
            version: ask("/usr/bin/sw_vers", &["-productVersion"]),
            user: ask("/usr/bin/id", &["-u"]),
            integrity_protection: ask("/usr/bin/csrutil", &["status"]),
            // It fails when there are none.
            boot_arguments: unchecked("/usr/sbin/nvram", &["boot-args"]),
            virtual_machine: ask("/usr/sbin/sysctl", &["-n", "kern.hv_vmm_present"]),
            extensions: ask("/usr/bin/systemextensionsctl", &["list"]),
            entitlements,
            full_disk_access,
            new_client: None,
            free_slots: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoint_security_extensions_are_clients() {
        let listing = "2 extension(s)\n--- com.apple.system_extension.network_extension (Go to 'System Settings' to modify these system extension(s))\nenabled\tactive\tteamID\tbundleID (version)\tname\t[state]\n*\t*\tAAAAAAAAAA\tcom.example.net (1.0/1)\tnet\t[activated enabled]\n--- com.apple.system_extension.endpoint_security\nenabled\tactive\tteamID\tbundleID (version)\tname\t[state]\n*\t*\tBBBBBBBBBB\tcom.example.guard (2.1/7)\tguard\t[activated enabled]\n\t\tBBBBBBBBBB\tcom.example.old (1.0/1)\told\t[terminated waiting to uninstall on reboot]\n";
        let found = Extension::parse(listing);
        let names: Vec<_> = found.iter().map(|found| (found.bundle_id.as_str(), found.is_active)).collect();
        assert_eq!(names, [("com.example.guard", true), ("com.example.old", false)]);
        assert_eq!(Extension::parse("0 extension(s)\n"), []);
    }
}
