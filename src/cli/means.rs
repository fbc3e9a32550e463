//! Stores as the options want them reached. Decides nothing else.

use super::options::Options;
use crate::error::Result;
use crate::process::Priority;
use crate::store::{self, Access, Location, Manner, Means, Store};

pub(super) fn open(
    location: &Location,
    access: Access,
    options: &Options,
) -> Result<Box<dyn Store>> {
    store::open(&location.place, access, &means(options))
}

/// By what means the options want stores to be reached.
pub(super) fn means(options: &Options) -> Means {
    let priority = if options.full_speed {
        Priority::Normal
    } else {
        Priority::Background
    };
    let compressed = options.compressed;
    Means {
        manner: Manner {
            priority,
            compressed,
            receive_with: options.receive_with,
        },
        ssh: options.ssh.clone(),
        s3: options.s3.clone(),
    }
}
