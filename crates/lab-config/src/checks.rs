//! What several sections of a lab file check in the same way: names, paths, and which events something is about.

use lab_model::AuthEvents;

use crate::{
    diagnostic::Diagnostic,
    read::{At, Field, Problems},
    tree::shortened,
};

/// Client IDs that the reports use for something else.
pub(crate) const RESERVED_IDS: [&str; 6] =
    ["workload", "external", "other", "driver", "machine", "orchestrator"];

/// The longest client ID, in bytes.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 32;

/// The nearest text of lower-case letters, digits and hyphens that begins with a letter.
pub(crate) fn mended_word(text: &str, bytes_max: usize) -> Option<String> {
    let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mended: String = text.to_lowercase().chars().map(|c| if valid(c) { c } else { '-' }).collect();
    let start = mended.find(|c: char| c.is_ascii_lowercase())?;
    let mended = mended[start..].trim_end_matches('-');
    (mended.len() <= bytes_max).then(|| mended.to_owned())
}

/// What keeps a path from staying below a folder: it has to be relative and of plain names only.
pub(crate) fn path_mistake(path: &str) -> Option<&'static str> {
    const BYTES_MAX: usize = 255;
    Some(if path.starts_with('/') {
        "an absolute path"
    } else if path.split('/').any(|part| part == "..") {
        "`..` leads out of it"
    } else if path.is_empty() || path.split('/').any(|part| part.is_empty() || part == ".") {
        "expected plain names joined by `/`"
    } else if path.len() > BYTES_MAX {
        "longer than 255 bytes"
    } else if path.contains(char::is_control) {
        "control characters are not allowed"
    } else {
        return None;
    })
}

/// Checks that a path stays in the arena.
pub(crate) fn check_path(at: &At<String>, problems: &mut Problems<'_>) {
    let path = at.value.as_str();
    let Some(why) = path_mistake(path) else { return };
    let message = match why {
        "an absolute path" | "`..` leads out of it" => format!("`{}` leaves the arena", shortened(path)),
        _ => format!("`{}` is not a path", shortened(path)),
    };
    let diagnostic = Diagnostic::new(at.place.clone(), message)
        .label(why)
        .help("write a path below the arena, such as `files` or `files/deep`");
    problems.add(diagnostic);
}

/// Which AUTH events something is about: `base` when it is not written, and never none.
pub(crate) fn auth_events(
    field: &Field<AuthEvents>,
    base: AuthEvents,
    problems: &mut Problems<'_>,
) -> AuthEvents {
    let Some(at) = field.given() else { return base };
    if at.value == AuthEvents::NONE {
        let diagnostic = Diagnostic::new(at.place.clone(), "what is about no event is never used")
            .label("expected `all`, `open` or `exec`")
            .help("remove it, or write for example `on: open`");
        problems.add(diagnostic);
    }
    at.value
}
