//! What it costs that bytes leave the source's cloud: pure, and exact to the last digit.

use std::fmt;
use std::str::FromStr;

/// Decimals of an amount as a person writes it.
const WRITTEN: usize = 9;

/// Decimals of a [`Cost`]: those of a price, and nine more, since prices are for 10^9 bytes.
const DECIMALS: usize = WRITTEN + 9;

const UNIT: u128 = 10_u128.pow(18);

/// A price of each GB (10^9 bytes), in any currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PricePerGb(u64);

/// An amount of money, in the currency of the prices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(u128);

/// What is no amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no amount: give a decimal number with at most nine decimals, such as 12.50, below ten thousand million"
)]
pub struct InvalidAmount(String);

impl PricePerGb {
    /// In thousand-millionths of the currency.
    #[must_use]
    pub fn as_billionths(self) -> u64 {
        self.0
    }

    /// What so many bytes cost.
    #[must_use]
    pub fn of(self, bytes: u64) -> Cost {
        // The product of two 64-bit numbers always fits.
        Cost(u128::from(self.0) * u128::from(bytes))
    }
}

impl FromStr for PricePerGb {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        billionths(text).map(Self)
    }
}

impl FromStr for Cost {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        billionths(text).map(|amount| Self(u128::from(amount) * 10_u128.pow(9)))
    }
}

fn billionths(text: &str) -> Result<u64, InvalidAmount> {
    let invalid = || InvalidAmount(text.to_owned());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(decimals) || decimals.len() > WRITTEN {
        return Err(invalid());
    }
    format!("{whole}{decimals:0<WRITTEN$}").parse().map_err(|_| invalid())
}

/// Exact, with at least two decimals; with a precision it is rounded up.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = f.precision().unwrap_or(DECIMALS).min(DECIMALS);
        let step = 10_u128.pow(u32::try_from(DECIMALS - precision).unwrap_or_default());
        let rounded = self.0.div_ceil(step);
        let (whole, decimals) = (rounded / (UNIT / step), rounded % (UNIT / step));
        let decimals = format!("{decimals:0precision$}");
        let decimals =
            if f.precision().is_none() { format!("{:0<2}", decimals.trim_end_matches('0')) } else { decimals };
        if precision == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{decimals}") }
    }
}

/// The most that a pass may cost by what leaves the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressBudget {
    /// What a GB costs.
    pub price: PricePerGb,
    /// What all may cost.
    pub most: Cost,
}

/// Objects that a pass left for a later one, since they would have cost more than it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What they cost.
    pub cost: Cost,
}

impl Left {
    pub(crate) fn add(&mut self, bytes: u64, cost: Cost) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.cost = Cost(self.cost.0.saturating_add(cost.0));
    }

    /// Whether nothing was left.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.objects == 0
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { objects, bytes, cost } = self;
        write!(
            f,
            "{objects} objects ({bytes} bytes) are left for a later pass: to leave the source they cost {cost:.2}, more than \
             this pass may still spend"
        )
    }
}

/// What a pass has spent.
#[derive(Debug)]
pub(crate) struct Spending {
    budget: Option<EgressBudget>,
    spent: Cost,
}

impl Spending {
    pub(crate) fn new(budget: Option<EgressBudget>) -> Self {
        Self { budget, spent: Cost::default() }
    }

    /// Takes the cost of so many bytes off the budget; where it is not enough, nothing is taken, and the error is their cost.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<(), Cost> {
        let Some(EgressBudget { price, most }) = self.budget else { return Ok(()) };
        let cost = price.of(bytes);
        let spent = self.spent.0.checked_add(cost.0).filter(|spent| *spent <= most.0).ok_or(cost)?;
        self.spent = Cost(spent);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Cost, EgressBudget, PricePerGb, Spending};

    fn price(text: &str) -> PricePerGb {
        text.parse().unwrap()
    }

    fn cost(text: &str) -> Cost {
        text.parse().unwrap()
    }

    #[test]
    fn costs_are_exact() {
        for (price_per_gb, bytes, exact, rounded) in [
            ("0.09", 1_000_000_000, "0.09", "0.09"),
            ("0.09", 1, "0.00000000009", "0.01"),
            ("0.000000001", 1, "0.000000000000000001", "0.01"),
            ("0.09", 0, "0.00", "0.00"),
            ("12", 1_500_000_000_000, "18000.00", "18000.00"),
            ("1.005", 1_000_000_000, "1.005", "1.01"),
            ("0.1", 30_000_000_000, "3.00", "3.00"),
            ("18446744073.709551615", u64::MAX, "340282366920938463426.481119284349108225", "340282366920938463426.49"),
        ] {
            let found = price(price_per_gb).of(bytes);
            assert_eq!((found.to_string(), format!("{found:.2}")), (exact.to_owned(), rounded.to_owned()));
        }
        assert_eq!(format!("{:.0}", cost("1.1")), "2");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1,5", "1e3", "0.0000000001", " 1", "100000000000"] {
            assert!(text.parse::<Cost>().is_err() && text.parse::<PricePerGb>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_costs_too_much_is_left_and_what_is_cheaper_still_fits() {
        let budget = EgressBudget { price: price("0.10"), most: cost("1.00") };
        let mut spending = Spending::new(Some(budget));
        let gb = |count: u64| count * 1_000_000_000;
        let taken = [gb(7), gb(4), gb(3), 1, 0].map(|bytes| spending.reserve(bytes));
        assert_eq!(taken, [Ok(()), Err(cost("0.4")), Ok(()), Err(price("0.1").of(1)), Ok(())]);
        assert_eq!(Spending::new(None).reserve(u64::MAX), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget_is_spent(
            nanos in any::<u64>(), most in any::<u64>(), sizes in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let budget = EgressBudget { price: PricePerGb(nanos), most: Cost(u128::from(most) << 32) };
            let mut spending = Spending::new(Some(budget));
            let mut spent = 0;
            for bytes in sizes {
                match spending.reserve(bytes) {
                    Ok(()) => spent += budget.price.of(bytes).0,
                    Err(cost) => prop_assert!(cost.0 > budget.most.0 - spent),
                }
                prop_assert!(spent <= budget.most.0);
            }
        }

        #[test]
        fn what_is_written_reads_the_same(amount in any::<u64>()) {
            let cost = Cost(u128::from(amount) * 1_000_000_000);
            prop_assert_eq!(cost.to_string().parse::<Cost>(), Ok(cost));
        }
    }
}
