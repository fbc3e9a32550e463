//! A drill: chains of stored streams are tried where they can be, so that it is said of those only
//! that they can be received. Which chains, and what follows from one that fails; where they are tried
//! is the trial's business.

use super::{Verification, is_sound};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener, Watched};
use crate::process;
use crate::proof::{Seen, Verdict};
use crate::snapshot::{Diff, Pair, Snapshot, Uuid, shown};
use crate::store::Store;
use crate::stream::Head;
use crate::stream::rehearsal::Model;
use crate::stream::stored::{Rehearsed, rehearse};
use crate::stream::tree::Tree;
use crate::sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::rc::Rc;

/// Where streams are tried, one after the other, what they build on before.
pub trait Trial {
    /// Tries a stored stream whose parent was tried before, and tells how many bytes of it were read.
    ///
    /// # Errors
    /// If a signal asks to stop.
    fn attempt(
        &mut self,
        store: &mut dyn Store,
        diff: &Diff,
        far: &mut dyn FnMut(u64),
    ) -> Result<DrillOutcome>;

    /// What can be said of a stream that passed: `rehearsed`.
    fn how(&self) -> String;
}

/// What became of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DrillOutcome {
    /// It applies.
    Applies,
    /// It does not, and why.
    Fails(String),
    /// It could not be tried, and why: no fault of the stream.
    Untried(String),
}

/// How much is drawn at random, where not all is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sample {
    /// So many chains, chosen at random.
    Chains(usize),
    /// Chains, until that many bytes are in them, but one at least.
    Bytes(u64),
}

/// Tries chains of what a store holds, all or so many that are drawn, and adds to the report what came
/// of it. Returns the paths of the snapshots whose chains were drawn.
///
/// # Errors
/// If the store keeps no streams, or a signal asks to stop.
pub fn drill(
    report: &mut Verification,
    store: &mut dyn Store,
    trial: &mut dyn Trial,
    sample: Option<Sample>,
    listener: &mut Listener,
) -> Result<Vec<String>> {
    let Some(diffs) = report.listing.offer.stored() else {
        let doing = format!("cannot make a drill of {}", report.listing.location);
        return Err(Error::usage(doing, "it keeps no streams"));
    };
    let sound = report.listing.snapshots.iter().filter(|s| is_sound(s));
    let sound: Vec<Snapshot> = sound.cloned().collect();
    // Of twins, the first.
    let known: BTreeMap<Uuid, &Snapshot> = sound.iter().rev().map(|s| (s.id(), s)).collect();
    let stored = diffs.iter().map(|diff| (diff.pair(), diff.clone()));
    let stored: HashMap<Pair, Diff> = stored.collect();
    let ways = report.listing.offer.graph().shortest();
    let mut drawn = ways.order().to_vec();
    drawn.retain(|id| known.contains_key(id));
    if let Some(sample) = sample {
        let bytes = |drawn: &BTreeSet<Uuid>| {
            let links = drawn.iter().flat_map(|&id| ways.chain(id));
            total(&links.collect::<Vec<Pair>>(), &stored)
        };
        drawn = draw(drawn, sample, &bytes)?;
    }
    let name = |id: Uuid| known.get(&id).map_or(id.to_string(), |s| shown(&s.path));
    let links: Vec<Pair> = drawn.iter().flat_map(|&id| ways.chain(id)).collect();
    let tried = try_links(&links, &stored, &name, (store, trial), listener)?;
    for snapshot in &sound {
        if let Some(verdict) = verdict(&ways.chain(snapshot.id()), &tried, &name, &trial.how()) {
            report.add(snapshot, verdict, true);
        }
    }
    Ok(drawn.into_iter().map(name).collect())
}

/// Bytes of links, each counted once.
fn total(links: &[Pair], stored: &HashMap<Pair, Diff>) -> u64 {
    let once: BTreeSet<&Pair> = links.iter().collect();
    let bytes = once
        .into_iter()
        .map(|pair| stored[pair].size.bytes().unwrap_or(0));
    bytes.fold(0, u64::saturating_add)
}

