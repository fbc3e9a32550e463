//! What storing, thawing and deleting early cost at AWS, as an estimate from a table of prices that
//! has a date. Pure arithmetic; says so where it does not know.

use crate::archive::Tier;
use std::fmt;

/// When the prices were noted, and where they hold.
const DATED: &str = "prices of us-east-1, November 2026";
const GIB: f64 = (1u64 << 30) as f64;
const MONTH: f64 = 30.0;
/// Dollars for a GiB that leaves AWS.
const EGRESS: f64 = 0.09;

/// A storage class, in dollars.
struct Class {
    name: &'static str,
    /// For a GiB and a month.
    month: f64,
    /// What is deleted earlier is paid for until then.
    least_days: u32,
    /// For reading a GiB, where it need not be thawed.
    reading: f64,
    thaws: &'static [ThawPrice],
}

struct ThawPrice {
    tier: Tier,
    /// For a GiB.
    price: f64,
    wait: &'static str,
}

const fn thaw(tier: Tier, price: f64, wait: &'static str) -> ThawPrice {
    ThawPrice { tier, price, wait }
}

const fn class(name: &'static str, month: f64, least_days: u32, reading: f64) -> Class {
    let thaws = &[];
    Class {
        name,
        month,
        least_days,
        reading,
        thaws,
    }
}

const TABLE: &[Class] = &[
    class("STANDARD", 0.023, 0, 0.0),
    class("STANDARD_IA", 0.0125, 30, 0.01),
    class("GLACIER_IR", 0.004, 90, 0.03),
    Class {
        thaws: &[
            thaw(Tier::Expedited, 0.03, "1 to 5 minutes"),
            thaw(Tier::Standard, 0.01, "3 to 5 hours"),
            thaw(Tier::Bulk, 0.0, "5 to 12 hours"),
        ],
        ..class("GLACIER", 0.0036, 90, 0.0)
    },
    Class {
        thaws: &[
            thaw(Tier::Standard, 0.02, "up to 12 hours"),
            thaw(Tier::Bulk, 0.0025, "up to 48 hours"),
        ],
        ..class("DEEP_ARCHIVE", 0.00099, 180, 0.0)
    },
];

/// How long thawing takes; `None` if the class has no such tier, or none is known.
pub fn wait(class: &str, tier: Tier) -> Option<&'static str> {
    let thaws = find(class)?.thaws;
    thaws.iter().find(|t| t.tier == tier).map(|t| t.wait)
}

/// Whether objects of a class can only be read once they are thawed.
pub fn freezes(class: &str) -> bool {
    find(class).is_some_and(|class| !class.thaws.is_empty())
}

/// Whether a class is known to have no such tier.
pub fn lacks_tier(class: &str, tier: Tier) -> bool {
    let thaws = find(class).map_or(&[][..], |class| class.thaws);
    !thaws.is_empty() && thaws.iter().all(|thaw| thaw.tier != tier)
}

fn find(name: &str) -> Option<&'static Class> {
    TABLE.iter().find(|class| class.name == name)
}

/// The prices of whoever keeps backups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prices {
    /// Those of AWS.
    Aws,
    /// Those of another service, which nobody told us.
    Unknown,
    /// A directory asks for nothing.
    Free,
}

/// A line for a person: what something costs, or why that is not known.
#[derive(Clone, PartialEq, Debug)]
pub enum Estimate {
    /// What is paid, each in dollars and for what.
    Known(Vec<(f64, String)>),
    /// Why the cost is not known.
    Unknown(String),
}

impl Estimate {
    /// All of it in dollars, if it is known.
    pub fn dollars(&self) -> Option<f64> {
        match self {
            Estimate::Known(items) => Some(items.iter().map(|(dollars, _)| dollars).sum()),
            Estimate::Unknown(_) => None,
        }
    }

    /// Both together; what one does not know, the two do not know.
    pub fn and(self, other: Estimate) -> Estimate {
        match (self, other) {
            (Estimate::Known(mut all), Estimate::Known(more)) => {
                for (dollars, what) in more {
                    match all.iter_mut().find(|(_, same)| *same == what) {
                        Some((sum, _)) => *sum += dollars,
                        None => all.push((dollars, what)),
                    }
                }
                Estimate::Known(all)
            }
            (unknown @ Estimate::Unknown(_), _) | (_, unknown) => unknown,
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Estimate::Unknown(why) => write!(f, "costs are not known: {why}"),
            Estimate::Known(items) if items.is_empty() => f.write_str("costs nothing"),
            Estimate::Known(items) => {
                for (i, (dollars, what)) in items.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}about {} {what}", Dollars(*dollars))?;
                }
                write!(f, " (estimate, {DATED})")
            }
        }
    }
}

/// `$1.24`, and as many digits as it takes for what is less than a cent.
struct Dollars(f64);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            d if d >= 0.01 => write!(f, "${d:.2}"),
            d if d >= 0.0001 => write!(f, "${d:.4}"),
            d if d > 0.0 => f.write_str("$0.0001 at most"),
            _ => f.write_str("$0"),
        }
    }
}

