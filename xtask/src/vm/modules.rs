//! Kernel modules in the order they have to be loaded, from what they say of themselves.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The files of `wanted` and of all they depend on; those that are built in have none.
pub(super) fn in_load_order(directory: &Path, wanted: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = BTreeMap::new();
    collect(directory, &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order)?;
    }
    Ok(order)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<PathBuf>) -> Result<()> {
    let Some(file) = files.get(name) else { return Ok(()) };
    if order.contains(file) {
        return Ok(());
    }
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    for dependency in dependencies(&bytes) {
        add(&dependency, files, order)?;
    }
    order.push(file.clone());
    Ok(())
}

fn collect(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
            files.insert(name, path);
        }
    }
    Ok(())
}

/// The `depends=` of the module's information section: names, separated by commas.
fn dependencies(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(start) = module.windows(KEY.len()).position(|window| window == KEY) else {
        return Vec::new();
    };
    let value = module[start + KEY.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    let names = String::from_utf8_lossy(value);
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(
            dependencies(b"x\0license=GPL\0depends=llc,stp-x\0name=bridge\0"),
            ["llc", "stp_x"]
        );
        assert!(dependencies(b"x\0depends=\0name=veth\0").is_empty());
    }
}
