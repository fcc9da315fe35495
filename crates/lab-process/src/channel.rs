//! The channels by which clients reach daemons: sockets that no file of the arena stands for.

use std::{
    io,
    os::unix::net::{UnixListener, UnixStream},
};

#[cfg(target_os = "linux")]
fn address(name: &str) -> io::Result<std::os::unix::net::SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    // The abstract namespace: such a name ends with its listener, whatever kills it.
    std::os::unix::net::SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> io::Result<std::os::unix::net::SocketAddr> {
    std::os::unix::net::SocketAddr::from_pathname(format!("/tmp/{name}"))
}

/// Listens under a name that is unique on the machine, of at most 80 letters, digits and hyphens.
///
/// # Errors
/// Those of binding; the name may be taken.
pub fn listen(name: &str) -> io::Result<UnixListener> {
    // Elsewhere the name of a listener that was killed stays behind, and its successor takes it over.
    #[cfg(not(target_os = "linux"))]
    if let Some(path) = address(name)?.as_pathname() {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    UnixListener::bind_addr(&address(name)?)
}

/// Connects to whoever listens under this name.
///
/// # Errors
/// Those of connecting; nobody may be listening.
pub fn connect(name: &str) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&address(name)?)
}
