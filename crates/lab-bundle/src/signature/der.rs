//! Entitlements in DER, the second of the two forms that macOS wants.

use plist::Value;

const TAG_BOOLEAN: u8 = 0x01;
const TAG_INTEGER: u8 = 0x02;
const TAG_UTF8_STRING: u8 = 0x0c;
const TAG_SEQUENCE: u8 = 0x30;
/// `[APPLICATION 16]`: the outermost value.
const TAG_ENTITLEMENTS: u8 = 0x70;
/// `[CONTEXT 16]`: a dictionary.
const TAG_DICTIONARY: u8 = 0xb0;
const TRUE: u8 = 0xff;
/// The version of the encoding.
const VERSION: u8 = 1;

/// Encodes entitlements in the form that macOS 12 and later believe, besides the XML form: DER, with the keys of
/// a dictionary in the order of their bytes.
///
/// Gives back the first key whose value it cannot encode: ours are booleans, texts and lists of texts.
pub(super) fn encode(entitlements: &plist::Dictionary) -> Result<Vec<u8>, String> {
    let mut body = element(TAG_INTEGER, &[VERSION]);
    body.extend(dictionary(entitlements)?);
    Ok(element(TAG_ENTITLEMENTS, &body))
}

fn dictionary(entries: &plist::Dictionary) -> Result<Vec<u8>, String> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| key.as_bytes());
    let mut body = Vec::new();
    for (key, value) in sorted {
        let mut entry = element(TAG_UTF8_STRING, key.as_bytes());
        entry.extend(encode_value(key, value)?);
        body.extend(element(TAG_SEQUENCE, &entry));
    }
    Ok(element(TAG_DICTIONARY, &body))
}

fn encode_value(key: &str, value: &Value) -> Result<Vec<u8>, String> {
    match value {
        Value::Boolean(true) => Ok(element(TAG_BOOLEAN, &[TRUE])),
        Value::Boolean(false) => Ok(element(TAG_BOOLEAN, &[0])),
        Value::String(text) => Ok(element(TAG_UTF8_STRING, text.as_bytes())),
        Value::Array(items) => {
            let encoded: Result<Vec<_>, _> = items.iter().map(|item| encode_value(key, item)).collect();
            Ok(element(TAG_SEQUENCE, &encoded?.concat()))
        }
        _ => Err(key.to_owned()),
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    let length = content.len();
    if let Some(short) = u8::try_from(length).ok().filter(|short| *short < 0x80) {
        bytes.push(short);
    } else {
        let digits: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        // At most eight digits, so the count fits; the high bit says that a count it is.
        bytes.push(0x80 | u8::try_from(digits.len()).unwrap_or(0x7f));
        bytes.extend(digits);
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_boolean_is_encoded_byte_by_byte() {
        let mut entitlements = plist::Dictionary::new();
        entitlements.insert("get-task-allow".to_owned(), Value::Boolean(true));
        let expected = [
            &[0x70, 0x1a, 0x02, 0x01, 0x01, 0xb0, 0x15, 0x30, 0x13, 0x0c, 0x0e][..],
            b"get-task-allow",
            &[0x01, 0x01, 0xff],
        ];
        assert_eq!(encode(&entitlements).unwrap(), expected.concat());
    }

    #[test]
    fn keys_are_sorted_and_long_values_have_long_lengths() {
        let mut entitlements = plist::Dictionary::new();
        entitlements.insert("b".to_owned(), Value::String("x".repeat(300)));
        entitlements.insert("a".to_owned(), Value::Array(vec![Value::String("y".to_owned())]));
        let bytes = encode(&entitlements).unwrap();
        let a = bytes.windows(3).position(|window| window == [0x0c, 1, b'a']).unwrap();
        let b = bytes.windows(3).position(|window| window == [0x0c, 1, b'b']).unwrap();
        assert!(a < b);
        assert_eq!(bytes[a + 3..a + 8], [0x30, 3, 0x0c, 1, b'y']);
        assert_eq!(bytes[b + 3..b + 7], [0x0c, 0x82, 0x01, 0x2c]);
        assert_eq!(bytes[..2], [0x70, 0x82]);
        assert_eq!(bytes.len() - 4, usize::from(bytes[2]) * 256 + usize::from(bytes[3]));
    }

    #[test]
    fn what_cannot_be_encoded_is_named() {
        let mut entitlements = plist::Dictionary::new();
        entitlements.insert("odd".to_owned(), Value::Real(1.5));
        assert_eq!(encode(&entitlements), Err("odd".to_owned()));
    }
}
