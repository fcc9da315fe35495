//! Packages this test's own executable and reads the bundles back.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use lab_bundle::{Bundle, BundleError, Subject, package, require, verify};
use lab_model::{Behavior, Client};

/// A folder of this test's own below the build folder; emptied before use, left for inspection after.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-bundle").join(test);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn client(id: &str, bundle_id: &str) -> Client {
    Client {
        id: id.parse().unwrap(),
        bundle_id: bundle_id.parse().unwrap(),
        behavior: Behavior::noop(),
        restart: None,
    }
}

fn three() -> Vec<Client> {
    ["alpha", "bravo", "charlie"].map(|id| client(id, &format!("com.example.lab.{id}"))).to_vec()
}

fn failures(bundles: &[Bundle]) -> Vec<String> {
    verify(bundles).unwrap().iter().filter(|check| !check.passed).map(ToString::to_string).collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn own_executable() -> PathBuf {
    std::env::current_exe().unwrap()
}

#[test]
fn one_executable_becomes_three_bundles() {
    let into = folder("three");
    let bundles = package(&own_executable(), None, &three(), &into).unwrap();
    assert_eq!(names(&into), ["alpha.app", "bravo.app", "charlie.app"].map(str::to_owned).into());
    let checks = verify(&bundles).unwrap();
    assert_eq!(checks.len(), 3 * Subject::ALL.len());
    assert_eq!(failures(&bundles), Vec::<String>::new());
    require(checks).unwrap();

    let original = fs::read(own_executable()).unwrap();
    let mut inodes = BTreeSet::from([fs::metadata(own_executable()).unwrap().ino()]);
    for bundle in &bundles {
        let metadata = fs::metadata(&bundle.executable).unwrap();
        assert!(inodes.insert(metadata.ino()), "{} shares an inode", bundle.client);
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o755);
        assert!(fs::read(&bundle.executable).unwrap() == original, "{} differs", bundle.client);
    }
}

#[test]
fn a_second_call_replaces_the_first_and_what_a_crash_left() {
    let into = folder("again");
    let first = package(&own_executable(), None, &three(), &into).unwrap();
    fs::write(first[0].root.join("Contents").join("stale"), "left over").unwrap();
    fs::create_dir_all(into.join(".alpha.app.partial").join("Contents")).unwrap();
    fs::create_dir_all(into.join(".bravo.app.replaced").join("Contents")).unwrap();
    let before = fs::metadata(&first[0].executable).unwrap().ino();

    let second = package(&own_executable(), None, &three(), &into).unwrap();
    assert_eq!(first, second);
    assert_eq!(names(&into), ["alpha.app", "bravo.app", "charlie.app"].map(str::to_owned).into());
    assert!(!second[0].root.join("Contents").join("stale").exists());
    assert_ne!(fs::metadata(&second[0].executable).unwrap().ino(), before);
    assert_eq!(failures(&second), Vec::<String>::new());
}

#[test]
fn a_crash_between_the_two_moves_is_mended_by_the_next_call() {
    let into = folder("crash");
    let clients = [client("alpha", "com.example.alpha")];
    let bundles = package(&own_executable(), None, &clients, &into).unwrap();
    fs::rename(&bundles[0].root, into.join(".alpha.app.replaced")).unwrap();
    assert_eq!(failures(&bundles).len(), Subject::ALL.len(), "an absent bundle fails every check");

    let bundles = package(&own_executable(), None, &clients, &into).unwrap();
    assert_eq!(failures(&bundles), Vec::<String>::new());
    assert_eq!(names(&into), BTreeSet::from(["alpha.app".to_owned()]));
}

#[test]
fn clients_that_share_a_name_or_an_identifier_are_refused_before_anything_is_written() {
    let into = folder("duplicates").join("new");
    let same_name = [client("alpha", "com.example.a"), client("alpha", "com.example.b")];
    let refusal = package(&own_executable(), None, &same_name, &into).unwrap_err();
    assert_eq!(refusal.to_string(), "two clients are called alpha");

    // Launch Services compares bundle IDs without regard to case.
    let same_bundle = [client("alpha", "com.example.A"), client("bravo", "com.example.a")];
    let refusal = package(&own_executable(), None, &same_bundle, &into).unwrap_err();
    assert_eq!(refusal.to_string(), "clients alpha and bravo have the same bundle ID com.example.a");
    assert!(!into.exists());
}

#[test]
fn what_is_no_executable_file_is_refused() {
    let into = folder("refused").join("new");
    let absent = package(Path::new("/nowhere/at/all"), None, &three(), &into).unwrap_err();
    assert!(matches!(absent, BundleError::Io { action: "read", .. }), "{absent}");
    let refusal = package(Path::new("/"), None, &three(), &into).unwrap_err();
    assert!(matches!(refusal, BundleError::NotAFile { .. }), "{refusal}");
    assert!(!into.exists());
}

#[test]
fn every_kind_of_damage_is_found() {
    let into = folder("damage");
    let mut bundles = package(&own_executable(), None, &three(), &into).unwrap();

    fs::set_permissions(&bundles[0].executable, fs::Permissions::from_mode(0o644)).unwrap();
    let found = failures(&bundles);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("failed: alpha executable: "), "{found:?}");
    assert!(found[0].ends_with("mode 0644"), "{found:?}");
    fs::set_permissions(&bundles[0].executable, fs::Permissions::from_mode(0o755)).unwrap();

    fs::remove_file(&bundles[1].executable).unwrap();
    fs::hard_link(&bundles[0].executable, &bundles[1].executable).unwrap();
    let found = failures(&bundles);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("failed: alpha own-copy: 2 bundles share inode"), "{found:?}");
    fs::remove_file(&bundles[1].executable).unwrap();

    fs::write(&bundles[1].executable, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&bundles[1].executable, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(failures(&bundles), ["failed: bravo architecture: neither ELF nor Mach-O"]);

    let mut arm = fs::read(own_executable()).unwrap();
    arm[18] = 22;
    fs::write(&bundles[1].executable, &arm).unwrap();
    let found = failures(&bundles);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("unlike the first bundle"), "{found:?}");

    bundles.remove(1);
    fs::copy(bundles[0].info_plist(), bundles[1].info_plist()).unwrap();
    assert_eq!(
        failures(&bundles),
        [
            "failed: alpha unique-identifier: 2 bundles have it",
            "failed: charlie identifier: com.example.lab.alpha, wanted com.example.lab.charlie",
            "failed: charlie unique-identifier: 2 bundles have it",
            "failed: charlie executable-name: alpha, wanted charlie",
        ]
    );

    assert_eq!(
        require(verify(&bundles).unwrap()).unwrap_err().to_string(),
        "4 checks of the bundles failed, the first: failed: alpha unique-identifier: 2 bundles have it"
    );

    fs::write(bundles[1].info_plist(), "<plist><dict><key>").unwrap();
    let found = failures(&bundles);
    assert!(found[0].starts_with("failed: charlie info-plist: "), "{found:?}");
}
