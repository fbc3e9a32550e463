//! What of a store could not be listed, and what follows for who asked for all of it. Knows no reason why.

use super::{Listing, path_text, shown};
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Something that is there, and that could not be looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unlisted {
    /// Where, relative to the store's directory; empty if that may be anywhere.
    #[serde(with = "path_text")]
    pub path: PathBuf,
    /// Why, in words.
    pub why: String,
}

impl Listing {
    /// Whether all that is there could be listed.
    ///
    /// # Errors
    /// [`Kind::Partly`] if not; what could be is as good as ever.
    pub fn must_be_whole(&self) -> Result<()> {
        let Some(first) = self.unlisted.first() else {
            return Ok(());
        };
        let others = match self.unlisted.len() {
            1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        let doing = format!("cannot list all of {}", shown(&self.location));
        Err(Error::new(
            Kind::Partly,
            doing,
            format!("{}{others}", first.why),
        ))
    }
}
