//! A stream on its way into a bucket: looked at as it passes, stored, and written down. Only whole
//! commands with right checksums leave this machine, so that no object that is complete holds a byte of
//! a damaged stream.

use super::Bucket;
use super::layout::Layout;
use super::out::Out;
use crate::error::Result;
use crate::log::transactions;
use crate::snapshot::{Diff, shown};
use crate::store::{Parts, Receipt, Sink};
use crate::stream::{Head, Watch};
use std::io::{self, Write};

/// Dropped, it leaves what arrived, which the store does not know before it reads again.
pub(super) struct BucketSink<'a, L: Layout> {
    bucket: &'a mut Bucket<L>,
    diff: Diff,
    draft: L::Draft,
    doing: String,
    /// Where it will be, for people.
    place: String,
    watch: Watch,
    /// Bytes that were looked at, and those of them that wait for the end of their command.
    fed: u64,
    waiting: Vec<u8>,
    out: Out,
    /// The stream is of a sender that mends.
    mended: bool,
}

impl<'a, L: Layout> BucketSink<'a, L> {
    pub(super) fn new(
        bucket: &'a mut Bucket<L>,
        diff: &Diff,
        path: &str,
        doing: String,
    ) -> Result<BucketSink<'a, L>> {
        bucket.known()?;
        let (draft, out) = bucket.layout.draft(&bucket.reach, diff, path, &doing)?;
        bucket.is_read = false;
        Ok(BucketSink {
            place: format!("{}{}", bucket.location(), shown(path)),
            bucket,
            diff: diff.clone(),
            draft,
            doing,
            watch: Watch::default(),
            fed: 0,
            waiting: Vec::new(),
            out,
            mended: false,
        })
    }

    /// The stream must be what was announced.
    fn identify(&mut self, head: &Head) -> Result<()> {
        head.must_make(self.diff.to, self.diff.from, &self.doing)?;
        let Bucket { layout, reach, .. } = &*self.bucket;
        let meta = layout.describe(reach, &mut self.draft, head, self.mended);
        self.out.describe(meta);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(head) = self.watch.feed(bytes)? {
            self.identify(&head)?;
        }
        let begin = self.fed;
        self.fed += bytes.len() as u64;
        let sound = self.watch.sound();
        if sound <= begin {
            self.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        let (whole, rest) = bytes.split_at((sound - begin) as usize);
        self.out.write(&self.waiting)?;
        self.out.write(whole)?;
        self.waiting.clear();
        self.waiting.extend_from_slice(rest);
        Ok(())
    }
}

impl<L: Layout> Write for BucketSink<'_, L> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Objects first, then what makes a stream of them, so that this implies the objects.
impl<L: Layout> Sink for BucketSink<'_, L> {
    fn is_mended(&mut self) {
        self.mended = true;
    }

    fn finish(self: Box<Self>) -> Result<Receipt> {
        let place = format!("{} {}", self.place, self.diff.to);
        transactions::change("receive", || place, self.keep())
    }
}

impl<L: Layout> BucketSink<'_, L> {
    fn keep(self) -> Result<Receipt> {
        self.watch.complete(&self.doing)?;
        let BucketSink {
            bucket,
            draft,
            out,
            fed,
            mended,
            ..
        } = self;
        let made = out.finish()?;
        let (parts, skipped) = made.iter().fold((0, 0), |(parts, skipped), made| {
            (parts + made.parts, skipped + made.skipped)
        });
        bucket.layout.keep(&bucket.reach, draft, made, mended)?;
        bucket.is_read = true;
        Ok(Receipt {
            bytes: fed,
            parts: Some(Parts {
                sent: parts - skipped,
                skipped,
            }),
            held: false,
            note: bucket.layout.remark(),
        })
    }
}
