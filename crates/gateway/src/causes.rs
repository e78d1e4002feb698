//! Errors of libraries with all that is behind them.

use std::error::Error;
use std::fmt::{self, Display};

/// Shows an error and its causes, each once.
pub(crate) struct WithCauses<'a>(pub(crate) &'a (dyn Error + 'static));

impl Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        for cause in causes(self.0).skip(1) {
            let text = cause.to_string();
            // Some say what is behind them themselves.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
            }
            last = text;
        }
        Ok(())
    }
}

/// The error and what is behind it.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn causes_follow_what_does_not_have_them() {
        let cause = || std::io::Error::other("no key");
        assert_eq!(WithCauses(&Outer("broken", cause())).to_string(), "broken: no key");
        assert_eq!(WithCauses(&Outer("broken: no key", cause())).to_string(), "broken: no key");
    }
}
