//! The exports of traces whose names are hostile and whose records contradict each other.

use std::io;

use lab_report::export::{self, Caps};

use super::{analysis::analysed, bytes::Bytes};

/// Counts bytes and keeps none beyond the limit of what is looked at.
#[derive(Default)]
struct Written(Vec<u8>);

/// More than this is no export of so few records.
const BYTES_MAX: usize = 16 << 20;

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        assert!(self.0.len() <= BYTES_MAX, "an export has no end");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The exports of traces.
pub fn exports(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let cap = bytes.byte();
    analysed(&mut bytes, |traces, findings| {
        let few = usize::from(cap >> 1);
        let caps = match cap & 1 {
            0 => Caps::default(),
            _ => Caps { decisions: few, flows_per_cascade: few / 8, flows: few / 2, lanes: few / 16 },
        };
        let mut written = Written::default();
        let exported = export::perfetto(traces, findings, &caps, &mut written).expect("memory takes it");
        packets(&written.0);
        let decisions = exported.decisions + exported.decisions_outside + exported.decisions_without_lane;
        let mut lines = Written::default();
        let count = export::jsonl(traces, &mut lines).expect("memory takes it");
        let text = std::str::from_utf8(&lines.0).expect("lines are text");
        assert_eq!(text.lines().count() as u64, count);
        let mut events = 0;
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
            events += u64::from(value.is_object());
        }
        assert_eq!(events, count);
        assert!(decisions <= count, "{decisions} decisions, {count} lines");
    });
}

/// A number as protocol buffers write it, and what follows.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (place, &byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}

/// Walks the fields of the outermost message: packets of a length, and nothing else.
fn packets(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (key, rest) = varint(bytes).expect("a packet begins");
        assert_eq!(key, 1 << 3 | 2, "a packet is field 1, of a length");
        let (length, rest) = varint(rest).expect("a packet has a length");
        bytes = rest.get(usize::try_from(length).expect("a length")..).expect("a packet ends");
    }
}
