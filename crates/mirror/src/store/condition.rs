/// What must be at the target for a write to be done: what it was decided by. Stores that know no conditions write in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    #[default]
    Any,
    /// No object.
    Absent,
    /// This version, by what names it in a listing or an answer.
    Version(String),
}

/// For a write that is sent again without its condition.
pub(crate) static ANY: Condition = Condition::Any;

impl Condition {
    /// That the version is there which was seen; no condition where the store does not name versions.
    pub(crate) fn seen(etag: &str) -> Self {
        if etag.is_empty() { Self::Any } else { Self::Version(etag.to_owned()) }
    }

    /// The header of HTTP that says it.
    pub(crate) fn header(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Any => None,
            Self::Absent => Some(("if-none-match", "*".to_owned())),
            Self::Version(etag) => Some(("if-match", format!("\"{etag}\""))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn a_condition_is_a_header() {
        assert_eq!(Condition::seen("").header(), None);
        assert_eq!(Condition::seen("a-2").header(), Some(("if-match", "\"a-2\"".to_owned())));
        assert_eq!(Condition::Absent.header(), Some(("if-none-match", "*".to_owned())));
    }
}
