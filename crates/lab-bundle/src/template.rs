//! The templates of `bundles/`, filled in for one client.

use std::{io::Cursor, path::Path};

use lab_model::{BundleId, ClientId};
use plist::Value;

use crate::TemplateError;

const INFO_NAME: &str = "Info.plist";
const DAEMON_NAME: &str = "LaunchDaemon.plist";

/// The version that every bundle states: the lab's own.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The property lists from which bundles are made, compiled in so that the binary needs no files.
///
/// A string value that is exactly `@name@` is a placeholder. It is replaced as a value, never as text, so a
/// path with `<` or `&` in it cannot break the property list.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    info: Value,
    daemon: Value,
    host: Value,
    extension: Value,
}

/// What tells one client's launchd job from another's.
#[derive(Clone, Copy, Debug)]
pub struct DaemonIdentity<'a> {
    /// Label of the job.
    pub bundle_id: &'a BundleId,
    /// Absolute path of the executable inside the installed bundle.
    pub executable: &'a Path,
    /// What the client is started with, after the executable.
    pub arguments: &'a [String],
    /// Absolute path of the file that takes its output.
    pub log: &'a Path,
}

impl Template {
    /// The templates of `bundles/`, as they were when this crate was built.
    ///
    /// # Errors
    /// When one of them is no dictionary in XML.
    pub fn embedded() -> Result<Template, TemplateError> {
        Ok(Template {
            info: parse(INFO_NAME, include_str!("../../../bundles/client/Info.plist"))?,
            daemon: parse(DAEMON_NAME, include_str!("../../../bundles/client/LaunchDaemon.plist"))?,
            host: parse(INFO_NAME, include_str!("../../../bundles/host/Info.plist"))?,
            extension: parse(INFO_NAME, include_str!("../../../bundles/extension/Info.plist"))?,
        })
    }

    /// Writes the `Info.plist` of one client as XML.
    ///
    /// # Errors
    /// When the template has a placeholder other than `@client-id@`, `@bundle-id@` and `@version@`.
    #[doc(alias = "CFBundleIdentifier")]
    pub fn info(&self, client: &ClientId, bundle_id: &BundleId) -> Result<Vec<u8>, TemplateError> {
        let values = [
            ("@client-id@", client.as_str().to_owned()),
            ("@bundle-id@", bundle_id.as_str().to_owned()),
            ("@version@", VERSION.to_owned()),
        ];
        render(INFO_NAME, &self.info, &values, &[])
    }

    /// Writes the `Info.plist` of one client as a system extension, as XML. Its Mach service is named after it.
    ///
    /// # Errors
    /// When the template has a placeholder that is not known.
    #[doc(alias = "NSEndpointSecurityMachServiceName")]
    pub fn extension_info(&self, client: &ClientId, bundle_id: &BundleId) -> Result<Vec<u8>, TemplateError> {
        let values = [
            ("@client-id@", client.as_str().to_owned()),
            ("@bundle-id@", bundle_id.as_str().to_owned()),
            ("@mach-service@", format!("{bundle_id}.xpc")),
            ("@version@", VERSION.to_owned()),
        ];
        render(INFO_NAME, &self.extension, &values, &[])
    }

    /// Writes the `Info.plist` of the app around system extensions as XML.
    ///
    /// # Errors
    /// When the template has a placeholder that is not known.
    pub fn host_info(&self, name: &str, bundle_id: &BundleId) -> Result<Vec<u8>, TemplateError> {
        let values = [
            ("@name@", name.to_owned()),
            ("@bundle-id@", bundle_id.as_str().to_owned()),
            ("@version@", VERSION.to_owned()),
        ];
        render(INFO_NAME, &self.host, &values, &[])
    }

    /// Writes the launchd job of one client as XML.
    ///
    /// # Errors
    /// When the template has a placeholder other than `@bundle-id@`, `@executable@` and `@log@`, or no list of
    /// program arguments.
    #[doc(alias = "LaunchDaemons")]
    pub fn daemon(&self, identity: &DaemonIdentity<'_>) -> Result<Vec<u8>, TemplateError> {
        let values = [
            ("@bundle-id@", identity.bundle_id.as_str().to_owned()),
            ("@executable@", identity.executable.to_string_lossy().into_owned()),
            ("@log@", identity.log.to_string_lossy().into_owned()),
        ];
        render(DAEMON_NAME, &self.daemon, &values, identity.arguments)
    }
}

fn parse(name: &'static str, text: &str) -> Result<Value, TemplateError> {
    let value =
        Value::from_reader_xml(Cursor::new(text)).map_err(|source| TemplateError::Syntax { name, source })?;
    if value.as_dictionary().is_none() {
        return Err(TemplateError::NotADictionary { name });
    }
    Ok(value)
}

