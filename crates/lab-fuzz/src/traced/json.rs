//! JSON that is nearly right: a document with a few places changed.

use serde_json::{Value, json};

use super::bytes::Bytes;

/// More changes than this leave nothing of a document.
const CHANGES_MAX: usize = 24;

/// Changes a document in as many places as the bytes say.
pub(crate) fn change(document: &mut Value, bytes: &mut Bytes<'_>) {
    for _ in 0..CHANGES_MAX {
        if bytes.is_empty() {
            return;
        }
        let depth = 1 + bytes.below(7);
        let mut at = &mut *document;
        for _ in 0..depth {
            let choice = usize::from(bytes.byte());
            let length = match at {
                Value::Object(fields) => fields.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            if length == 0 {
                break;
            }
            at = match at {
                Value::Object(fields) => {
                    fields.values_mut().nth(choice % length).expect("a place below the length")
                }
                other => &mut other[choice % length],
            };
        }
        replace(at, bytes);
    }
}

/// Puts something else in a place: of the same kind more often than not, so that the document is still read.
fn replace(at: &mut Value, bytes: &mut Bytes<'_>) {
    let choice = bytes.byte();
    match (&mut *at, choice & 7) {
        (Value::Number(number), 0..=5) if !number.is_f64() => *at = json!(bytes.number()),
        (Value::Number(_), 0..=5) => {
            let numbers = [0.0, -1.0, 1e308, -1e308, 5e-324, 0.5, 1e18, 2.0];
            *at = json!(numbers[bytes.below(numbers.len())]);
        }
        (Value::String(text), 0..=4) => bytes.name().clone_into(text),
        (Value::String(text), 5) => *text = bytes.name().repeat(bytes.below(64)),
        (Value::Bool(flag), 0..=5) => *flag = !*flag,
        (Value::Array(items), 0..=1) => items.truncate(bytes.below(4)),
        (Value::Array(items), 2..=4) if !items.is_empty() && items.len() < 512 => {
            let (from, times) = (bytes.below(items.len()), 1 + bytes.below(200));
            let item = items[from].clone();
            // Only small things are made many.
            let times = if item.is_object() || item.is_array() { times.min(4) } else { times };
            items.extend(std::iter::repeat_n(item, times));
        }
        (Value::Array(items), 5) => items.reverse(),
        (Value::Object(fields), 0..=2) if !fields.is_empty() => {
            let place = bytes.below(fields.len());
            let key = fields.keys().nth(place).cloned().unwrap_or_default();
            fields.remove(&key);
        }
        (Value::Object(fields), 3..=5) if !fields.is_empty() && fields.len() < 64 => {
            let place = bytes.below(fields.len());
            let value = fields.values().nth(place).cloned().unwrap_or(Value::Null);
            fields.insert(bytes.name().to_owned(), value);
        }
        _ => {
            *at = match choice >> 3 & 7 {
                0 => Value::Null,
                1 => json!(0),
                2 => json!(u64::MAX),
                3 => json!(i64::MIN),
                4 => json!(bytes.name()),
                5 => json!([]),
                6 => json!({}),
                _ => json!(1.5e300),
            }
        }
    }
}
