//! Programs of a few hundred bytes, written byte by byte: each calls `exit(0)`, and one opens a file before.
//!
//! They make an exec storm the same on every Linux machine and cost a client exactly what the kernel asks
//! about them: the static one its own two questions, the dynamic one also those for its loader and library.
//! Layout after the ELF-64 specification (gABI chapters 4 and 5). Nothing here touches a file.

/// A kind of machine, as far as the programs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// Linux on x86-64.
    LinuxX86_64,
    /// Linux on 64-bit ARM.
    LinuxAarch64,
    /// One the lab has no image for, macOS among them.
    Other,
}

impl Machine {
    /// The machine with these names, as `std::env::consts` spells them.
    #[must_use]
    pub fn named(os: &str, architecture: &str) -> Machine {
        match (os, architecture) {
            ("linux", "x86_64") => Machine::LinuxX86_64,
            ("linux", "aarch64") => Machine::LinuxAarch64,
            _ => Machine::Other,
        }
    }

    /// The machine this crate was compiled for.
    #[must_use]
    pub fn this() -> Machine {
        Machine::named(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The number in the ELF header, and the code that calls `exit(0)`.
    const fn code(self) -> Option<(u16, &'static [u8])> {
        match self {
            Machine::LinuxX86_64 => Some((
                62,
                &[
                    0x31, 0xFF, // xor edi, edi: the status
                    0xB8, 60, 0, 0, 0, // mov eax, 60: exit
                    0x0F, 0x05, // syscall
                ],
            )),
            Machine::LinuxAarch64 => Some((
                183,
                &[
                    0x00, 0x00, 0x80, 0xD2, // mov x0, #0: the status
                    0xA8, 0x0B, 0x80, 0xD2, // mov x8, #93: exit
                    0x01, 0x00, 0x00, 0xD4, // svc #0
                ],
            )),
            Machine::Other => None,
        }
    }

    /// The code that opens the file which the first argument names and calls `exit(0)`.
    const fn reader(self) -> Option<(u16, &'static [u8])> {
        match self {
            Machine::LinuxX86_64 => Some((
                62,
                &[
                    0x48, 0x8B, 0x7C, 0x24, 0x10, // mov rdi, [rsp + 16]: the first argument
                    0x31, 0xF6, // xor esi, esi: only to read
                    0xB8, 2, 0, 0, 0, // mov eax, 2: open
                    0x0F, 0x05, // syscall
                    0x31, 0xFF, // xor edi, edi: the status
                    0xB8, 60, 0, 0, 0, // mov eax, 60: exit
                    0x0F, 0x05, // syscall
                ],
            )),
            Machine::LinuxAarch64 => Some((
                183,
                &[
                    0x60, 0x0C, 0x80, 0x92, // mov x0, #-100: relative to the working directory
                    0xE1, 0x0B, 0x40, 0xF9, // ldr x1, [sp, #16]: the first argument
                    0x02, 0x00, 0x80, 0xD2, // mov x2, #0: only to read
                    0x08, 0x07, 0x80, 0xD2, // mov x8, #56: openat
                    0x01, 0x00, 0x00, 0xD4, // svc #0
                    0x00, 0x00, 0x80, 0xD2, // mov x0, #0: the status
                    0xA8, 0x0B, 0x80, 0xD2, // mov x8, #93: exit
                    0x01, 0x00, 0x00, 0xD4, // svc #0
                ],
            )),
            Machine::Other => None,
        }
    }
}

/// Where the file lies in memory. A multiple of 64 KiB, the largest page in use.
const BASE: u64 = 0x40_0000;
const PAGE_MAX: u64 = 0x1_0000;
const HEADER_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 56;

const SEGMENT_LOAD: u32 = 1;
const SEGMENT_DYNAMIC: u32 = 2;
const SEGMENT_INTERPRETER: u32 = 3;
const SEGMENT_STACK: u32 = 0x6474_E551;
const READ: u32 = 4;
const WRITE: u32 = 2;
const EXECUTE: u32 = 1;

/// A segment: its type, flags, place in the file and length.
struct Segment {
    kind: u32,
    flags: u32,
    offset: u64,
    bytes: u64,
    alignment: u64,
}

fn header(machine: u16, entry: u64, segments: u16) -> Vec<u8> {
    let mut image = Vec::with_capacity(1024);
    image.extend(b"\x7fELF");
    image.extend([2, 1, 1, 0]); // 64 bits, little-endian, version 1, System V
    image.extend([0; 8]);
    image.extend(2_u16.to_le_bytes()); // ET_EXEC: loaded where it says, so nothing has to be relocated
    image.extend(machine.to_le_bytes());
    image.extend(1_u32.to_le_bytes()); // version
    image.extend(entry.to_le_bytes());
    image.extend(HEADER_BYTES.to_le_bytes()); // the segments follow the header
    image.extend(0_u64.to_le_bytes()); // no sections
    image.extend(0_u32.to_le_bytes()); // flags
    image.extend([64, 0, 56, 0]); // bytes of this header and of a segment's
    image.extend(segments.to_le_bytes());
    image.extend([64, 0, 0, 0, 0, 0]); // bytes of a section's header; no sections, no names
    image
}

fn put_segment(image: &mut Vec<u8>, segment: &Segment) {
    let address = if segment.bytes == 0 { 0 } else { BASE + segment.offset };
    image.extend(segment.kind.to_le_bytes());
    image.extend(segment.flags.to_le_bytes());
    image.extend(segment.offset.to_le_bytes());
    image.extend(address.to_le_bytes());
    image.extend(address.to_le_bytes());
    image.extend(segment.bytes.to_le_bytes());
    image.extend(segment.bytes.to_le_bytes());
    image.extend(segment.alignment.to_le_bytes());
}

/// The whole file as one segment that cannot be written to.
const fn whole(bytes: u64) -> Segment {
    Segment { kind: SEGMENT_LOAD, flags: READ | EXECUTE, offset: 0, bytes, alignment: PAGE_MAX }
}

/// Without it, some kernels make the stack executable.
const fn stack() -> Segment {
    Segment { kind: SEGMENT_STACK, flags: READ | WRITE, offset: 0, bytes: 0, alignment: 16 }
}

/// A program without any library: two AUTH events a client on fanotify. `None` for a machine without image.
#[must_use]
pub fn static_program(machine: Machine) -> Option<Vec<u8>> {
    let (number, code) = machine.code()?;
    let start = HEADER_BYTES + 2 * SEGMENT_BYTES;
    let end = start + code.len() as u64;
    let mut image = header(number, BASE + start, 2);
    put_segment(&mut image, &whole(end));
    put_segment(&mut image, &stack());
    image.extend(code);
    Some(image)
}

/// A program that the loader at `interpreter` (an absolute path) starts after having loaded the library
/// `needed` from the loader's own folder: five AUTH events a client on fanotify. `None` for a machine
/// without image, or an interpreter that is not in a folder.
#[must_use]
pub fn dynamic_program(machine: Machine, interpreter: &str, needed: &str) -> Option<Vec<u8>> {
    dynamic(machine.code()?, interpreter, needed)
}

/// The same, but it opens the file that its first argument names: what an interpreter does with a script.
#[must_use]
pub fn interpreter_program(machine: Machine, interpreter: &str, needed: &str) -> Option<Vec<u8>> {
    dynamic(machine.reader()?, interpreter, needed)
}

fn dynamic((number, code): (u16, &[u8]), interpreter: &str, needed: &str) -> Option<Vec<u8>> {
    let (folder, _) = interpreter.rsplit_once('/')?;
    // Strings are found by their place in the table; place 0 is the empty one.
    let mut strings = vec![0];
    let needed_at = strings.len() as u64;
    strings.extend(needed.as_bytes().iter().chain(&[0]));
    let folder_at = strings.len() as u64;
    strings.extend(folder.as_bytes().iter().chain(&[0]));

    let code_at = HEADER_BYTES + 4 * SEGMENT_BYTES;
    let dynamic_at = (code_at + code.len() as u64).next_multiple_of(8);
    let dynamic_bytes = 8 * 16;
    let symbols_at = dynamic_at + dynamic_bytes;
    let hash_at = symbols_at + 24;
    let strings_at = hash_at + 16;
    let interpreter_at = strings_at + strings.len() as u64;
    let interpreter_bytes = interpreter.len() as u64 + 1;
    let dynamic: [(u64, u64); 8] = [
        (1, needed_at),             // DT_NEEDED
        (29, folder_at),            // DT_RUNPATH: searched before the machine's own folders
        (4, BASE + hash_at),        // DT_HASH
        (5, BASE + strings_at),     // DT_STRTAB
        (6, BASE + symbols_at),     // DT_SYMTAB
        (10, strings.len() as u64), // DT_STRSZ
        (11, 24),                   // DT_SYMENT
        (0, 0),                     // DT_NULL: the end
    ];

    let mut image = header(number, BASE + code_at, 4);
    // The interpreter comes first: the gABI wants it before any loadable segment.
    let interpreter_segment = Segment {
        kind: SEGMENT_INTERPRETER,
        flags: READ,
        offset: interpreter_at,
        bytes: interpreter_bytes,
        alignment: 1,
    };
    put_segment(&mut image, &interpreter_segment);
    put_segment(&mut image, &whole(interpreter_at + interpreter_bytes));
    let (kind, flags) = (SEGMENT_DYNAMIC, READ);
    put_segment(&mut image, &Segment { kind, flags, offset: dynamic_at, bytes: dynamic_bytes, alignment: 8 });
    put_segment(&mut image, &stack());
    image.extend(code);
    image.resize(image.len().next_multiple_of(8), 0);
    for (tag, value) in dynamic {
        image.extend(tag.to_le_bytes());
        image.extend(value.to_le_bytes());
    }
    image.extend([0; 24]); // the one symbol every table begins with: none
    // One bucket and one chain that hold no symbol.
    image.extend([1_u32, 1, 0, 0].map(u32::to_le_bytes).as_flattened());
    image.extend(strings);
    image.extend(interpreter.as_bytes().iter().chain(&[0]));
    Some(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(image: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(image[at..at + 8].try_into().unwrap())
    }

    /// Checks that each segment lies inside the file and that the program begins inside the loaded one.
    fn check(image: &[u8], segments: usize) {
        assert_eq!(usize::from(image[56]), segments);
        let entry = word(image, 24);
        assert!(entry > BASE && entry < BASE + image.len() as u64);
        for at in (64..).step_by(56).take(segments) {
            assert!(word(image, at + 8) + word(image, at + 32) <= image.len() as u64);
        }
    }

    #[test]
    fn images_hold_together_on_every_machine() {
        for machine in [Machine::LinuxX86_64, Machine::LinuxAarch64] {
            let small = static_program(machine).unwrap();
            check(&small, 2);
            assert!(small.len() < 256);
            for folder in ["/a", "/a/longer/path/than/that", "/ab", "/abc"] {
                let image = dynamic_program(machine, &format!("{folder}/ld.so"), "libc.so.6").unwrap();
                check(&image, 4);
                let interpreter = usize::try_from(word(&image, 64 + 8)).unwrap();
                assert_eq!(image[interpreter..], *format!("{folder}/ld.so\0").as_bytes());
            }
        }
    }

    #[test]
    fn other_machines_have_no_image() {
        assert_eq!(static_program(Machine::Other), None);
        assert_eq!(dynamic_program(Machine::Other, "/lib/ld.so", "libc.so.6"), None);
        assert_eq!(dynamic_program(Machine::LinuxX86_64, "ld.so", "libc.so.6"), None);
        assert_eq!(Machine::named("macos", "aarch64"), Machine::Other);
    }
}
