//! Sends every snapshot of a history whole, and every one out of every other one, through the
//! library, and compares what arrives. Counts, and says what was wrong; judges no history.

use super::compare::{Difference, Tree};
use super::work::Work;
use crate::support::{here, local_options};
use buttersink::snapshot::{Diff, Size, Uuid};
use buttersink::store::local::{Local, LocalOptions};
use buttersink::store::{Access, ReceiveWith, Store};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A parent, if any, and a child: the steps after which they were made.
pub(crate) type Pair = (Option<usize>, usize);

/// What was wrong with a pair: its kinds, and words for a person.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) pair: Pair,
    pub(crate) kinds: Vec<String>,
    pub(crate) words: String,
}

/// What came of the pairs of a history.
#[derive(Clone, Default, Debug)]
pub(crate) struct Table {
    pub(crate) tried: usize,
    /// The source would not send it; the whole arrived.
    pub(crate) refused: Vec<String>,
    pub(crate) faults: Vec<Fault>,
}

impl Table {
    /// How many pairs each kind of fault was seen in.
    pub(crate) fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut count = BTreeMap::new();
        for kind in self.faults.iter().flat_map(|fault| &fault.kinds) {
            *count.entry(kind.as_str()).or_default() += 1;
        }
        count
    }
}

/// The two stores, and the trees of the source as they were read.
pub(crate) struct Pairs<'a> {
    work: &'a mut Work,
    source: Local,
    dest: Local,
    ids: BTreeMap<usize, Uuid>,
    trees: BTreeMap<usize, Tree>,
    table: Table,
    /// What is measured is an upper bound then.
    compressed: bool,
}

fn open(dir: &Path, access: Access, compressed: bool, receive_with: Option<ReceiveWith>) -> Local {
    let options = LocalOptions {
        compressed,
        receive_with,
        ..local_options()
    };
    let mut store = Local::open(dir, access, options).expect("a store");
    store.list().expect("a listing");
    store
}

impl<'a> Pairs<'a> {
    /// Of a history that has been made, into an empty filesystem at `dest`; with protocol 2, where the
    /// kernel and the tools can, if `compressed`.
    pub(crate) fn new(
        work: &'a mut Work,
        dest: &Path,
        compressed: bool,
        way: Option<ReceiveWith>,
    ) -> Pairs<'a> {
        let mut source = open(&work.fs.join("s"), Access::Read, compressed, way);
        let snapshots = source.list().expect("a listing").snapshots;
        let number = |path: &Path| path.to_str().and_then(|name| name.parse().ok());
        let ids = snapshots
            .iter()
            .filter_map(|s| Some((number(&s.path)?, s.id())))
            .collect();
        Pairs {
            work,
            source,
            dest: open(dest, Access::Write, compressed, way),
            ids,
            trees: BTreeMap::new(),
            table: Table::default(),
            compressed,
        }
    }

    /// All of them.
    pub(crate) fn all(mut self) -> Table {
        let steps: Vec<usize> = self.ids.keys().copied().collect();
        for step in &steps {
            self.one((None, *step));
        }
        for parent in &steps {
            for child in steps.iter().filter(|child| *child != parent) {
                self.one((Some(*parent), *child));
            }
        }
        self.table
    }

    /// One of them, with its parent's whole.
    pub(crate) fn only(mut self, pair: Pair) -> Table {
        let there = |step: &usize| self.ids.contains_key(step);
        if !there(&pair.1) || !pair.0.iter().all(there) {
            return self.table;
        }
        if let Some(parent) = pair.0 {
            self.one((None, parent));
            self.table = Table::default();
        }
        self.one(pair);
        self.table
    }

    fn one(&mut self, pair: Pair) {
        let name = match pair.0 {
            None => format!("whole{}", pair.1),
            Some(_) => "pair".to_owned(),
        };
        let diff = Diff::new(
            self.ids[&pair.1],
            pair.0.map(|parent| self.ids[&parent]),
            Size::Unknown,
        );
        self.table.tried += usize::from(pair.0.is_some());
        let (measured, stream) = match self.stream(&diff) {
            Ok(stream) => stream,
            Err(error) if pair.0.is_some() => return self.table.refused.push(error),
            Err(error) => return self.fault(pair, vec!["unsent".to_owned()], error),
        };
        if measured.is_some_and(|bytes| bytes != stream.len() as u64) {
            let words = format!("measured {measured:?}, sent {}", stream.len());
            self.fault(pair, vec!["size".to_owned()], words);
        }
        let path = PathBuf::from(&name);
        if let Err(error) = receive(&mut self.dest, &diff, &path, &stream) {
            return self.fault(pair, vec![format!("apply: {}", doing(&error))], error);
        }
        self.compare(pair, &name);
        if pair.0.is_some() {
            self.dest.delete(&path).expect("what was received");
        }
    }

    /// Its length as it was measured, if that is exact, and its bytes; else why the source will not.
    fn stream(&mut self, diff: &Diff) -> Result<(Option<u64>, Vec<u8>), String> {
        let sizes = self
            .source
            .measure(std::slice::from_ref(diff))
            .map_err(|e| e.to_string())?;
        let measured = sizes.get(&diff.key()).cloned().unwrap_or_default();
        if let Some(why) = measured.refused {
            return Err(why);
        }
        let mut bytes = Vec::new();
        let mut stream = self.source.send(diff).map_err(|e| e.to_string())?;
        stream.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        let exact = !self.compressed && measured.size.is_exact();
        Ok((measured.size.bytes().filter(|_| exact), bytes))
    }

    fn compare(&mut self, pair: Pair, name: &str) {
        let path = self.work.snapshot_path(pair.1);
        let hands = &mut self.work.hands;
        let ours = self.trees.entry(pair.1);
        let ours = ours.or_insert_with(|| Tree::read(&path, hands));
        let theirs = Tree::read(&here().join("b").join(name), hands);
        assert!(ours.len() > 0);
        let found = ours.differences(&theirs);
        if !found.is_empty() {
            let mut kinds: Vec<String> = found.iter().map(|d| d.kind.clone()).collect();
            kinds.sort();
            kinds.dedup();
            self.fault(pair, kinds, shown(&found));
        }
    }

    fn fault(&mut self, pair: Pair, kinds: Vec<String>, words: String) {
        self.table.faults.push(Fault { pair, kinds, words });
    }
}

fn receive(dest: &mut Local, diff: &Diff, path: &Path, stream: &[u8]) -> Result<(), String> {
    let mut sink = dest.receive(diff, path).map_err(|e| e.to_string())?;
    sink.write_all(stream).map_err(|e| e.to_string())?;
    sink.finish().map(drop).map_err(|e| e.to_string())
}

/// What could not be done, in the first word that the receiver has for it. Of a long value it does not
/// get to the word.
fn doing(error: &str) -> &str {
    match error.split_once("ERROR: ") {
        _ if error.contains("No space left") => "no space",
        Some((_, said)) => said.split(' ').next().unwrap_or(said),
        None => error,
    }
}

fn shown(differences: &[Difference]) -> String {
    let line = |d: &Difference| format!("{}: {:?}: {}\n", d.kind, d.path, d.how);
    let more = differences.len().saturating_sub(12);
    let lines: String = differences.iter().take(12).map(line).collect();
    match more {
        0 => lines,
        _ => format!("{lines}and {more} more\n"),
    }
}
