//! The clients of a lab, listed or counted, each with an ID and a bundle ID of its own: as written, as meant, and
//! written out.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{Behavior, BundleId, Client, ClientId, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    behavior::{BehaviorEntry, RawBehavior, behavior, write_behavior},
    checks::{CLIENT_ID_BYTES_MAX, RESERVED_IDS, mended_word},
    diagnostic::Diagnostic,
    limits::Limits,
    read::{At, Field, List, Problems, Read, records},
    scalar::Bounded,
    tree::{Node, Value, shortened},
    write::Scalar,
};

/// The most clients that a lab file can ask for; the machine allows fewer.
const CLIENTS_MAX: usize = 9_999;

records! {
    /// One client: one process that answers AUTH events, in a bundle of its own.
    #[schemars(rename = "Client")]
    "a client" RawClient {
        /// The client's name in this lab: 1 to 32 lower-case letters, digits and hyphens, a letter first.
        #[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"))]
        id: String,
        /// The bundle's reverse-DNS name, distinct from every other client's. Left out, it is
        /// `org.eslab.<lab>.<id>`.
        #[schemars(extend(
            "pattern" = "^[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$",
            "maxLength" = 155
        ))]
        bundle_id [default]: String,
        /// What the client does: a preset, or fields that override those of `defaults`.
        behavior [default]: BehaviorEntry,
        /// After any death it is started again, so long after it: a new process under the same bundle ID that has
        /// kept no answer. Left out, it stays dead.
        restart [default]: Span,
    }

    /// N clients that are alike, named `client-01` and so on.
    #[schemars(rename = "ClientCount")]
    "`clients`" RawClientCount {
        /// How many.
        count: Bounded<1, { CLIENTS_MAX as u64 }>,
        /// What their names begin with.
        #[schemars(extend("default" = "client", "pattern" = "^[a-z][a-z0-9-]*$"))]
        prefix [default]: String,
        /// What they do: a preset, or fields that override those of `defaults`.
        behavior [default]: BehaviorEntry,
        /// After any death each is started again, so long after it. Left out, it stays dead.
        restart [default]: Span,
    }
}

/// The clients as they may be written: a list, or how many.
#[derive(Clone, Debug)]
pub(crate) enum RawClients {
    List(List<RawClient>),
    Count(Box<RawClientCount>),
}

impl Read for RawClients {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawClients> {
        match &node.value {
            Value::List(nodes) => Some(RawClients::List(List::of(nodes, CLIENTS_MAX, problems))),
            Value::Map(_) => {
                RawClientCount::read(node, problems).map(|count| RawClients::Count(count.into()))
            }
            _ => {
                problems.wrong_type(
                    node,
                    "a list of clients or how many",
                    "`- { id: alpha }`, or `clients: { count: 3 }`",
                );
                None
            }
        }
    }
}

impl JsonSchema for RawClients {
    fn schema_name() -> Cow<'static, str> {
        "Clients".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let client = generator.subschema_for::<RawClient>();
        let count = generator.subschema_for::<RawClientCount>();
        json_schema!({
            "description": "The clients: a list, or `{ count: N }` for N alike.",
            "anyOf": [{ "type": "array", "minItems": 1, "maxItems": CLIENTS_MAX, "items": client }, count]
        })
    }
}

impl RawClients {
    /// The behaviours as they are written.
    pub(crate) fn behaviors(&self) -> Vec<&RawBehavior> {
        let entries: Vec<&BehaviorEntry> = match self {
            RawClients::List(list) => {
                list.items.iter().filter_map(|client| client.value.behavior.value()).collect()
            }
            RawClients::Count(count) => count.behavior.value().into_iter().collect(),
        };
        entries.into_iter().map(|BehaviorEntry(written)| written).collect()
    }
}

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

/// Writes a client as an item of the list.
pub(crate) fn write_client(out: &mut String, client: &Client) -> fmt::Result {
    writeln!(out, "  - id: {}", Scalar(client.id.as_str()))?;
    writeln!(out, "    bundle_id: {}", Scalar(client.bundle_id.as_str()))?;
    if let Some(restart) = client.restart {
        writeln!(out, "    restart: {restart}")?;
    }
    writeln!(out, "    behavior:")?;
    write_behavior(out, &client.behavior, "      ")
}
