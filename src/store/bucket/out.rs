//! Where the bytes of a stream go: into one upload, or cut into chunks, by way of a disk or not. Knows
//! no layout.

use super::cutter::Cutter;
use super::spool::Spool;
use super::upload::{Made, Upload};
use crate::error::Result;
use crate::objects::Meta;

/// Where the bytes of a stream go.
pub enum Out {
    /// One upload, which cuts only what no object can hold.
    Whole(Box<Upload>),
    Chunks(Box<Cutter>),
    Spool(Box<Spool>),
}

impl Out {
    /// Sets the metadata of the objects; to be done before the first byte.
    pub(super) fn describe(&mut self, meta: Meta) {
        match self {
            Out::Whole(upload) => upload.describe(meta),
            Out::Chunks(cutter) => cutter.describe(meta),
            Out::Spool(spool) => spool.describe(meta),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Out::Whole(upload) => upload.add(bytes),
            Out::Chunks(cutter) => cutter.write(bytes),
            Out::Spool(spool) => spool.write(bytes),
        }
    }

    /// What was made of the stream, in order.
    pub(super) fn finish(self) -> Result<Vec<Made>> {
        match self {
            Out::Whole(upload) => Ok(vec![upload.finish()?]),
            Out::Chunks(cutter) => cutter.finish(),
            Out::Spool(spool) => spool.finish(),
        }
    }
}
