//! The far half of ssh: offers a store to whoever is at the other end of two pipes.
//! Never trusts what comes in: what was granted is checked here, for every request.

use crate::error::{Error, Kind, Result};
use crate::log::system;
use crate::snapshot::{Diff, Measured, Size, shown};
use crate::store::wire::{Failure, Hello, Request, Tag, Wire, again, letter, plain, strange};
use crate::store::{Access, Receipt, Sink, Store};
use serde::Serialize;
use std::io::{self, Read, Write};
use std::path::Path;

/// How much is moved at a time: large enough for few turns, small enough for a processor's cache.
const BLOCK: usize = 256 << 10;

/// Answers requests until the client hangs up. The store is opened when the client has greeted,
/// and closed before it hears of an error that ends the connection: it may call again at once.
///
/// # Errors
/// If the store cannot be opened, or the client cannot be understood or hangs up in the middle
/// of something. A request that fails is not an error here: the client is told.
pub fn serve<S: Store + ?Sized>(
    open: impl FnOnce(&Hello) -> Result<Box<S>>,
    access: Access,
    reader: impl Read,
    writer: impl Write,
) -> Result<()> {
    let mut wire = Wire::new(reader, writer);
    session(open, access, &mut wire).inspect_err(|error| {
        // If nobody listens any more, the error itself says more than that.
        let _ = fail(&mut wire, error, true);
    })
}

fn session<S: Store + ?Sized, R: Read, W: Write>(
    open: impl FnOnce(&Hello) -> Result<Box<S>>,
    access: Access,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let client: Hello = match wire.head().map_err(lost)? {
        Some((Tag::Hello, length)) => wire.body(length).map_err(lost)?,
        Some(_) => return Err(strange("it does not greet")),
        None => return Ok(()),
    };
    let here = Hello::here();
    let us = Hello {
        mode: Some(access),
        protocol: here.common(&client),
        ..here
    };
    wire.say(Tag::Hello, &us).map_err(lost)?;
    us.agrees(&client, "the client")?;
    let mut store = open(&client)?;
    system::line(|| format!("mode {} was granted", letter(access)));
    let mut listed = false;
    while let Some((tag, length)) = wire.head().map_err(lost)? {
        if tag != Tag::Request {
            return Err(strange("it speaks out of turn"));
        }
        let request: Request = wire.body(length).map_err(lost)?;
        let permitted = request.permitted(access);
        match permitted.and_then(|()| request.must_be_known_to(&client, "the client")) {
            Err(refusal) => {
                system::line(|| format!("refused: {refusal}"));
                fail(wire, &refusal, false)?;
            }
            Ok(()) => {
                // A store knows what it has listed; this may be the second connection of a run.
                if !std::mem::replace(&mut listed, true) && request != Request::List {
                    store.list()?;
                }
                turn(&mut *store, request, &client, wire)?;
            }
        }
    }
    Ok(())
}

/// One request and everything that belongs to it.
fn turn<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    request: Request,
    client: &Hello,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    match request {
        Request::List => reply(wire, store.list().map(|all| client.understands(all))),
        Request::Measure { diffs } if client.protocol < 3 => reply(wire, sizes(store, &diffs)),
        Request::Measure { diffs } => reply(wire, measure(store, &diffs)),
        Request::Copy { from, to } => {
            let done = store.copy(&from, &to);
            let what = || format!("copied {} to {}", shown(&from), shown(&to));
            reply(wire, record(done, what))
        }
        Request::Delete { path } => {
            let done = store.delete(&path);
            reply(wire, record(done, || format!("deleted {}", shown(&path))))
        }
        Request::Inspect { depth } => reply(wire, store.inspect(depth, &mut |_| ())),
        Request::Reject { path } => {
            let done = store.reject(&path);
            reply(wire, record(done, || format!("rejected {}", shown(&path))))
        }
        Request::Settle { path } => reply(wire, store.settle(&path)),
        Request::Exchange { new, old } => {
            let done = store.exchange(&new, &old);
            let what = || format!("put {} in the place of {}", shown(&new), shown(&old));
            reply(wire, record(done, what))
        }
        Request::Adopt { path, origin } => {
            let done = store.adopt(&path, &origin);
            let what = || format!("adopted {} as of {origin}", shown(&path));
            reply(wire, record(done, what))
        }
        Request::Digest { digest } => {
            let looked = store.digest(&digest).and_then(|looking| looking());
            reply(wire, looked)
        }
        Request::Send { diff, unmended } => send(store, &diff, unmended == Some(true), wire),
        Request::Receive {
            diff,
            path,
            origin,
            compare,
        } => {
            store.will_compare(compare == Some(true));
            store.attribute(origin.map(|origin| (diff.to, origin)).into_iter().collect());
            receive(store, &diff, &path, wire)
        }
    }
}

