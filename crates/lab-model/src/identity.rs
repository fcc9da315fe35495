//! The names of clients and bundles, checked once.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest client ID, in bytes. It becomes a file name and a column heading.
const CLIENT_ID_BYTES_MAX: usize = 32;

/// The longest bundle ID, in bytes (the limit App Store Connect enforces).
const BUNDLE_ID_BYTES_MAX: usize = 155;

/// Why a text is no client ID or bundle ID; the message says which rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIdentity {
    /// Not a client ID.
    #[error("\"{0}\" is no client ID: 1 to 32 lower-case letters, digits and hyphens, a letter first")]
    Client(String),
    /// Not a reverse-DNS name.
    #[error(
        "\"{0}\" is no bundle ID: at least two parts of letters, digits and hyphens joined by dots, such as com.example.alpha"
    )]
    Bundle(String),
}

/// The name of a client inside one lab: lower-case letters, digits and hyphens, a letter first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

/// The reverse-DNS name of a client's bundle, distinct for every client of a lab.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[doc(alias = "CFBundleIdentifier")]
pub struct BundleId(String);

fn is_word(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

impl FromStr for ClientId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<ClientId, InvalidIdentity> {
        let good = text.len() <= CLIENT_ID_BYTES_MAX
            && is_word(text)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.contains(|c: char| c.is_ascii_uppercase());
        if good { Ok(ClientId(text.to_owned())) } else { Err(InvalidIdentity::Client(text.to_owned())) }
    }
}

impl FromStr for BundleId {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<BundleId, InvalidIdentity> {
        let good = text.len() <= BUNDLE_ID_BYTES_MAX
            && text.contains('.')
            && text.split('.').all(is_word)
            && text.starts_with(|c: char| c.is_ascii_alphabetic());
        if good { Ok(BundleId(text.to_owned())) } else { Err(InvalidIdentity::Bundle(text.to_owned())) }
    }
}

macro_rules! text_like {
    ($name:ident) => {
        impl $name {
            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidIdentity;
            fn try_from(text: String) -> Result<$name, InvalidIdentity> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(identity: $name) -> String {
                identity.0
            }
        }
    };
}
text_like!(ClientId);
text_like!(BundleId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids() {
        for good in ["a", "alpha", "client-2"] {
            assert!(good.parse::<ClientId>().is_ok(), "{good}");
        }
        for bad in ["", "Alpha", "2nd", "-a", "a-", "a b", "a/b", "a.b", &"x".repeat(33)] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn bundle_ids() {
        for good in ["com.example.alpha", "dev.lab", "com.Example.a-b.c2"] {
            assert!(good.parse::<BundleId>().is_ok(), "{good}");
        }
        for bad in ["", "alpha", "com..alpha", ".com.alpha", "com.alpha.", "com.al pha", "com/alpha.x", "1.2"]
        {
            assert!(bad.parse::<BundleId>().is_err(), "{bad}");
        }
    }
}
