//! Which machine an archive is of: an object that whoever begins one writes before all others, so that
//! a second machine with the same prefix and name finds out before it writes. The old program passes
//! over it. Knows no backups.

use super::manifest::text;
use super::{Archives, Reach};
use crate::archive::{Owner, Stamp};
use crate::error::Result;
use crate::objects::{About, Objects};
use crate::snapshot::Origin;
use crate::store::bucket::keys::OWNER;

/// More than it ever takes.
const LONGEST: u64 = 64 << 10;

/// What stands there. What is not understood, or was frozen, is somebody's: its machine may stand in its
/// metadata.
///
/// # Errors
/// If the bucket cannot be read.
pub(super) fn read(objects: &dyn Objects, key: &str) -> Result<Option<Owner>> {
    let Some(head) = objects.head(key)? else {
        return Ok(None);
    };
    let small = (1..=LONGEST).contains(&head.size);
    let body = match small {
        true => objects.beginning(key, head.size)?,
        false => None,
    };
    let owner = body.and_then(|body| serde_json::from_slice(&body).ok());
    let told = || Owner {
        since: None,
        origin: Origin {
            machine: head.meta("machine").to_owned(),
            ..Origin::default()
        },
    };
    Ok(Some(owner.unwrap_or_else(told)))
}

impl Archives {
    fn owner_key(&self) -> String {
        format!("{}{OWNER}", self.folder)
    }

    /// Makes the archive this machine's, if it is nobody's; or whoever's it was, if `over` says that it
    /// moved here.
    pub(super) fn claim_for(&mut self, reach: &Reach, ours: &Origin, over: bool) -> Result<()> {
        let (key, objects) = (self.owner_key(), &*reach.objects);
        let mut there = read(objects, &key)?;
        if there
            .as_ref()
            .is_none_or(|owner| over && !owner.is_of(ours))
        {
            self.write_owner(reach, ours, over)?;
            // Of two that begin at a time the last may have replaced the other, where a service knows
            // nothing of writing only what is not there.
            there = read(objects, &key)?;
        }
        self.archive.owner = there;
        self.claimed = Some(ours.clone());
        self.must_not_be_anothers(reach, ours)
    }

    fn write_owner(&self, reach: &Reach, ours: &Origin, over: bool) -> Result<()> {
        let (key, objects) = (self.owner_key(), &*reach.objects);
        let owner = Owner {
            since: Some(Stamp::of(objects.now())),
            origin: ours.clone(),
        };
        let text = text(&owner)?;
        let about = About {
            meta: vec![("machine", ours.machine.clone())],
            content_type: "application/json",
            class: self.settings.class_manifest.clone(),
        };
        if over {
            return objects.put(&key, text.as_bytes(), &about);
        }
        match objects.create(&key, text.as_bytes(), &about) {
            Ok(_) => Ok(()),
            // Somebody was faster: who that is shows in what is there.
            Err(error) => match objects.head(&key)? {
                Some(_) => Ok(()),
                None => Err(error),
            },
        }
    }

    /// The same after days, for the machine that claimed it, before a manifest is written.
    pub(super) fn must_still_be_ours(&mut self, reach: &Reach) -> Result<()> {
        match self.claimed.clone() {
            Some(ours) => self.claim_for(reach, &ours, false),
            None => Ok(()),
        }
    }

    /// Two machines neither make nor attribute backups of one name.
    pub(super) fn must_not_be_anothers(&self, reach: &Reach, ours: &Origin) -> Result<()> {
        match &self.archive.owner {
            Some(owner) if !owner.is_of(ours) => {
                Err(owner.refuses(&reach.objects.url(&self.folder)))
            }
            _ => Ok(()),
        }
    }
}
