//! What a finished sink says about what it kept. Knows no store.

use serde::{Deserialize, Serialize};

/// What a finished sink can say about what it kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Receipt {
    /// Bytes of the stream.
    pub bytes: u64,
    /// The parts in which it was uploaded, by stores that have such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// It does not exist before [`crate::store::Store::publish`] says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// What could not be written down of it, for a person. It is whole without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What became of the parts of uploads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// Those that were sent.
    pub sent: u64,
    /// Those that an earlier run had sent.
    pub skipped: u64,
}

impl Receipt {
    /// Of a stream that was kept as it came.
    pub fn of(bytes: u64) -> Receipt {
        Receipt {
            bytes,
            ..Receipt::default()
        }
    }
}