/// Tries links, each once, and only where what it builds on applies.
fn try_links(
    links: &[Pair],
    stored: &HashMap<Pair, Diff>,
    name: &dyn Fn(Uuid) -> String,
    (store, trial): (&mut dyn Store, &mut dyn Trial),
    listener: &mut Listener,
) -> Result<BTreeMap<Uuid, DrillOutcome>> {
    let (total, mut before) = (total(links, stored), 0_u64);
    let mut tried: BTreeMap<Uuid, DrillOutcome> = BTreeMap::new();
    for &(to, from) in links {
        let applies = |from| tried.get(&from) == Some(&DrillOutcome::Applies);
        if !from.is_none_or(applies) || tried.contains_key(&to) {
            continue;
        }
        process::check("the drill")?;
        let diff = &stored[&(to, from)];
        let far = &mut |read| {
            let (what, bytes) = (name(to), before.saturating_add(read));
            listener(Event::Verifying(Watched { what, bytes, total }));
        };
        far(0);
        tried.insert(to, trial.attempt(store, diff, far)?);
        before = before.saturating_add(diff.size.bytes().unwrap_or(0));
    }
    Ok(tried)
}

/// What is known of the last link of a chain; `None` if it was not tried, and nothing that it builds
/// on failed.
fn verdict(
    chain: &[Pair],
    tried: &BTreeMap<Uuid, DrillOutcome>,
    name: &dyn Fn(Uuid) -> String,
    how: &str,
) -> Option<Verdict> {
    let (last, _) = chain.last()?;
    for (link, _) in chain {
        let (at, own) = (name(*link), link == last);
        return Some(match tried.get(link)? {
            DrillOutcome::Applies if own => Verdict::seen(
                Seen::Applies,
                match chain.len() {
                    1 => how.to_owned(),
                    links => format!("{how}, with the {} that it builds on", links - 1),
                },
            ),
            DrillOutcome::Applies => continue,
            DrillOutcome::Fails(why) if own => {
                Verdict::Different(format!("it cannot be received: {why}"))
            }
            DrillOutcome::Fails(why) => Verdict::Different(format!(
                "it builds on {at}, which cannot be received: {why}"
            )),
            DrillOutcome::Untried(why) if own => Verdict::Unverifiable(format!("not tried: {why}")),
            DrillOutcome::Untried(why) => {
                Verdict::Unverifiable(format!("it builds on {at}, which was not tried: {why}"))
            }
        });
    }
    None
}

/// So many at random, each as likely as any other.
fn draw(
    mut all: Vec<Uuid>,
    sample: Sample,
    bytes: &dyn Fn(&BTreeSet<Uuid>) -> u64,
) -> Result<Vec<Uuid>> {
    let mut drawn = BTreeSet::new();
    let enough = |drawn: &BTreeSet<Uuid>| match sample {
        Sample::Chains(count) => drawn.len() >= count,
        Sample::Bytes(least) => !drawn.is_empty() && bytes(drawn) >= least,
    };
    while !enough(&drawn) && !all.is_empty() {
        let random = sys::random().map_err(|error| Error::io("cannot draw a sample", error))?;
        let at = random % all.len() as u64;
        drawn.insert(all.swap_remove(at as usize));
    }
    Ok(drawn.into_iter().collect())
}

/// A stream of which is told how much was read.
struct Counted<'a, R> {
    from: R,
    read: u64,
    far: &'a mut dyn FnMut(u64),
}

impl<'a, R> Counted<'a, R> {
    fn new(from: R, far: &'a mut dyn FnMut(u64)) -> Counted<'a, R> {
        Counted { from, read: 0, far }
    }
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let n = self.from.read(into)?;
        self.read += n as u64;
        (self.far)(self.read);
        Ok(n)
    }
}

/// A store in which what is tried is received for good.
pub struct ReceiveTrial<'a> {
    store: &'a mut dyn Store,
    place: String,
    count: usize,
}

/// With less than so much room, an error may be for want of it.
const ROOM: u64 = 64 << 20;

