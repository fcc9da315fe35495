//! The files of a load: their paths and sizes, which follow from their number alone.

use crate::{Distribution, FileMix, LoadKind, Workload};

/// The path of a load's file, relative to the arena: `files/f000017`. Empty for a load that opens none.
#[must_use]
pub fn file_path(load: &Workload, index: u32) -> String {
    match &load.kind {
        LoadKind::OpenStorm(storm) => format!("{}/f{index:06}", storm.directory),
        LoadKind::FileMix(mix) => mixed_path(mix, index),
        LoadKind::OpenList(list) => {
            let path = list.paths.get(index as usize).map_or("", String::as_str);
            format!("{}/{path}", list.directory)
        }
        LoadKind::ExecStorm(_) | LoadKind::ExecTree(_) | LoadKind::Run(_) => String::new(),
    }
}

/// The bytes in a load's file. What is drawn follows from the file's path, so that loads which share a file agree.
#[must_use]
pub fn file_bytes(load: &Workload, index: u32) -> u32 {
    /// The largest file, whatever is drawn.
    const BYTES_MAX: u32 = 1 << 30;
    let drawn = |bytes: &Distribution<u32>| bytes.draw(path_seed(&file_path(load, index))).min(BYTES_MAX);
    match &load.kind {
        LoadKind::OpenStorm(storm) => storm.file_bytes,
        LoadKind::FileMix(mix) => drawn(&mix.file_bytes),
        LoadKind::OpenList(list) => drawn(&list.file_bytes),
        LoadKind::ExecStorm(_) | LoadKind::ExecTree(_) | LoadKind::Run(_) => 0,
    }
}

/// Files take turns in the folders, and endings take turns in the files of a folder.
fn mixed_path(mix: &FileMix, index: u32) -> String {
    let (folders, endings) =
        (mix.directories.max(1), u32::try_from(mix.extensions.len()).unwrap_or(1).max(1));
    let (mut rest, place) = (index % folders, index / folders % endings);
    // The folder's number, written with as many digits as there are levels.
    let base =
        (1..=folders).find(|base| base.saturating_pow(mix.depth.max(1).into()) >= folders).unwrap_or(1);
    let mut levels = vec![0; usize::from(mix.depth.max(1))];
    for level in levels.iter_mut().rev() {
        (*level, rest) = (rest % base, rest / base);
    }
    let mut path = mix.directory.clone();
    for level in levels {
        path.push_str(&format!("/d{level}"));
    }
    match mix.extensions.get(place as usize) {
        Some(ending) => format!("{path}/f{index:06}.{ending}"),
        None => format!("{path}/f{index:06}"),
    }
}

/// A number that the path determines (FNV-1a).
#[must_use]
pub fn path_seed(path: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    path.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Rate;

    fn mix(files: u32, directories: u32, depth: u8) -> Workload {
        Workload {
            workers: 1,
            rate: Rate::Max,
            operations_max: None,
            ..Workload::of(LoadKind::FileMix(FileMix {
                files,
                directory: "mix".to_owned(),
                directories,
                depth,
                file_bytes: Distribution::HeavyTail(1000, 50_000),
                extensions: vec!["txt".to_owned(), "so".to_owned()],
                read: 1,
                write: 0,
                create: 0,
            }))
        }
    }

    #[test]
    fn a_mix_has_as_many_folders_as_deep_as_it_says() {
        let load = mix(100, 10, 3);
        let paths: Vec<String> = (0..100).map(|index| file_path(&load, index)).collect();
        assert_eq!(paths[0], "mix/d0/d0/d0/f000000.txt");
        assert_eq!(paths[15], "mix/d0/d1/d2/f000015.so");
        let folders: BTreeSet<&str> =
            paths.iter().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
        assert_eq!(folders.len(), 10);
        assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), 100);
        let endings = paths.iter().filter(|path| path.ends_with(".txt")).count();
        assert_eq!(endings, 50);
    }

    #[test]
    fn sizes_differ_and_follow_from_the_path() {
        let load = mix(1000, 3, 1);
        let sizes: BTreeSet<u32> = (0..1000).map(|index| file_bytes(&load, index)).collect();
        assert!(sizes.len() > 400, "{}", sizes.len());
        assert_eq!(file_bytes(&load, 7), file_bytes(&mix(8, 3, 1), 7));
    }
}
