use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Which keys belong to a dataset: globs over keys relative to its prefix; `*` does not cross `/`, `**` does.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

/// A glob that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the filter: {0}")]
pub struct InvalidFilter(#[from] globset::Error);

impl Filter {
    /// Keys that match one of `include` (all when empty) and none of `exclude`.
    ///
    /// # Errors
    /// When a pattern is not a glob.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, InvalidFilter> {
        let include = if include.is_empty() { None } else { Some(compile(include)?) };
        Ok(Self { include, exclude: compile(exclude)? })
    }

    /// Whether the key belongs.
    #[must_use]
    pub fn keeps(&self, key: &str) -> bool {
        self.include.as_ref().is_none_or(|globs| globs.is_match(key)) && !self.exclude.is_match(key)
    }
}

fn compile(patterns: &[String]) -> Result<GlobSet, InvalidFilter> {
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        globs.add(GlobBuilder::new(pattern).literal_separator(true).build()?);
    }
    Ok(globs.build()?)
}

#[cfg(test)]
mod tests {
    use super::Filter;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let owned = |patterns: &[&str]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
        Filter::new(&owned(include), &owned(exclude)).unwrap()
    }

    #[test]
    fn an_empty_filter_keeps_all() {
        assert!(filter(&[], &[]).keeps("any/key"));
    }

    #[test]
    fn a_star_does_not_cross_a_slash() {
        let weights = filter(&["*.safetensors"], &[]);
        assert!(weights.keeps("model.safetensors") && !weights.keeps("a/model.safetensors"));
        assert!(filter(&["**/*.safetensors"], &[]).keeps("a/b/model.safetensors"));
    }

    #[test]
    fn exclusion_wins() {
        let filter = filter(&["**"], &["tmp/**"]);
        assert!(filter.keeps("a") && !filter.keeps("tmp/a"));
    }

    #[test]
    fn a_bad_glob_is_refused() {
        assert!(Filter::new(&["[".to_owned()], &[]).unwrap_err().to_string().contains('['));
    }
}
