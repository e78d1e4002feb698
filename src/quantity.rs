//! Quantities as Kubernetes writes them, exact: pure.
//!
//! Of what `kube_quantity` reads, a whole number is to be had only by a 64-bit float, or with its fraction cut off before the
//! suffix is applied (`1.5G` is then 1G).

/// A quantity as a whole number, rounded up as Kubernetes does; `None` when it is none, negative, or beyond 64 bits.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + decimals.len() == 0 || decimals.contains('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{decimals}").parse().ok()?;
    let (base, exponent) = scale(suffix)?;
    let decimals = u32::try_from(decimals.len()).ok()?;
    let (times, by) = match u32::try_from(exponent) {
        Ok(exponent) => (base.checked_pow(exponent)?, 10_u128.checked_pow(decimals)?),
        Err(_) => (1, 10_u128.checked_pow(decimals.checked_add(exponent.unsigned_abs())?)?),
    };
    u64::try_from(digits.checked_mul(times)?.div_ceil(by)).ok()
}

/// What the number is multiplied with: a base and its exponent. Only that of 10 may be negative.
fn scale(suffix: &str) -> Option<(u128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => (10, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn a_quantity_is_exact() {
        for (text, value) in [
            ("0", 0),
            ("512", 512),
            ("100M", 100_000_000),
            ("1.5G", 1_500_000_000),
            ("0.1Gi", 107_374_183),
            ("10Mi", 10 << 20),
            ("1e3", 1000),
            ("1E3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            ("25e-1", 3),
            ("1500m", 2),
            (".5k", 500),
            ("1.", 1),
            ("9007199254740993", 9_007_199_254_740_993),
            ("18446744073709551615", u64::MAX),
            ("15.5Ei", 15 * (1 << 60) + (1 << 59)),
        ] {
            assert_eq!(whole(text), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_or_too_large_is_none() {
        for text in
            ["", ".", "-1", "+1", "ten", "10MB", "1.2.3", "1 k", "1e", "16Ei", "1e20", "1e-99999", "99999999999E"]
        {
            assert_eq!(whole(text), None, "{text}");
        }
    }
}
