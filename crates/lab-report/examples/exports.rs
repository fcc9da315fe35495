//! Writes the exports and reports of a synthetic run into a folder, for `ci/check-perfetto.py`:
//! `cargo run -p lab-report --example exports -- FOLDER`.
#![expect(clippy::disallowed_methods, reason = "this program is there to write files")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap may end this program")]

use std::{env, error::Error, fs, path::PathBuf};

use lab_model::{NotifyEvent, PhaseKind};
use lab_report::{export, html, json};
use lab_testing::synthetic::{Builder, lab};
use lab_trace::Trace;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("a folder is needed")?);
    let roots: u64 = env::args().nth(2).map_or(Ok(400), |text| text.parse())?;
    fs::create_dir_all(folder.join("clients"))?;
    let mut lab = lab(3);
    // The third client is told of opens and closes, too.
    lab.clients[2].behavior.notify = [NotifyEvent::Open, NotifyEvent::Close].into_iter().collect();
    let mut builder = Builder::new(&folder, "exports", lab);
    let mut now = 1000;
    for root in 0..roots {
        let (thread, inode) = (900 + root % 2, 100 + root % 10);
        now = builder.scanned_open(now, thread, inode) + 50 + root % 7 * 900;
        let opened = [NotifyEvent::Open, NotifyEvent::Close];
        builder.notice(3, now, (thread, inode), &opened[..1 + usize::from(root % 3 == 0)]);
        if root % 50 == 0 {
            builder.notice(3, now, (12_345, inode), &opened[1..]);
        }
    }
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    let run = builder.finish();
    let findings = run.analyse();
    let traces: Vec<Trace<'_>> = run.stored.iter().filter_map(|stored| Trace::of(stored).ok()).collect();
    let mut file = std::io::BufWriter::new(fs::File::create(folder.join("trace.pftrace"))?);
    export::perfetto(&traces, &findings, &export::Caps::default(), &mut file)?;
    let mut lines = std::io::BufWriter::new(fs::File::create(folder.join("decisions.jsonl"))?);
    export::jsonl(&traces, &mut lines)?;
    fs::write(folder.join("report.json"), json::to_string(&findings))?;
    fs::write(folder.join("report.html"), html::run(&findings))?;
    for client in &findings.clients {
        let page = html::client(&findings, &client.id).ok_or("the client has no report")?;
        fs::write(folder.join("clients").join(html::file_name(&client.id)), page)?;
    }
    Ok(())
}
