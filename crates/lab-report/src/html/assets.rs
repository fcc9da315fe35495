//! Style sheet and script, with the hashes by which the page's policy allows them.

/// The style sheet.
pub(super) const STYLE: &str = include_str!("../../templates/report.css");
/// The script; nothing needs it to be read.
pub(super) const SCRIPT: &str = include_str!("../../templates/report.js");

/// The page's content security policy: this style sheet and this script, and nothing else from anywhere.
pub(super) const POLICY: &str = include_str!("../../templates/policy.txt");

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_names_this_style_sheet_and_this_script() {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
        let expected = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        assert_eq!(POLICY, expected, "copy this into templates/policy.txt, without a newline");
    }
}
