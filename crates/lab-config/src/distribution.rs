//! Quantities that are fixed or drawn: `2ms`, or `{ uniform: [1ms, 5ms] }`.

use std::{borrow::Cow, ops::Range};

use lab_model::{Distribution, Quantity, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    diagnostic::Diagnostic,
    read::{Field, List, Problems, Read, records},
    scalar::Bounded,
    tree::{Node, Value},
};

records! {
    /// A time that is drawn anew for each event from the lab's seed; exactly one of `uniform`, `exponential`, and
    /// `p50` with `p99`.
    #[schemars(
        rename = "DrawnTime",
        extend("oneOf" = [
            { "required": ["uniform"] }, { "required": ["exponential"] }, { "required": ["p50", "p99"] }
        ])
    )]
    "a drawn time" RawDrawnTime {
        /// Between these two times, each equally likely: `[1ms, 5ms]`.
        #[schemars(extend("minItems" = 2, "maxItems" = 2))]
        uniform [default]: List<Span>,
        /// Exponential, with this mean.
        exponential [default]: Span,
        /// Log-normal, a heavy tail: half of the times are at most this.
        p50 [default]: Span,
        /// And 99 % at most this.
        p99 [default]: Span,
    }
}

records! {
    /// A number of bytes that is drawn for each file from its path; exactly one of `uniform`, `exponential`, and
    /// `p50` with `p99`.
    #[schemars(
        rename = "DrawnBytes",
        extend("oneOf" = [
            { "required": ["uniform"] }, { "required": ["exponential"] }, { "required": ["p50", "p99"] }
        ])
    )]
    "a drawn size" RawDrawnBytes {
        /// Between these two sizes, each equally likely: `[0, 65536]`.
        #[schemars(extend("minItems" = 2, "maxItems" = 2))]
        uniform [default]: List<FileBytes>,
        /// Exponential, with this mean.
        exponential [default]: FileBytes,
        /// Log-normal, a heavy tail: half of the files have at most this many bytes.
        p50 [default]: FileBytes,
        /// And 99 % at most this many.
        p99 [default]: FileBytes,
    }
}

/// Bytes of a file.
type FileBytes = Bounded<0, { 1 << 30 }>;

impl Quantity for FileBytes {
    fn whole(self) -> u64 {
        self.0
    }

    fn of(whole: u64) -> FileBytes {
        Bounded(whole)
    }
}

/// The bytes of a file as they may be written: fixed, or how they are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawBytes(pub(crate) Distribution<u32>);

impl Read for RawBytes {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawBytes> {
        if !matches!(node.value, Value::Map(_)) {
            return FileBytes::read(node, problems).map(|bytes| RawBytes(Distribution::Fixed(bytes.get())));
        }
        let RawDrawnBytes { uniform, exponential, p50, p99 } = RawDrawnBytes::read(node, problems)?;
        let parts = Parts { uniform, exponential, p50, p99 };
        let drawn = parts.distribution(&node.place, "`{ p50: 4096, p99: 262144 }`", problems)?;
        Some(RawBytes(match drawn {
            Distribution::Fixed(bytes) => Distribution::Fixed(bytes.get()),
            Distribution::Uniform(from, to) => Distribution::Uniform(from.get(), to.get()),
            Distribution::Exponential(mean) => Distribution::Exponential(mean.get()),
            Distribution::HeavyTail(p50, p99) => Distribution::HeavyTail(p50.get(), p99.get()),
        }))
    }
}

impl JsonSchema for RawBytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fixed = generator.subschema_for::<FileBytes>();
        let drawn = generator.subschema_for::<RawDrawnBytes>();
        json_schema!({
            "description": "Bytes: always as many, as `4096`, or drawn for each file, as \
                `{ uniform: [0, 65536] }`, `{ exponential: 4096 }` or `{ p50: 4096, p99: 262144 }`.",
            "anyOf": [fixed, drawn]
        })
    }
}

/// A length of time as it may be written: fixed, or how it is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawTime(pub(crate) Distribution<Span>);

impl Read for RawTime {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawTime> {
        if !matches!(node.value, Value::Map(_)) {
            return Span::read(node, problems).map(|span| RawTime(span.into()));
        }
        let RawDrawnTime { uniform, exponential, p50, p99 } = RawDrawnTime::read(node, problems)?;
        let parts = Parts { uniform, exponential, p50, p99 };
        parts.distribution(&node.place, "`{ uniform: [1ms, 5ms] }`", problems).map(RawTime)
    }
}

impl JsonSchema for RawTime {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let fixed = generator.subschema_for::<Span>();
        let drawn = generator.subschema_for::<RawDrawnTime>();
        json_schema!({
            "description": "A length of time: always the same, as `2ms`, or drawn anew each time, as \
                `{ uniform: [1ms, 5ms] }`, `{ exponential: 3ms }` or `{ p50: 1ms, p99: 20ms }`.",
            "anyOf": [fixed, drawn]
        })
    }
}

/// What a distribution is written with.
struct Parts<T> {
    uniform: Field<List<T>>,
    exponential: Field<T>,
    p50: Field<T>,
    p99: Field<T>,
}

impl<T: Quantity> Parts<T> {
    fn distribution(
        &self,
        place: &Range<usize>,
        example: &str,
        problems: &mut Problems<'_>,
    ) -> Option<Distribution<T>> {
        use Field::{Absent, Given};
        let wrong = |message: &str, label: &str| {
            Diagnostic::new(place.clone(), message).label(label).help(format!("write for example {example}"))
        };
        match (&self.uniform, &self.exponential, &self.p50, &self.p99) {
            (Given(list), Absent, Absent, Absent) => match list.value.items.as_slice() {
                [from, to] if from.value.whole() <= to.value.whole() => {
                    Some(Distribution::Uniform(from.value, to.value))
                }
                _ if !list.value.complete => None,
                _ => {
                    let label = "expected two values, the smaller one first";
                    problems.add(wrong("`uniform` draws between two values", label));
                    None
                }
            },
            (Absent, Given(mean), Absent, Absent) => Some(Distribution::Exponential(mean.value)),
            (Absent, Absent, Given(p50), Given(p99)) => {
                let (half, most) = (p50.value.whole(), p99.value.whole());
                if half == 0 || half > most {
                    let message = "`p50` is more than zero and at most `p99`";
                    problems.add(wrong(message, "no distribution has these two"));
                    return None;
                }
                Some(Distribution::HeavyTail(p50.value, p99.value))
            }
            (Field::Bad, ..) | (_, Field::Bad, ..) | (_, _, Field::Bad, _) | (.., Field::Bad) => None,
            _ => {
                let label = "expected one of `uniform`, `exponential`, and `p50` with `p99`";
                problems.add(wrong("a distribution is written in one way", label));
                None
            }
        }
    }
}
