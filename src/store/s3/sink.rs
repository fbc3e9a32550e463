//! A stream on its way into the bucket: looked at as it passes, uploaded, and written down.

use super::S3Store;
use super::index::Kept;
use super::layout::Name;
use crate::error::Result;
use crate::s3::download::Source;
use crate::s3::upload::{Made, Meta, Upload};
use crate::snapshot::{Diff, Size};
use crate::store::{Parts, Receipt, Sink};
use crate::stream::{Head, Watch};
use std::io::{self, Write};

pub(super) struct S3Sink<'a> {
    pub(super) store: &'a mut S3Store,
    pub(super) upload: Upload,
    pub(super) name: Name,
    pub(super) size: Size,
    pub(super) watch: Watch,
    /// The stream is of a sender that mends.
    pub(super) mended: bool,
}

impl S3Sink<'_> {
    fn look(&mut self, bytes: &[u8]) -> Result<()> {
        match self.watch.feed(bytes)? {
            Some(head) => self.identify(&head),
            None => Ok(()),
        }
    }

    fn identify(&mut self, head: &Head) -> Result<()> {
        head.must_make(self.name.to, self.name.from, &doing(&self.name))?;
        let created = (self.store.client.options.now)().to_string();
        let mut meta = meta(head, self.size, created);
        if self.mended {
            meta.push(("mended", "1".to_owned()));
        }
        self.upload.describe(meta);
        Ok(())
    }
}

fn doing(name: &Name) -> String {
    format!("cannot upload {name}")
}

fn meta(head: &Head, size: Size, created: String) -> Meta {
    let mut meta = vec![
        ("generation", head.ctransid.to_string()),
        ("protocol", head.version.to_string()),
        ("created", created),
    ];
    if let Some((_, generation)) = head.parent {
        meta.push(("parent-generation", generation.to_string()));
    }
    if let Size::Exact(bytes) = size {
        meta.push(("size", bytes.to_string()));
    }
    meta
}

impl Write for S3Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look(bytes)?;
        self.upload.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for S3Sink<'_> {
    fn is_mended(&mut self) {
        self.mended = true;
    }

    fn finish(self: Box<Self>) -> Result<Receipt> {
        let S3Sink {
            store,
            upload,
            name,
            watch,
            mended,
            ..
        } = *self;
        watch.complete(&doing(&name))?;
        let made = upload.finish()?;
        store.keep(name, &made, mended)?;
        Ok(Receipt {
            bytes: made.bytes,
            parts: Some(Parts {
                sent: made.parts - made.skipped,
                skipped: made.skipped,
            }),
        })
    }
}

/// What the index says about a diff that was just made.
pub(super) fn kept(name: Name, made: &Made, marker: Option<String>) -> Kept {
    let objects = made.objects.iter().map(|(key, size, etag)| Source {
        key: key.clone(),
        size: *size,
        etag: etag.clone(),
    });
    Kept {
        name,
        objects: objects.collect(),
        marker,
        modified: None,
    }
}

/// The diff that a name stands for.
pub(super) fn diff(name: &Name, bytes: u64) -> Diff {
    Diff {
        to: name.to,
        from: name.from,
        size: Size::Exact(bytes),
    }
}
