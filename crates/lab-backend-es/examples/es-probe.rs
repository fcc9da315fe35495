//! Connects one client to Endpoint Security and says what the machine answered: the smallest test of a
//! signature, of Full Disk Access and of a free client slot. It subscribes to nothing and changes nothing
//! (except that connecting empties the result caches of all clients).

#[cfg(target_os = "macos")]
fn main() -> std::process::ExitCode {
    use lab_backend_es::{Cache, EsBackend, EsClient};

    match EsClient::connect(&EsBackend::new(1), Cache::Off) {
        Ok(_client) => {
            eprintln!("connected: signature, Full Disk Access, privilege and a client slot are there");
            std::process::ExitCode::SUCCESS
        }
        Err(refusal) => {
            let advice = refusal.advice().map_or(("", ""), |advice| (advice.cause, advice.mend));
            eprintln!("refused with result {}: {}; {}", refusal.code(), advice.0, advice.1);
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "macos"))]
fn main() -> std::process::ExitCode {
    eprintln!("there is no Endpoint Security here: run this on a Mac");
    std::process::ExitCode::from(69)
}
