//! Sets of events: what a client subscribes to, and what a rule or a request is about.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{AuthEvent, EventKind, NotifyEvent};

macro_rules! event_set {
    ($(#[$doc:meta])* $set:ident of $event:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $set(u16);

        impl $set {
            /// None at all.
            pub const NONE: $set = $set(0);
            /// All there are.
            pub const ALL: $set = $set((1 << $event::ALL.len()) - 1);

            /// The set of this event.
            #[must_use]
            pub const fn of(event: $event) -> $set {
                $set::NONE.with(event)
            }

            /// The set with this event.
            #[must_use]
            pub const fn with(self, event: $event) -> $set {
                $set(self.0 | 1 << event as u16)
            }

            /// What is in both.
            #[must_use]
            pub const fn and(self, other: $set) -> $set {
                $set(self.0 & other.0)
            }

            /// What is in this one only.
            #[must_use]
            pub const fn without(self, other: $set) -> $set {
                $set(self.0 & !other.0)
            }

            /// True when nothing is in it.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// A bit for each event, the lowest for the first of `ALL`.
            #[must_use]
            pub const fn bits(self) -> u16 {
                self.0
            }

            /// The set with these bits; unknown ones are left out.
            #[must_use]
            pub const fn from_bits(bits: u16) -> $set {
                $set(bits & $set::ALL.0)
            }

            /// Its events, in the order of reports.
            pub fn iter(self) -> impl Iterator<Item = $event> {
                $event::ALL.iter().copied().filter(move |&event| self.0 & $set::of(event).0 != 0)
            }

            /// The bits of fanotify for all of them.
            #[must_use]
            pub fn fanotify_mask(self) -> u64 {
                self.iter().fold(0, |mask, event| mask | event.fanotify_mask())
            }

            /// Those of which a bit is set in a mask of fanotify.
            #[must_use]
            pub fn in_fanotify_mask(self, mask: u64) -> $set {
                self.iter().filter(|event| event.fanotify_mask() & mask != 0).collect()
            }
        }

        impl FromIterator<$event> for $set {
            fn from_iter<I: IntoIterator<Item = $event>>(events: I) -> $set {
                events.into_iter().fold($set::NONE, $set::with)
            }
        }
    };
}

event_set! {
    /// Which AUTH events are meant. In a lab file one word: `all`, `none`, or that of an event.
    AuthEvents of AuthEvent
}

event_set! {
    /// Which NOTIFY events are meant; a list of their words.
    NotifyEvents of NotifyEvent
}

impl AuthEvents {
    /// True when an event is meant.
    #[must_use]
    pub const fn contains(self, kind: EventKind) -> bool {
        match kind {
            EventKind::Auth(event) => self.0 & AuthEvents::of(event).0 != 0,
            EventKind::Notify(_) | EventKind::Other(_) => false,
        }
    }

    /// What a lab file can say, with what it stands for.
    pub fn words() -> impl Iterator<Item = (&'static str, AuthEvents)> {
        let single = AuthEvent::ALL.iter().map(|&event| (event.word(), AuthEvents::of(event)));
        [("all", AuthEvents::ALL)].into_iter().chain(single).chain([("none", AuthEvents::NONE)])
    }

    /// The word in lab files; `None` for a set that has none.
    #[must_use]
    pub fn word(self) -> Option<&'static str> {
        AuthEvents::words().find(|(_, set)| *set == self).map(|(word, _)| word)
    }
}

/// The word, or the words of its events where no word stands for it.
impl fmt::Display for AuthEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(word) = self.word() {
            return f.write_str(word);
        }
        let words: Vec<&str> = self.iter().map(AuthEvent::word).collect();
        f.write_str(&words.join(", "))
    }
}

impl Default for AuthEvents {
    fn default() -> AuthEvents {
        AuthEvents::ALL
    }
}

impl Serialize for AuthEvents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.word() {
            Some(word) => serializer.serialize_str(word),
            None => serializer.collect_seq(self.iter().map(AuthEvent::word)),
        }
    }
}

/// A set as it is stored: a word, or a list of them where no word stands for it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    Word(String),
    Words(Vec<String>),
}

