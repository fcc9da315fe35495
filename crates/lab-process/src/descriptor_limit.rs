//! The limit on open files of another process, lowered for a while.

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    /// The limit as it was.
    #[derive(Clone, Debug)]
    pub struct DescriptorLimit(Rlimit);

    impl DescriptorLimit {
        /// Lowers the number of files that a process may have open, and returns the limit as it was. The hard limit stays:
        /// not everybody who may lower one may raise it again.
        ///
        /// # Errors
        /// Those of `prlimit` and of reading the process's limits.
        pub fn lower(pid: u32, limit: u32) -> io::Result<DescriptorLimit> {
            let maximum = crate::proc::open_files(pid)?.hard;
            let lowered = Rlimit { current: Some(u64::from(limit)), maximum };
            Ok(DescriptorLimit(prlimit(process(pid)?, Resource::Nofile, lowered)?))
        }

        /// Sets the limit to what it was.
        ///
        /// # Errors
        /// Those of `prlimit`.
        pub fn restore(self, pid: u32) -> io::Result<()> {
            prlimit(process(pid)?, Resource::Nofile, self.0)?;
            Ok(())
        }
    }

    fn process(pid: u32) -> io::Result<Option<Pid>> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        raw.map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    /// No system here but Linux sets another process's limits.
    #[derive(Clone, Debug)]
    pub struct DescriptorLimit(());

    impl DescriptorLimit {
        /// Lowers nothing.
        ///
        /// # Errors
        /// Always `Unsupported`.
        pub fn lower(_: u32, _: u32) -> io::Result<DescriptorLimit> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        /// Has nothing to set.
        ///
        /// # Errors
        /// Never.
        pub fn restore(self, _: u32) -> io::Result<()> {
            Ok(())
        }
    }
}

pub use system::DescriptorLimit;
