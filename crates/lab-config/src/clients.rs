//! The clients of a lab: listed or counted, each with an ID and a bundle ID of its own.

use std::{collections::BTreeMap, ops::Range};

use lab_model::{Behavior, BundleId, Client, ClientId};

use crate::{
    Diagnostic, Limits,
    raw::{BehaviorEntry, RawClient, RawClientCount, RawClients},
    read::{At, Field, List, Problems},
    resolve::{behavior, mended_word},
    tree::shortened,
};

/// Client IDs that the reports use for something else.
pub(crate) const RESERVED_IDS: [&str; 6] =
    ["workload", "external", "other", "driver", "machine", "orchestrator"];

/// The longest client ID, in bytes.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 32;

/// The clients, when all of them are good.
pub(crate) fn clients(
    field: &Field<RawClients>,
    lab: Option<&str>,
    base: &Behavior,
    limits: &Limits,
    problems: &mut Problems<'_>,
) -> Option<Vec<Client>> {
    let written = field.given()?;
    let (clients, count) = match &written.value {
        RawClients::List(list) => {
            if list.items.is_empty() && list.complete {
                let diagnostic = Diagnostic::new(written.place.clone(), "a lab has at least one client")
                    .label("no clients")
                    .help("add for example `- { id: alpha }`");
                problems.add(diagnostic);
            }
            (listed_clients(list, lab, base, problems), list.items.len())
        }
        RawClients::Count(count) => counted_clients(count, lab, base, problems),
    };
    if count > usize::from(limits.clients_max) {
        let max = limits.clients_max;
        let diagnostic = Diagnostic::new(
            written.place.clone(),
            format!("{count} clients are more than the kernel allows"),
        )
        .label(format!("at most {max} here"))
        .help(
            "on Linux the limit is fs.fanotify.max_user_groups; raise it with sysctl, or use fewer clients",
        );
        problems.add(diagnostic);
        return None;
    }
    clients
}

fn listed_clients(
    list: &List<RawClient>,
    lab: Option<&str>,
    base: &Behavior,
    problems: &mut Problems<'_>,
) -> Option<Vec<Client>> {
    let mut ids = BTreeMap::new();
    let mut bundle_ids = BTreeMap::new();
    let clients: Vec<Option<Client>> = list
        .items
        .iter()
        .map(|at| {
            let id = at.value.id.given().and_then(|id| client_id(id, &mut ids, problems));
            let bundle_id = bundle_id(at, id.as_ref(), lab, &mut bundle_ids, problems);
            let behavior = match at.value.behavior.value() {
                Some(BehaviorEntry(written)) => behavior(written, base, problems),
                None => base.clone(),
            };
            let restart = at.value.restart.value().copied();
            Some(Client { id: id?, bundle_id: bundle_id?, behavior, restart })
        })
        .collect();
    if list.complete && !clients.is_empty() { clients.into_iter().collect() } else { None }
}

fn client_id(
    written: &At<String>,
    ids: &mut BTreeMap<String, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<ClientId> {
    let text = &written.value;
    let place = written.place.clone();
    if RESERVED_IDS.contains(&text.as_str()) {
        let diagnostic = Diagnostic::new(place, format!("no client can be named `{text}`"))
            .label("the reports use this word for something else")
            .help("choose another name, such as `alpha`");
        problems.add(diagnostic);
        return None;
    }
    let Ok(id) = text.parse::<ClientId>() else {
        let diagnostic = Diagnostic::new(place, format!("`{}` is not a client ID", shortened(text)))
            .label("expected 1 to 32 lower-case letters, digits and hyphens, a letter first");
        problems.add(match mended_word(text, CLIENT_ID_BYTES_MAX) {
            Some(mended) => diagnostic.help(format!("write `{mended}`")),
            None => diagnostic.help("write for example `alpha`"),
        });
        return None;
    };
    if let Some(first) = ids.get(text) {
        let diagnostic = Diagnostic::new(place, format!("two clients have the ID `{text}`"))
            .label("used again here")
            .related(first.clone(), "first used here")
            .help("give each client an ID of its own");
        problems.add(diagnostic);
        return None;
    }
    ids.insert(text.clone(), place);
    Some(id)
}

fn bundle_id(
    client: &At<RawClient>,
    id: Option<&ClientId>,
    lab: Option<&str>,
    seen: &mut BTreeMap<String, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<BundleId> {
    let (text, place) = match &client.value.bundle_id {
        Field::Given(at) => (at.value.clone(), at.place.clone()),
        Field::Bad => return None,
        Field::Absent => (default_bundle_id(lab?, id?), client.value.id.given()?.place.clone()),
    };
    let Ok(bundle_id) = text.parse::<BundleId>() else {
        let diagnostic = Diagnostic::new(place, format!("`{}` is not a reverse-DNS name", shortened(&text)))
            .label("expected parts of letters, digits and hyphens, joined by dots")
            .help(match id {
                Some(id) => format!("write for example `com.example.{id}`"),
                None => "write for example `com.example.alpha`".to_owned(),
            });
        problems.add(diagnostic);
        return None;
    };
    // Two names that differ in case only would be one folder on macOS.
    if let Some(first) = seen.get(&text.to_ascii_lowercase()) {
        let diagnostic = Diagnostic::new(place, format!("two clients have the bundle ID `{text}`"))
            .label("used again here")
            .related(first.clone(), "first used here")
            .help("give each client a bundle ID of its own, or leave it out");
        problems.add(diagnostic);
        return None;
    }
    seen.insert(text.to_ascii_lowercase(), place);
    Some(bundle_id)
}

fn default_bundle_id(lab: &str, client: &ClientId) -> String {
    format!("org.eslab.{lab}.{client}")
}

/// N clients alike and how many were asked for.
fn counted_clients(
    written: &RawClientCount,
    lab: Option<&str>,
    base: &Behavior,
    problems: &mut Problems<'_>,
) -> (Option<Vec<Client>>, usize) {
    let behavior = match written.behavior.value() {
        Some(BehaviorEntry(written)) => behavior(written, base, problems),
        None => base.clone(),
    };
    let Some(count) = written.count.value().map(|count| count.get::<usize>()) else { return (None, 0) };
    let prefix = written.prefix.value().map_or("client", String::as_str);
    let width = count.to_string().len().max(2);
    if format!("{prefix}-{count:0width$}").parse::<ClientId>().is_err() {
        if let Some(at) = written.prefix.given() {
            let diagnostic = Diagnostic::new(
                at.place.clone(),
                format!("`{}` cannot begin a client ID", shortened(prefix)),
            )
            .label("expected lower-case letters, digits and hyphens, a letter first")
            .help("a client ID has at most 32 letters, the number included; write for example `client`");
            problems.add(diagnostic);
        }
        return (None, count);
    }
    let restart = written.restart.value().copied();
    let client = |number: usize| {
        let id = format!("{prefix}-{number:0width$}").parse::<ClientId>().ok()?;
        let bundle_id = default_bundle_id(lab?, &id).parse().ok()?;
        Some(Client { id, bundle_id, behavior: behavior.clone(), restart })
    };
    ((1..=count).map(client).collect(), count)
}
