//! Keeps the descriptors that the driver was started with away from the programs it starts. Asks for the
//! system because the one call is Linux's, and the unsafe code of the driver is to stay in the driver.
#![cfg_attr(
    target_os = "linux",
    expect(unsafe_code, reason = "marking a range of descriptors has no safe wrapper")
)]

/// Keeps the descriptors that the driver was started with away from the programs it starts.
pub fn seal_descriptors() {
    // An older kernel refuses the flag; then it is up to whoever started the driver.
    #[cfg(target_os = "linux")]
    // SAFETY: marks descriptors as not inherited; no descriptor is closed or changes its number.
    let _refused =
        unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
}
