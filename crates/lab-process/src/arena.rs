//! The arena as a folder by descriptor: nothing outside it can be opened through it.

use std::os::unix::ffi::OsStrExt;

use lab_model::{ExecProgram, Workload};

/// The arena's files, as far as a lab process opens or runs them on its own account.
#[derive(Clone, Debug)]
pub struct Arena {
    path: Vec<u8>,
    workload: Vec<Workload>,
}

impl Arena {
    /// The arena at `path`, with the files of this workload. Finds out by which path the kernel names it, which
    /// opens nothing.
    #[must_use]
    pub fn new(path: &str, workload: Vec<Workload>) -> Arena {
        let found = std::fs::canonicalize(path).ok();
        let path =
            found.map_or_else(|| path.as_bytes().to_vec(), |found| found.as_os_str().as_bytes().to_vec());
        Arena { path, workload }
    }

    /// A path without the arena's own; as it is when it lies elsewhere.
    #[must_use]
    pub fn relative<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let below = path.strip_prefix(&self.path[..]).and_then(|rest| rest.strip_prefix(b"/"));
        below.unwrap_or(path)
    }

    /// The whole path of one that is relative to the arena.
    #[must_use]
    pub fn whole(&self, relative: &[u8]) -> Vec<u8> {
        if relative.starts_with(b"/") { relative.to_vec() } else { [&self.path[..], b"/", relative].concat() }
    }

    /// Writes the path of a file, followed by a zero byte; false when the arena has none.
    pub fn other(&self, draw: u64, path: &mut Vec<u8>) -> bool {
        lab_workload::target(&self.workload, draw)
            .is_some_and(|relative| self.write(relative.as_bytes(), path))
    }

    /// Writes the path of a program, followed by a zero byte.
    pub fn program(&self, program: ExecProgram, path: &mut Vec<u8>) -> bool {
        self.write(lab_workload::program_path(program).as_bytes(), path)
    }

    /// Writes a whole path, followed by a zero byte; false when it holds one itself.
    pub fn write(&self, relative: &[u8], path: &mut Vec<u8>) -> bool {
        path.clear();
        path.extend(self.whole(relative));
        path.push(0);
        path.iter().position(|&byte| byte == 0) == Some(path.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_arena_and_elsewhere() {
        let arena = Arena::new("/no/such/arena", Vec::new());
        assert_eq!(arena.relative(b"/no/such/arena/files/f1"), b"files/f1");
        assert_eq!(arena.relative(b"/no/such/arena2/f1"), b"/no/such/arena2/f1");
        for path in [&b"/no/such/arena/files/f1"[..], b"/elsewhere"] {
            assert_eq!(arena.whole(arena.relative(path)), path);
        }
        assert!(!arena.other(7, &mut Vec::new()), "an arena without files");
    }
}
