//! Writes the seeds of `analysis` and `exports`: small simulated runs of the labs that a few bytes make.
//! `cargo run --package lab-fuzz --example seeds -- fuzz/corpus`
#![allow(clippy::disallowed_methods, reason = "this program is there to write files")]

use std::{env, error::Error, fs, path::PathBuf};

use lab_sim::{Kernel, Options, Traces, simulate};

/// The first byte is the kernel's (1: Endpoint Security), the second says which parts of the lab the others make.
const LABS: [&[u8]; 10] = [
    &[0, 0],
    &[1, 0],
    &[2, 2, 4, 2, 3, 0],
    &[1, 2, 4, 1, 4, 1],
    &[0, 2, 2, 20, 1, 2, 4],
    &[0, 2, 3, 2, 3, 2],
    &[0, 16, 1, 0, 4, 0x8a, 0x90, 5, 0, 0],
    &[1, 16, 1, 0, 0, 0, 1, 1, 0, 0, 2],
    &[0, 128, 0, 0, 0, 0, 2, 3, 5, 0, 1, 0, 9, 1],
    &[0, 66, 2, 1, 2, 1, 1],
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("a folder is needed")?);
    for (number, choices) in LABS.iter().enumerate() {
        let kernel = if choices[0] == 1 { Kernel::EndpointSecurity } else { Kernel::Fanotify };
        let seed = lab_fuzz::seed(choices, |lab| {
            let options = Options { decisions_max: 40, ..Options::new(lab, kernel) };
            let mut traces = Traces::new(lab.safety.trace_bytes_max);
            simulate(lab, &options, &mut traces);
            traces.into_files().into_iter().map(|file| file.bytes).collect()
        });
        for target in ["analysis", "exports"] {
            fs::create_dir_all(folder.join(target))?;
            fs::write(folder.join(target).join(format!("run-{number}")), &seed)?;
        }
    }
    Ok(())
}
