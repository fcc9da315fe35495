use std::fmt::{self, Write};

use lab_model::LoadKind;

use super::Kind;
use crate::{
    checks::check_path,
    limits::Beside,
    read::{At, Problems},
    scalar::Bounded,
    write::Scalar,
};

load! {
    /// Opens and closes files of the arena.
    #[schemars(rename = "OpenStorm")]
    "`open_storm`" OpenStorm {
        /// Files in the arena.
        #[schemars(extend("default" = 500))]
        files [default]: Bounded<1, 1_000_000>,
        /// The folder below the arena that holds them.
        #[schemars(extend("default" = "files"))]
        directory [default]: String,
        /// Bytes in each file.
        #[schemars(extend("default" = 4096))]
        file_bytes [default]: Bounded<0, { 1 << 30 }>,
    }
    /// Threads that open, each one file at a time.
    #[schemars(extend("default" = 2))]
    workers;
    /// How fast.
    rate;
    /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
    operations_max;
}

impl Kind for OpenStorm {
    const WORKERS: u16 = 2;

    fn resolve(at: &At<OpenStorm>, _: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind> {
        let raw = &at.value;
        if let Some(at) = raw.directory.given() {
            check_path(at, problems);
        }
        Some(LoadKind::OpenStorm(lab_model::OpenStorm {
            files: raw.files.value().map_or(500, |files| files.get()),
            directory: raw.directory.value().cloned().unwrap_or_else(|| "files".to_owned()),
            file_bytes: raw.file_bytes.value().map_or(4096, |bytes| bytes.get()),
        }))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::OpenStorm(storm) = kind else { return Ok(()) };
        writeln!(out, "      files: {}", storm.files)?;
        writeln!(out, "      directory: {}", Scalar(&storm.directory))?;
        writeln!(out, "      file_bytes: {}", storm.file_bytes)
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{LoadKind, OpenStorm, Rate, Workload};

    use crate::loads::tests::check;

    #[test]
    fn what_is_left_out_has_a_default() {
        let storm = OpenStorm { files: 500, directory: "files".to_owned(), file_bytes: 7 };
        let load =
            Workload { workers: 2, rate: Rate::PerSecond(9), ..Workload::of(LoadKind::OpenStorm(storm)) };
        check("open_storm: {file_bytes: 7, rate: 9}", &load);
    }
}
