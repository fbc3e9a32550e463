//! How a listing is to look: its screen, its order, its columns. Knows nothing of what is listed.

use super::screen::Screen;
use crate::error::{Error, Result};
use crate::text::shown;

/// Characters of the longest bar.
pub(super) const BAR: usize = 12;

/// By what a listing is ordered.
pub const ORDERS: &[&str] = &[
    "time", "name", "size", "own", "stored", "chain", "total", "class", "state",
];

/// How a listing is to look.
#[derive(Clone, Debug, Default)]
pub struct ListingFormat {
    /// Where it is shown.
    pub screen: Screen,
    /// Seconds since 1970.
    pub now: i64,
    /// By what it is ordered, from the end if a dash stands before it. By time if nothing is said, and
    /// for scripts as it was found.
    pub sort: Option<String>,
    /// Each below what it comes from, with bars.
    pub tree: bool,
    /// The columns that are shown, by their titles; all that there is room for if none is named.
    pub columns: Vec<String>,
}

/// By what, and from which end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    /// One of [`ORDERS`].
    pub(super) by: &'static str,
    /// Whether the order is reversed.
    pub(super) backwards: bool,
}

impl ListingFormat {
    /// The order that somebody wants, if it is one.
    pub(super) fn order(&self) -> Option<Order> {
        let said = self.sort.as_deref()?;
        let name = said.strip_prefix('-').unwrap_or(said);
        let by = ORDERS.iter().find(|order| **order == name)?;
        let backwards = said.starts_with('-');
        Some(Order { by, backwards })
    }

    /// # Errors
    /// If there is no such order.
    pub(super) fn must_be_an_order(&self) -> Result<()> {
        match &self.sort {
            Some(said) if self.order().is_none() => {
                let doing = format!("cannot order by {}", shown(said));
                let said = format!("it is one of {}", ORDERS.join(", "));
                Err(Error::usage(doing, said))
            }
            _ => Ok(()),
        }
    }
}
