//! What of a store could not be listed, and what follows for who asked for all of it. Knows no reason why.

use super::{Listing, path_text, shown};
use crate::error::{Error, Kind, Result};
use crate::text::counted_with;
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
        let why = match (self.unlisted.first(), self.partial) {
            (None, false) => return Ok(()),
            (None, true) => "the notes say what may be there too".to_owned(),
            (Some(first), _) => counted_with(self.unlisted.len(), &first.why),
        };
        let doing = format!("cannot list all of {}", shown(&self.location));
        Err(Error::new(Kind::Partly, doing, why))
    }
}
