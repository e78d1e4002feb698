//! Sizes and times as a person writes them.

use std::num::NonZeroU64;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};

use crate::quantity;

/// Bytes: `512`, `10Mi`, `1.5G`, as Kubernetes writes quantities.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: give bytes, or a number with Ki, Mi, Gi, k, M or G");
    quantity::whole(text).ok_or_else(wrong)
}

/// Bytes a second, at least one.
pub(super) fn rate(text: &str) -> Result<NonZeroU64, String> {
    let wrong = || format!("{text:?} is no rate: give bytes a second, such as 100M or 10Mi");
    quantity::whole(text).and_then(NonZeroU64::new).ok_or_else(wrong)
}

/// Bytes of a piece, at least one.
pub(super) fn piece(text: &str) -> Result<NonZeroU64, String> {
    NonZeroU64::new(bytes(text)?).ok_or_else(|| "a piece of no bytes holds no rows: give some, such as 64Mi".to_owned())
}

/// A moment in seconds since the Unix epoch: `2026-11-25T08:00:00Z`, or an age such as `7d` or `12h`.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is neither a time such as 2026-11-25T08:00:00Z nor an age such as 7d or 12h");
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time.as_second());
    }
    let age: Span = text.parse().map_err(|_| wrong())?;
    let age = age.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    if age < SignedDuration::ZERO {
        return Err(wrong());
    }
    Timestamp::now().checked_sub(age).map(Timestamp::as_second).map_err(|_| wrong())
}

/// Bytes for a person: three digits and a binary unit.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn readable(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, moment, piece, rate, readable};

    #[test]
    fn sizes_are_kubernetes_quantities() {
        assert_eq!(bytes("512"), Ok(512));
        assert_eq!(bytes("10Mi"), Ok(10 << 20));
        assert_eq!(bytes("1k"), Ok(1000));
        for wrong in ["", "-1", "ten", "10MB"] {
            assert!(bytes(wrong).unwrap_err().contains("is no size"), "{wrong}");
        }
        assert_eq!(rate("1.5M").map(u64::from), Ok(1_500_000));
        assert!(rate("0").unwrap_err().contains("is no rate"));
        assert_eq!(piece("64Mi").map(u64::from), Ok(64 << 20));
        assert!(
            piece("0").unwrap_err().contains("holds no rows") && piece("64MiB").unwrap_err().contains("is no size")
        );
    }

    #[test]
    fn a_moment_is_a_time_or_an_age() {
        assert_eq!(moment("1970-01-02T00:00:00Z"), Ok(86_400));
        assert!(moment("7d").unwrap() < moment("6d").unwrap());
        for wrong in ["", "yesterday", "-1h"] {
            assert!(moment(wrong).unwrap_err().contains("neither a time"), "{wrong}");
        }
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!([0, 1023, 1024, 1_610_612_736].map(readable), ["0 B", "1023 B", "1.0 KiB", "1.5 GiB"]);
    }
}
