//! Serves the control socket that is its standard input. Started by `lab`, not by hand.
//!
//! With anything else as standard input it ends at once with status 0, which also makes a copy of it a
//! program that the workload can run where the lab has no image of its own.
#![deny(unsafe_code)]

use std::{
    io::{self, IsTerminal},
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
};

use lab_process::{
    failure,
    privileges::{self, Kept},
};
use nix::sys::stat::{SFlag, fstat};

const EXIT_USAGE: u8 = 64;
/// Makes it keep processors busy until it is killed, with so many threads: a planned fault of the lab.
const BURN: &str = "burn";

/// A program of the workload: alone it ends at once, as part of a tree it runs others.
fn branch() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.filter_map(|argument| argument.into_string().ok()).collect();
    match rest.iter().map(String::as_str).collect::<Vec<&str>>().as_slice() {
        ["tree", levels, fanout] if lab_driver::grow(&program, levels, fanout).is_err() => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(BURN) {
        if let Err(error) = privileges::keep(&Kept::NOTHING) {
            eprintln!("lab-driver: cannot give up what a load does not need: {error}");
            return ExitCode::FAILURE;
        }
        lab_driver::burn(arguments.next().and_then(|threads| threads.parse().ok()).unwrap_or(1));
    }
    let stdin = io::stdin();
    let is_socket = fstat(stdin.as_fd())
        .is_ok_and(|facts| SFlag::from_bits_truncate(facts.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK);
    if !is_socket {
        if stdin.is_terminal() {
            eprintln!("lab-driver: expects its control socket as standard input; `lab up NAME` starts it");
            return ExitCode::from(EXIT_USAGE);
        }
        return branch();
    }
    lab_driver::seal_descriptors();
    let control = match stdin.as_fd().try_clone_to_owned() {
        Ok(control) => UnixStream::from(control),
        Err(error) => {
            eprintln!("lab-driver: cannot use the control socket: {error}");
            return ExitCode::from(failure::reason_of(&error).exit_status());
        }
    };
    // Returning ends the other threads wherever they are: an operation may be waiting for a client's answer.
    match lab_driver::serve(control) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab-driver: {error}");
            ExitCode::from(error.reason().exit_status())
        }
    }
}
