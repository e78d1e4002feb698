//! Which keys Azure can hold: pure.

/// Azure's limits for a blob's name.
const MOST_CHARACTERS: usize = 1024;
const MOST_SEGMENTS: usize = 254;

/// Checks a whole name, prefix and key. Azure would take most of the others and keep them under another name.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("Azure has no blob without a name".to_owned());
    }
    // Counted as Azure does, in UTF-16.
    if name.encode_utf16().count() > MOST_CHARACTERS {
        return Err(format!("Azure has no names of more than {MOST_CHARACTERS} characters"));
    }
    if name.split('/').count() > MOST_SEGMENTS {
        return Err(format!("Azure has no names of more than {MOST_SEGMENTS} path segments"));
    }
    if name.split('/').any(|segment| segment.ends_with('.')) {
        return Err("Azure drops a dot at the end of a path segment".to_owned());
    }
    if name.contains('\\') {
        return Err("Azure makes a slash of a backslash".to_owned());
    }
    if name.chars().any(|character| character.is_control() && character != '\u{7f}') {
        return Err("Azure has no names with control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_that_azure_would_change_are_refused() {
        for name in ["a", "a//b", "/a", "a/", "a b+%2F", "..a", "é😀", &"k".repeat(1024), &"a/".repeat(253)] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
        let long = ["k".repeat(1025), "😀".repeat(513), "a/".repeat(254)];
        let refused = ["", "a.", "..", "a/../b", "./a", "a\\b", "a\nb", "a\u{85}"];
        for name in long.iter().map(String::as_str).chain(refused) {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