impl<'a> ReceiveTrial<'a> {
    /// Receives into a store, under names of its own; `place` is for people.
    pub fn into(store: &'a mut dyn Store, place: String) -> ReceiveTrial<'a> {
        ReceiveTrial {
            store,
            place,
            count: 0,
        }
    }

    /// A stream that arrived whole and could not be received is at fault, unless the disk is full.
    fn refused(&mut self, error: &Error) -> Result<DrillOutcome> {
        let free = self.store.list().ok().and_then(|listing| listing.free);
        Ok(match error.kind {
            Kind::Interrupted => return Err(error.clone()),
            _ if free.is_none_or(|free| free < ROOM) => DrillOutcome::Untried(error.to_string()),
            _ => DrillOutcome::Fails(error.to_string()),
        })
    }
}

impl Trial for ReceiveTrial<'_> {
    fn attempt(
        &mut self,
        store: &mut dyn Store,
        diff: &Diff,
        far: &mut dyn FnMut(u64),
    ) -> Result<DrillOutcome> {
        self.count += 1;
        let path = self.count.to_string();
        let mut stream = match store.send(diff) {
            Ok(stream) => Counted::new(stream, far),
            Err(error) => return unread(error),
        };
        let mut sink = match self.store.receive(diff, path.as_ref()) {
            Ok(sink) => sink,
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => return Ok(DrillOutcome::Untried(error.to_string())),
        };
        let mut piece = vec![0; 1 << 20];
        let written = loop {
            process::check("the drill")?;
            match stream.read(&mut piece) {
                Ok(0) => break sink.finish().map(|_| ()),
                Ok(n) => {
                    if let Err(error) = sink.write_all(&piece[..n]) {
                        drop(sink);
                        break Err(Error::io("cannot receive it", error));
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return unread(Error::io("cannot read it", error)),
            }
        };
        match written {
            Ok(()) => Ok(DrillOutcome::Applies),
            Err(error) => self.refused(&error),
        }
    }

    fn how(&self) -> String {
        format!("received in {}", self.place)
    }
}

/// The model of a tree: nothing is received, and no disk is needed.
#[derive(Default)]
pub struct RehearsalTrial {
    /// What the streams made that were rehearsed.
    made: BTreeMap<Uuid, Rc<Model<'static>>>,
}

impl Trial for RehearsalTrial {
    fn attempt(
        &mut self,
        store: &mut dyn Store,
        diff: &Diff,
        far: &mut dyn FnMut(u64),
    ) -> Result<DrillOutcome> {
        let parent = match diff.from {
            None => None,
            Some(from) => match self.made.get(&from) {
                Some(model) => Some(Rc::clone(model) as Rc<dyn Tree>),
                None => return Ok(DrillOutcome::Untried("its parent is too large".to_owned())),
            },
        };
        let stream = match store.send(diff) {
            Ok(stream) => Counted::new(stream, far),
            Err(error) => return unread(error),
        };
        let must_make = |head: &mut Head| {
            head.must_make(diff.to, diff.from, "another snapshot's stream is there")
        };
        match rehearse(stream, parent, must_make) {
            Ok(Rehearsed::Whole(model)) => {
                self.made.insert(diff.to, Rc::from(model));
                Ok(DrillOutcome::Applies)
            }
            Ok(Rehearsed::TooLarge) => Ok(DrillOutcome::Untried(
                "it touches too many files to be kept in mind; --scratch receives it".to_owned(),
            )),
            Err(error) if error.kind == Kind::Unreceivable => {
                Ok(DrillOutcome::Fails(error.to_string()))
            }
            Err(error) => unread(error),
        }
    }

    fn how(&self) -> String {
        "rehearsed".to_owned()
    }
}

/// A stream that could not be read; at fault itself only if it is damaged.
fn unread(error: Error) -> Result<DrillOutcome> {
    match error.kind {
        Kind::Interrupted => Err(error),
        Kind::Damaged | Kind::Restarted => Ok(DrillOutcome::Fails(error.to_string())),
        _ => Ok(DrillOutcome::Untried(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Graph;

    #[test]
    fn the_link_that_fails_is_named() {
        let pairs = [(3, Some(2)), (1, None), (2, Some(1)), (9, Some(8))];
        let id = |n| Uuid([n; 16]);
        let pairs = pairs.map(|(to, from)| (id(to), from.map(id)));
        let ways = pairs.into_iter().collect::<Graph>().shortest();
        let tried = BTreeMap::from([
            (id(1), DrillOutcome::Applies),
            (id(2), DrillOutcome::Fails("no such file".to_owned())),
        ]);
        let of = |n| {
            let name = |id: Uuid| format!("s{}", id.0[0]);
            verdict(&ways.chain(id(n)), &tried, &name, "rehearsed")
        };
        assert_eq!(of(1), Some(Verdict::seen(Seen::Applies, "rehearsed")));
        assert_eq!(of(2).unwrap().rank(), 2);
        let words = "it builds on s2, which cannot be received: no such file";
        assert_eq!(of(3), Some(Verdict::Different(words.to_owned())));
    }

    #[test]
    fn a_sample_has_each_once() {
        let all: Vec<Uuid> = (0..9).map(|n| Uuid([n; 16])).collect();
        let drawn = |sample| draw(all.clone(), sample, &|drawn| 10 * drawn.len() as u64).unwrap();
        assert_eq!(drawn(Sample::Chains(20)), all);
        assert_eq!(drawn(Sample::Bytes(1000)), all);
        assert_eq!(drawn(Sample::Bytes(21)).len(), 3);
        assert_eq!(drawn(Sample::Bytes(0)).len(), 1);
        assert_eq!(drawn(Sample::Chains(3)).len(), 3);
        assert!(drawn(Sample::Chains(0)).is_empty());
    }
}
