//! Options of stores: how they are reached, and how they do their work. Whoever reads options fills them in.

pub use super::local::LocalOptions;
use super::location::Place;
pub use super::remote::ssh::SshOptions;
pub use crate::objects::Concurrency;
pub use crate::s3::{Checksum, S3Options as BucketOptions, Sse, check_part};
use std::collections::HashSet;

/// How stores are reached and do their work.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How local stores, and those of far sides, work.
    pub local: LocalOptions,
    /// How far sides are reached.
    pub ssh: SshOptions,
    /// How buckets are reached and used. Their rate is [`StoreOptions::bwlimit`].
    pub s3: BucketOptions,
    /// Bytes in a second that streams move at, at most, whatever is between.
    pub bwlimit: Option<u64>,
}

impl StoreOptions {
    /// The options of a bucket at S3, whose client sees to the rate itself.
    pub(super) fn at_s3(&self) -> BucketOptions {
        BucketOptions {
            bwlimit: self.bwlimit,
            ..self.s3.clone()
        }
    }

    /// The same for a run at these places: what it does on one machine goes through one connection.
    #[must_use]
    pub fn at<'a>(&self, places: impl IntoIterator<Item = &'a Place>) -> StoreOptions {
        let mut hosts = HashSet::new();
        let far = places.into_iter().filter_map(Place::elsewhere);
        let far = far.map(|(address, _)| (address.login(), address.port()));
        let several = far.filter(|host| !hosts.insert(*host)).count() > 0;
        let mut store_options = self.clone();
        if several {
            store_options.ssh.connections.get_or_insert_default();
        }
        store_options
    }
}
