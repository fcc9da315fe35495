//! What is signed here reads back as what was signed.

use super::*;

/// A made-up executable as a linker leaves it: header, three load commands and the SDK's, some pages of code,
/// and a place for a signature at the end.
pub(crate) fn executable(code_bytes: usize) -> Vec<u8> {
    let le = |number: u32| number.to_le_bytes();
    let segment = |name: &[u8], start: u64, length: u64| {
        let mut command = [le(0x19), le(72)].concat();
        let mut padded = name.to_vec();
        padded.resize(16, 0);
        command.extend(padded);
        command.extend(start.to_le_bytes());
        command.extend(length.to_le_bytes());
        command.extend(start.to_le_bytes());
        command.extend(length.to_le_bytes());
        command.extend([0; 16]);
        command
    };
    let linkedit_start = code_bytes as u64;
    let signature_start = code_bytes + 32;
    let signature_bytes = 64;
    let mut commands = segment(b"__TEXT", 0, code_bytes as u64);
    commands.extend(segment(b"__LINKEDIT", linkedit_start, 32 + signature_bytes as u64));
    commands.extend([le(0x32), le(24), le(1), le(0x000d_0000), le(0x000d_0100), le(0)].concat());
    commands.extend(
        [le(0x1d), le(16), le(u32::try_from(signature_start).unwrap()), le(signature_bytes)].concat(),
    );
    let mut file = [le(0xfeed_facf), le(0x0100_000c), le(0), le(2), le(4)].concat();
    file.extend(le(u32::try_from(commands.len()).unwrap()));
    file.extend([0; 8]);
    file.extend(commands);
    assert!(file.len() <= code_bytes, "the code has room for the load commands");
    file.extend((0..=250_u8).cycle().take(signature_start - file.len()));
    file.extend(vec![0; signature_bytes as usize]);
    file
}

const ENTITLEMENTS: &[u8] = crate::ENTITLEMENTS.as_bytes();

fn adhoc(identifier: &str) -> AdHoc<'_> {
    AdHoc { identifier, info: b"the info", resources: b"the seal", entitlements: ENTITLEMENTS }
}

fn read_back(file: &[u8]) -> Result<Signature, SignatureError> {
    read(file, b"the info", b"the seal")
}

#[test]
fn a_signature_reads_back() {
    for code_bytes in [512, 4096 - 32, 4096, 4112, 50_000 / 16 * 16] {
        let signed = sign(&executable(code_bytes), &adhoc("com.example.alpha")).unwrap();
        let found = read_back(&signed).unwrap();
        assert_eq!(found.identifier, "com.example.alpha");
        assert!(found.is_ad_hoc && found.has_runtime);
        assert_eq!(found.entitlements.as_deref(), Some(ENTITLEMENTS));
        let layout = mach_o::MachO::parse(&signed).unwrap();
        assert_eq!(layout.linkedit.end, signed.len());
        assert_eq!(layout.sdk, 0x000d_0100);
    }
}

#[test]
fn signing_twice_is_signing_once() {
    let once = sign(&executable(9000 / 16 * 16), &adhoc("com.example.alpha")).unwrap();
    assert!(sign(&once, &adhoc("com.example.alpha")).unwrap() == once);
    let other = sign(&once, &adhoc("com.example.bravo-with-a-longer-name")).unwrap();
    assert_eq!(read_back(&other).unwrap().identifier, "com.example.bravo-with-a-longer-name");
}

#[test]
fn two_identities_share_their_code_and_not_their_hash() {
    let file = executable(20_000);
    let (alpha, bravo) = (adhoc("com.example.alpha"), adhoc("com.example.bravo"));
    let (alpha, bravo) = (sign(&file, &alpha).unwrap(), sign(&file, &bravo).unwrap());
    let start = mach_o::MachO::parse(&alpha).unwrap().signature.start;
    assert!(alpha[..start] == bravo[..start]);
    assert_ne!(read_back(&alpha).unwrap().cdhash, read_back(&bravo).unwrap().cdhash);
}

