//! Who is at the other end of a socket: unix sockets by the kernel's diagnostics (sock_diag(7)), TCP by `/proc/PID/net/tcp`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::fd::AsRawFd,
};

use lab_waits::{Descriptor, Peer, Process};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::descriptors::Descriptors;

/// `SOCK_DIAG_BY_FAMILY` (linux/sock_diag.h).
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP` (linux/netlink.h).
const ALL: u16 = 0x1 | 0x300;
/// `NLMSG_DONE` and `NLMSG_ERROR`.
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// `UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS` (linux/unix_diag.h): the peer, and of a listener those who are not accepted yet.
const SHOWN: u32 = 4 | 8;
/// `UNIX_DIAG_PEER` and `UNIX_DIAG_ICONS`.
const PEER: u16 = 2;
const NOT_ACCEPTED: u16 = 3;
/// The state of a listening socket (include/net/tcp_states.h).
const LISTENS: &str = "0A";

/// Both ends of sockets.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    peers: BTreeMap<u64, Peer>,
    /// Those of the process that looks: who waits for it waits for new work.
    own: BTreeSet<u64>,
    /// A process of each network namespace that has sockets.
    namespaces: BTreeMap<String, u32>,
}

impl Sockets {
    /// Nothing is known yet but which sockets are those of the process that looks.
    pub(crate) fn of_observer(own: &Descriptors) -> Sockets {
        let own = own.all.values().filter_map(|descriptor| match descriptor {
            Descriptor::Socket { inode, .. } => Some(*inode),
            _ => None,
        });
        Sockets { own: own.collect(), ..Sockets::default() }
    }

    /// Remembers a process by whom the network namespace of its sockets is read.
    pub(crate) fn learn_namespace(&mut self, pid: u32, descriptors: &Descriptors) {
        if descriptors.sockets
            && let Ok(namespace) = fs::read_link(format!("/proc/{pid}/ns/net"))
        {
            self.namespaces.entry(namespace.to_string_lossy().into_owned()).or_insert(pid);
        }
    }

    /// Reads both ends of all sockets: unix sockets of this network namespace, TCP of all.
    pub(crate) fn read(&mut self) -> io::Result<()> {
        for pid in self.namespaces.values() {
            let tables = ["tcp", "tcp6"].map(|table| fs::read(format!("/proc/{pid}/net/{table}")));
            for table in tables.into_iter().flatten() {
                self.peers.extend(tcp_peers(&String::from_utf8_lossy(&table)));
            }
        }
        self.read_unix()
    }

    fn read_unix(&mut self) -> io::Result<()> {
        let diagnostics = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkSockDiag,
        )?;
        sendto(diagnostics.as_raw_fd(), &request(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = recv(diagnostics.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            if !self.take(&buffer[..length])? {
                return Ok(());
            }
        }
    }

    /// Takes one datagram of the kernel's answer; false after the last.
    fn take(&mut self, mut answer: &[u8]) -> io::Result<bool> {
        while let Some((length, kind)) = header(answer) {
            let Some(message) = answer.get(16..length) else { break };
            match kind {
                DONE => return Ok(false),
                ERROR => return Err(io::Error::other("the kernel does not answer about unix sockets")),
                _ => self.take_unix(message),
            }
            answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(true)
    }

    /// Takes a `struct unix_diag_msg` and its attributes.
    fn take_unix(&mut self, message: &[u8]) {
        let Some(inode) = number(message, 4) else { return };
        let mut attributes = message.get(16..).unwrap_or_default();
        while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
            let Some(content) = attributes.get(4..usize::from(length)) else { break };
            let numbers = content.as_chunks::<4>().0.iter().map(|one| u32::from_ne_bytes(*one));
            for other in numbers.filter(|&other| other != 0) {
                match kind {
                    PEER => self.peers.insert(inode.into(), Peer::Socket(other.into())),
                    // The one who wants to connect waits for whoever listens.
                    NOT_ACCEPTED => self.peers.insert(other.into(), Peer::Socket(inode.into())),
                    _ => None,
                };
            }
            attributes = attributes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        }
    }

    /// Says of each socket who is at its other end.
    pub(crate) fn connect(&self, processes: &mut [Process]) {
        for process in processes {
            for descriptor in process.descriptors.values_mut() {
                if let Descriptor::Socket { inode, peer } = descriptor {
                    *peer = match self.peers.get(inode) {
                        Some(Peer::Socket(other)) if self.own.contains(other) => Peer::Nobody,
                        known => known.copied().unwrap_or(Peer::Nobody),
                    };
                }
            }
        }
    }
}

/// A `struct unix_diag_req` in a netlink message: all unix sockets of any state.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(40_u32.to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(ALL.to_ne_bytes());
    message.extend([0; 8]);
    // The family, and bytes that have to be zero.
    message.extend([1, 0, 0, 0]);
    message.extend(u32::MAX.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes());
    message.extend(SHOWN.to_ne_bytes());
    message.extend([0; 8]);
    message
}

/// Length and kind of a netlink message.
fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(number(bytes, 0)?).ok().filter(|&length| length >= 16)?;
    Some((length, half(bytes, 4)?))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_ne_bytes(*four))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_ne_bytes(*two))
}

/// A line of `/proc/net/tcp`.
struct TcpLine<'a> {
    local: &'a str,
    remote: &'a str,
    state: &'a str,
    /// 0 while nobody has accepted the connection.
    inode: u64,
}

impl<'a> TcpLine<'a> {
    fn parse(line: &'a str) -> Option<TcpLine<'a>> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let &[_, local, remote, state, _, _, _, _, _, inode, ..] = words.as_slice() else { return None };
        Some(TcpLine { local, remote, state, inode: inode.parse().ok()? })
    }

    fn port(address: &str) -> Option<&str> {
        address.rsplit_once(':').map(|(_, port)| port)
    }
}

/// The other ends in the content of `/proc/net/tcp` (proc_pid_net(5)).
fn tcp_peers(table: &str) -> BTreeMap<u64, Peer> {
    let lines: Vec<TcpLine<'_>> = table.lines().skip(1).filter_map(TcpLine::parse).collect();
    let by_ends: BTreeMap<(&str, &str), u64> =
        lines.iter().map(|line| ((line.local, line.remote), line.inode)).collect();
    let listener = |address: &str| {
        let port = TcpLine::port(address);
        lines.iter().find(|line| line.state == LISTENS && TcpLine::port(line.local) == port)
    };
    let peer = |line: &TcpLine<'_>| match by_ends.get(&(line.remote, line.local)) {
        // The other end has no file yet: whoever listens has not accepted it.
        Some(0) => listener(line.remote).map_or(Peer::Elsewhere, |line| Peer::Socket(line.inode)),
        Some(&inode) => Peer::Socket(inode),
        None => Peer::Elsewhere,
    };
    let connected = lines.iter().filter(|line| line.state != LISTENS && line.inode != 0);
    connected.map(|line| (line.inode, peer(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_connection_find_each_other_before_it_is_accepted_too() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
        let line = |local: &str, remote: &str, state: &str, inode: u64| {
            format!(
                "   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
            )
        };
        let table = [
            head.to_owned(),
            line("0100007F:0C38", "00000000:0000", LISTENS, 10),
            line("0100007F:0C38", "0100007F:8001", "01", 11),
            line("0100007F:8001", "0100007F:0C38", "01", 12),
            line("0100007F:0C38", "0100007F:8002", "01", 0),
            line("0100007F:8002", "0100007F:0C38", "01", 13),
            line("0100000A:8003", "0800000A:01BB", "01", 14),
        ]
        .concat();
        let peers = tcp_peers(&table);
        assert_eq!(peers[&11], Peer::Socket(12));
        assert_eq!(peers[&12], Peer::Socket(11));
        assert_eq!(peers[&13], Peer::Socket(10), "nobody has accepted it");
        assert_eq!(peers[&14], Peer::Elsewhere);
        assert_eq!(peers.len(), 4);
    }
}
