//! `signing.yaml`: which identity and profile sign which client.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use lab_model::{BundleId, Visible};
use plist::{Dictionary, Value};
use serde::Deserialize;

use crate::{
    Bundle, ENTITLEMENT, ENTITLEMENTS, Profile, ProfileError, Step, ToolCall,
    seal::{helper_identifier, helpers},
};

const CODESIGN: &str = "/usr/bin/codesign";
const SECURITY: &str = "/usr/bin/security";
/// The largest signing file that is read, in bytes: a profile for each of some thousand clients.
const SIGNING_BYTES_MAX: usize = 1 << 20;
/// The most lists and mappings within each other; a signing file needs three.
const DEPTH_MAX: usize = 16;
/// The most nodes of a signing file, aliases written out.
const NODES_MAX: usize = 50_000;
/// The version of the form of `signing.yaml`.
const SCHEMA: u32 = 1;
const TEAM_CHARACTERS: usize = 10;

/// How the bundles of a lab are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Without any identity: for machines with System Integrity Protection off.
    AdHoc,
    /// With an identity of Apple's.
    DeveloperId(DeveloperId),
}

/// An identity of Apple's, and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeveloperId {
    /// The identity's name, as the keychain lists it.
    pub identity: String,
    /// The team's ten characters.
    pub team: String,
    /// The provisioning profile of each bundle ID, relative to the signing file.
    pub profiles: BTreeMap<BundleId, PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSigning {
    schema: u32,
    mode: Mode,
    developer_id: Option<DeveloperId>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    AdHoc,
    DeveloperId,
}

/// What is wrong with a signing file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningFileError {
    /// It is no YAML, or not of the form of `signing/signing.example.yaml`; the reader's words, with place.
    #[error("{0}")]
    Form(String),
    /// More bytes than any signing file has.
    #[error("it has {0} bytes, a signing file at most {SIGNING_BYTES_MAX}")]
    TooLarge(usize),
    /// A form that this version does not read.
    #[error("schema {0} is not read by this version; write schema: 1")]
    Schema(u32),
    /// The mode asks for an identity, and none is given.
    #[error("mode developer-id needs the part developer_id with identity, team and profiles")]
    NoIdentity,
    /// An identity that the mode does not use.
    #[error("mode ad-hoc uses no identity: remove the part developer_id, or write mode: developer-id")]
    UnusedIdentity,
    /// No team.
    #[error("\"{0}\" is no team: ten capital letters and digits, such as ABCDE12345")]
    Team(String),
}

impl Signing {
    /// Reads a signing file.
    ///
    /// # Errors
    /// With one sentence, before anything is signed.
    pub fn parse(yaml: &str) -> Result<Signing, SigningFileError> {
        if yaml.len() > SIGNING_BYTES_MAX {
            return Err(SigningFileError::TooLarge(yaml.len()));
        }
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, flow_nesting_limit: DEPTH_MAX, max_nodes: NODES_MAX },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: NODES_MAX },
            with_snippet: false,
        };
        let raw: RawSigning = serde_saphyr::from_str_with_options(yaml, options)
            .map_err(|error| SigningFileError::Form(Visible::new(&error.to_string()).to_string()))?;
        if raw.schema != SCHEMA {
            return Err(SigningFileError::Schema(raw.schema));
        }
        match (raw.mode, raw.developer_id) {
            (Mode::AdHoc, None) => Ok(Signing::AdHoc),
            (Mode::AdHoc, Some(_)) => Err(SigningFileError::UnusedIdentity),
            (Mode::DeveloperId, None) => Err(SigningFileError::NoIdentity),
            (Mode::DeveloperId, Some(developer)) => {
                let is_team = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
                if developer.team.len() != TEAM_CHARACTERS || !developer.team.chars().all(is_team) {
                    return Err(SigningFileError::Team(developer.team));
                }
                Ok(Signing::DeveloperId(developer))
            }
        }
    }
}

/// What has to be known of the machine before anything is signed.
#[derive(Clone, Debug)]
pub struct SigningFacts {
    /// What [`list_identities`] printed; `None` when there is no keychain to ask, and then whether it has the identity
    /// is left open.
    pub identities: Option<String>,
    /// The profiles' bytes, by the bundle ID they are listed under; an unreadable file is absent.
    pub profiles: BTreeMap<BundleId, Vec<u8>>,
    /// The time of day.
    pub now: SystemTime,
}

