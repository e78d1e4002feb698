//! What active checks say of an endpoint: it takes several in a row to change one's mind, as with HAProxy's `rise` and `fall`.

/// How many checks in a row change the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Checks passed until what was down is up.
    pub rise: u32,
    /// Checks failed until what was up is down.
    pub fall: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { rise: 2, fall: 3 }
    }
}

/// The state by checks. It begins as up: that it is ready was said by who listed it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health {
    is_down: bool,
    /// Checks in a row that contradict the state.
    against: u32,
}

impl Health {
    /// Whether the checks say that it serves.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.is_down
    }

    /// Takes the outcome of a check. Returns whether it changed the state.
    pub fn checked(&mut self, passed: bool, thresholds: &Thresholds) -> bool {
        if passed != self.is_down {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let needed = if self.is_down { thresholds.rise } else { thresholds.fall };
        let changed = self.against >= needed;
        if changed {
            *self = Self { is_down: !self.is_down, against: 0 };
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_checks_in_a_row_change_the_state() {
        for (checks, up) in [
            ("", true),
            ("--", true),
            ("---", false),
            ("--+--", true),
            ("---+", false),
            ("---++", true),
            ("---+-+", false),
            ("---++--", true),
            ("---++---", false),
        ] {
            let mut health = Health::default();
            let mut changes = 0;
            for check in checks.chars() {
                changes += u32::from(health.checked(check == '+', &Thresholds::default()));
            }
            assert_eq!((health.is_up(), changes % 2 == 0), (up, up), "{checks}");
        }
    }
}
