//! What a client would make of an event by its settings, so that what did not come of it can be told from what was never
//! to come.

use lab_model::{AuthEvent, Behavior, EventKind, SubjectClass, When};

/// What an event sets off in a client that takes it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// No operation.
    Nothing,
    /// Operations of the client's own, every time, before it answers.
    Before,
    /// The same, once it has answered.
    After,
    /// Operations of others, or now one and now the other; or its settings are not known.
    Perhaps,
}

/// Whether what an event sets off is in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reacted {
    /// It is, or there was nothing to come.
    Over,
    /// Its client had not got so far when the record ended.
    ToCome,
    /// It was not taken up in full, or that cannot be told.
    Unknown,
}

impl Expected {
    /// What being asked sets off under any of the behaviours that were perhaps in effect.
    pub(super) fn of_question<'a>(
        behaviors: impl Iterator<Item = &'a Behavior>,
        event: EventKind,
        class: SubjectClass,
    ) -> Expected {
        let EventKind::Auth(event) = event else { return Expected::Nothing };
        Expected::under(behaviors.map(|behavior| {
            if !behavior.reacts_to(class) {
                Expected::Nothing
            } else if behavior.reactions[event].operations() > 0 {
                let later = class == SubjectClass::Own || behavior.reactions[event].when == When::After;
                if later { Expected::After } else { Expected::Before }
            } else if asks(behavior, event) {
                Expected::Perhaps
            } else {
                Expected::Nothing
            }
        }))
    }

    /// What being told sets off, of a notice that says that it did.
    pub(super) fn of_notice<'a>(behaviors: impl Iterator<Item = &'a Behavior>) -> Expected {
        Expected::under(behaviors.map(|behavior| match behavior.on_notify.operations() {
            0 => Expected::Nothing,
            _ => Expected::After,
        }))
    }

    fn under(each: impl Iterator<Item = Expected>) -> Expected {
        each.reduce(|one, other| if one == other { one } else { Expected::Perhaps })
            .unwrap_or(Expected::Perhaps)
    }
}

/// True when a client asks somebody outside about such events.
fn asks(behavior: &Behavior, event: AuthEvent) -> bool {
    let helped = behavior.helpers.is_some_and(|helpers| helpers.on.contains(event.into()));
    helped || behavior.daemons.iter().any(|asked| asked.on.contains(event.into()))
}
