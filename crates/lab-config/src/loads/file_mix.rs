use std::fmt::{self, Write};

use lab_model::{Distribution, LoadKind};

use super::Kind;
use crate::{
    checks::check_path,
    diagnostic::Diagnostic,
    distribution::RawBytes,
    limits::Beside,
    read::{At, Field, List, Problems},
    scalar::Bounded,
    tree::shortened,
    write::{Names, Scalar},
};

load! {
    /// Opens files of many folders, sizes and endings: to read, to write, or to create.
    #[schemars(rename = "FileMix")]
    "`file_mix`" FileMix {
        /// Files in the arena.
        #[schemars(extend("default" = 500))]
        files [default]: Bounded<1, 1_000_000>,
        /// The folder below the arena that holds them all.
        #[schemars(extend("default" = "mix"))]
        directory [default]: String,
        /// Folders that hold the files, evenly.
        #[schemars(extend("default" = 20))]
        directories [default]: Bounded<1, 10_000>,
        /// How deep these lie below `directory`.
        #[schemars(extend("default" = 2))]
        depth [default]: Bounded<1, 8>,
        /// Bytes in a file, drawn for each. Left out, half have at most 4 KiB and 99 % at most 256 KiB.
        file_bytes [default]: RawBytes,
        /// The endings of the files' names, without the dot, one after the other.
        #[schemars(extend("default" = ["txt", "bin", "so", "conf"], "minItems" = 1))]
        extensions [default]: List<String>,
        /// How many of all operations open a file to read.
        #[schemars(extend("default" = 8))]
        read [default]: Bounded<0, 1_000_000>,
        /// How many open one to write to it, and write: a kernel then forgets the answers that it kept.
        #[schemars(extend("default" = 1))]
        write [default]: Bounded<0, 1_000_000>,
        /// How many create a new file, which is removed again at once.
        #[schemars(extend("default" = 1))]
        create [default]: Bounded<0, 1_000_000>,
    }
    /// Threads that open, each one file at a time.
    #[schemars(extend("default" = 2))]
    workers;
    /// How fast.
    rate;
    /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
    operations_max;
}

impl Kind for FileMix {
    const WORKERS: u16 = 2;

    fn resolve(at: &At<FileMix>, _: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind> {
        let raw = &at.value;
        if let Some(at) = raw.directory.given() {
            check_path(at, problems);
        }
        let extensions: Vec<String> = match raw.extensions.given() {
            Some(list) => {
                check_extensions(list, problems);
                list.value.items.iter().map(|at| at.value.clone()).collect()
            }
            None => ["txt", "bin", "so", "conf"].map(str::to_owned).to_vec(),
        };
        let share = |field: &Field<Bounded<0, 1_000_000>>, default| {
            field.value().map_or(default, |share| share.get())
        };
        let (read, write, create) = (share(&raw.read, 8), share(&raw.write, 1), share(&raw.create, 1));
        if let (0, Some(at)) = (read + write + create, raw.create.given().or(raw.write.given())) {
            let diagnostic =
                Diagnostic::new(at.place.clone(), "a mix of no reads, writes and creations does nothing")
                    .label("one of the three is more than 0");
            problems.add(diagnostic);
        }
        let file_bytes =
            raw.file_bytes.value().map_or(Distribution::HeavyTail(4096, 256 << 10), |bytes| bytes.0);
        Some(LoadKind::FileMix(lab_model::FileMix {
            files: raw.files.value().map_or(500, |files| files.get()),
            directory: raw.directory.value().cloned().unwrap_or_else(|| "mix".to_owned()),
            directories: raw.directories.value().map_or(20, |directories| directories.get()),
            depth: raw.depth.value().map_or(2, |depth| depth.get()),
            file_bytes,
            extensions,
            read,
            write,
            create,
        }))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::FileMix(mix) = kind else { return Ok(()) };
        writeln!(out, "      files: {}", mix.files)?;
        writeln!(out, "      directory: {}", Scalar(&mix.directory))?;
        writeln!(out, "      directories: {}", mix.directories)?;
        writeln!(out, "      depth: {}", mix.depth)?;
        writeln!(out, "      file_bytes: {}", mix.file_bytes)?;
        writeln!(out, "      extensions: {}", Names(&mix.extensions))?;
        writeln!(out, "      read: {}", mix.read)?;
        writeln!(out, "      write: {}", mix.write)?;
        writeln!(out, "      create: {}", mix.create)
    }
}

fn check_extensions(list: &At<List<String>>, problems: &mut Problems<'_>) {
    let good = |text: &str| {
        (1..=32).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if list.value.items.is_empty() && list.value.complete {
        let diagnostic = Diagnostic::new(list.place.clone(), "files have at least one ending")
            .help("write for example `[txt, so]`, or leave it out");
        problems.add(diagnostic);
    }
    for at in list.value.items.iter().filter(|at| !good(&at.value)) {
        let message = format!("`{}` is no ending of a file's name", shortened(&at.value));
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("expected 1 to 32 letters, digits or underscores")
            .help("write it without the dot, such as `txt`");
        problems.add(diagnostic);
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{Distribution, FileMix, LoadKind, Workload};

    use crate::loads::tests::check;

    #[test]
    fn a_mix_can_only_create() {
        let mix = FileMix {
            files: 500,
            directory: "mix".to_owned(),
            directories: 20,
            depth: 2,
            file_bytes: Distribution::Fixed(9),
            extensions: ["txt", "bin", "so", "conf"].map(str::to_owned).to_vec(),
            read: 0,
            write: 0,
            create: 1,
        };
        let load = Workload { workers: 2, ..Workload::of(LoadKind::FileMix(mix)) };
        check("file_mix: {read: 0, write: 0, file_bytes: 9}", &load);
    }
}
