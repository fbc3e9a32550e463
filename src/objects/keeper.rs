//! Who keeps objects, and what that is called: the words that people see. Asks nobody.

use crate::prices::Prices;

/// Who keeps objects, as far as that is to be seen by people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeper {
    /// AWS itself.
    Aws,
    /// Another S3 service.
    Service,
    /// A filesystem: nobody counts requests there, and there are no storage classes.
    Directory,
}

impl Keeper {
    /// What is paid there.
    pub fn prices(self) -> Prices {
        match self {
            Keeper::Aws => Prices::Aws,
            Keeper::Service => Prices::Unknown,
            Keeper::Directory => Prices::Free,
        }
    }

    /// What it calls that which changes with the bytes of an object.
    pub fn etag(self) -> &'static str {
        match self {
            Keeper::Aws | Keeper::Service => "ETag",
            Keeper::Directory => "digest",
        }
    }

    /// Whose word a checksum of an object is.
    pub fn word(self) -> &'static str {
        match self {
            Keeper::Aws | Keeper::Service => "service",
            Keeper::Directory => "directory",
        }
    }
}
