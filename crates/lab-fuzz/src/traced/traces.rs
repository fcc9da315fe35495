//! Traces of one run out of any bytes, with every check put right: what lies behind the checks sees arbitrary words.
//! The checks are written down here a second time, from the specification, so that a difference between the two shows.

use lab_trace::{HEADER_BYTES, RECORDS_OFFSET, Record, Trace};

use super::bytes::{Bytes, NAMES};

pub(crate) const SALT: u32 = 0x5EED_5EED;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Powers 1 to 17 of the golden ratio's bits.
const POWERS: [u64; 17] = {
    let (mut powers, mut place) = ([GOLDEN; 17], 1);
    while place < 17 {
        powers[place] = powers[place - 1].wrapping_mul(GOLDEN);
        place += 1;
    }
    powers
};
/// More traces and records than this find nothing that fewer would not.
const TRACES_MAX: usize = 6;
const RECORDS_MAX: usize = 400;
/// The records of one trace that a seed keeps.
const SEED_RECORDS_MAX: usize = 40;

fn product(word: u64, place: usize) -> u64 {
    (word ^ (word >> 32)).wrapping_mul(POWERS[place])
}

/// Puts the commit at word `place` right for the `count` words behind it.
pub(crate) fn repair(words: &mut [u64; 16], index: u64, kind: u8, place: usize, count: usize) {
    let about = u64::from(SALT) | u64::from(kind) << 32 | (place as u64) << 40;
    let start = product(about, 0).wrapping_add(product(index, 16));
    let sum = (place + 1..=place + count).fold(start, |sum, at| sum.wrapping_add(product(words[at], at)));
    words[place] = sum & !0xff | u64::from(kind);
}

/// The kind that a byte chooses: mostly one that this version knows.
pub(crate) fn kind(choice: u8) -> u8 {
    let known = Record::KINDS;
    known.get(usize::from(choice) % (known.len() + 1)).copied().unwrap_or(choice | 1)
}

/// A header that the reader believes: the fields are its own words, the checks are right.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) role: u16,
    pub(crate) actor: u16,
    pub(crate) created: u64,
    pub(crate) created_unix_ns: i64,
    pub(crate) timebase: (u32, u32),
    pub(crate) metadata: Vec<u8>,
    pub(crate) metadata_check: u32,
    pub(crate) places: u64,
    pub(crate) closed: u64,
    pub(crate) lost: u64,
}

/// Writes a header over the beginning of a trace that is at least that long.
pub(crate) fn put_head(bytes: &mut [u8], head: &Head) {
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"ESLABTRC");
    put(8, &1_u16.to_le_bytes());
    put(10, &0_u16.to_le_bytes());
    put(12, &4096_u32.to_le_bytes());
    put(16, &128_u32.to_le_bytes());
    put(20, &SALT.to_le_bytes());
    put(24, &head.created.to_le_bytes());
    put(32, &head.created_unix_ns.to_le_bytes());
    put(40, &head.timebase.0.to_le_bytes());
    put(44, &head.timebase.1.to_le_bytes());
    put(48, &head.actor.to_le_bytes());
    put(50, &head.role.to_le_bytes());
    put(52, &(1000 + u32::from(head.actor)).to_le_bytes());
    put(64, &u32::try_from(head.metadata.len()).unwrap_or(0).to_le_bytes());
    put(68, &head.metadata_check.to_le_bytes());
    put(128, &head.places.to_le_bytes());
    put(136, &head.closed.to_le_bytes());
    put(144, &head.lost.to_le_bytes());
    put(HEADER_BYTES, &head.metadata);
    let check = crc32fast::hash(&bytes[..72]);
    bytes[72..76].copy_from_slice(&check.to_le_bytes());
}

/// The name and role that a trace has unless a byte says otherwise.
const USUAL: [(u16, u8); TRACES_MAX] = [(1, 5), (3, 4), (2, 0), (2, 1), (4, 7), (5, 6)];

fn head(bytes: &mut Bytes<'_>, place: usize) -> Head {
    let odd = bytes.byte();
    let (mut role, mut name) = USUAL[place];
    let mut actor = place as u16;
    if odd & 1 != 0 {
        role = 1 + bytes.below(6) as u16;
        name = bytes.byte();
    }
    if odd & 2 != 0 {
        actor = bytes.number() as u16;
    }
    let name = NAMES[usize::from(name) % NAMES.len()];
    let simulated = lab_model::simulated_kernel_name(lab_model::Kernel::EndpointSecurity);
    let kernel = if odd & 64 != 0 { simulated.as_str() } else { "Linux 6.1" };
    let version = if odd & 128 != 0 { bytes.name() } else { "1.0" };
    let metadata = serde_json::json!({
        "name": name, "bundle_id": name, "version": version, "arena": "/arena",
        "settings": { "client": 2 },
        "host": { "kernel": kernel, "machine": "x86_64", "cpus": [0, 1] },
    });
    let metadata = serde_json::to_vec(&metadata).unwrap_or_default();
    let mut head = Head {
        role,
        actor,
        created: 1,
        created_unix_ns: 1_700_000_000_000_000_000,
        timebase: (1, 1),
        metadata_check: crc32fast::hash(&metadata),
        metadata,
        places: 0,
        closed: 100_000,
        lost: 0,
    };
    if odd & 4 != 0 {
        head.created = bytes.number();
        head.created_unix_ns = bytes.number() as i64;
    }
    if odd & 8 != 0 {
        head.timebase = (bytes.number() as u32, bytes.number() as u32);
    }
    if odd & 16 != 0 {
        (head.closed, head.lost, head.places) = (bytes.number(), bytes.number(), bytes.number());
    }
    if odd & 32 != 0 {
        head.metadata_check ^= u32::from(bytes.byte());
    }
    head
}

