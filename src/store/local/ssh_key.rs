//! By which key of a server something came: recorded of what comes by one, and shown as seen from it.
//! The other side has no say in it. Trusts no word of it.

use super::Local;
use crate::snapshot::{CameBy, Origin, Snapshot};

impl Local {
    /// What comes from now on comes by this key.
    pub fn keyed(mut self, name: &str) -> Local {
        self.caller.key = Some(name.to_owned().into()).filter(|by: &CameBy| !by.is_own());
        self
    }

    /// What is recorded of something that comes now. Of what nobody says what it is of, the key is.
    pub(super) fn signed(&self, origin: Option<Origin>) -> Option<Origin> {
        let by = self.caller.key.clone().unwrap_or_default();
        match origin {
            None if by.is_own() => None,
            origin => Some(Origin {
                by,
                ..origin.unwrap_or_default()
            }),
        }
    }

    /// What came by our key is our own; what came by none is another's.
    pub(super) fn as_seen(&self, snapshots: &mut [Snapshot]) {
        let Some(key) = &self.caller.key else {
            return;
        };
        let origins = snapshots.iter_mut().filter_map(|s| s.origin.as_mut());
        for origin in origins {
            if origin.by.is_own() {
                origin.by = CameBy::NoKey;
            } else if origin.by == *key {
                origin.by = CameBy::OwnWay;
            }
        }
    }
}