/// For the administrator of this machine.
fn record<T>(outcome: Result<T>, what: impl FnOnce() -> String) -> Result<T> {
    system::line(|| match &outcome {
        Ok(_) => what(),
        Err(error) => error.to_string(),
    });
    outcome
}

/// What is known of the diffs, in the order asked.
fn measure<S: Store + ?Sized>(store: &mut S, diffs: &[Diff]) -> Result<Vec<Measured>> {
    let mut sizes = store.measure(diffs)?;
    let known = |diff: &Diff| sizes.remove(&diff.pair()).unwrap_or_default();
    Ok(diffs.iter().map(known).collect())
}

/// The same for a client that knows only sizes: it must not choose what nobody can receive.
fn sizes<S: Store + ?Sized>(store: &mut S, diffs: &[Diff]) -> Result<Vec<Size>> {
    let size = |measured: Measured| match measured.refused {
        Some(why) => Err(Error::refused("cannot measure", why)),
        None => Ok(measured.size),
    };
    measure(store, diffs)?.into_iter().map(size).collect()
}

fn reply<T: Serialize, R: Read, W: Write>(wire: &mut Wire<R, W>, outcome: Result<T>) -> Result<()> {
    match outcome {
        Ok(answer) => wire.say(Tag::Answer, &answer).map_err(lost),
        Err(error) => fail(wire, &error, false),
    }
}

fn fail<R: Read, W: Write>(wire: &mut Wire<R, W>, error: &Error, hangs_up: bool) -> Result<()> {
    let mut error = error.clone();
    let short = |text: &str| text.chars().take(2000).collect::<String>();
    (error.doing, error.said) = (short(&error.doing), short(&error.said));
    error.hint = error.hint.map(|hint| short(&hint).into());
    wire.say(Tag::Fail, &Failure { error, hangs_up })
        .map_err(lost)
}

/// Our turn: the stream, and then whether it is complete. The client can only listen or hang up.
fn send<S: Store + ?Sized, R: Read, W: Write>(
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
enum Ended {
    Whole,
    /// The client gave up, and wants to go on talking.
    Aborted,
}

/// The client's turn: its stream. If we fail in the middle of it we say so and hang up.
fn receive<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    diff: &Diff,
    path: &Path,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let mut sink = match store.receive(diff, path) {
        Ok(sink) => sink,
        Err(error) => return fail(wire, &error, false),
    };
    wire.say(Tag::Answer, &()).map_err(lost)?;
    // An error drops the sink before it is reported: when the client hears of it, the leftovers
    // are gone.
    match take(sink.as_mut(), wire)? {
        Ended::Whole => {
            let done = sink.finish();
            let what = || format!("received {} as {}", diff.to, shown(path));
            reply(wire, record(done, what))
        }
        Ended::Aborted => {
            drop(sink);
            reply(wire, Ok(()))
        }
    }
}

fn take<R: Read, W: Write>(sink: &mut dyn Sink, wire: &mut Wire<R, W>) -> Result<Ended> {
    let (mut buffer, mut bytes) = (vec![0; BLOCK], 0);
    loop {
        let broke = |error| broken(error, bytes);
        match wire.head().map_err(broke)? {
            Some((Tag::Data, length)) => {
                pass(sink, &mut wire.reader, length, &mut buffer, bytes)?;
                bytes += length as u64;
            }
            Some((Tag::End, length)) => {
                let said: Receipt = wire.body(length).map_err(broke)?;
                if said.bytes == bytes {
                    return Ok(Ended::Whole);
                }
                let said = format!("its stream had {} bytes, and {bytes} arrived", said.bytes);
                return Err(strange(&said));
            }
            Some((Tag::Fail, length)) => {
                wire.body::<Failure>(length).map_err(broke)?;
                return Ok(Ended::Aborted);
            }
            Some(_) => return Err(strange("it speaks out of turn")),
            None => return Err(broke(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

/// Moves one frame's data, as it arrives.
fn pass(
    sink: &mut dyn Sink,
    reader: &mut dyn Read,
    mut left: usize,
    buffer: &mut [u8],
    before: u64,
) -> Result<()> {
    let length = left;
    while left > 0 {
        let want = buffer.len().min(left);
        match reader.read(&mut buffer[..want]) {
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

fn lost(error: io::Error) -> Error {
    Error::io("the connection to the client is lost", error)
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
