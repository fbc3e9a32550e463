//! What is changed at the far side, and told of in the transaction log of this one.

use super::Remote;
use crate::error::Result;
use crate::log::transactions;
use crate::snapshot::shown;
use crate::store::wire::Request;
use serde::de::DeserializeOwned;
use std::path::Path;

impl Remote {
    /// Asks for a change.
    pub(super) fn change<T: DeserializeOwned>(
        &mut self,
        action: &str,
        place: String,
        request: &Request,
    ) -> Result<T> {
        transactions::change(action, || place, self.call(request))
    }

    /// What is at a path, for people.
    pub(super) fn place(&self, path: &Path) -> String {
        let location = self
            .named
            .as_ref()
            .map_or(&self.host, |(location, _)| location);
        format!("{location}{}", shown(path))
    }
}
