//! The JSON Schema of a lab file.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::lab::RawLab;

/// The address under which the schema calls itself.
const SCHEMA_ID: &str = "lab.schema.json";

/// The JSON Schema of a lab file, made from the types that read it.
#[must_use]
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<RawLab>();
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    let mut schema = schema.to_value();
    // Another crate may ask serde_json to keep insertion order; the text must not depend on that.
    schema.sort_all_objects();
    join_lines(&mut schema);
    schema
}

/// Makes one line of each description: where the source code wraps says nothing.
fn join_lines(value: &mut Value) {
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                match entry {
                    Value::String(text) if key == "description" => *text = text.replace('\n', " "),
                    _ => join_lines(entry),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// The schema as the text of `docs/reference/lab.schema.json`.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}
