//! What is taken out of a bucket: moved to where it can be fetched back from, or given up for good, in an
//! order in which a failure in the middle leaves nothing that looks whole and is not.

use super::layout::Layout;
use super::{Bucket, Reach};
use crate::error::{Error, Result};
use crate::log;
use crate::objects::FROZEN;
use crate::process;

/// Where deleted objects go: where ButterSink put what it removed.
pub(super) const TRASH: &str = "trash/";

impl<L: Layout> Bucket<L> {
    /// Gives up what a run left, unless it became something since it was listed.
    pub(super) fn remove_leftover(&mut self, path: &str, doing: &str) -> Result<()> {
        let Some(leftover) = self.layout.leftovers().get(path).cloned() else {
            return Err(Error::failed(doing, "it is not there"));
        };
        self.layout.must_be_left(&self.reach, path, doing)?;
        for upload in &leftover.uploads {
            self.reach.objects.abort(upload)?;
        }
        let keys: Vec<String> = leftover.objects.into_iter().map(|o| o.key).collect();
        self.reach.objects.remove(&keys)?;
        self.layout.forget_leftover(path);
        Ok(())
    }
}

impl Reach {
    /// Moves objects to the trash. Everything is copied before anything goes, and what makes the rest
    /// mean something, `first`, goes first. What is frozen cannot be copied, and goes for good.
    pub(super) fn trash(&self, first: &[String], keys: &[String]) -> Result<()> {
        for key in keys {
            process::check("cannot delete")?;
            let to = format!("{TRASH}{key}");
            if !self.is_copied(key, &to)? {
                match self.objects.copy(key, &to) {
                    Err(error) if error.refusal() == FROZEN => {
                        log::line(|| format!("not copied, since it is frozen: {error}"));
                    }
                    copied => drop(copied?),
                }
            }
        }
        self.objects.remove(first)?;
        self.objects.remove(keys)
    }

    /// Whether an earlier run copied this object already, and could not remove it. What was written with
    /// it goes with a copy, which may have another ETag. What lay in the trash before may be another
    /// stream of the same name and length.
    fn is_copied(&self, key: &str, to: &str) -> Result<bool> {
        let Some(copy) = self.objects.head(to)? else {
            return Ok(false);
        };
        let Some(here) = self.objects.head(key)? else {
            return Ok(false);
        };
        let stream = !key.ends_with(".bs");
        let same = if stream {
            copy.meta == here.meta
        } else {
            copy.etag == here.etag
        };
        Ok(copy.size == here.size && same)
    }
}
