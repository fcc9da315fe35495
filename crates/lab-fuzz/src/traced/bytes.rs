//! Choices out of bytes: what a fuzzer changes is a choice, and the end of the bytes is the choice of nothing.

/// Bytes that are used up from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

/// Names that want to be something else: markup, control sequences, a path, a word of the reports' own.
pub(crate) const NAMES: [&str; 16] = [
    "alpha",
    "bravo",
    "charlie",
    "delta",
    "driver",
    "orchestrator",
    "guard",
    "alpha/helpers",
    "",
    "<script>alert(1)</script>",
    "\" onload=\"alert(1)",
    "\u{1b}]0;mine\u{7}\u{1b}[2J\r\n",
    "../../../etc/shadow",
    "\u{202e}gnp.exe\u{2066}\u{200b}\u{9b}31m",
    "{{ name }} & <b>&amp;</b> '",
    "a name that is far longer than any column of any table that anybody would ever want to draw, and then some more",
];

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn name(&mut self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }

    /// A word of a record: mostly small, so that records speak of the same threads, files and moments, and sometimes
    /// anything at all. `None` ends the words of a part.
    pub(crate) fn word(&mut self) -> Option<u64> {
        let first = self.byte();
        Some(match first {
            0..=0x7f => u64::from(first),
            0x80..=0xbf => (u64::from(first) - 0x7f) * 1000,
            0xc0..=0xc7 => u64::MAX - u64::from(first - 0xc0),
            0xc8..=0xd7 => 1 << (4 * (first - 0xc8)),
            0xd8..=0xdf => self.array::<4>().into_iter().rev().fold(0, |word, lane| {
                let lane = match lane {
                    0xf0.. => 0xe000 + u64::from(lane - 0xf0),
                    0xef => 0xffff,
                    lane => u64::from(lane),
                };
                word << 16 | lane
            }),
            0xe0..=0xef => {
                let [a, b, c, d] = self.array();
                u64::from(u16::from_le_bytes([a, b])) | u64::from(u16::from_le_bytes([c, d])) << 32
            }
            0xf0..=0xf7 => {
                let text = NAMES[usize::from(first - 0xf0) + 8].as_bytes();
                let mut word = [0; 8];
                let length = text.len().min(8);
                word[..length].copy_from_slice(&text[..length]);
                u64::from_le_bytes(word)
            }
            0xf8..=0xfe => u64::from_le_bytes(self.array()),
            0xff => return None,
        })
    }

    /// A number as [`Bytes::word`] makes it.
    pub(crate) fn number(&mut self) -> u64 {
        self.word().unwrap_or(0)
    }
}

/// The bytes that [`Bytes::word`] reads as this word: how a seed is made of a trace.
pub(crate) fn spell(word: u64, bytes: &mut Vec<u8>) {
    let lanes: [u64; 4] = std::array::from_fn(|lane| word >> (16 * lane) & 0xffff);
    let halves: [u64; 2] = [word & 0xffff_ffff, word >> 32];
    match word {
        0..=0x7f => bytes.push(word as u8),
        _ if word.is_multiple_of(1000) && (1..=64).contains(&(word / 1000)) => {
            bytes.push(0x7f + (word / 1000) as u8)
        }
        _ if word >= u64::MAX - 7 => bytes.push(0xc0 + (u64::MAX - word) as u8),
        _ if word.is_power_of_two() && word.trailing_zeros().is_multiple_of(4) => {
            bytes.push(0xc8 + (word.trailing_zeros() / 4) as u8);
        }
        _ if lanes.iter().all(|&lane| lane < 0xef || lane == 0xffff || (0xe000..=0xe00f).contains(&lane)) => {
            bytes.push(0xd8);
            bytes.extend(lanes.map(|lane| match lane {
                0xffff => 0xef,
                0xe000..=0xe00f => 0xf0 + (lane - 0xe000) as u8,
                lane => lane as u8,
            }));
        }
        _ if halves.iter().all(|&half| half <= 0xffff) => {
            bytes.push(0xe0);
            halves.iter().for_each(|&half| bytes.extend((half as u16).to_le_bytes()));
        }
        _ => {
            bytes.push(0xf8);
            bytes.extend(word.to_le_bytes());
        }
    }
}
