//! Taking over from another version of the map layouts, without losing a packet.
//!
//! The new folder is built beside the old one as `v<N>-new`: a map whose layout is unchanged is
//! pinned there a second time (the same map, so nothing can get lost between copies), one whose
//! layout changed is made anew and filled by a conversion. Then the programs are replaced, what
//! changed meanwhile is copied, the folder gets its name, the old one goes. A crash leaves the old
//! folder complete, and the unfinished one is started again.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use aya::maps::MapData;

use super::{
    Error, Result,
    convert::{CONVERSIONS, Convert},
    layout::{self, Layout, MAPS},
    make_folder,
    raw::RawMap,
};

/// A start: where to load, and what is left to do around the moment the programs are replaced.
pub(super) struct Transition {
    folder: PathBuf,
    target: PathBuf,
    /// Folders of other versions, to be removed.
    others: Vec<PathBuf>,
    conversions: Vec<Conversion>,
}

/// A map that has to be converted from `old` to `new`.
struct Conversion {
    old: PathBuf,
    new: PathBuf,
    convert: Convert,
    /// Old entries as they were when they were copied.
    copied: HashMap<Vec<u8>, Vec<u8>>,
}

/// Refuses to take over from a newer version, whose maps this one may not understand.
fn refuse_newer(others: &[(u32, PathBuf)], version: u32) -> Result<()> {
    match others.last() {
        Some((newer, folder)) if *newer > version => Err(Error::Newer {
            folder: folder.display().to_string(),
            newer: *newer,
            version,
        }),
        _ => Ok(()),
    }
}

pub(super) fn prepare(bpffs: &Path, version: u32) -> Result<Transition> {
    let target = bpffs.join(format!("v{version}"));
    let unfinished = bpffs.join(format!("v{version}-new"));
    let others = other_versions(bpffs, version)?;
    refuse_newer(&others, version)?;
    let mut transition = Transition {
        folder: target.clone(),
        target,
        others: others.iter().map(|(_, folder)| folder.clone()).collect(),
        conversions: Vec::new(),
    };
    for leftover in leftovers(bpffs)? {
        fs::remove_dir_all(&leftover).map_err(Error::io(&leftover))?;
    }
    let exists = fs::exists(&transition.target).map_err(Error::io(&transition.target))?;
    if let (false, Some((from, previous))) = (exists, others.last()) {
        transition.folder = unfinished;
        let plan = plan(*from, previous, &transition.folder)?;
        make_folder(&transition.folder)?;
        for (old, new) in plan.shared {
            MapData::from_pin(&old)
                .map_err(|source| Error::Map {
                    map: old.display().to_string(),
                    source,
                })?
                .pin(&new)
                .map_err(|source| Error::Pin {
                    path: new,
                    source: Box::new(source),
                })?;
        }
        transition.conversions = plan.conversions;
    } else {
        make_folder(&transition.folder)?;
    }
    Ok(transition)
}

impl Transition {
    /// Where the object's maps are pinned, or will be.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where they are pinned in the end.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Fills the converted maps, or brings them up to date: entries that have not changed since the
    /// last call are left alone.
    pub(super) fn copy(&mut self) -> Result<()> {
        for conversion in &mut self.conversions {
            conversion.copy()?;
        }
        Ok(())
    }

    /// After the programs have been replaced.
    pub(super) fn finish(mut self) -> Result<()> {
        self.copy()?;
        if self.folder != self.target {
            fs::rename(&self.folder, &self.target).map_err(Error::io(&self.target))?;
        }
        for other in &self.others {
            fs::remove_dir_all(other).map_err(Error::io(other))?;
        }
        Ok(())
    }
}

impl Conversion {
    fn copy(&mut self) -> Result<()> {
        let (old, new) = (RawMap::open(&self.old)?, RawMap::open(&self.new)?);
        for (key, value) in old.entries()? {
            if self.copied.get(&key) == Some(&value) {
                continue;
            }
            if let Some((new_key, new_value)) = old.convert(&key, &value, self.convert) {
                // what the new programs have written since the first copy is newer than what the old ones had
                let before = self.copied.get(&key);
                let before = before.and_then(|value| old.convert(&key, value, self.convert));
                let found = new.get(&new_key)?;
                let is_ours = match (&found, &before) {
                    (Some(found), Some((_, before))) => found == before,
                    (Some(found), None) => found.iter().all(|byte| *byte == 0),
                    (None, _) => true,
                };
                if is_ours {
                    new.put(&new_key, &new_value)?;
                }
            }
            self.copied.insert(key, value);
        }
        Ok(())
    }
}

