//! Writes the reports that the tests render into a folder, to be looked at in a browser:
//! `cargo run -p lab-report --example fixtures -- FOLDER`.
#![expect(clippy::disallowed_methods, reason = "this program is there to write files")]

use std::{env, error::Error, fs, path::PathBuf};

use lab_report::html;
use lab_testing::reports;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("a folder is needed")?);
    for (name, findings) in reports::all() {
        let clients = folder.join(name).join("clients");
        fs::create_dir_all(&clients)?;
        fs::write(folder.join(name).join("report.html"), html::run(&findings))?;
        for client in findings.clients.iter().take(2) {
            let page = html::client(&findings, &client.id).ok_or("the client has no report")?;
            fs::write(clients.join(html::file_name(&client.id)), page)?;
        }
    }
    Ok(())
}
