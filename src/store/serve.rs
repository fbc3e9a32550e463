//! The far half of ssh: offers a store to whoever is at the other end of two pipes.
//! Never trusts what comes in: what was granted is checked here, for every request.

mod quota;
mod streams;

use crate::error::{Error, Result};
use crate::log::system;
use crate::proof::{Depth, Watched};
use crate::snapshot::{Diff, Measured, Size, shown};
use crate::store::wire::{Added, Descriptors, Failure, Half, Hello, Request, Tag, Wire, strange};
use crate::store::{Access, Store};
pub use quota::{Grant, Quota};
use serde::Serialize;
use std::io::{self, Read, Write};
use std::slice;
use streams::{receive, send};

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
    serve_as(open, access.into(), Hello::here(), (reader, writer), None)
}

/// The same for a server that says more of itself than what its machine can, takes no more than a quota, and
/// gives up a client of whom nothing is heard, where there are descriptors.
///
/// # Errors
/// As [`serve`] says.
pub(crate) fn serve_as<S: Store + ?Sized>(
    open: impl FnOnce(&Hello) -> Result<Box<S>>,
    grant: Grant,
    here: Hello,
    (reader, writer): (impl Read, impl Write),
    ends: Option<Descriptors>,
) -> Result<()> {
    let mut wire = Wire::new(reader, writer, ends, Half::Server);
    let here = wire.honest(here);
    session(open, grant, here, &mut wire).inspect_err(|error| {
        // If nobody listens any more, the error itself says more than that.
        let _ = fail(&mut wire, error, true);
    })
}

fn session<S: Store + ?Sized, R: Read, W: Write>(
    open: impl FnOnce(&Hello) -> Result<Box<S>>,
    grant: Grant,
    here: Hello,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let Grant { access, quota } = grant;
    let Some(client) = greet(access, here, wire)? else {
        return Ok(());
    };
    let mut store = open(&client)?;
    system::line(|| format!("mode {} was granted", access.letter()));
    let (mut listed, mut added) = (false, Vec::new());
    while let Some((tag, length)) = wire.next_request().map_err(lost)? {
        if tag != Tag::Request {
            return Err(strange("it speaks out of turn"));
        }
        let request: Request = wire.body(length).map_err(lost)?;
        let permitted = request.permitted(access, &added);
        let permitted = permitted.and_then(|()| request.must_be_known_to(&client, "the client"));
        if let Err(refusal) = permitted {
            system::line(|| format!("refused: {refusal}"));
            fail(wire, &refusal, false)?;
            continue;
        }
        match ready(&mut *store, &request, &mut listed, &quota) {
            Ok(room) => turn(&mut *store, request, (&client, room), &mut added, wire)?,
            Err(error) => {
                system::line(|| error.to_string());
                fail(wire, &error, false)?;
            }
        }
    }
    Ok(())
}

/// A store knows what it has listed, and this may be the second connection of a run. How many bytes may
/// come, where there is a limit.
fn ready<S: Store + ?Sized>(
    store: &mut S,
    request: &Request,
    listed: &mut bool,
    quota: &Quota,
) -> Result<Option<u64>> {
    if !*listed && *request != Request::List {
        store.list()?;
    }
    *listed = true;
    match request {
        Request::Receive { .. } | Request::Copy { .. } => quota.room(store),
        _ => Ok(None),
    }
}

/// Hears who calls, and says who we are; `None` if nobody speaks.
fn greet<R: Read, W: Write>(
    access: Access,
    here: Hello,
    wire: &mut Wire<R, W>,
) -> Result<Option<Hello>> {
    let client: Hello = match wire.head().map_err(lost)? {
        Some((Tag::Hello, length)) => wire.body(length).map_err(lost)?,
        Some(_) => return Err(strange("it does not greet")),
        None => return Ok(None),
    };
    let us = Hello {
        mode: Some(access),
        protocol: here.common(&client),
        ..here
    };
    wire.say(Tag::Hello, &us).map_err(lost)?;
    wire.greeted(&us, &client);
    us.agrees(&client, "the client")?;
    Ok(Some(client))
}