impl Prices {
    /// The class, or what is to be said without one.
    fn class(self, name: &str) -> Result<&'static Class, Estimate> {
        let unknown = |why: String| Err(Estimate::Unknown(why));
        match (self, find(name)) {
            (Prices::Free, _) => Err(Estimate::Known(Vec::new())),
            (Prices::Unknown, _) => unknown("the service is not AWS".to_owned()),
            (Prices::Aws, None) => unknown(format!("no price of the class {name} is known")),
            (Prices::Aws, Some(class)) => Ok(class),
        }
    }

    /// Keeping so many bytes: for a month, and for as long as is paid for in any case.
    pub fn storing(self, bytes: u64, class: &str) -> Estimate {
        let class = match self.class(class) {
            Ok(class) => class,
            Err(without) => return without,
        };
        let month = gib(bytes) * class.month;
        let what = match class.least_days {
            0 => "a month to keep".to_owned(),
            days => {
                let least = Dollars(month * f64::from(days) / MONTH);
                format!("a month to keep, {least} at least, since {days} days are paid anyway")
            }
        };
        Estimate::Known(vec![(month, what)])
    }

    /// Getting so many bytes back out of AWS: thawing where it needs it, reading, and egress.
    pub fn restoring(self, bytes: u64, class: &str, tier: Tier) -> Estimate {
        let found = match self.class(class) {
            Ok(class) => class,
            Err(without) => return without,
        };
        let mut items = Vec::new();
        match found.thaws.iter().find(|thaw| thaw.tier == tier) {
            Some(thaw) => items.push((gib(bytes) * thaw.price, format!("to thaw ({tier})"))),
            None if !found.thaws.is_empty() => {
                return Estimate::Unknown(format!("{class} cannot be thawed by {tier}"));
            }
            None if found.reading > 0.0 => {
                items.push((gib(bytes) * found.reading, "to read".to_owned()));
            }
            None => {}
        }
        items.push((
            gib(bytes) * EGRESS,
            "for egress if it leaves AWS".to_owned(),
        ));
        Estimate::Known(items)
    }

    /// What is paid for nothing if so many bytes are deleted at this age in days.
    pub fn deleting_early(self, bytes: u64, class: &str, age_days: u32) -> Estimate {
        let class = match self.class(class) {
            Ok(class) => class,
            Err(without) => return without,
        };
        let days = class.least_days.saturating_sub(age_days);
        if days == 0 {
            return Estimate::Known(Vec::new());
        }
        let rest = gib(bytes) * class.month * f64::from(days) / MONTH;
        Estimate::Known(vec![(
            rest,
            format!("for {days} more days that are paid anyway"),
        )])
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    #[track_caller]
    fn near(estimate: &Estimate, dollars: f64) {
        let found = estimate.dollars().unwrap();
        assert!((found - dollars).abs() < 1e-6, "{found} and {dollars}");
    }

    #[test]
    fn keeping() {
        let prices = Prices::Aws;
        let text = prices.storing(TIB, "DEEP_ARCHIVE").to_string();
        assert_eq!(
            text,
            "about $1.01 a month to keep, $6.08 at least, since 180 days are paid anyway \
             (estimate, prices of us-east-1, November 2026)"
        );
        near(&prices.storing(TIB, "STANDARD"), 1024.0 * 0.023);
    }

    #[test]
    fn getting_back() {
        let prices = Prices::Aws;
        let back = |class, tier| prices.restoring(TIB, class, tier);
        near(&back("DEEP_ARCHIVE", Tier::Standard), 1024.0 * 0.11);
        near(&back("DEEP_ARCHIVE", Tier::Bulk), 1024.0 * 0.0925);
        near(&back("GLACIER", Tier::Bulk), 1024.0 * 0.09);
        near(&back("STANDARD", Tier::Standard), 1024.0 * 0.09);
        near(&back("GLACIER_IR", Tier::Standard), 1024.0 * 0.12);
        assert_eq!(back("DEEP_ARCHIVE", Tier::Expedited).dollars(), None);
        assert!(lacks_tier("DEEP_ARCHIVE", Tier::Expedited));
        assert!(!lacks_tier("GLACIER", Tier::Expedited) && !lacks_tier("COLD", Tier::Bulk));
        assert_eq!(wait("DEEP_ARCHIVE", Tier::Standard), Some("up to 12 hours"));
        assert_eq!(wait("STANDARD", Tier::Standard), None);
    }

    #[test]
    fn going_early() {
        let prices = Prices::Aws;
        near(
            &prices.deleting_early(TIB, "DEEP_ARCHIVE", 150),
            1024.0 * 0.00099,
        );
        for (class, age) in [("DEEP_ARCHIVE", 180), ("STANDARD", 0), ("GLACIER", 500)] {
            let text = prices.deleting_early(TIB, class, age).to_string();
            assert_eq!(text, "costs nothing", "{class}");
        }
    }

    #[test]
    fn which_classes_freeze() {
        assert!(freezes("GLACIER") && freezes("DEEP_ARCHIVE"));
        for class in [
            "STANDARD",
            "STANDARD_IA",
            "GLACIER_IR",
            "INTELLIGENT_TIERING",
            "",
        ] {
            assert!(!freezes(class), "{class}");
        }
    }

    #[test]
    fn what_is_not_known_is_said() {
        let text = Prices::Unknown.storing(1, "STANDARD").to_string();
        assert_eq!(text, "costs are not known: the service is not AWS");
        let text = Prices::Aws.storing(1, "EXPRESS_ONEZONE").to_string();
        assert!(text.contains("EXPRESS_ONEZONE"), "{text}");
    }

    #[test]
    fn sums_and_small_ones() {
        let prices = Prices::Aws;
        let one = prices.restoring(TIB, "GLACIER", Tier::Standard);
        let two = one
            .clone()
            .and(prices.restoring(TIB, "STANDARD", Tier::Standard));
        near(&two, 1024.0 * 0.19);
        assert_eq!(two.to_string().matches("egress").count(), 1);
        assert_eq!(one.and(Prices::Unknown.storing(1, "x")).dollars(), None);
        let tiny = prices.storing(1, "STANDARD").to_string();
        assert!(tiny.starts_with("about $0.0001 at most"), "{tiny}");
        let small = prices.storing(100 << 20, "STANDARD").to_string();
        assert!(small.starts_with("about $0.0022"), "{small}");
    }
}
