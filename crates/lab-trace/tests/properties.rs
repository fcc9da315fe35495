//! Whatever is written is read back, and whatever is damaged afterwards is reported where it is and never
//! taken for something else.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Places, closed_trace, header, item};
use lab_model::{Role, Ticks, Timebase};
use lab_trace::{
    Damage, Entry, HEADER_BYTES, Header, Identity, RECORD_BYTES, RECORDS_OFFSET, Record, RecordPart, Trace,
    TraceError,
};
use proptest::{collection::vec, prelude::*};

const SALT: u32 = 0xDEAD_BEEF;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn entry(index: usize, record: Option<&Record>) -> Entry {
    let index = index as u64;
    match record {
        Some(record) => Entry::Record { index, record: record.clone() },
        None => Entry::Damaged { index, damage: Damage::Uncommitted },
    }
}

fn entries(places: &Places) -> Vec<Entry> {
    places.iter().enumerate().map(|(index, record)| entry(index, record.as_ref())).collect()
}

fn read(bytes: &[u8]) -> Vec<Entry> {
    Trace::parse(bytes).unwrap().entries().collect()
}

/// What a place must read as once bit `word` of it is flipped.
fn after_flip(index: usize, record: Option<&Record>, word: usize) -> Entry {
    let check = Entry::Damaged { index: index as u64, damage: Damage::Check };
    let Some(record) = record else {
        return if word == 0 { check } else { entry(index, None) };
    };
    fn hit<T>(part: &mut RecordPart<T>, at_commit: bool) {
        if at_commit || part.present().is_some() {
            *part = RecordPart::Damaged;
        }
    }
    let mut record = record.clone();
    match (&mut record, word) {
        (Record::Decision(decision), 8..=12) => hit(&mut decision.end, word == 8),
        (Record::Decision(decision), 13..) => hit(&mut decision.target, word == 13),
        (Record::Operation(operation), 8..=12) => hit(&mut operation.end, word == 8),
        (Record::Operation(operation), 13..) => hit(&mut operation.target, word == 13),
        (Record::Request(request), 8..=12) => hit(&mut request.end, word == 8),
        // What the worker said is lost; the end is not.
        (Record::Request(request), 13..) => {
            if let RecordPart::Present(end) = &mut request.end {
                end.served = None;
            }
        }
        _ => return check,
    }
    entry(index, Some(&record))
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn every_record_reads_back_as_written(items in vec(item(), 0..40)) {
        let (bytes, places) = closed_trace("reads_back", &header(SALT), &items);
        let trace = Trace::parse(&bytes).unwrap();
        prop_assert_eq!(&trace.header, &header(SALT));
        prop_assert!(trace.metadata_whole && !trace.tail().is_cut());
        prop_assert_eq!((trace.closed, trace.lost), (Some(Ticks(9)), 0));
        prop_assert_eq!(trace.entries().collect::<Vec<_>>(), entries(&places));
    }

    #[test]
    fn every_header_reads_back_as_written(
        (created, created_unix_ns, numer, denom) in (any::<u64>(), any::<i64>(), 1..=u32::MAX, 1..=u32::MAX),
        (actor, role, pid, salt) in (any::<u16>(), 1..=6_u16, any::<u32>(), any::<u32>()),
        (name, arena, cpus) in (".{0,40}", ".{0,40}", vec(any::<u32>(), 0..9)),
        bundle_id in proptest::option::of(".{0,20}"),
    ) {
        let mut identity = Identity { name, arena, bundle_id, ..Identity::default() };
        identity.host.cpus = cpus;
        let header = Header {
            created: Ticks(created),
            created_unix_ns,
            timebase: Timebase { numer, denom },
            actor: lab_model::Actor(actor),
            role: Role::from_code(role).unwrap(),
            pid,
            salt,
            identity,
        };
        let (bytes, _) = closed_trace("header_reads_back", &header, &[]);
        let trace = Trace::parse(&bytes).unwrap();
        prop_assert_eq!(trace.header, header);
        prop_assert!(trace.metadata_whole);
    }

    #[test]
    fn a_cut_file_gives_what_is_whole_and_says_that_it_is_cut(
        items in vec(item(), 1..20),
        cuts in vec(any::<prop::sample::Index>(), 16),
    ) {
        let (bytes, places) = closed_trace("cut", &header(SALT), &items);
        let records = RECORDS_OFFSET..bytes.len();
        let anywhere = cuts.iter().map(|cut| cut.index(bytes.len()));
        let in_records = cuts.iter().map(|cut| RECORDS_OFFSET + cut.index(records.len()));
        for cut in anywhere.chain(in_records).chain([HEADER_BYTES - 1, HEADER_BYTES, RECORDS_OFFSET]) {
            let left = &bytes[..cut];
            let trace = match Trace::parse(left) {
                Err(error) => {
                    prop_assert_eq!(error, TraceError::TooShort { bytes: cut });
                    prop_assert!(cut < HEADER_BYTES);
                    continue;
                }
                Ok(trace) => trace,
            };
            let whole = cut.saturating_sub(RECORDS_OFFSET) / RECORD_BYTES;
            prop_assert_eq!(trace.entries().collect::<Vec<_>>(), &entries(&places)[..whole]);
            let tail = trace.tail();
            prop_assert!(tail.is_cut(), "{} of {} bytes are there", cut, bytes.len());
            prop_assert_eq!(tail.missing_places, (places.len() - whole) as u64);
        }
    }

    #[test]
    fn a_record_of_another_file_or_place_is_refused(
        items in vec(item(), 1..12),
        other in any::<u32>(),
        to in any::<prop::sample::Index>(),
    ) {
        prop_assume!(other != SALT);
        let (mut bytes, places) = closed_trace("stale", &header(SALT), &items);
        let (stale, _) = closed_trace("stale_other", &header(other), &items);
        let own = bytes.clone();
        bytes[RECORDS_OFFSET..].copy_from_slice(&stale[RECORDS_OFFSET..]);
        for (index, (entry, place)) in read(&bytes).into_iter().zip(&places).enumerate() {
            let damage = if place.is_some() { Damage::Check } else { Damage::Uncommitted };
            prop_assert_eq!(entry, Entry::Damaged { index: index as u64, damage });
        }

        let to = to.index(places.len());
        for from in (0..places.len()).filter(|&from| from != to) {
            let mut bytes = own.clone();
            let place = |index: usize| RECORDS_OFFSET + index * RECORD_BYTES;
            bytes.copy_within(place(from)..place(from + 1), place(to));
            let damage = if places[from].is_some() { Damage::Check } else { Damage::Uncommitted };
            prop_assert_eq!(&read(&bytes)[to], &Entry::Damaged { index: to as u64, damage });
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        noise in vec(any::<u8>(), 0..3 * RECORD_BYTES),
        start in prop_oneof![Just(0), 0..HEADER_BYTES, Just(HEADER_BYTES), Just(RECORDS_OFFSET)],
    ) {
        let (mut bytes, _) = closed_trace("noise", &header(SALT), &[]);
        bytes.truncate(start);
        bytes.extend(noise);
        if let Ok(trace) = Trace::parse(&bytes) {
            let damaged = trace.entries().all(|entry| matches!(entry, Entry::Damaged { .. }));
            prop_assert!(damaged, "noise is no record");
            prop_assert!(trace.entries().count() <= bytes.len() / RECORD_BYTES);
            let _tail = trace.tail();
        }
    }
}

proptest! {
    #![proptest_config(config(12))]

    /// Every bit of every record, one after the other.
    #[test]
    fn a_flipped_bit_of_a_record_damages_its_part_and_nothing_else(items in vec(item(), 1..12)) {
        let (mut bytes, places) = closed_trace("flips", &header(SALT), &items);
        let whole = entries(&places);
        for (index, place) in places.iter().enumerate() {
            for bit in 0..RECORD_BYTES * 8 {
                let at = RECORDS_OFFSET + index * RECORD_BYTES + bit / 8;
                bytes[at] ^= 1 << (bit % 8);
                let read = read(&bytes);
                bytes[at] ^= 1 << (bit % 8);
                prop_assert_eq!(&read[..index], &whole[..index]);
                prop_assert_eq!(&read[index], &after_flip(index, place.as_ref(), bit / 64), "bit {}", bit);
                prop_assert_eq!(&read[index + 1..], &whole[index + 1..]);
            }
        }
    }
}

/// Every bit of the header and of the metadata behind it.
#[test]
fn a_flipped_bit_of_the_header_is_reported_or_lies_where_nothing_is_checked() {
    let header = header(SALT);
    let metadata = serde_json::to_vec(&header.identity).unwrap().len();
    let items = [common::Item::Path(b"/arena/file".to_vec())];
    let (mut bytes, places) = closed_trace("header_flips", &header, &items);
    let live = 128..152;
    for bit in 0..(HEADER_BYTES + metadata + 64) * 8 {
        let at = bit / 8;
        bytes[at] ^= 1 << (bit % 8);
        match Trace::parse(&bytes) {
            Err(error) if at < 8 => assert_eq!(error, TraceError::NotATrace),
            Err(error) => {
                assert_eq!(error, TraceError::DamagedHeader, "bit {bit}");
                assert!((8..76).contains(&at), "bit {bit}");
            }
            Ok(trace) => {
                assert!(at >= 76, "bit {bit} went unseen");
                let damaged = (HEADER_BYTES..HEADER_BYTES + metadata).contains(&at);
                assert_eq!(trace.metadata_whole, !damaged, "bit {bit}");
                let identity = if damaged { Identity::default() } else { header.identity.clone() };
                assert_eq!(trace.header, Header { identity, ..header.clone() });
                assert_eq!(trace.entries().collect::<Vec<_>>(), entries(&places), "bit {bit}");
                if !live.contains(&at) {
                    assert_eq!((trace.closed, trace.lost), (Some(Ticks(9)), 0), "bit {bit}");
                    assert!(!trace.tail().is_cut(), "bit {bit}");
                }
            }
        }
        bytes[at] ^= 1 << (bit % 8);
    }
}

#[test]
fn an_empty_file_is_too_short_to_be_a_trace() {
    let path = common::scratch("empty");
    std::fs::write(&path, b"").unwrap();
    let file = lab_trace::StoredTrace::open(&path).unwrap();
    assert_eq!(Trace::of(&file).unwrap_err(), TraceError::TooShort { bytes: 0 });
}
