//! What keys in a bucket mean is said by a layout: which objects make a stream, what is written down of
//! it, and in which order. Knows snapshots and objects; how streams come and go is the same for all.

use super::Reach;
use super::kept::{Kept, Record, UnfinishedStream};
use super::out::Out;
use super::upload::Made;
use crate::error::Result;
use crate::objects::{Inventory, Meta};
use crate::proof::Finding;
use crate::snapshot::{Diff, Names, Origin, Size, Unlisted};
use crate::stream::Head;
use std::collections::BTreeMap;

/// What the words of a layout are.
pub struct Words {
    /// One of what a stream is stored in.
    pub(super) piece: &'static str,
    /// Several of what make a chain.
    pub(super) links: &'static str,
    /// What is removed by hand.
    pub(super) files: &'static str,
}

/// What the keys of a bucket mean.
pub trait Layout {
    /// How things are called.
    const WORDS: Words;
    /// Objects of a verified stream are asked about one by one, and the generations in streams must be
    /// those of their parents.
    const STRICT: bool;
    /// How many requests there are beside those for the objects of a stream.
    const BESIDE: u64;
    /// What is known of a stream that is coming.
    type Draft;

    /// What all its keys begin with.
    fn folder(&self) -> &str;

    /// Bytes at which streams are cut, if they are.
    fn cut(&self) -> Option<u64> {
        None
    }

    /// What went wrong beside the last stream and was not told of yet, for a person.
    fn remark(&mut self) -> Option<String> {
        None
    }

    /// Which names of snapshots make keys.
    fn names(&self) -> Names {
        Names::default()
    }

    /// Understands what was listed.
    fn read(&mut self, reach: &Reach, found: Inventory) -> Result<()>;

    /// What is kept, in the order in which it is shown.
    fn kept(&self) -> &[Kept];

    /// What runs left, by a path that `delete` takes.
    fn leftovers(&self) -> &BTreeMap<String, UnfinishedStream>;

    /// What is there and could not be looked at, if that is told here and nowhere else.
    fn unlisted(&self) -> Vec<Unlisted> {
        Vec::new()
    }

    /// Whether there may be more than was read.
    fn is_part(&self) -> bool {
        false
    }

    /// Whether some of it is in a class from which it must be thawed to be read, as a listing tells.
    fn is_cold(&self) -> bool {
        false
    }

    /// Remarks for a person; and what is wrong is set right, where that is allowed.
    fn notes(&mut self, reach: &Reach) -> Result<Vec<String>>;

    /// Fetches what was written down of all that is kept, if it is not known yet.
    fn fetch(&mut self, _reach: &Reach) -> Result<()> {
        Ok(())
    }

    /// What was written down of a stream.
    fn record(&mut self, reach: &Reach, kept: &Kept) -> Result<Record>;

    /// Whether a stream is of a sender that mends.
    fn is_mended(&mut self, reach: &Reach, kept: &Kept) -> Result<bool>;

    /// What is known of the size of a diff that is not there.
    fn size(&mut self, _reach: &Reach, _diff: &Diff) -> Result<Option<Size>> {
        Ok(None)
    }

    /// What should be there and is not, or is there and is not understood.
    fn absent(&mut self, reach: &Reach) -> Result<Vec<Finding>>;

    /// Begins to keep a stream, and says where its bytes go.
    fn draft(
        &mut self,
        reach: &Reach,
        diff: &Diff,
        path: &str,
        doing: &str,
    ) -> Result<(Self::Draft, Out)>;

    /// The metadata of objects, as soon as the head of their stream has come.
    fn describe(&self, reach: &Reach, draft: &mut Self::Draft, head: &Head, mended: bool) -> Meta;

    /// Writes down what makes a stream of the objects that were made.
    fn keep(
        &mut self,
        reach: &Reach,
        draft: Self::Draft,
        made: Vec<Made>,
        mended: bool,
    ) -> Result<()>;

    /// Keeps the same under another path.
    fn copy(&mut self, reach: &Reach, kept: &Kept, to: &str) -> Result<()>;

    /// Records what the snapshot of a path is of.
    fn adopt(&mut self, reach: &Reach, path: &str, origin: &Origin) -> Result<()>;

    /// Removes all streams of a path.
    fn remove(&mut self, reach: &Reach, path: &str, doing: &str) -> Result<()>;

    /// Refuses to remove what became a stream since it was listed.
    fn must_be_left(&self, _reach: &Reach, _path: &str, _doing: &str) -> Result<()> {
        Ok(())
    }

    /// Forgets a leftover that is no longer there.
    fn forget_leftover(&mut self, path: &str);
}