/// Why bundles cannot be signed as asked. Each is one sentence and stands alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningProblem {
    /// Two bundles have one identity.
    #[error("the bundle ID {0} is used twice; every client needs its own")]
    DuplicateBundleId(BundleId),
    /// The keychain does not have the identity.
    #[error("the keychain has no valid identity \"{identity}\"; it has {}", listed(available))]
    NoSuchIdentity {
        /// The one asked for.
        identity: String,
        /// Those that are there.
        available: Vec<String>,
    },
    /// The identity is another team's.
    #[error("the identity \"{identity}\" is not of the team {team}")]
    IdentityOfOtherTeam {
        /// The identity.
        identity: String,
        /// The team of the signing file.
        team: String,
    },
    /// No profile is listed for a client, or its file cannot be read.
    #[error("there is no provisioning profile for {0}; list one under developer_id.profiles")]
    NoProfile(BundleId),
    /// The file is no profile.
    #[error("the provisioning profile for {bundle_id} cannot be read: {reason}")]
    UnreadableProfile {
        /// The client's bundle ID.
        bundle_id: BundleId,
        /// Why not.
        reason: ProfileError,
    },
    /// The profile is for something else.
    #[error("the provisioning profile \"{profile}\" listed for {bundle_id} is for {covers}")]
    ProfileForOtherBundle {
        /// The client's bundle ID.
        bundle_id: BundleId,
        /// The profile's name.
        profile: String,
        /// What it is for.
        covers: String,
    },
    /// The profile is another team's.
    #[error("the provisioning profile \"{profile}\" for {bundle_id} is not of the team {team}")]
    ProfileOfOtherTeam {
        /// The client's bundle ID.
        bundle_id: BundleId,
        /// The profile's name.
        profile: String,
        /// The team of the signing file.
        team: String,
    },
    /// The profile's time is over.
    #[error("the provisioning profile \"{profile}\" for {bundle_id} expired {} days ago", days(*ago))]
    ProfileExpired {
        /// The client's bundle ID.
        bundle_id: BundleId,
        /// The profile's name.
        profile: String,
        /// How long ago.
        ago: Duration,
    },
    /// The profile does not grant what the client needs.
    #[error("the provisioning profile \"{profile}\" for {bundle_id} does not grant {ENTITLEMENT}")]
    ProfileWithoutEntitlement {
        /// The client's bundle ID.
        bundle_id: BundleId,
        /// The profile's name.
        profile: String,
    },
}

fn listed(identities: &[String]) -> String {
    if identities.is_empty() { "none".to_owned() } else { identities.join(", ") }
}

fn days(ago: Duration) -> u64 {
    ago.as_secs() / 86_400
}

/// The call that lists the keychain's valid signing identities.
#[must_use]
pub fn list_identities() -> ToolCall {
    ToolCall::new(SECURITY, ["find-identity", "-v", "-p", "codesigning"])
}

/// The names of the identities in what [`list_identities`] printed: each stands in quotes on its line.
#[must_use]
pub fn identities(listing: &str) -> Vec<String> {
    let quoted = |line: &str| line.split_once('"')?.1.rsplit_once('"').map(|(name, _)| name.to_owned());
    listing.lines().filter_map(quoted).collect()
}

/// Finds everything that keeps the bundles from being signed as asked; empty when nothing does.
#[must_use]
pub fn problems(signing: &Signing, bundles: &[Bundle], facts: &SigningFacts) -> Vec<SigningProblem> {
    let mut problems = Vec::new();
    for (index, bundle) in bundles.iter().enumerate() {
        let same = |other: &Bundle| other.bundle_id.as_str().eq_ignore_ascii_case(bundle.bundle_id.as_str());
        if bundles[..index].iter().any(same) {
            problems.push(SigningProblem::DuplicateBundleId(bundle.bundle_id.clone()));
        }
    }
    let Signing::DeveloperId(developer) = signing else { return problems };
    let available = facts.identities.as_deref().map(identities);
    let absent = available.filter(|available| !available.contains(&developer.identity));
    if let Some(available) = absent {
        let identity = developer.identity.clone();
        problems.push(SigningProblem::NoSuchIdentity { identity, available });
    } else if !developer.identity.ends_with(&format!("({})", developer.team)) {
        let (identity, team) = (developer.identity.clone(), developer.team.clone());
        problems.push(SigningProblem::IdentityOfOtherTeam { identity, team });
    }
    for bundle in bundles {
        problems.extend(profile_problem(developer, bundle, facts));
    }
    problems
}

