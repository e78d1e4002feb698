//! The name that the program is called by.

use std::ffi::OsStr;
use std::path::Path;

/// What usage messages call the program: kubectl finds a plugin by the name of its file, and people type it as two words.
pub(crate) fn name(program: Option<&OsStr>) -> &'static str {
    let stem = program.and_then(|program| Path::new(program).file_stem());
    if stem.is_some_and(|stem| stem == "kubectl-skyfleet") { "kubectl skyfleet" } else { "skyfleet" }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::name;

    #[test]
    fn a_plugin_is_called_by_two_words() {
        for (program, wanted) in [
            (Some("/usr/local/bin/kubectl-skyfleet"), "kubectl skyfleet"),
            (Some("skyfleet"), "skyfleet"),
            (None, "skyfleet"),
        ] {
            assert_eq!(name(program.map(OsStr::new)), wanted);
        }
    }
}
