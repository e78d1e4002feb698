//! The shared libraries a program needs to run in an image that holds nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::LabError;
use crate::tools::run;

/// The libraries and the loader of `program`, under the paths at which the loader looks for them.
///
/// # Errors
/// When `ldd` fails or does not find a library.
pub(super) fn shared_libraries(program: &Path) -> Result<Vec<PathBuf>, LabError> {
    let output = run(Command::new("ldd").arg(program))?;
    parse(&output).map_err(|library| {
        LabError::Missing(format!("{} needs {library}, which is not on this machine", program.display()))
    })
}

/// Lines are `NAME => PATH (ADDRESS)`, `NAME => not found`, and with no arrow the loader's path and the kernel's own object.
fn parse(ldd: &str) -> Result<Vec<PathBuf>, String> {
    let mut libraries = Vec::new();
    for line in ldd.lines() {
        let (name, found) = line.split_once(" => ").unwrap_or((line, line));
        if found.trim() == "not found" {
            return Err(name.trim().to_owned());
        }
        libraries.extend(found.split_whitespace().next().filter(|path| path.starts_with('/')).map(PathBuf::from));
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_the_loader_are_taken_and_the_kernels_object_is_not() {
        let output = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(parse(output), Ok(expected.map(PathBuf::from).to_vec()));
    }

    #[test]
    fn a_static_program_needs_none_and_a_missing_library_is_named() {
        assert_eq!(parse("\tstatically linked\n"), Ok(vec![]));
        assert_eq!(parse("\tlibssl.so.3 => not found\n"), Err("libssl.so.3".to_owned()));
    }
}
