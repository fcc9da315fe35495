//! The fixed header and the metadata behind it.

use lab_model::{Actor, Role, Ticks, Timebase};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    error::TraceError,
    layout::{FORMAT_MAJOR, FORMAT_MINOR, HEADER_BYTES, MAGIC, METADATA_BYTES_MAX, RECORD_BYTES},
};

// The words of the header that the writer changes while it runs; they lie outside the header's check.
/// The places claimed and mapped, as of the last growth; exact once the trace is closed.
pub(crate) const LIVE_PLACES: usize = 16;
/// When the trace was closed, in ticks; 0 before.
pub(crate) const LIVE_CLOSED: usize = 17;
/// Records that did not fit.
pub(crate) const LIVE_LOST: usize = 18;

const CHECKED_BYTES: usize = 72;

/// Whose trace this is, with what settings, on what machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// When the trace was created.
    pub created: Ticks,
    /// The wall clock at that moment, in nanoseconds since 1970.
    pub created_unix_ns: i64,
    /// How ticks convert to nanoseconds.
    pub timebase: Timebase,
    /// The process's number in the run.
    pub actor: Actor,
    /// What it is there for.
    pub role: Role,
    /// Its process ID.
    pub pid: u32,
    /// Seeds the checks, so that a record of another file is not taken for one of this.
    pub salt: u32,
    /// Who it is.
    pub identity: Identity,
}

/// The part of the header that is text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process's name in the lab: a client's ID, `driver`, `orchestrator`.
    pub name: String,
    /// A client's bundle ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    /// The version of the program that wrote the trace.
    pub version: String,
    /// The arena's path as this process saw it; paths in the trace begin with it.
    pub arena: String,
    /// The settings the process ran with, as it received them.
    #[serde(default)]
    pub settings: serde_json::Value,
    /// What machine it ran on.
    #[serde(default)]
    pub host: HostFacts,
}

/// What a trace keeps of the machine it was written on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// The kernel's name and release.
    pub kernel: String,
    /// Its machine type.
    pub machine: String,
    /// Processors this process may run on.
    pub cpus: Vec<u32>,
}

impl Identity {
    /// The metadata in at most [`METADATA_BYTES_MAX`] bytes.
    fn encode(&self) -> Option<Vec<u8>> {
        let whole = serde_json::to_vec(self).ok()?;
        if whole.len() <= METADATA_BYTES_MAX {
            return Some(whole);
        }
        let size = |value: &Value| serde_json::to_vec(value).map_or(0, |text| text.len());
        let mut over = whole.len().saturating_sub(METADATA_BYTES_MAX);
        let mut less = self.clone();
        if let Value::Object(settings) = &mut less.settings {
            let mut parts: Vec<(usize, &mut Value)> =
                settings.values_mut().map(|value| (size(value), value)).collect();
            parts.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
            for (bytes, value) in parts {
                if over == 0 {
                    break;
                }
                *value = left_out(bytes);
                over = over.saturating_sub(bytes.saturating_sub(size(value)));
            }
        }
        if over > 0 {
            less.settings = left_out(size(&self.settings));
        }
        serde_json::to_vec(&less).ok().filter(|text| text.len() <= METADATA_BYTES_MAX)
    }
}

/// What stands in place of settings for which there is no room.
fn left_out(bytes: usize) -> Value {
    Value::String(format!("left out: {bytes} bytes"))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at.saturating_add(value.len())].copy_from_slice(value);
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at.saturating_add(N)]);
    value
}

