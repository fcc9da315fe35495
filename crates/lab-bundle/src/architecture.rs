//! The machine an executable is for, from its first bytes.

use std::fmt;

/// Enough bytes of an executable's start to tell its architecture.
pub(crate) const HEADER_BYTES: usize = 64;

const ELF_MAGIC: [u8; 4] = [0x7f, b'E', b'L', b'F'];
/// `MH_MAGIC_64` as the four bytes of a little-endian file.
const MACH_O_64_MAGIC: [u8; 4] = [0xcf, 0xfa, 0xed, 0xfe];
/// `FAT_MAGIC`; big-endian. Java class files share it, and have a number above 40 where the count would be.
const FAT_MAGIC: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];
const FAT_ARCHITECTURES_MAX: u32 = 40;

/// The machine an executable is for, as its own header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Architecture {
    /// The format of the file.
    pub container: Container,
    /// The processor.
    pub machine: Machine,
}

/// A format of executable files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// Linux.
    Elf,
    /// macOS, one architecture.
    MachO,
    /// macOS, several architectures in one file.
    UniversalMachO,
}

/// A processor, as an executable's header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Machine {
    /// 64-bit ARM; Apple silicon.
    Arm64,
    /// 64-bit Intel and AMD.
    X86_64,
    /// More than one, each in its own slice.
    Several(u32),
    /// Another one, kept as the header's own number.
    Other(u32),
}

impl Architecture {
    /// Reads the architecture from the first bytes of an executable; `None` when they are of no known format.
    #[must_use]
    pub fn of(header: &[u8]) -> Option<Architecture> {
        let magic = header.first_chunk::<4>()?;
        match *magic {
            ELF_MAGIC => elf(header),
            MACH_O_64_MAGIC => {
                let number = u32::from_le_bytes(chunk(header, 4)?);
                Some(Architecture { container: Container::MachO, machine: mach_o_machine(number) })
            }
            FAT_MAGIC => {
                let count = u32::from_be_bytes(chunk(header, 4)?);
                let plausible = (1..=FAT_ARCHITECTURES_MAX).contains(&count);
                plausible.then_some(Architecture {
                    container: Container::UniversalMachO,
                    machine: Machine::Several(count),
                })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = match self.container {
            Container::Elf => "ELF",
            Container::MachO => "Mach-O",
            Container::UniversalMachO => "universal Mach-O",
        };
        match self.machine {
            Machine::Arm64 => write!(f, "{container} arm64"),
            Machine::X86_64 => write!(f, "{container} x86_64"),
            Machine::Several(count) => write!(f, "{container} with {count} architectures"),
            Machine::Other(number) => write!(f, "{container} for processor {number}"),
        }
    }
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

fn elf(header: &[u8]) -> Option<Architecture> {
    // e_ident[EI_DATA] says the byte order of everything after it; e_machine is at 18 in both classes.
    let raw = chunk(header, 18)?;
    let number = match header.get(5)? {
        1 => u16::from_le_bytes(raw),
        2 => u16::from_be_bytes(raw),
        _ => return None,
    };
    let machine = match number {
        62 => Machine::X86_64,
        183 => Machine::Arm64,
        other => Machine::Other(u32::from(other)),
    };
    Some(Architecture { container: Container::Elf, machine })
}

const fn mach_o_machine(number: u32) -> Machine {
    match number {
        0x0100_000c => Machine::Arm64,
        0x0100_0007 => Machine::X86_64,
        other => Machine::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf_header(order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut header = vec![0x7f, b'E', b'L', b'F', 2, order];
        header.resize(18, 0);
        header.extend(machine);
        header
    }

    #[test]
    fn headers_tell_their_machine() {
        let text = |bytes: &[u8]| Architecture::of(bytes).map(|found| found.to_string());
        assert_eq!(text(&elf_header(1, [62, 0])).as_deref(), Some("ELF x86_64"));
        assert_eq!(text(&elf_header(1, [183, 0])).as_deref(), Some("ELF arm64"));
        assert_eq!(text(&elf_header(2, [0, 22])).as_deref(), Some("ELF for processor 22"));
        let arm = [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1];
        assert_eq!(text(&arm).as_deref(), Some("Mach-O arm64"));
        let intel = [0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1];
        assert_eq!(text(&intel).as_deref(), Some("Mach-O x86_64"));
        let universal = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        assert_eq!(text(&universal).as_deref(), Some("universal Mach-O with 2 architectures"));
    }

    #[test]
    fn what_is_no_executable_has_no_architecture() {
        let java = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 65];
        for bytes in [&b""[..], b"#!/bin/sh\n", &[0x7f, b'E', b'L', b'F'], &java, &[0xcf, 0xfa, 0xed]] {
            assert_eq!(Architecture::of(bytes), None, "{bytes:?}");
        }
    }
}
