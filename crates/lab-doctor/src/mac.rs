//! What a Mac must have before a lab can run on it: the checks, over facts gathered elsewhere.

use lab_backend_es::{NewClientResult, SystemVersion};
use lab_bundle::property_list;

use crate::{Extension, Finding, MacFacts, Wanted, Weight};

const ENTITLEMENT: &str = "com.apple.developer.endpoint-security.client";
const AMFI_OFF: &str = "amfi_get_out_of_my_way=1";
/// The word with which a person says that bare metal may be stormed.
const I_KNOW: &str = "--i-know";

/// How the clients are signed: it decides what the system must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedHow {
    /// Without an identity.
    AdHoc,
    /// With an identity of Apple's.
    DeveloperId,
}

/// Whether the person at the keyboard has taken the risk on herself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// She has not.
    No,
    /// She has said `--i-know`.
    IKnow,
}

/// Checks whether a Mac can run a lab with this many clients (and connections): one finding a check, in a fixed order.
#[must_use]
pub fn examine_mac(facts: &MacFacts, signed: SignedHow, wanted: impl Into<Wanted>) -> Vec<Finding> {
    vec![
        system(facts),
        privilege(facts),
        machine(facts),
        integrity_protection(facts, signed),
        boot_argument(facts, signed),
        entitlement(facts),
        full_disk_access(facts),
        new_client(facts),
        slots(facts, wanted.into().queues),
        foreign_clients(facts),
    ]
}

/// Refuses to storm a Mac that is, or may be, no virtual machine, unless somebody consented.
///
/// # Errors
/// With the finding that says so.
pub fn may_storm(facts: &MacFacts, consent: Consent) -> Result<(), Finding> {
    let finding = machine(facts);
    match (consent, finding.outcome) {
        (Consent::IKnow, _) | (_, crate::Outcome::Ok) => Ok(()),
        _ => Err(finding),
    }
}

fn system(facts: &MacFacts) -> Finding {
    let check = "system";
    let Some(version) = facts.version.as_deref().and_then(|text| text.parse::<SystemVersion>().ok()) else {
        return Finding::unknown(check, Weight::Required, "the version of macOS is not known");
    };
    if version >= SystemVersion::OLDEST {
        return Finding::ok(check, Weight::Required, format!("macOS {version}"));
    }
    let found = format!("macOS {version} cannot confine a client to the arena; 13.0 and later can");
    Finding::failed(check, Weight::Required, found, "use a virtual machine with macOS 13 or later")
}

fn privilege(facts: &MacFacts) -> Finding {
    let check = "privilege";
    match facts.user.as_deref().map(str::trim) {
        None => Finding::unknown(check, Weight::Required, "the user is not known"),
        Some("0") => Finding::ok(check, Weight::Required, "root"),
        Some(user) => {
            let found = format!("user {user} cannot connect a client");
            Finding::failed(check, Weight::Required, found, "start the lab with sudo")
        }
    }
}

fn machine(facts: &MacFacts) -> Finding {
    let check = "machine";
    let mend = format!("use a disposable virtual machine (docs/guides/macos-vm.md), or say {I_KNOW}");
    match facts.virtual_machine.as_deref().map(str::trim) {
        Some("1") => Finding::ok(check, Weight::Advised, "a virtual machine"),
        Some("0") => {
            Finding::failed(check, Weight::Advised, "bare metal, which a faulty client freezes", mend)
        }
        _ => {
            let found = "not known to be a virtual machine, and a faulty client freezes its machine";
            Finding { mend: Some(mend), ..Finding::unknown(check, Weight::Advised, found) }
        }
    }
}

fn integrity_protection(facts: &MacFacts, signed: SignedHow) -> Finding {
    let check = "sip";
    let weight = if signed == SignedHow::AdHoc { Weight::Required } else { Weight::Advised };
    let Some(text) = facts.integrity_protection.as_deref().map(str::to_lowercase) else {
        return Finding::unknown(check, weight, "csrutil does not say");
    };
    // A custom configuration is a list of parts: no single word tells what holds.
    let status = text.lines().next().unwrap_or_default().rsplit(": ").next().unwrap_or_default();
    match (status.trim_end_matches('.'), signed) {
        ("disabled", _) => Finding::ok(check, weight, "System Integrity Protection is off"),
        ("enabled", SignedHow::DeveloperId) => {
            Finding::ok(check, weight, "System Integrity Protection is on, and the clients are signed for it")
        }
        ("enabled", SignedHow::AdHoc) => Finding::failed(
            check,
            weight,
            "System Integrity Protection is on, and refuses clients that are signed ad hoc",
            "in a virtual machine: start it in recovery mode and run `csrutil disable`; else sign with a Developer ID (docs/guides/signing.md)",
        ),
        (other, _) => Finding::unknown(check, weight, format!("System Integrity Protection: {other}")),
    }
}

