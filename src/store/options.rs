//! By what means stores are reached and do their work. Values that whoever reads options fills in.

pub use super::local::Manner;
pub use super::remote::ssh::Options as SshOptions;
pub use crate::objects::Concurrency;
pub use crate::s3::{Checksum, S3Options as BucketOptions, Sse, check_part};

/// By what means stores are reached and do their work.
#[derive(Clone, Debug)]
pub struct Means {
    /// How local stores, and those of far sides, work.
    pub manner: Manner,
    /// How far sides are reached.
    pub ssh: SshOptions,
    /// How buckets are reached and used.
    pub s3: BucketOptions,
    /// Bytes in a second that streams move at, at most, whatever is between; buckets see to it themselves, by
    /// [`BucketOptions::bwlimit`].
    pub bwlimit: Option<u64>,
}