/// One request and everything that belongs to it. Of a stream no more comes than there is room for.
fn turn<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    request: Request,
    (client, room): (&Hello, Option<u64>),
    added: &mut Vec<Added>,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    begin(store, &request);
    match request {
        Request::List => reply(wire, store.list().map(|all| client.understands(all))),
        Request::Measure { diffs } if client.protocol < 3 => reply(wire, sizes(store, &diffs)),
        Request::Measure { diffs } => reply(wire, measure(store, &diffs)),
        Request::LessThanWhole { diff } => reply(wire, store.less_than_whole(&diff)),
        Request::Inspect { depth, watch } => inspect(store, depth, watch == Some(true), wire),
        Request::Settle { path } => reply(wire, store.settle(&path)),
        Request::Digest { digest } => {
            let looked = store.digest(&digest).and_then(|looking| looking());
            reply(wire, looked)
        }
        Request::Send { diff, unmended } => send(store, &diff, unmended == Some(true), wire),
        Request::Publish => publish(store, added, wire),
        Request::Receive {
            diff,
            path,
            origin,
            compare,
            hold,
        } => {
            store.will_compare(compare == Some(true));
            // What waits is in no listing, and so not in what a quota counts.
            store.hold(hold == Some(true) && room.is_none());
            store.attribute(origin.map(|origin| (diff.to, origin)).into_iter().collect());
            if receive(store, &diff, &path, room, wire)? {
                added.push((diff.to, path));
            }
            Ok(())
        }
        change => alter(store, change, wire),
    }
}

/// Who asks for a bound is likely to want the stream next: it begins meanwhile, as both read the same tree.
/// Nothing stays begun for who asks for something else.
fn begin<S: Store + ?Sized>(store: &mut S, request: &Request) {
    match request {
        Request::LessThanWhole { diff }
        | Request::Send {
            diff,
            unmended: None,
        } => store.expect(slice::from_ref(diff)),
        _ => store.expect(&[]),
    }
}

/// What was held exists, and the administrator hears of it.
fn publish<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    added: &[Added],
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let published = store.publish();
    for id in published.iter().flatten() {
        let mut added = added.iter().rev();
        let path = added.find(|(to, _)| to == id).map(|(_, path)| shown(path));
        system::line(|| format!("received {id} as {}", path.unwrap_or_default()));
    }
    reply(wire, published)
}

/// Verifies, and tells how far that is to who wants to hear of it: a hundred times for all bytes, and for each
/// name.
fn inspect<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    depth: Depth,
    watch: bool,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    let (mut told, mut said) = (None, Ok(()));
    let far = &mut |watched: Watched| {
        let hundredths = (watched.bytes.saturating_mul(100)).checked_div(watched.total);
        let news = Some((watched.what.clone(), hundredths));
        if watch && said.is_ok() && told != news {
            said = wire.say(Tag::Watched, &watched);
            told = news;
        }
    };
    let found = store.inspect(depth, far);
    said.map_err(lost)?;
    reply(wire, found)
}

/// What changes what is there without a stream: the administrator of this machine hears of it.
fn alter<S: Store + ?Sized, R: Read, W: Write>(
    store: &mut S,
    request: Request,
    wire: &mut Wire<R, W>,
) -> Result<()> {
    match request {
        Request::Copy { from, to } => {
            let done = store.copy(&from, &to);
            let what = || format!("copied {} to {}", shown(&from), shown(&to));
            reply(wire, record(done, what))
        }
        Request::Delete { path } => {
            let done = store.delete(&path);
            reply(wire, record(done, || format!("deleted {}", shown(&path))))
        }
        Request::Reject { path } => {
            let done = store.reject(&path);
            reply(wire, record(done, || format!("rejected {}", shown(&path))))
        }
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
        _ => Err(strange("it asks for something that nobody answers")),
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
    let known = |diff: &Diff| sizes.remove(&diff.key()).unwrap_or_default();
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

fn lost(error: io::Error) -> Error {
    Error::io("the connection to the client is lost", error)
}
