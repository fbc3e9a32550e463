//! What is changed at the far side, and told of in the transaction log of this one.

use super::Remote;
use crate::error::Result;
use crate::log::transactions;
use crate::snapshot::{Uuid, shown};
use crate::store::wire::{HOLD, Request};
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

    /// Has all published that is held. Far sides that are too old hold nothing.
    pub(super) fn publish_held(&mut self) -> Result<Vec<Uuid>> {
        if !self.line()?.far.can(HOLD) {
            return Ok(Vec::new());
        }
        let published: Vec<Uuid> = self.call(&Request::Publish)?;
        for id in &published {
            let place = || format!("{} {id}", self.place(Path::new("")));
            transactions::change("receive", place, Ok(()))?;
        }
        Ok(published)
    }

    /// What is at a path, for people.
    pub(super) fn place(&self, path: &Path) -> String {
        let location = match &self.named {
            Some(place) => place.to_string(),
            None => self.host.clone(),
        };
        format!("{location}{}", shown(path))
    }
}