/// The first thing that is wrong with a bundle's profile: the others would follow from it.
fn profile_problem(developer: &DeveloperId, bundle: &Bundle, facts: &SigningFacts) -> Option<SigningProblem> {
    let bundle_id = bundle.bundle_id.clone();
    let bytes = developer.profiles.get(&bundle_id).and_then(|_| facts.profiles.get(&bundle_id));
    let Some(bytes) = bytes else { return Some(SigningProblem::NoProfile(bundle_id)) };
    let profile = match Profile::parse(bytes) {
        Ok(profile) => profile,
        Err(reason) => return Some(SigningProblem::UnreadableProfile { bundle_id, reason }),
    };
    let name = profile.name.clone();
    if !profile.covers(bundle_id.as_str()) {
        let covers = profile.bundle_id;
        return Some(SigningProblem::ProfileForOtherBundle { bundle_id, profile: name, covers });
    }
    if !profile.teams.contains(&developer.team) {
        let team = developer.team.clone();
        return Some(SigningProblem::ProfileOfOtherTeam { bundle_id, profile: name, team });
    }
    if let Ok(ago) = facts.now.duration_since(profile.expires) {
        return Some(SigningProblem::ProfileExpired { bundle_id, profile: name, ago });
    }
    if !profile.grants_endpoint_security {
        return Some(SigningProblem::ProfileWithoutEntitlement { bundle_id, profile: name });
    }
    None
}

/// Plans the signing of bundles on a Mac: for each its profile, its helpers as far as they are there, its
/// entitlements, its signature and the check of the signature. `work` is a folder for the entitlements, `profiles` the one that profile paths start from.
#[must_use]
pub fn plan_signing(signing: &Signing, bundles: &[Bundle], work: &Path, profiles: &Path) -> Vec<Step> {
    let mut steps = vec![Step::MakeFolder(work.to_path_buf())];
    for bundle in bundles {
        let entitlements = work.join(format!("{}.entitlements", bundle.client));
        let mut arguments = vec!["--force", "--options", "runtime"];
        let identity = match signing {
            Signing::AdHoc => "-",
            Signing::DeveloperId(developer) => {
                if let Some(profile) = developer.profiles.get(&bundle.bundle_id) {
                    let to = bundle.root.join("Contents").join("embedded.provisionprofile");
                    steps.push(Step::Copy { from: profiles.join(profile), to });
                }
                arguments.push("--timestamp");
                &developer.identity
            }
        };
        // From the inside out. A folder that cannot be listed is codesign's to complain about.
        for helper in helpers(bundle).unwrap_or_default() {
            let (own, path) = (helper_identifier(bundle, &helper), helper.to_string_lossy().into_owned());
            let words = [&arguments[..], &["--sign", identity, "--identifier", &own, &path]].concat();
            steps.push(Step::Run(ToolCall::new(CODESIGN, words)));
        }
        steps.push(Step::Write { path: entitlements.clone(), bytes: entitlements_of(signing, bundle) });
        let entitlements = entitlements.to_string_lossy();
        let root = bundle.root.to_string_lossy();
        arguments.extend(["--sign", identity, "--identifier", bundle.bundle_id.as_str()]);
        arguments.extend(["--entitlements", &entitlements, &root]);
        steps.push(Step::Run(ToolCall::new(CODESIGN, arguments)));
        steps.push(Step::Run(ToolCall::new(CODESIGN, ["--verify", "--strict", "--verbose=2", &root])));
    }
    steps
}

