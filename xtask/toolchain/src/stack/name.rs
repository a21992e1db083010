//! Names of functions as people write them.

/// The path in a mangled name without the crate: `_RNvNtNtCs…_13netswitch_bpf6stages4flow5leave` is
/// `stages::flow::leave`.
pub(super) fn readable(mangled: &str) -> String {
    let parts = match (mangled.strip_prefix("_ZN"), mangled.strip_prefix("_R")) {
        (Some(path), _) => {
            let mut parts = parts(path);
            parts.pop(); // a hash
            parts
        }
        // behind the kinds of the path's parts stands the crate, behind its hash
        (_, Some(path)) => match path.split_once("Cs").and_then(|(_, path)| path.split_once('_')) {
            Some((_, path)) => parts(path),
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    match parts.get(1..) {
        None | Some([]) => mangled.to_owned(),
        Some(path) => path.join("::"),
    }
}

/// Words in a row, each behind its length; a closure has no word.
fn parts(mut path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    loop {
        let digits = path.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(path.len());
        let (length, rest) = path.split_at(digits);
        // keeps the length apart from a word that starts with a digit or an underscore
        let rest = rest.strip_prefix('_').unwrap_or(rest);
        let Some((part, rest)) = length.parse().ok().and_then(|length| rest.split_at_checked(length)) else {
            return parts;
        };
        parts.push(if part.is_empty() { "{closure}" } else { part });
        path = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read() {
        let table = [
            ("from_endpoint", "from_endpoint"),
            (
                "_RNvNtNtCsBTndikCwrf_13netswitch_bpf6stages7forward7too_big",
                "stages::forward::too_big",
            ),
            (
                "_RNCNvNtCsBTndikCwrf_13netswitch_bpf7verdict3log0B5_",
                "verdict::log::{closure}",
            ),
            ("_ZN13netswitch_bpf4open3put17h0123456789abcdefE", "open::put"),
            ("_ZN", "_ZN"),
            ("_RNv", "_RNv"),
        ];
        for (mangled, expected) in table {
            assert_eq!(readable(mangled), expected);
        }
    }
}