impl Header {
    /// The header and metadata as bytes. Of settings that are larger than their room the largest parts are left out,
    /// and a text says so in their place. `None` when the rest is too large by itself.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let metadata = self.identity.encode()?;
        let mut bytes = vec![0; HEADER_BYTES.saturating_add(metadata.len())];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &FORMAT_MAJOR.to_le_bytes());
        put(&mut bytes, 10, &FORMAT_MINOR.to_le_bytes());
        put(&mut bytes, 12, &u32::try_from(HEADER_BYTES).ok()?.to_le_bytes());
        put(&mut bytes, 16, &u32::try_from(RECORD_BYTES).ok()?.to_le_bytes());
        put(&mut bytes, 20, &self.salt.to_le_bytes());
        put(&mut bytes, 24, &self.created.0.to_le_bytes());
        put(&mut bytes, 32, &self.created_unix_ns.to_le_bytes());
        put(&mut bytes, 40, &self.timebase.numer.to_le_bytes());
        put(&mut bytes, 44, &self.timebase.denom.to_le_bytes());
        put(&mut bytes, 48, &self.actor.0.to_le_bytes());
        put(&mut bytes, 50, &self.role.code().to_le_bytes());
        put(&mut bytes, 52, &self.pid.to_le_bytes());
        put(&mut bytes, 64, &u32::try_from(metadata.len()).ok()?.to_le_bytes());
        put(&mut bytes, 68, &crc32fast::hash(&metadata).to_le_bytes());
        let check = crc32fast::hash(&bytes[..CHECKED_BYTES]);
        put(&mut bytes, CHECKED_BYTES, &check.to_le_bytes());
        put(&mut bytes, HEADER_BYTES, &metadata);
        Some(bytes)
    }

    /// Reads header and metadata; damaged metadata leaves [`Header::identity`] empty and is told apart by
    /// the second value.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Header, bool), TraceError> {
        if bytes.len() < HEADER_BYTES {
            return Err(TraceError::TooShort { bytes: bytes.len() });
        }
        if bytes[..8] != MAGIC {
            return Err(TraceError::NotATrace);
        }
        let (major, minor) = (u16::from_le_bytes(array(bytes, 8)), u16::from_le_bytes(array(bytes, 10)));
        if crc32fast::hash(&bytes[..CHECKED_BYTES]) != u32::from_le_bytes(array(bytes, CHECKED_BYTES)) {
            return Err(TraceError::DamagedHeader);
        }
        if major != FORMAT_MAJOR {
            return Err(TraceError::Version { major, minor });
        }
        let sizes = [u32::from_le_bytes(array(bytes, 12)), u32::from_le_bytes(array(bytes, 16))];
        if sizes.map(|size| usize::try_from(size).ok()) != [Some(HEADER_BYTES), Some(RECORD_BYTES)] {
            return Err(TraceError::DamagedHeader);
        }
        let code = u16::from_le_bytes(array(bytes, 50));
        let role = Role::from_code(code).ok_or(TraceError::UnknownRole { code })?;
        let timebase = Timebase {
            numer: u32::from_le_bytes(array(bytes, 40)),
            denom: u32::from_le_bytes(array(bytes, 44)),
        };
        if timebase.numer == 0 || timebase.denom == 0 {
            return Err(TraceError::Clock { numer: timebase.numer, denom: timebase.denom });
        }
        let identity = usize::try_from(u32::from_le_bytes(array(bytes, 64)))
            .ok()
            .filter(|&length| length <= METADATA_BYTES_MAX)
            .and_then(|length| bytes.get(HEADER_BYTES..HEADER_BYTES.saturating_add(length)))
            .filter(|text| crc32fast::hash(text) == u32::from_le_bytes(array(bytes, 68)))
            .and_then(|text| serde_json::from_slice::<Identity>(text).ok());
        let whole = identity.is_some();
        let header = Header {
            created: Ticks(u64::from_le_bytes(array(bytes, 24))),
            created_unix_ns: i64::from_le_bytes(array(bytes, 32)),
            timebase,
            actor: Actor(u16::from_le_bytes(array(bytes, 48))),
            role,
            pid: u32::from_le_bytes(array(bytes, 52)),
            salt: u32::from_le_bytes(array(bytes, 20)),
            identity: identity.unwrap_or_default(),
        };
        Ok((header, whole))
    }
}