/// What a bundle is entitled to. With a profile, the signature has to say for which application and team.
fn entitlements_of(signing: &Signing, bundle: &Bundle) -> Vec<u8> {
    let Signing::DeveloperId(developer) = signing else { return ENTITLEMENTS.as_bytes().to_vec() };
    let mut entries = Dictionary::new();
    let application = format!("{}.{}", developer.team, bundle.bundle_id);
    entries.insert("com.apple.application-identifier".to_owned(), Value::String(application));
    entries.insert(ENTITLEMENT.to_owned(), Value::Boolean(true));
    let team = Value::String(developer.team.clone());
    entries.insert("com.apple.developer.team-identifier".to_owned(), team);
    let mut bytes = Vec::new();
    // Writing XML into memory fails only for values that XML has no form for, and these are texts and a boolean.
    if Value::Dictionary(entries).to_writer_xml(&mut bytes).is_err() {
        bytes.clear();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::tests::made_up;

    const IDENTITY: &str = "Developer ID Application: Example Corp (ABCDE12345)";
    const LISTING: &str = "  1) 0123456789ABCDEF0123456789ABCDEF01234567 \"Developer ID Application: Example Corp (ABCDE12345)\"\n     1 valid identities found\n";

    fn bundle(id: &str, bundle_id: &str) -> Bundle {
        let root = PathBuf::from(format!("/lab/{id}.app"));
        let executable = root.join("Contents/MacOS").join(id);
        Bundle { client: id.parse().unwrap(), bundle_id: bundle_id.parse().unwrap(), root, executable }
    }

    fn developer() -> DeveloperId {
        let profiles = [("com.example.alpha", "alpha"), ("com.example.bravo", "bravo")].map(|(id, file)| {
            (id.parse().unwrap(), PathBuf::from(format!("profiles/{file}.provisionprofile")))
        });
        DeveloperId {
            identity: IDENTITY.to_owned(),
            team: "ABCDE12345".to_owned(),
            profiles: profiles.into(),
        }
    }

    fn bundles() -> [Bundle; 2] {
        [bundle("alpha", "com.example.alpha"), bundle("bravo", "com.example.bravo")]
    }

    fn facts() -> SigningFacts {
        let profile =
            |id: &str| made_up(&format!("ABCDE12345.{id}"), "ABCDE12345", "2030-01-01T00:00:00Z", true);
        let profiles =
            ["com.example.alpha", "com.example.bravo"].map(|id| (id.parse().unwrap(), profile(id)));
        // 2026-11-23.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_392_000);
        SigningFacts { identities: Some(LISTING.to_owned()), profiles: profiles.into(), now }
    }

    fn found(facts: &SigningFacts, developer: DeveloperId) -> Vec<String> {
        let problems = problems(&Signing::DeveloperId(developer), &bundles(), facts);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_complete_has_no_problem() {
        assert_eq!(found(&facts(), developer()), Vec::<String>::new());
        let no_facts = SigningFacts { identities: None, profiles: BTreeMap::new(), ..facts() };
        assert_eq!(problems(&Signing::AdHoc, &bundles(), &no_facts), []);
    }

    #[test]
    fn an_identity_that_is_not_there_is_named_with_those_that_are() {
        let absent = DeveloperId {
            identity: "Developer ID Application: Nobody (ABCDE12345)".to_owned(),
            ..developer()
        };
        assert_eq!(
            found(&facts(), absent.clone()),
            [
                "the keychain has no valid identity \"Developer ID Application: Nobody (ABCDE12345)\"; it has Developer ID Application: Example Corp (ABCDE12345)"
            ]
        );
        let empty =
            SigningFacts { identities: Some("     0 valid identities found\n".to_owned()), ..facts() };
        assert!(found(&empty, absent)[0].ends_with("it has none"));
        let other = DeveloperId { team: "ZZZZZ99999".to_owned(), ..developer() };
        assert_eq!(
            found(&facts(), other)[0],
            format!("the identity \"{IDENTITY}\" is not of the team ZZZZZ99999")
        );
    }

    #[test]
    fn each_wrong_profile_has_its_sentence() {
        let with = |profile: Vec<u8>| {
            let mut facts = facts();
            facts.profiles.insert("com.example.bravo".parse().unwrap(), profile);
            found(&facts, developer())
        };
        let app = "ABCDE12345.com.example.bravo";
        assert_eq!(
            with(made_up("ABCDE12345.com.example.other", "ABCDE12345", "2030-01-01T00:00:00Z", true)),
            ["the provisioning profile \"Lab & Co\" listed for com.example.bravo is for com.example.other"]
        );
        assert_eq!(
            with(made_up(app, "ABCDE12345", "2026-11-13T00:00:00Z", true)),
            ["the provisioning profile \"Lab & Co\" for com.example.bravo expired 10 days ago"]
        );
        assert_eq!(
            with(made_up(app, "ZZZZZ99999", "2030-01-01T00:00:00Z", true)),
            ["the provisioning profile \"Lab & Co\" for com.example.bravo is not of the team ABCDE12345"]
        );
        assert_eq!(
            with(made_up(app, "ABCDE12345", "2030-01-01T00:00:00Z", false)),
            [
                "the provisioning profile \"Lab & Co\" for com.example.bravo does not grant com.apple.developer.endpoint-security.client"
            ]
        );
        assert_eq!(
            with(b"no profile".to_vec()),
            ["the provisioning profile for com.example.bravo cannot be read: it holds no property list"]
        );
        let mut unlisted = developer();
        unlisted.profiles.remove(&"com.example.bravo".parse().unwrap());
        assert_eq!(
            found(&facts(), unlisted),
            ["there is no provisioning profile for com.example.bravo; list one under developer_id.profiles"]
        );
    }

    #[test]
    fn a_bundle_id_used_twice_is_refused_in_both_modes() {
        let twice = [bundle("alpha", "com.example.alpha"), bundle("bravo", "com.example.ALPHA")];
        let expected = "the bundle ID com.example.ALPHA is used twice; every client needs its own";
        for signing in [Signing::AdHoc, Signing::DeveloperId(developer())] {
            assert_eq!(problems(&signing, &twice, &facts())[0].to_string(), expected);
        }
    }

    #[test]
    fn the_plan_prints_every_command() {
        let lines = |signing: &Signing| -> Vec<String> {
            let steps = plan_signing(signing, &bundles()[..1], Path::new("/made"), Path::new("/lab/signing"));
            steps.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            lines(&Signing::AdHoc),
            [
                "/bin/mkdir -p /made",
                "/usr/bin/install -m 0644 /dev/stdin /made/alpha.entitlements  # 254 bytes",
                "/usr/bin/codesign --force --options runtime --sign - --identifier com.example.alpha --entitlements /made/alpha.entitlements /lab/alpha.app",
                "/usr/bin/codesign --verify --strict --verbose=2 /lab/alpha.app",
            ]
        );
        let lines = lines(&Signing::DeveloperId(developer()));
        assert_eq!(
            lines[1],
            "/bin/rm -rf /lab/alpha.app/Contents/embedded.provisionprofile && /bin/cp -R /lab/signing/profiles/alpha.provisionprofile /lab/alpha.app/Contents/embedded.provisionprofile"
        );
        assert_eq!(
            lines[3],
            "/usr/bin/codesign --force --options runtime --timestamp --sign 'Developer ID Application: Example Corp (ABCDE12345)' --identifier com.example.alpha --entitlements /made/alpha.entitlements /lab/alpha.app"
        );
    }

    #[test]
    fn a_developers_entitlements_name_the_application() {
        let bytes = entitlements_of(&Signing::DeveloperId(developer()), &bundles()[0]);
        let entries = Value::from_reader_xml(std::io::Cursor::new(bytes)).unwrap().into_dictionary().unwrap();
        let text = |key: &str| entries.get(key).and_then(Value::as_string);
        assert_eq!(text("com.apple.application-identifier"), Some("ABCDE12345.com.example.alpha"));
        assert_eq!(text("com.apple.developer.team-identifier"), Some("ABCDE12345"));
        assert_eq!(entries.get(ENTITLEMENT).and_then(Value::as_boolean), Some(true));
    }

    #[test]
    fn the_example_file_reads_and_wrong_files_are_refused() {
        let example = include_str!("../../../signing/signing.example.yaml");
        assert_eq!(Signing::parse(example), Ok(Signing::AdHoc));
        // What the example shows as a comment has to be right too.
        let (head, commented) = example.split_once("# Only for developer-id:\n").unwrap();
        let bare = |line: &str| line.strip_prefix("# ").unwrap().to_owned() + "\n";
        let uncommented: String = commented.lines().map(bare).collect();
        let uncommented = head.replace("mode: ad-hoc", "mode: developer-id") + &uncommented;
        let parsed = Signing::parse(&uncommented).unwrap();
        assert_eq!(
            parsed,
            Signing::DeveloperId(DeveloperId {
                profiles: [
                    ("com.example.lab.alpha".parse().unwrap(), "profiles/alpha.provisionprofile".into()),
                    ("com.example.lab.bravo".parse().unwrap(), "profiles/bravo.provisionprofile".into()),
                ]
                .into(),
                ..developer()
            })
        );
        assert_eq!(Signing::parse("schema: 2\nmode: ad-hoc"), Err(SigningFileError::Schema(2)));
        assert_eq!(Signing::parse("schema: 1\nmode: developer-id"), Err(SigningFileError::NoIdentity));
        let both = "schema: 1\nmode: ad-hoc\ndeveloper_id: { identity: a, team: ABCDE12345, profiles: {} }";
        assert_eq!(Signing::parse(both), Err(SigningFileError::UnusedIdentity));
        let team = "schema: 1\nmode: developer-id\ndeveloper_id: { identity: a, team: abc, profiles: {} }";
        assert_eq!(Signing::parse(team), Err(SigningFileError::Team("abc".to_owned())));
        for wrong in ["", "schema: 1\nmode: magic", "schema: 1\nmode: ad-hoc\nkey: secret"] {
            assert!(matches!(Signing::parse(wrong), Err(SigningFileError::Form(_))), "{wrong}");
        }
    }
}
