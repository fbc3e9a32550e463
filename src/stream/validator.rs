//! A stream on its way into a bucket, looked at as it passes in pieces of any length. Nothing that
//! is not what it claims to be may get there, where nobody would notice before a restore.

use super::{CommandCheck, Head, Parsed};
use crate::error::{Error, Result};
use crate::snapshot::Uuid;

/// Looks at a stream from its first byte to its last.
#[derive(Debug, Default)]
pub struct Watch {
    /// The beginning, until the first command is whole.
    begin: Vec<u8>,
    rest: Option<CommandCheck>,
}

impl Watch {
    /// Looks at the next bytes; the head, as soon as it is whole.
    ///
    /// # Errors
    /// As [`Head::parse`] and [`CommandCheck::feed`] say.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Head>> {
        if let Some(check) = &mut self.rest {
            return check.feed(bytes).map(|()| None);
        }
        self.begin.extend_from_slice(bytes);
        let Parsed::Whole(head, length) = Head::parse(&self.begin)? else {
            return Ok(None);
        };
        let begin = std::mem::take(&mut self.begin);
        let mut check = CommandCheck::after(&head, length);
        check.feed(&begin[length..])?;
        self.rest = Some(check);
        Ok(Some(head))
    }

    /// How many bytes from the beginning are whole commands with right checksums.
    pub fn sound(&self) -> u64 {
        self.rest.as_ref().map_or(0, CommandCheck::sound)
    }

    /// To be asked when no more bytes will come.
    ///
    /// # Errors
    /// If the stream ended early.
    pub fn complete(&self, doing: &str) -> Result<()> {
        match &self.rest {
            Some(check) => check.complete(),
            None => Err(Error::damaged(
                doing,
                "the stream ends before its first command does",
            )),
        }
    }
}

impl Head {
    /// Whether the stream is the one that makes this snapshot out of that one.
    ///
    /// # Errors
    /// If it is not: which it is.
    pub fn must_make(&self, to: Uuid, from: Option<Uuid>, doing: &str) -> Result<()> {
        let parent = self.parent.map(|(uuid, _)| uuid);
        if (self.uuid, parent) == (to, from) {
            return Ok(());
        }
        let from = parent.map_or("nothing".to_owned(), |uuid| uuid.to_string());
        let said = format!("the stream makes {} out of {from}", self.uuid);
        Err(Error::damaged(doing, said))
    }
}
