//! The turns of a server in which a stream goes over the connection: out of the store to the client,
//! and the other way. Knows no other request.

use super::quota::used_up;
use super::{fail, lost, record, reply};
use crate::error::{Error, Kind, Result};
use crate::log::system;
use crate::snapshot::{Diff, shown};
use crate::store::wire::{Failure, Tag, Wire, again, plain, strange};
use crate::store::{Receipt, Sink, Store};
use std::io::{self, Read, Write};
use std::path::Path;

/// How much is moved at a time: large enough for few turns, small enough for a processor's cache.
const BLOCK: usize = 256 << 10;

/// Our turn: the stream, and then whether it is complete. The client can only listen or hang up.
pub(super) fn send<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    diff: &Diff,
    unmended: bool,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let stream = match unmended {
        true => store.send_unmended(diff),
        false => store.send(diff),
    };
    let mut stream = match stream {
        Ok(stream) => stream,
        Err(error) => return fail(wire, &error, false),
    };
    wire.say(Tag::Answer, &()).map_err(lost)?;
    let (mut buffer, mut bytes) = (vec![0; BLOCK], 0);
    loop {
        match stream
            .read(&mut buffer)
            .or_else(|e| again(e).map(|()| usize::MAX))
        {
            Ok(usize::MAX) => {}
            Ok(0) => {
                system::line(|| format!("sent {} ({bytes} bytes)", diff.to));
                return wire.say(Tag::End, &Receipt::of(bytes)).map_err(lost);
            }
            Ok(n) => {
                wire.put(Tag::Data, &buffer[..n]).map_err(lost)?;
                bytes += n as u64;
            }
            Err(error) => return fail(wire, &Error::io("cannot read the stream", error), false),
        }
    }
}

/// How a client's stream ended.
enum StreamEnd {
    Whole,
    /// The client gave up, and wants to go on talking.
    Aborted,
}

/// The client's turn: its stream. Whether there is a new snapshot. If we fail in the middle of it we say so
/// and hang up.
pub(super) fn receive<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    diff: &Diff,
    path: &Path,
    room: Option<u64>,
    wire: &mut Wire<R, W>,
) -> Result<bool> {
    let exact = diff.size.bytes().filter(|_| diff.size.is_exact());
    if let Some(room) = room.filter(|&room| exact.is_some_and(|bytes| bytes > room)) {
        let refusal = used_up(&format!("{room} bytes are left"));
        system::line(|| format!("refused: {refusal}"));
        return fail(wire, &refusal, false).map(|()| false);
    }
    let mut sink = match store.receive(diff, path) {
        Ok(sink) => sink,
        Err(error) => return fail(wire, &error, false).map(|()| false),
    };
    wire.say(Tag::Answer, &()).map_err(lost)?;
    // An error drops the sink before it is reported: when the client hears of it, the leftovers
    // are gone.
    match take(sink.as_mut(), room, wire)? {
        StreamEnd::Whole => {
            let done = sink.finish();
            let held = done.as_ref().is_ok_and(|receipt| receipt.held);
            let word = if held { "holds" } else { "received" };
            let what = || format!("{word} {} as {}", diff.to, shown(path));
            let new = done.is_ok();
            reply(wire, record(done, what)).map(|()| new)
        }
        StreamEnd::Aborted => {
            drop(sink);
            reply(wire, Ok(())).map(|()| false)
        }
    }
}

fn take<R: Read, W: Write>(
    sink: &mut dyn Sink,
    room: Option<u64>,
    wire: &mut Wire<R, W>,
) -> Result<StreamEnd> {
    let (mut buffer, mut bytes) = (vec![0; BLOCK], 0);
    loop {
        let broke = |error| broken(error, bytes);
        match wire.head().map_err(broke)? {
            Some((Tag::Data, length)) => {
                let after = bytes + length as u64;
                if let Some(room) = room.filter(|&room| after > room) {
                    return Err(used_up(&format!("{room} bytes were left")));
                }
                pass(sink, wire, length, &mut buffer, bytes)?;
                bytes = after;
            }
            Some((Tag::End, length)) => {
                let said: Receipt = wire.body(length).map_err(broke)?;
                if said.bytes == bytes {
                    return Ok(StreamEnd::Whole);
                }
                let said = format!("its stream had {} bytes, and {bytes} arrived", said.bytes);
                return Err(strange(&said));
            }
            Some((Tag::Fail, length)) => {
                wire.body::<Failure>(length).map_err(broke)?;
                return Ok(StreamEnd::Aborted);
            }
            Some(_) => return Err(strange("it speaks out of turn")),
            None => return Err(broke(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// Moves one frame's data, as it arrives.
fn pass<R: Read, W: Write>(
    sink: &mut dyn Sink,
    wire: &mut Wire<R, W>,
    mut left: usize,
    buffer: &mut [u8],
    before: u64,
) -> Result<()> {
    let length = left;
    while left > 0 {
        let want = buffer.len().min(left);
        match wire.read(&mut buffer[..want]) {
            Ok(0) => {
                let so_far = before + (length - left) as u64;
                return Err(broken(io::ErrorKind::UnexpectedEof.into(), so_far));
            }
            Ok(n) => {
                sink.write_all(&buffer[..n])
                    .map_err(|error| Error::io("cannot write the stream", error))?;
                left -= n;
            }
            Err(error) => again(error).map_err(lost)?,
        }
    }
    Ok(())
}

/// The connection ended in the middle of the client's stream.
fn broken(error: io::Error, bytes: u64) -> Error {
    let error = lost(error);
    if error.kind == Kind::Failed {
        let said = format!("after {bytes} bytes of its stream: {}", plain(&error.said));
        return Error::failed(error.doing, said);
    }
    error
}
