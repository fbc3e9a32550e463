//! By what means stores are reached and do their work. Values that whoever reads options fills in.

pub use super::local::Manner;
use super::location::Place;
pub use super::remote::ssh::SshOptions;
pub use crate::objects::Concurrency;
pub use crate::s3::{Checksum, S3Options as BucketOptions, Sse, check_part};
use std::collections::HashSet;

/// By what means stores are reached and do their work.
#[derive(Clone, Debug)]
pub struct Means {
    /// How local stores, and those of far sides, work.
    pub manner: Manner,
    /// How far sides are reached.
    pub ssh: SshOptions,
    /// How buckets are reached and used. Their rate is [`Means::bwlimit`].
    pub s3: BucketOptions,
    /// Bytes in a second that streams move at, at most, whatever is between.
    pub bwlimit: Option<u64>,
}

impl Means {
    /// The options of a bucket at S3, whose client sees to the rate itself.
    pub(super) fn at_s3(&self) -> BucketOptions {
        BucketOptions {
            bwlimit: self.bwlimit,
            ..self.s3.clone()
        }
    }

    /// The same for a run at these places: what it does on one machine goes through one connection.
    #[must_use]
    pub fn at<'a>(&self, places: impl IntoIterator<Item = &'a Place>) -> Means {
        let mut hosts = HashSet::new();
        let far = places.into_iter().filter_map(Place::elsewhere);
        let far = far.map(|(address, _)| (address.login(), address.port()));
        let several = far.filter(|host| !hosts.insert(*host)).count() > 0;
        let mut means = self.clone();
        if several {
            means.ssh.connections.get_or_insert_default();
        }
        means
    }
}
