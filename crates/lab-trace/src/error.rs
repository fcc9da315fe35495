//! Why a file is no trace.

/// Why a file cannot be read as a trace at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Not even the header is there.
    #[error("the file ends within the trace's header, after {bytes} bytes")]
    TooShort {
        /// The length of the file.
        bytes: usize,
    },
    /// The first bytes are not those of a trace.
    #[error("the file is not a trace of this lab")]
    NotATrace,
    /// The header's check does not hold.
    #[error("the trace's header is damaged")]
    DamagedHeader,
    /// A later version wrote it, for a kind of process that this one does not know.
    #[error("the trace belongs to a process of an unknown role ({code})")]
    UnknownRole {
        /// The role's number.
        code: u16,
    },
    /// Its check holds, and no clock ticks like that: both numbers are at least 1.
    #[error("the trace says that a tick is {numer}/{denom} nanoseconds, which no clock has")]
    Clock {
        /// The numerator.
        numer: u32,
        /// The denominator.
        denom: u32,
    },
    /// Another major version wrote it.
    #[error("the trace has format {major}.{minor}; this program reads format 1")]
    Version {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
}