impl<'de> Deserialize<'de> for AuthEvents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<AuthEvents, D::Error> {
        let unknown = |word: &str| D::Error::custom(format!("`{word}` is no AUTH event"));
        match Stored::deserialize(deserializer)? {
            Stored::Word(word) => {
                let found = AuthEvents::words().find(|(of, _)| *of == word);
                found.map(|(_, set)| set).ok_or_else(|| unknown(&word))
            }
            Stored::Words(words) => {
                words.iter().map(|word| AuthEvent::of_word(word).ok_or_else(|| unknown(word))).collect()
            }
        }
    }
}

impl JsonSchema for AuthEvents {
    fn schema_name() -> Cow<'static, str> {
        "AuthEvents".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let meaning = |word: &str| match AuthEvent::of_word(word) {
            Some(AuthEvent::Open) => "Opens. On fanotify an exec opens the program, too.",
            Some(AuthEvent::Exec) => "Execs.",
            None if word == "all" => "Opens and execs.",
            None => "Neither: for a client that only wants to be told (`notify`).",
        };
        let words: Vec<Schema> = AuthEvents::words()
            .map(|(word, _)| json_schema!({ "type": "string", "const": word, "description": meaning(word) }))
            .collect();
        json_schema!({ "description": "Which AUTH events are meant.", "oneOf": words })
    }
}

impl NotifyEvents {
    /// The changes of names, by which a file comes or goes: fanotify tells of those by a group of their own.
    pub const OF_NAMES: NotifyEvents =
        NotifyEvents::of(NotifyEvent::Create).with(NotifyEvent::Rename).with(NotifyEvent::Unlink);

    /// True when the event is in it.
    #[must_use]
    pub const fn contains(self, event: NotifyEvent) -> bool {
        self.0 & NotifyEvents::of(event).0 != 0
    }

    /// True when there is a change of names in it.
    #[must_use]
    pub const fn has_names(self) -> bool {
        !self.and(NotifyEvents::OF_NAMES).is_empty()
    }

    /// How many fanotify groups it takes to be told of all this.
    #[must_use]
    pub fn groups(self) -> usize {
        usize::from(!self.is_empty()) + usize::from(self.has_names())
    }
}

impl Default for NotifyEvents {
    fn default() -> NotifyEvents {
        NotifyEvents::NONE
    }
}

impl Serialize for NotifyEvents {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for NotifyEvents {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NotifyEvents, D::Error> {
        Vec::<NotifyEvent>::deserialize(deserializer).map(|events| events.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_its_events() {
        let all: NotifyEvents = NotifyEvent::ALL.iter().copied().collect();
        assert_eq!(all, NotifyEvents::ALL);
        assert_eq!(all.iter().collect::<Vec<_>>(), NotifyEvent::ALL);
        assert_eq!(NotifyEvents::from_bits(u16::MAX), all, "bits that mean nothing are left out");
        let some = NotifyEvents::of(NotifyEvent::Close);
        assert_eq!((some.bits(), some.contains(NotifyEvent::Close)), (4, true));
        assert!(!some.contains(NotifyEvent::Open) && NotifyEvents::NONE.is_empty());
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for (word, set) in AuthEvents::words() {
            let stored = serde_json::to_string(&set).unwrap();
            assert_eq!(stored, format!("\"{word}\""));
            assert_eq!(serde_json::from_str::<AuthEvents>(&stored).unwrap(), set);
        }
        assert_eq!(
            serde_json::from_str::<AuthEvents>(r#"["exec"]"#).unwrap(),
            AuthEvents::of(AuthEvent::Exec)
        );
        assert!(serde_json::from_str::<AuthEvents>("\"rename\"").is_err());
        let some = NotifyEvents::of(NotifyEvent::Exit);
        assert_eq!(
            serde_json::from_str::<NotifyEvents>(&serde_json::to_string(&some).unwrap()).unwrap(),
            some
        );
    }

    #[test]
    fn only_auth_events_are_asked_about() {
        assert!(
            AuthEvents::ALL.contains(EventKind::AUTH_OPEN) && AuthEvents::ALL.contains(EventKind::AUTH_EXEC)
        );
        assert!(!AuthEvents::ALL.contains(NotifyEvent::Open.into()));
        assert!(!AuthEvents::of(AuthEvent::Open).contains(EventKind::AUTH_EXEC));
    }
}
