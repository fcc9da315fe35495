//! The comment that a lab file opens with: what it is, why it is there, what to expect.

/// What a lab file says of itself before its first field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heading {
    /// What takes part and what happens.
    pub what: String,
    /// What it is good for.
    pub why: String,
    /// What a run of it shows, and the arithmetic behind it.
    pub expect: String,
}

/// How each part begins.
const PARTS: [&str; 3] = ["What:", "Why:", "Expect:"];

/// The heading of a lab file; a part that it does not have is empty. The parts begin with `# What:`, `# Why:`
/// and `# Expect:` and go on until the next one or the first line that is no comment.
#[must_use]
pub fn heading(source: &str) -> Heading {
    let mut parts: [String; 3] = Default::default();
    let mut part = None;
    for line in source.lines() {
        let Some(comment) = line.strip_prefix('#').map(str::trim) else { break };
        let begun = PARTS.iter().position(|word| comment.starts_with(word));
        part = begun.or(part);
        let Some(place) = part else { continue };
        let more = begun.map_or(comment, |place| comment[PARTS[place].len()..].trim_start());
        if !parts[place].is_empty() && !more.is_empty() {
            parts[place].push(' ');
        }
        parts[place].push_str(more);
    }
    let [what, why, expect] = parts;
    Heading { what, why, expect }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_heading_go_on_over_lines() {
        let source = "# yaml-language-server: $schema=x\n#\n# What:   three copies,\n#         each: alone.\n# Why:    to see.\n\
                      # Expect: 12.\nschema: 1\n# Why:    not this one.\n";
        let expected = Heading {
            what: "three copies, each: alone.".to_owned(),
            why: "to see.".to_owned(),
            expect: "12.".to_owned(),
        };
        assert_eq!(heading(source), expected);
        assert_eq!(heading("schema: 1\n"), Heading::default());
    }
}
