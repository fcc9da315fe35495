//! Provisioning profiles: what one allows, read from its plist inside the signature.

use std::time::SystemTime;

use plist::{Dictionary, Value};

use crate::{ENTITLEMENT, property_list};

const XML_START: &[u8] = b"<?xml";
const XML_END: &[u8] = b"</plist>";
/// The largest profile that is read; Apple's have about 12 KiB.
const PROFILE_BYTES_MAX: usize = 4 << 20;

/// What a provisioning profile says. Its signature is not checked here: macOS does that, and nobody else can.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The name its maker gave it.
    pub name: String,
    /// The team it belongs to.
    pub teams: Vec<String>,
    /// The bundle ID it is for, without the team; may end with `*`.
    pub bundle_id: String,
    /// When it ends.
    pub expires: SystemTime,
    /// True when it grants the Endpoint Security entitlement.
    pub grants_endpoint_security: bool,
}

/// What keeps a file from being read as a provisioning profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// More bytes than any profile has.
    #[error("it is far larger than a provisioning profile")]
    TooLarge,
    /// No property list in it.
    #[error("it holds no property list")]
    NoPropertyList,
    /// A key that every profile has is absent or of another kind.
    #[error("its property list has no {0}")]
    Absent(&'static str),
}

impl Profile {
    /// Reads a `.provisionprofile`: a signed message with a property list in it.
    ///
    /// # Errors
    /// When there is no property list in it, or not that of a profile.
    #[doc(alias = "embedded.provisionprofile")]
    pub fn parse(bytes: &[u8]) -> Result<Profile, ProfileError> {
        if bytes.len() > PROFILE_BYTES_MAX {
            return Err(ProfileError::TooLarge);
        }
        let dictionary = enclosed(bytes).ok_or(ProfileError::NoPropertyList)?;
        let absent = ProfileError::Absent;
        let texts = |key: &'static str| -> Result<Vec<String>, ProfileError> {
            let items = dictionary.get(key).and_then(Value::as_array).ok_or(absent(key))?;
            Ok(items.iter().filter_map(Value::as_string).map(str::to_owned).collect())
        };
        let name = dictionary.get("Name").and_then(Value::as_string).ok_or(absent("Name"))?.to_owned();
        let expires = dictionary.get("ExpirationDate").and_then(Value::as_date);
        let expires = expires.ok_or(absent("ExpirationDate"))?.into();
        let entitlements =
            dictionary.get("Entitlements").and_then(Value::as_dictionary).ok_or(absent("Entitlements"))?;
        let teams = texts("TeamIdentifier")?;
        let application = ["com.apple.application-identifier", "application-identifier"]
            .into_iter()
            .find_map(|key| entitlements.get(key)?.as_string())
            .ok_or(absent("application identifier"))?;
        // The prefix is a team or an older seed ID; bundle IDs follow its dot.
        let (_, bundle_id) = application.split_once('.').ok_or(absent("application identifier"))?;
        let granted = entitlements.get(ENTITLEMENT).and_then(Value::as_boolean);
        Ok(Profile {
            name,
            teams,
            bundle_id: bundle_id.to_owned(),
            expires,
            grants_endpoint_security: granted == Some(true),
        })
    }

    /// True when the profile is for this bundle ID.
    #[must_use]
    pub fn covers(&self, bundle_id: &str) -> bool {
        match self.bundle_id.strip_suffix('*') {
            Some(prefix) => bundle_id.starts_with(prefix),
            None => self.bundle_id == bundle_id,
        }
    }
}

/// Finds the property list inside the signed message, which carries it as one piece.
fn enclosed(bytes: &[u8]) -> Option<Dictionary> {
    let find = |what: &[u8], from: usize| {
        bytes.get(from..)?.windows(what.len()).position(|window| window == what).map(|at| from + at)
    };
    let start = find(XML_START, 0)?;
    let end = find(XML_END, start)? + XML_END.len();
    property_list(&bytes[start..end]).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// A made-up profile: the property list between bytes like those of a signed message.
    pub(crate) fn made_up(application: &str, team: &str, expires: &str, granted: bool) -> Vec<u8> {
        let granted = if granted { "<true/>" } else { "<false/>" };
        let xml = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Name</key><string>Lab &amp; Co</string>
<key>TeamIdentifier</key><array><string>{team}</string></array>
<key>ExpirationDate</key><date>{expires}</date>
<key>Entitlements</key><dict>
<key>com.apple.application-identifier</key><string>{application}</string>
<key>{ENTITLEMENT}</key>{granted}
</dict></dict></plist>"#
        );
        [b"\x30\x82\x1f\x10\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", xml.as_bytes(), b"\xa0\x82\x0d\xff"]
            .concat()
    }

    #[test]
    fn a_profile_reads_back() {
        let bytes = made_up("ABCDE12345.com.example.alpha", "ABCDE12345", "2030-01-01T00:00:00Z", true);
        let profile = Profile::parse(&bytes).unwrap();
        assert_eq!(profile.name, "Lab & Co");
        assert_eq!(profile.teams, ["ABCDE12345"]);
        assert_eq!(profile.bundle_id, "com.example.alpha");
        assert!(profile.grants_endpoint_security);
        assert_eq!(profile.expires, SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000));
    }

    #[test]
    fn a_wildcard_covers_what_begins_like_it() {
        let bytes = made_up("ABCDE12345.com.example.*", "ABCDE12345", "2030-01-01T00:00:00Z", false);
        let profile = Profile::parse(&bytes).unwrap();
        assert!(profile.covers("com.example.alpha"));
        assert!(!profile.covers("com.examples.alpha"));
        assert!(!profile.grants_endpoint_security);
        let exact = made_up("ABCDE12345.com.example.a", "ABCDE12345", "2030-01-01T00:00:00Z", true);
        assert!(!Profile::parse(&exact).unwrap().covers("com.example.ab"));
    }

    #[test]
    fn other_files_are_refused_with_their_reason() {
        assert_eq!(Profile::parse(b""), Err(ProfileError::NoPropertyList));
        assert_eq!(Profile::parse(b"<?xml and nothing after"), Err(ProfileError::NoPropertyList));
        let other = b"\x30<?xml version=\"1.0\"?><plist version=\"1.0\"><dict/></plist>\x00";
        assert_eq!(Profile::parse(other), Err(ProfileError::Absent("Name")));
        assert_eq!(Profile::parse(&vec![0; PROFILE_BYTES_MAX + 1]), Err(ProfileError::TooLarge));
        let whole = made_up("ABCDE12345.com.example.alpha", "ABCDE12345", "2030-01-01T00:00:00Z", true);
        for length in 0..whole.len() {
            assert!(Profile::parse(&whole[..length]).is_err() || length >= whole.len() - 4, "{length}");
        }
    }
}
