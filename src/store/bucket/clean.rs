//! What is taken out of a bucket: moved to where it can be fetched back from, or given up for good, in an
//! order in which a failure in the middle leaves nothing that looks whole and is not.

use super::layout::Layout;
use super::{Bucket, Reach};
use crate::error::{Error, Result};
use crate::log;
use crate::objects::{FROZEN, Head};
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
    /// mean something, `first`, goes first. What is frozen cannot be copied, and goes for good. What no listing
    /// shows in the trash could not be fetched back from there, and stays.
    pub(super) fn trash(&self, first: &[String], keys: &[String]) -> Result<()> {
        for key in keys {
            process::check("cannot delete")?;
            let to = format!("{TRASH}{key}");
            match self.copied(key, &to) {
                Err(error) if error.refusal() == FROZEN => {
                    log::line(|| format!("not copied, since it is frozen: {error}"));
                }
                copied => self.must_be_listed(&to, &[(&to, copied?)])?,
            }
        }
        self.objects.remove(first)?;
        self.objects.remove(keys)
    }

    /// Copies an object, if an earlier run did not and could only not remove it; its bytes. What was written
    /// with it goes with a copy, which may have another ETag. What lay in the trash before may be another
    /// stream of the same name and length.
    fn copied(&self, key: &str, to: &str) -> Result<u64> {
        let Some(here) = self.objects.head(key)? else {
            let doing = format!("cannot copy {}", self.objects.url(key));
            return Err(Error::failed(doing, "it does not exist"));
        };
        let there = self.objects.head(to)?;
        if !there.is_some_and(|there| is_copy(key, &here, &there)) {
            self.objects.copy(key, to)?;
        }
        Ok(here.size)
    }
}

fn is_copy(key: &str, here: &Head, copy: &Head) -> bool {
    let written = !key.ends_with(".bs") && copy.meta == here.meta;
    copy.size == here.size && (written || copy.etag == here.etag)
}
