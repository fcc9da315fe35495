//! Signs the bundles of a lab as `signing.yaml` says.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use lab_bundle::{
    Bundle, Signing, SigningFacts, Step, SystemTools, Tools, carry_out, list_identities, plan_signing,
    problems, sign_ad_hoc,
};

use lab_files::{Folder, ReadError, Trusted, read_file};
use lab_process::platform::IS_MAC;

use crate::{Failure, FailureKind, launch::step_failure};

/// The largest signing file that is read, in bytes.
const SIGNING_BYTES_MAX: u64 = 1 << 20;

/// The largest provisioning profile that is read, in bytes.
const PROFILE_BYTES_MAX: u64 = 1 << 20;

/// A signing file as read, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningFile {
    signing: Signing,
    /// The paths of profiles start here.
    folder: PathBuf,
}

impl SigningFile {
    /// Signing without an identity.
    #[must_use]
    pub fn ad_hoc() -> SigningFile {
        SigningFile { signing: Signing::AdHoc, folder: PathBuf::new() }
    }

    /// Reads a signing file.
    ///
    /// # Errors
    /// When it cannot be read, others may write it, or it is not of the form of `signing/signing.example.yaml`.
    pub fn read(path: &Path, trusted: &Trusted) -> Result<SigningFile, Failure> {
        let failed = |reason: String| {
            Failure::new(FailureKind::Usage, format!("{}: {reason}", path.display()))
                .mend("signing/signing.example.yaml shows the form; docs/guides/signing.md explains it")
        };
        let file = Folder::trusted_file(path, trusted).map_err(|distrust| {
            if distrust.is_refusal() { Failure::from(&distrust) } else { failed(distrust.to_string()) }
        })?;
        let yaml = read_file(&file, SIGNING_BYTES_MAX).map_err(|error| failed(error.to_string()))?;
        let yaml = String::from_utf8(yaml).map_err(|error| failed(error.to_string()))?;
        let signing = Signing::parse(&yaml).map_err(|error| failed(error.to_string()))?;
        Ok(SigningFile { signing, folder: path.parent().unwrap_or(Path::new("")).to_owned() })
    }

    /// True when no identity is used.
    #[must_use]
    pub fn is_ad_hoc(&self) -> bool {
        self.signing == Signing::AdHoc
    }

    /// Refuses what cannot be signed as asked, before anything is made. Where there is no keychain it is not asked,
    /// and whether it has the identity stays open.
    ///
    /// # Errors
    /// With everything that stands in the way, one sentence each.
    pub fn check(&self, bundles: &[Bundle]) -> Result<(), Failure> {
        let found = problems(&self.signing, bundles, &self.facts()?);
        let sentences: Vec<String> = found.iter().map(ToString::to_string).collect();
        if sentences.is_empty() {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Usage, sentences.join("\n"))
            .mend("mend signing.yaml, or use mode: ad-hoc where System Integrity Protection is off"))
    }

    /// Everything that signing does on a Mac, in order. `work` is a folder for the entitlements.
    #[must_use]
    pub fn plan(&self, bundles: &[Bundle], work: &Path) -> Vec<Step> {
        plan_signing(&self.signing, bundles, work, &self.folder)
    }

    /// Signs bundles: on a Mac by `codesign`, elsewhere ad hoc by the lab's own signer.
    ///
    /// # Errors
    /// When [`check`](SigningFile::check) finds anything, `codesign` fails, or an identity is wanted where there is no
    /// Mac.
    pub fn sign(&self, bundles: &[Bundle], work: &Path) -> Result<(), Failure> {
        self.check(bundles)?;
        if IS_MAC {
            return carry_out(&self.plan(bundles, work), &SystemTools).map_err(|error| step_failure(&error));
        }
        if self.is_ad_hoc() {
            return sign_ad_hoc(bundles).map_err(|error| step_failure(&error.into()));
        }
        let message = "signing with an identity needs a Mac and its keychain";
        Err(Failure::new(FailureKind::BackendMissing, message)
            .mend("--dry-run prints the commands; mode: ad-hoc signs anywhere"))
    }

    fn facts(&self) -> Result<SigningFacts, Failure> {
        let mut facts = SigningFacts { identities: None, profiles: BTreeMap::new(), now: SystemTime::now() };
        let Signing::DeveloperId(developer) = &self.signing else { return Ok(facts) };
        if IS_MAC {
            let listing = SystemTools.run(&list_identities()).map_err(|error| step_failure(&error))?;
            facts.identities = Some(listing);
        }
        for (bundle_id, profile) in &developer.profiles {
            let path = self.folder.join(profile);
            match lab_files::read(&path, PROFILE_BYTES_MAX) {
                Ok(bytes) => drop(facts.profiles.insert(bundle_id.clone(), bytes)),
                Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::unread(&path, &error)),
            }
        }
        Ok(facts)
    }
}

/// What a client said when it was asked to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbedClient {
    /// The client's executable, as packaged and signed.
    pub client: PathBuf,
    /// What it printed; empty when it was killed before it could.
    pub printed: String,
}

/// Builds, packages and signs one client and has it connect as many times as it can, at most `slots_max` times.
///
/// # Errors
/// When it cannot be made. That it is refused, or killed, is no error.
pub fn probe(
    workspace: &Path,
    signing: &SigningFile,
    slots_max: u32,
    trusted: &Trusted,
) -> Result<ProbedClient, Failure> {
    let client = crate::client_for(workspace, None)?;
    crate::trusted_program(&client, trusted)?;
    let into = workspace.join("target").join("doctor");
    Folder::trusted_or_created(&into, trusted, 0o755).map_err(|distrust| Failure::from(&distrust))?;
    let bug = |message: String| Failure::new(FailureKind::Bug, message);
    let lab = lab_model::Client {
        id: "probe".parse().map_err(|error| bug(format!("{error}")))?,
        bundle_id: "org.eslab.doctor.probe".parse().map_err(|error| bug(format!("{error}")))?,
        behavior: lab_model::Behavior::noop(),
        restart: None,
    };
    let bundles =
        lab_bundle::package(&client, None, &[lab], &into).map_err(|error| step_failure(&error.into()))?;
    signing.sign(&bundles, &into.join("entitlements"))?;
    let Some(bundle) = bundles.into_iter().next() else { return Err(bug("no bundle was made".to_owned())) };
    let run = duct::cmd!(&bundle.executable, "--probe", slots_max.to_string());
    let printed = run.stdin_null().stderr_null().unchecked().read().unwrap_or_default();
    Ok(ProbedClient { client: bundle.executable, printed })
}