fn render(
    name: &'static str,
    template: &Value,
    values: &[(&str, String)],
    arguments: &[String],
) -> Result<Vec<u8>, TemplateError> {
    let mut filled = template.clone();
    fill(name, &mut filled, values)?;
    if !arguments.is_empty() {
        let program = filled
            .as_dictionary_mut()
            .and_then(|job| job.get_mut("ProgramArguments"))
            .and_then(Value::as_array_mut)
            .ok_or(TemplateError::NoProgramArguments { name })?;
        program.extend(arguments.iter().cloned().map(Value::String));
    }
    let mut bytes = Vec::new();
    filled.to_writer_xml(&mut bytes).map_err(|source| TemplateError::Write { name, source })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Replaces every placeholder below `value`; the depth is that of a committed template, so recursion is safe.
fn fill(name: &'static str, value: &mut Value, values: &[(&str, String)]) -> Result<(), TemplateError> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(name, item, values)),
        Value::Dictionary(entries) => entries.values_mut().try_for_each(|entry| fill(name, entry, values)),
        Value::String(text) if is_placeholder(text) => {
            let found = values.iter().find(|(placeholder, _)| placeholder == text);
            let (_, replacement) =
                found.ok_or_else(|| TemplateError::UnknownPlaceholder { name, placeholder: text.clone() })?;
            text.clone_from(replacement);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_placeholder(text: &str) -> bool {
    text.len() > 2 && text.starts_with('@') && text.ends_with('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> plist::Dictionary {
        Value::from_reader_xml(Cursor::new(bytes)).unwrap().into_dictionary().unwrap()
    }

    #[test]
    fn info_names_the_client_and_keeps_the_rest() {
        let bytes = Template::embedded()
            .unwrap()
            .info(&"alpha".parse().unwrap(), &"com.example.lab.alpha".parse().unwrap())
            .unwrap();
        let info = read(&bytes);
        let text = |key: &str| info.get(key).and_then(Value::as_string).map(str::to_owned);
        assert_eq!(text("CFBundleIdentifier").as_deref(), Some("com.example.lab.alpha"));
        assert_eq!(text("CFBundleExecutable").as_deref(), Some("alpha"));
        assert_eq!(text("CFBundleName").as_deref(), Some("alpha"));
        assert_eq!(text("CFBundlePackageType").as_deref(), Some("APPL"));
        assert_eq!(text("LSMinimumSystemVersion").as_deref(), Some("13.0"));
        assert_eq!(text("CFBundleVersion").as_deref(), Some(VERSION));
        assert_eq!(text("CFBundleShortVersionString").as_deref(), Some(VERSION));
    }

    #[test]
    fn a_job_is_labelled_by_its_bundle_and_left_to_the_lab() {
        let bundle_id = "com.example.lab.alpha".parse().unwrap();
        let arguments = ["--socket".to_owned(), "/var/run/a&b<c>.sock".to_owned()];
        let identity = DaemonIdentity {
            bundle_id: &bundle_id,
            executable: Path::new("/Library/Lab & Co/alpha.app/Contents/MacOS/alpha"),
            arguments: &arguments,
            log: Path::new("/var/log/alpha.log"),
        };
        let job = read(&Template::embedded().unwrap().daemon(&identity).unwrap());
        assert_eq!(job.get("Label").and_then(Value::as_string), Some("com.example.lab.alpha"));
        assert_eq!(job.get("KeepAlive").and_then(Value::as_boolean), Some(false));
        assert_eq!(job.get("RunAtLoad").and_then(Value::as_boolean), Some(false));
        let program: Vec<_> = job.get("ProgramArguments").and_then(Value::as_array).unwrap().iter().collect();
        let program: Vec<_> = program.into_iter().filter_map(Value::as_string).collect();
        assert_eq!(
            program,
            ["/Library/Lab & Co/alpha.app/Contents/MacOS/alpha", "--socket", "/var/run/a&b<c>.sock"]
        );
    }

    #[test]
    fn a_placeholder_nobody_fills_is_refused() {
        let template = parse(
            "Info.plist",
            "<plist version=\"1.0\"><dict><key>A</key><string>@oops@</string></dict></plist>",
        );
        let refusal =
            render("Info.plist", &template.unwrap(), &[("@known@", String::new())], &[]).unwrap_err();
        assert_eq!(refusal.to_string(), "the template Info.plist has the unknown placeholder @oops@");
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        let refusal = parse("Info.plist", "<plist version=\"1.0\"><array/></plist>").unwrap_err();
        assert_eq!(refusal.to_string(), "the template Info.plist is no dictionary");
        assert!(parse("Info.plist", "<plist").is_err());
    }
}