/// The words of one record, with its checks put right unless a bit of `keep` says that a part stays as it is.
fn record(bytes: &mut Bytes<'_>, index: u64) -> [u64; 16] {
    let (kind, keep) = (kind(bytes.byte()), bytes.byte());
    let mut words = [0; 16];
    let parts: &[(usize, usize)] =
        if Record::is_parted(kind) { &[(0, 7), (8, 4), (13, 2)] } else { &[(0, 15)] };
    for (part, &(place, count)) in parts.iter().enumerate() {
        if keep & (0x10 << part) != 0 {
            // The part was never committed.
            continue;
        }
        for word in &mut words[place + 1..=place + count] {
            let Some(next) = bytes.word() else { break };
            *word = next;
        }
        repair(&mut words, index, kind, place, count);
        if keep & (1 << part) != 0 {
            words[place] ^= 1 << 40;
        }
    }
    words
}

/// Traces with what they hold, and the bytes that are left.
pub(crate) fn make(bytes: &mut Bytes<'_>) -> Vec<Vec<u8>> {
    let count = 1 + bytes.below(TRACES_MAX);
    let mut heads: Vec<Head> = (0..count).map(|place| head(bytes, place)).collect();
    let mut records: Vec<Vec<u8>> = vec![Vec::new(); count];
    for _ in 0..RECORDS_MAX {
        if bytes.is_empty() {
            break;
        }
        let which = bytes.byte();
        // A copy of a whole trace, as a careless `cp` leaves it beside the first.
        if which == 0xff && heads.len() < TRACES_MAX {
            let from = bytes.below(heads.len());
            let (head, content) = (heads[from].clone(), records[from].clone());
            heads.push(head);
            records.push(content);
            continue;
        }
        let of_trace = usize::from(which) % records.len();
        let index = records[of_trace].len() as u64 / 128;
        let words = record(bytes, index);
        words.iter().for_each(|word| records[of_trace].extend(word.to_le_bytes()));
    }
    heads
        .iter_mut()
        .zip(records)
        .map(|(head, records)| {
            head.places = head.places.max(records.len() as u64 / 128);
            let mut trace = vec![0; RECORDS_OFFSET];
            put_head(&mut trace, head);
            trace.extend(records);
            trace
        })
        .collect()
}

/// Those that can be read, and the others by name and reason.
pub(crate) fn parse(traces: &[Vec<u8>]) -> (Vec<Trace<'_>>, Vec<(String, String)>) {
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for (place, bytes) in traces.iter().enumerate() {
        match Trace::parse(bytes) {
            Ok(trace) => readable.push(trace),
            Err(error) => unreadable.push((NAMES[place % NAMES.len()].to_owned(), error.to_string())),
        }
    }
    (readable, unreadable)
}

/// The bytes of which [`make`] makes these traces, but for their headers.
fn spell(traces: &[Vec<u8>]) -> Vec<u8> {
    let mut seed = Vec::new();
    let count = traces.len().min(TRACES_MAX);
    seed.push((count - 1) as u8);
    seed.extend(vec![0; count]);
    for (place, trace) in traces.iter().take(count).enumerate() {
        for record in trace.get(RECORDS_OFFSET..).unwrap_or_default().chunks_exact(128) {
            let words: Vec<u64> = record
                .chunks_exact(8)
                .map(|word| word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
                .collect();
            let kind = record[0];
            let Some(choice) = Record::KINDS.iter().position(|&known| known == kind) else { continue };
            seed.extend([place as u8, choice as u8]);
            let parts: &[(usize, usize)] =
                if Record::is_parted(kind) { &[(0, 7), (8, 4), (13, 2)] } else { &[(0, 15)] };
            let keep = seed.len();
            seed.push(0);
            for (part, &(place, count)) in parts.iter().enumerate() {
                if words[place] == 0 {
                    seed[keep] |= 0x10 << part;
                    continue;
                }
                let content = &words[place + 1..=place + count];
                let used = content.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
                content[..used].iter().for_each(|&word| super::bytes::spell(word, &mut seed));
                if used < count {
                    seed.push(0xff);
                }
            }
        }
    }
    seed
}

/// A seed of the targets `analysis` and `exports`: the lab that a few bytes say, and the traces that `run` makes of it.
/// The first byte says on which kernel.
pub fn seed(choices: &[u8], run: impl FnOnce(&lab_model::Lab) -> Vec<Vec<u8>>) -> Vec<u8> {
    // What a lab takes beyond its bytes is zero, and has to stand in the seed.
    let choices = [choices, &[0; 64]].concat();
    let mut bytes = Bytes::new(&choices[1..]);
    let lab = super::labs::make(&mut bytes);
    let used = choices.len() - bytes.rest().len();
    let mut traces = run(&lab);
    traces.iter_mut().for_each(|trace| trace.truncate(RECORDS_OFFSET + 128 * SEED_RECORDS_MAX));
    [&[0], &choices[..used], &spell(&traces)].concat()
}
