//! Property lists that somebody else may have written, measured before they are built.
//!
//! A value is taken apart by a function that calls itself, so a list nested a hundred thousand deep ends the process
//! without a word; and in the binary form one object may be named by many, so few bytes can mean more values than any
//! memory holds.

use std::io::Cursor;

use plist::{
    Dictionary, Value,
    stream::{BinaryReader, Event, XmlReader},
};

/// The largest property list that is read, in bytes. A seal has 300 bytes for each file, a profile 12 KiB.
pub const PROPERTY_LIST_BYTES_MAX: usize = 4 << 20;
/// The most lists and dictionaries within each other; what the lab reads has three.
pub const PROPERTY_LIST_DEPTH_MAX: usize = 32;
/// The most values, and bytes in them, that a property list may mean.
const VALUES_MAX: usize = 200_000;
const CONTENT_BYTES_MAX: usize = 2 * PROPERTY_LIST_BYTES_MAX;
/// How the binary form begins.
const BINARY_START: &[u8] = b"bplist";

/// Why bytes are no property list that is read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PropertyListError {
    /// More bytes than any property list that the lab has to do with.
    #[error("the property list has {0} bytes, at most {PROPERTY_LIST_BYTES_MAX} are read")]
    TooLarge(usize),
    /// Deeper than any of them.
    #[error("the property list is nested deeper than {PROPERTY_LIST_DEPTH_MAX}")]
    TooDeep,
    /// More values than its bytes could hold.
    #[error("the property list means more than {VALUES_MAX} values, or more bytes than it has")]
    TooMany,
    /// Not of the form, in the reader's words.
    #[error("{0}")]
    Form(String),
    /// Something else than a dictionary.
    #[error("the property list is no dictionary")]
    NoDictionary,
}

/// Reads a property list, in XML or binary, whose outermost value is a dictionary.
///
/// # Errors
/// [`PropertyListError`], before more than a few times its size is allocated.
pub fn property_list(bytes: &[u8]) -> Result<Dictionary, PropertyListError> {
    if bytes.len() > PROPERTY_LIST_BYTES_MAX {
        return Err(PropertyListError::TooLarge(bytes.len()));
    }
    let form = |error: plist::Error| PropertyListError::Form(error.to_string());
    let value = if bytes.starts_with(BINARY_START) {
        measure(BinaryReader::new(Cursor::new(bytes)))?;
        Value::from_events(BinaryReader::new(Cursor::new(bytes)))
    } else {
        measure(XmlReader::new(bytes))?;
        Value::from_events(XmlReader::new(bytes))
    };
    value.map_err(form)?.into_dictionary().ok_or(PropertyListError::NoDictionary)
}

/// Goes through the events without keeping any.
fn measure<'event>(
    events: impl Iterator<Item = Result<Event<'event>, plist::Error>>,
) -> Result<(), PropertyListError> {
    let (mut depth, mut values, mut content) = (0_usize, 0_usize, 0_usize);
    for event in events {
        match event.map_err(|error| PropertyListError::Form(error.to_string()))? {
            Event::StartArray(_) | Event::StartDictionary(_) => depth += 1,
            Event::EndCollection => depth = depth.saturating_sub(1),
            Event::String(text) => content = content.saturating_add(text.len()),
            Event::Data(data) => content = content.saturating_add(data.len()),
            _ => {}
        }
        values += 1;
        if depth > PROPERTY_LIST_DEPTH_MAX {
            return Err(PropertyListError::TooDeep);
        }
        if values > VALUES_MAX || content > CONTENT_BYTES_MAX {
            return Err(PropertyListError::TooMany);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(body: &str) -> String {
        format!("<?xml version=\"1.0\"?><plist version=\"1.0\">{body}</plist>")
    }

    #[test]
    fn dictionaries_are_read_in_both_forms() {
        let text = xml("<dict><key>a</key><array><string>b</string></array></dict>");
        let dictionary = property_list(text.as_bytes()).unwrap();
        assert_eq!(dictionary.get("a").and_then(Value::as_array).map(Vec::len), Some(1));
        let mut binary = Vec::new();
        Value::Dictionary(dictionary.clone()).to_writer_binary(&mut binary).unwrap();
        assert_eq!(property_list(&binary), Ok(dictionary));
        assert_eq!(property_list(xml("<array/>").as_bytes()), Err(PropertyListError::NoDictionary));
        assert!(matches!(property_list(b""), Err(PropertyListError::Form(_))));
    }

    /// Taking such a value apart needs more stack than there is: it must not come to be one.
    #[test]
    fn deep_nesting_is_refused_whole_or_not() {
        let deep = 100_000;
        let whole = xml(&format!("{}{}", "<array>".repeat(deep), "</array>".repeat(deep)));
        assert_eq!(property_list(whole.as_bytes()), Err(PropertyListError::TooDeep));
        let unfinished = whole.replace("</plist>", "<");
        assert_eq!(property_list(unfinished.as_bytes()), Err(PropertyListError::TooDeep));
        assert_eq!(property_list(&whole.as_bytes()[..600_000]), Err(PropertyListError::TooDeep));
    }

    /// Fourteen lists, each of four times the next one: 270 million values in 200 bytes.
    #[test]
    fn objects_that_are_named_over_and_over_are_refused() {
        let levels: u8 = 14;
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..levels {
            offsets.push(u8::try_from(bytes.len()).unwrap());
            bytes.push(0xa4);
            bytes.extend([level + 1; 4]);
        }
        offsets.push(u8::try_from(bytes.len()).unwrap());
        bytes.extend([0x51, b'x']);
        let table = u64::try_from(bytes.len()).unwrap();
        bytes.extend(&offsets);
        bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
        bytes.extend(u64::from(levels + 1).to_be_bytes());
        bytes.extend(0_u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        assert_eq!(property_list(&bytes), Err(PropertyListError::TooMany));
    }

    #[test]
    fn more_bytes_than_any_has_are_refused_unread() {
        let bytes = vec![b' '; PROPERTY_LIST_BYTES_MAX + 1];
        assert_eq!(property_list(&bytes), Err(PropertyListError::TooLarge(bytes.len())));
    }
}