fn boot_argument(facts: &MacFacts, signed: SignedHow) -> Finding {
    let check = "amfi";
    let weight = Weight::Advised;
    if signed == SignedHow::DeveloperId {
        return Finding::ok(
            check,
            weight,
            "no boot argument is needed for clients signed with a Developer ID",
        );
    }
    match &facts.boot_arguments {
        None => Finding::unknown(check, weight, "the boot arguments cannot be read"),
        Some(arguments) if arguments.split_whitespace().any(|word| word.ends_with(AMFI_OFF)) => {
            Finding::ok(check, weight, format!("{AMFI_OFF} is set"))
        }
        Some(_) => {
            let mend = format!(
                "only when es-new-client says not entitled: sudo nvram boot-args=\"{AMFI_OFF}\", then restart"
            );
            let found = format!("{AMFI_OFF} is not set; whether ad hoc clients need it is not documented");
            Finding { mend: Some(mend), ..Finding::unknown(check, weight, found) }
        }
    }
}

fn entitlement(facts: &MacFacts) -> Finding {
    let check = "entitlement";
    let Some(text) = &facts.entitlements else {
        return Finding::unknown(check, Weight::Required, "no packaged client was looked at");
    };
    let granted = property_list(text.as_bytes()).ok().and_then(|list| list.get(ENTITLEMENT)?.as_boolean());
    if granted == Some(true) {
        return Finding::ok(check, Weight::Required, "the client's signature carries it");
    }
    let found = format!("the client's signature does not carry {ENTITLEMENT}");
    let mend = "sign again with signing/endpoint-security.entitlements: `lab bundle NAME`";
    Finding::failed(check, Weight::Required, found, mend)
}

fn full_disk_access(facts: &MacFacts) -> Finding {
    let check = "full-disk-access";
    match facts.full_disk_access {
        None => {
            Finding::unknown(check, Weight::Required, "whether the responsible process has it is not known")
        }
        Some(true) => Finding::ok(check, Weight::Required, "the responsible process has it"),
        Some(false) => Finding::failed(
            check,
            Weight::Required,
            "the responsible process, the terminal for a lab under sudo, does not have it",
            "System Settings > Privacy & Security > Full Disk Access: add the terminal, then start it again (docs/guides/full-disk-access.md)",
        ),
    }
}

fn new_client(facts: &MacFacts) -> Finding {
    let check = "es-new-client";
    let Some(code) = facts.new_client else {
        return Finding::unknown(check, Weight::Required, "no client was connected to try it");
    };
    match NewClientResult::from_code(code).advice() {
        None => Finding::ok(check, Weight::Required, "a client can connect"),
        Some(advice) => {
            let found = format!("{} (result {code})", advice.cause);
            Finding::failed(check, Weight::Required, found, advice.mend)
        }
    }
}

fn slots(facts: &MacFacts, needed: u32) -> Finding {
    let check = "client-slots";
    match facts.free_slots {
        None => Finding::unknown(
            check,
            Weight::Required,
            "free slots were not counted: connecting empties all caches",
        ),
        Some(free) if free >= needed => {
            Finding::ok(check, Weight::Required, format!("{free} free, {needed} needed"))
        }
        Some(free) => Finding::failed(
            check,
            Weight::Required,
            format!("{free} free, {needed} needed"),
            "use fewer clients in the lab file, or stop another security product",
        ),
    }
}

fn foreign_clients(facts: &MacFacts) -> Finding {
    let check = "foreign-clients";
    let Some(listing) = &facts.extensions else {
        return Finding::unknown(check, Weight::Advised, "systemextensionsctl does not say");
    };
    let active: Vec<_> = Extension::parse(listing)
        .into_iter()
        .filter(|found| found.is_active)
        .map(|found| found.bundle_id)
        .collect();
    if active.is_empty() {
        let found = "no other Endpoint Security extension is on; daemons do not show here";
        return Finding::ok(check, Weight::Advised, found);
    }
    let found = format!("every event also waits for {}", active.join(", "));
    let mend =
        "switch it off for the run, or name it under `external` in the lab file so that it is reported";
    Finding::failed(check, Weight::Advised, found, mend)
}
