//! One stream from one store into another: a read and a write. Looks into no byte of it.

use crate::error::{Error, Result};
use crate::limiter::limited;
use crate::process;
use crate::snapshot::Diff;
use crate::store::{Receipt, Store};
use std::io::{self, Read, Write};
use std::path::Path;

/// Pieces in which a stream moves, in bytes: as much as a pipe holds.
const PIECE: usize = 128 << 10;

/// Sends one diff and receives it. Any error drops the sink, and so aborts.
///
/// # Errors
/// Whatever either side says.
pub fn transfer(
    source: &mut dyn Store,
    dest: &mut dyn Store,
    diff: &Diff,
    path: &Path,
    moved: &mut dyn FnMut(u64),
) -> Result<Receipt> {
    let limiter = source.limiter().or_else(|| dest.limiter());
    let mended = source.mends(diff)?;
    let mut sink = dest.receive(diff, path)?;
    if mended {
        sink.is_mended();
    }
    let mut stream = limited(source.send(diff)?, limiter);
    pump(&mut stream, &mut sink, moved)?;
    sink.finish()
}

/// Moves a stream to its end.
fn pump(from: &mut dyn Read, to: &mut dyn Write, moved: &mut dyn FnMut(u64)) -> Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                process::check("the transfer")?;
                continue;
            }
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        };
        to.write_all(&piece[..n])
            .map_err(|error| Error::io("cannot write the stream", error))?;
        moved(n as u64);
        process::check("the transfer")?;
    }
}
