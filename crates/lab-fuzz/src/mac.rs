//! What a Mac's files and tools say: executables and their signatures, property lists, profiles, launchd, crash reports.

use std::path::Path;

use lab_bundle::{
    Architecture, CrashReport, ENTITLEMENTS, InstalledJob, JobState, Profile, identities, property_list,
    signature::{AdHoc, Signature, SignatureError, read, read_linked, sign},
};
use lab_doctor::{Extension, MacFacts, SignedHow, examine_mac};

const CODE_BYTES: usize = 4096;
const SIGNATURE_BYTES: u32 = 64;

/// An executable as a linker leaves it: a header, the load commands of two segments, an SDK and a signature.
fn executable() -> Vec<u8> {
    let le = |number: u32| number.to_le_bytes();
    let segment = |name: &[u8], start: u64, length: u64| {
        let mut command = [le(0x19), le(72)].concat();
        let mut padded = name.to_vec();
        padded.resize(16, 0);
        command.extend(padded);
        for word in [start, length, start, length, 0, 0] {
            command.extend(word.to_le_bytes());
        }
        command
    };
    let (code, signature) = (CODE_BYTES as u64, u64::from(SIGNATURE_BYTES));
    let mut commands = segment(b"__TEXT", 0, code);
    commands.extend(segment(b"__LINKEDIT", code, 32 + signature));
    commands.extend([le(0x32), le(24), le(1), le(0x000d_0000), le(0x000d_0100), le(0)].concat());
    let start = u32::try_from(CODE_BYTES + 32).unwrap();
    commands.extend([le(0x1d), le(16), le(start), le(SIGNATURE_BYTES)].concat());
    let size = u32::try_from(commands.len()).unwrap();
    let mut file = [le(0xfeed_facf), le(0x0100_000c), le(0), le(2), le(4), le(size), le(0), le(0)].concat();
    file.extend(commands);
    file.resize(CODE_BYTES + 32 + 64, 0);
    file
}

/// Changes single bytes: every three bytes of `data` are a place and what stands there.
fn patched(mut file: Vec<u8>, data: &[u8]) -> Vec<u8> {
    for patch in data.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([patch[0], patch[1]]));
        let length = file.len();
        file[place % length] = patch[2];
    }
    file
}

fn adhoc<'a>() -> AdHoc<'a> {
    AdHoc {
        identifier: "com.example.fuzz",
        info: b"info",
        resources: b"seal",
        entitlements: ENTITLEMENTS.as_bytes(),
    }
}

fn read_back(file: &[u8]) -> Result<Signature, SignatureError> {
    read(file, b"info", b"seal")
}

/// Whatever can be signed reads back as what was signed.
fn sign_and_read(file: &[u8]) {
    let Ok(signed) = sign(file, &adhoc()) else { return };
    let found = read_back(&signed).expect("what was signed reads back");
    assert!(found.is_ad_hoc && found.has_runtime && found.identifier == "com.example.fuzz");
    assert_eq!(found.entitlements.as_deref(), Some(ENTITLEMENTS.as_bytes()));
    assert_eq!(sign(&signed, &adhoc()).as_ref(), Ok(&signed), "signing twice is signing once");
}

/// Mach-O files: any bytes, and an executable with some of its bytes changed.
pub fn mach_o(data: &[u8]) {
    crate::read_only(Architecture::of(data).map(|found| found.to_string()));
    sign_and_read(data);
    sign_and_read(&patched(executable(), data));
}

/// Signatures: any bytes, and a signed executable with some of its bytes changed from the signature on.
pub fn signature(data: &[u8]) {
    crate::read_only(read_linked(data));
    let signed = sign(&executable(), &adhoc()).expect("it can be signed");
    let truth = read_back(&signed).expect("it reads back");
    let (code, rest) = signed.split_at(CODE_BYTES + 32);
    let changed = [code, &patched(rest.to_vec(), data)].concat();
    if let Ok(found) = read_back(&changed) {
        // What the directory says is the hash's business; what it vouches for, ours.
        assert!(found.cdhash != truth.cdhash || found == truth, "{found:?}");
    }
}

/// Property lists, launchd jobs and provisioning profiles.
pub fn plist(data: &[u8]) {
    if let Err(error) = property_list(data) {
        assert!(!error.to_string().is_empty());
    }
    crate::read_only(InstalledJob::parse(data, Path::new("/fuzz.plist")));
    let entitlements = AdHoc { entitlements: data, ..adhoc() };
    if let Ok(signed) = sign(&executable(), &entitlements) {
        assert_eq!(read_back(&signed).expect("it reads back").entitlements.as_deref(), Some(data));
    }
}

/// Provisioning profiles: a property list somewhere in other bytes.
pub fn profile(data: &[u8]) {
    if let Ok(profile) = Profile::parse(data) {
        let exact = !profile.bundle_id.ends_with('*');
        assert!(!exact || profile.covers(&profile.bundle_id));
    }
}

/// What `launchctl print`, `security`, `systemextensionsctl`, `csrutil` and the others print.
pub fn mac_tools(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let state = JobState::parse(&text);
    assert!(text.contains("pid = ") || state.pid.is_none());
    crate::read_only(identities(&text));
    crate::read_only(Extension::parse(&text));
    // One output for all questions, and one line each.
    let mut lines = text.lines().map(str::to_owned).chain(std::iter::repeat(text.clone().into_owned()));
    let mut next = || lines.next();
    let facts = MacFacts {
        version: next(),
        user: next(),
        integrity_protection: next(),
        boot_arguments: next(),
        virtual_machine: next(),
        extensions: next(),
        entitlements: next(),
        full_disk_access: None,
        new_client: None,
        free_slots: None,
    };
    for finding in examine_mac(&facts.probed(&text), SignedHow::AdHoc, 3) {
        assert!(!finding.found.is_empty());
    }
}

/// Crash reports.
pub fn crash_report(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(report) = CrashReport::parse(&text) {
        assert!(report.name.len() <= text.len());
    }
}
