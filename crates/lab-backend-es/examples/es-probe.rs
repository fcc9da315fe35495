//! Connects clients to Endpoint Security and says what the machine answered: the smallest test of a signature, of Full
//! Disk Access and of free client slots. It subscribes to nothing and changes nothing (except that connecting empties
//! the result caches of all clients).
//!
//! `es-probe` connects one; `es-probe --slots MAX` connects one after the other, at most MAX, and counts.

#[cfg(target_os = "macos")]
fn main() -> std::process::ExitCode {
    use lab_backend_es::{Cache, EsBackend, EsClient, NewClientResult, Probed};
    use std::process::ExitCode;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let max = match words[..] {
        [] => 1,
        ["--slots", max] if max.parse::<u32>().is_ok_and(|max| max > 0) => max.parse().unwrap_or(1),
        _ => {
            eprintln!("usage: es-probe [--slots MAX]");
            return ExitCode::from(64);
        }
    };
    let probed = Probed::of(max, || EsClient::connect(&EsBackend::new(1), Cache::Off));
    eprintln!("{probed}");
    match probed.first() {
        NewClientResult::Success => ExitCode::SUCCESS,
        refusal => {
            if let Some(advice) = refusal.advice() {
                eprintln!("to mend it: {}", advice.mend);
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "macos"))]
fn main() -> std::process::ExitCode {
    eprintln!("there is no Endpoint Security here: run this on a Mac");
    std::process::ExitCode::from(69)
}
