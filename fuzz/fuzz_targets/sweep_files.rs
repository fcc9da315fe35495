//! See the target of this name in `lab-fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lab_fuzz::sweep_files(data));