#[test]
fn a_change_anywhere_is_noticed() {
    let signed = sign(&executable(4800), &adhoc("com.example.alpha")).unwrap();
    let truth = read_back(&signed).unwrap();
    let start = mach_o::MachO::parse(&signed).unwrap().signature.start;
    let mut changed = signed.clone();
    for place in 0..signed.len() {
        changed[place] ^= 0x10;
        let found = read_back(&changed);
        if place < start {
            assert!(found.is_err(), "byte {place} of the code");
        } else if let Ok(found) = found {
            // The directory vouches for everything but itself and the empty key signature: a change in it is
            // another cdhash, a change behind it is without meaning.
            let harmless = found == truth && !in_directory(&signed, place);
            assert!(harmless || found.cdhash != truth.cdhash, "byte {place} of the signature");
        }
        changed[place] = signed[place];
    }
    assert!(matches!(
        read(&signed, b"another info", b"the seal"),
        Err(SignatureError::Altered("Info.plist"))
    ));
    assert!(matches!(read(&signed, b"the info", b"another"), Err(SignatureError::Altered("CodeResources"))));
}

fn in_directory(signed: &[u8], place: usize) -> bool {
    let start = mach_o::MachO::parse(signed).unwrap().signature.start;
    let number = |at: usize| {
        let bytes = signed[start + at..].first_chunk().unwrap();
        usize::try_from(u32::from_be_bytes(*bytes)).unwrap()
    };
    let directory = number(16);
    (start + directory..start + directory + number(directory + 4)).contains(&place)
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let signed = sign(&executable(4096), &adhoc("com.example.alpha")).unwrap();
    for length in 0..signed.len() {
        assert!(read_back(&signed[..length]).is_err(), "{length} bytes");
        assert!(sign(&signed[..length], &adhoc("com.example.alpha")).is_err(), "{length} bytes");
    }
}

#[test]
fn what_cannot_be_signed_is_refused_with_its_reason() {
    let reason = |file: &[u8], adhoc: &AdHoc<'_>| sign(file, adhoc).unwrap_err().to_string();
    assert_eq!(
        reason(b"\x7fELF and more, to be longer than a header", &adhoc("a.b")),
        "this is no 64-bit Mach-O file with one architecture"
    );
    let mut library = executable(4096);
    library[12] = 6;
    assert_eq!(reason(&library, &adhoc("a.b")), "this Mach-O file is no executable");
    let mut trailing = executable(4096);
    trailing.push(0);
    assert_eq!(reason(&trailing, &adhoc("a.b")), "the signature is not the last thing in the file");
    let file = executable(4096);
    assert_eq!(reason(&file, &adhoc("")), "the signing identifier is empty or has a zero byte");
    let list = AdHoc { entitlements: b"<plist version=\"1.0\"><array/></plist>", ..adhoc("a.b") };
    assert_eq!(reason(&file, &list), "the entitlements are no property list with a dictionary");
    let odd = b"<plist version=\"1.0\"><dict><key>odd</key><real>1</real></dict></plist>";
    let odd = AdHoc { entitlements: odd, ..adhoc("a.b") };
    assert_eq!(reason(&file, &odd), "the entitlement odd has a value of a kind that cannot be signed here");
    let mut unsigned = executable(4096);
    // The load command of the signature becomes one that nobody knows.
    unsigned[32 + 72 + 72 + 24] = 0x7f;
    assert_eq!(
        reason(&unsigned, &adhoc("a.b")),
        "the executable has no place for a signature: link it for arm64, whose linkers put one in"
    );
}

/// Signing writes sizes into the load commands; they must not be cut off with the old signature.
#[test]
fn a_signature_in_the_load_commands_is_refused() {
    for start in [0_u32, 16, 32, 96, 208] {
        let mut file = executable(4096);
        let length = u32::try_from(file.len()).unwrap();
        let (linkedit, signature) = (32 + 72, 32 + 72 + 72 + 24);
        file[linkedit + 40..linkedit + 48].copy_from_slice(&0_u64.to_le_bytes());
        file[linkedit + 48..linkedit + 56].copy_from_slice(&u64::from(length).to_le_bytes());
        file[signature + 8..signature + 12].copy_from_slice(&start.to_le_bytes());
        file[signature + 12..signature + 16].copy_from_slice(&(length - start).to_le_bytes());
        let expected = SignatureError::MachO(MachOError::Damaged("the signature lies in the load commands"));
        assert_eq!(sign(&file, &adhoc("com.example.alpha")), Err(expected), "{start}");
    }
}
