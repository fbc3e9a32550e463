//! Looking at files at the far side, while this one looks at its own.

use super::{Remote, harmless};
use crate::error::Result;
use crate::store::file_digests::{Digest, Looking, Page};
use crate::store::wire::{Request, strange};

/// Begins. Until the answer is read nobody else may ask; if it never is, the connection ends here.
pub(super) fn begin(remote: &mut Remote, digest: Digest) -> Result<Looking<'_>> {
    let line = remote.line.take();
    let mut line = line.ok_or_else(|| strange("there is no connection"))?;
    line.ask(&Request::Digest { digest })?;
    let (slot, host) = (&mut remote.line, &remote.host);
    Ok(Box::new(move || {
        let page: Result<Page> = line.answer()?;
        *slot = Some(line);
        harmless::page(page?, host)
    }))
}
