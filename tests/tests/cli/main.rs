//! The command line against a running agent: what it prints, byte for byte, and its exit status.
//!
//! Help and bad lines, which need no agent, are unit tests of `netswitch::cli`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod container;
mod help;
mod network;

use tests::world::{Output, without_ids};

/// Output with ids and times that differ from run to run made equal, as one text.
fn shown(output: &Output) -> String {
    let status = if output.status == 0 {
        String::new()
    } else {
        format!("status {}\n", output.status)
    };
    without_times(&without_ids(&format!("{}{}{status}", output.stdout, output.stderr)))
}

/// Replaces RFC 3339 times by `<time>`.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.len() > 19 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T';
    let mut result = String::new();
    for word in text.split_inclusive(['"', ' ', '\n']) {
        let bare = word.trim_end_matches(['"', ' ', '\n']);
        let end = &word[bare.len()..];
        result.push_str(if is_time(bare) { "<time>" } else { bare });
        result.push_str(end);
    }
    result
}
