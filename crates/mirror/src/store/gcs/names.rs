//! Which keys Google can hold: pure.

/// Google's limit for an object's name.
const MOST_BYTES: usize = 1024;

/// Checks a whole name, prefix and key.
pub(super) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MOST_BYTES {
        return Err(format!("Google Cloud Storage has names of 1 to {MOST_BYTES} bytes only"));
    }
    if name.contains(['\r', '\n']) {
        return Err("Google Cloud Storage has no names with line breaks".to_owned());
    }
    if name == "." || name == ".." || name.starts_with(".well-known/acme-challenge/") {
        return Err("Google Cloud Storage reserves this name".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_that_google_does_not_have_are_refused() {
        for name in ["a", "a//b", "../a", "a/..", "\u{1}", "a\\b", &"k".repeat(1024)] {
            assert_eq!(check(name), Ok(()), "{name:?}");
        }
        let long = ["k".repeat(1025), "é".repeat(513)];
        for name in
            long.iter().map(String::as_str).chain(["", ".", "..", "a\nb", "a\r", ".well-known/acme-challenge/x"])
        {
            assert!(check(name).is_err(), "{name:?}");
        }
    }
}