struct Plan {
    shared: Vec<(PathBuf, PathBuf)>,
    conversions: Vec<Conversion>,
}

/// What to do with each map of an older version; fails before anything has been touched.
fn plan(from: u32, previous: &Path, folder: &Path) -> Result<Plan> {
    let mut plan = Plan {
        shared: Vec::new(),
        conversions: Vec::new(),
    };
    for (name, wanted) in MAPS {
        let conversion = CONVERSIONS
            .iter()
            .find(|conversion| conversion.from.contains(&from) && conversion.new == *name);
        let source = conversion.map_or(*name, |conversion| conversion.old);
        let (old, new) = (previous.join(source), folder.join(name));
        let Some(found) = layout::of_pin(&old)? else { continue };
        match conversion {
            Some(conversion) => plan.conversions.push(Conversion {
                old,
                new,
                convert: conversion.convert,
                copied: HashMap::new(),
            }),
            None if found == *wanted => plan.shared.push((old, new)),
            None => return Err(no_conversion(&old, from, found, *wanted)),
        }
    }
    Ok(plan)
}

fn no_conversion(map: &Path, from: u32, found: Layout, wanted: Layout) -> Error {
    Error::NoConversion {
        map: map.display().to_string(),
        from,
        found,
        wanted,
    }
}

/// Folders of other versions, lowest first.
fn other_versions(bpffs: &Path, version: u32) -> Result<Vec<(u32, PathBuf)>> {
    let mut found: Vec<_> = folders(bpffs)?
        .into_iter()
        .filter_map(|(name, folder)| Some((name.strip_prefix('v')?.parse().ok()?, folder)))
        .filter(|(other, _)| *other != version)
        .collect();
    found.sort();
    Ok(found)
}

/// Folders that a crash left unfinished.
fn leftovers(bpffs: &Path) -> Result<Vec<PathBuf>> {
    let unfinished = folders(bpffs)?.into_iter().filter(|(name, _)| name.ends_with("-new"));
    Ok(unfinished.map(|(_, folder)| folder).collect())
}

fn folders(bpffs: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(bpffs).map_err(Error::io(bpffs))? {
        let entry = entry.map_err(Error::io(bpffs))?;
        folders.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use aya::maps::{HashMap as BpfHashMap, Map};
    use nix::unistd::geteuid;

    use super::*;

    /// Version 0 counted in 32 bits, and kept entry 13, which nobody wants.
    fn widen(key: &[u8], value: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let wide = u64::from(u32::from_ne_bytes(value.try_into().ok()?));
        (key[0] != 13).then(|| (key.to_vec(), wide.to_ne_bytes().to_vec()))
    }

    #[test]
    fn a_map_of_another_layout_is_converted_and_brought_up_to_date() {
        if !geteuid().is_root() {
            return;
        }
        let folder = PathBuf::from(format!("/sys/fs/bpf/netswitch-convert-{}", std::process::id()));
        make_folder(&folder).unwrap();
        let (old_pin, new_pin) = (folder.join("old"), folder.join("new"));
        let mut old = pinned::<u32>(&old_pin);
        let mut new = pinned::<u64>(&new_pin);
        for key in 0..20 {
            old.insert(key, key * 10, 0).unwrap();
        }
        let mut conversion = Conversion {
            old: old_pin,
            new: new_pin,
            convert: widen,
            copied: HashMap::new(),
        };
        conversion.copy().unwrap();
        let entries = |map: &BpfHashMap<MapData, u32, u64>| {
            let mut entries: Vec<_> = map.iter().map(std::result::Result::unwrap).collect();
            entries.sort_unstable();
            entries
        };
        let all: Vec<_> = (0..20)
            .filter(|key| *key != 13)
            .map(|key| (key, u64::from(key) * 10))
            .collect();
        assert_eq!(entries(&new), all);

        new.insert(1, 111, 0).unwrap(); // the new programs are at work
        old.insert(2, 222, 0).unwrap(); // the old ones were, until a moment ago
        conversion.copy().unwrap();
        assert_eq!((new.get(&1, 0).unwrap(), new.get(&2, 0).unwrap()), (111, 222));
        fs::remove_dir_all(&folder).unwrap();
    }

    fn pinned<V: aya::Pod>(pin: &Path) -> BpfHashMap<MapData, u32, V> {
        BpfHashMap::<MapData, u32, V>::create(64, 0).unwrap().pin(pin).unwrap();
        Map::HashMap(MapData::from_pin(pin).unwrap()).try_into().unwrap()
    }
}
