//! Records about the lives of processes, as a client's kernel told of them.

use lab_model::{LifeStep, ProcessId, ProcessLife, SIGNING_ID_BYTES, SignedBy, TEAM_ID_BYTES, Ticks};

use super::words::{both, high, low, u16_at};

/// Bit 16 of the second word: the program has the Endpoint Security entitlement.
const ENTITLED: u64 = 1 << 16;
/// Bit 17: the signature is told.
const SIGNED: u64 = 1 << 17;
/// Bit 18: where the process comes from is told.
const DESCENDED: u64 = 1 << 18;

const fn process(word: u64) -> ProcessId {
    ProcessId { pid: low(word), version: high(word) }
}

/// Packs bytes into words, the first byte lowest.
fn pack(bytes: &[u8], words: &mut [u64]) {
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(padded);
    }
}

fn unpack<const N: usize>(words: &[u64]) -> [u8; N] {
    let mut bytes = words.iter().flat_map(|word| word.to_le_bytes());
    std::array::from_fn(|_| bytes.next().unwrap_or(0))
}

pub(crate) fn words(life: &ProcessLife) -> [u64; 15] {
    let mut words = [0; 15];
    words[0] = life.at.0;
    words[1] = u64::from(life.step.code()) | (u64::from(life.status.cast_unsigned()) << 32);
    words[2] = both(life.process.pid, life.process.version);
    if let Some(from) = life.from {
        words[1] |= DESCENDED;
        words[3] = both(from.pid, from.version);
    }
    if let Some(signed) = &life.signed {
        words[1] |= SIGNED | if signed.is_es_client { ENTITLED } else { 0 };
        pack(&signed.team, &mut words[4..6]);
        pack(&signed.cdhash, &mut words[6..9]);
        words[8] |= u64::from(signed.id_length) << 32;
        pack(&signed.id, &mut words[9..15]);
    }
    words
}

pub(crate) fn from_words(words: &[u64]) -> ProcessLife {
    let signed = SignedBy {
        team: unpack::<TEAM_ID_BYTES>(&words[4..6]),
        cdhash: unpack(&words[6..9]),
        id: unpack::<SIGNING_ID_BYTES>(&words[9..15]),
        id_length: u16_at(words[8], 32),
        is_es_client: words[1] & ENTITLED != 0,
    };
    ProcessLife {
        at: Ticks(words[0]),
        step: LifeStep::from_code(u16_at(words[1], 0)),
        process: process(words[2]),
        from: (words[1] & DESCENDED != 0).then(|| process(words[3])),
        signed: (words[1] & SIGNED != 0).then_some(signed),
        status: high(words[1]).cast_signed(),
    }
}
