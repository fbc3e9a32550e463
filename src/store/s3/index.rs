//! What a listing of keys means: diffs, leftovers, hints, and keys that are not ours.

use super::layout::{Key, Name};
use crate::s3::download::Source;
use crate::s3::listing::Object;
use crate::s3::listing::Unfinished;
use crate::snapshot::{Diff, Offer, Size, Snapshot, State, shown};
use crate::store::keys::Archived;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A diff that is there as a whole.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) name: Name,
    pub(super) objects: Vec<Source>,
    /// The key that says that all the objects of a split stream are there.
    pub(super) marker: Option<String>,
    pub(super) modified: Option<Timestamp>,
}

impl Kept {
    pub(super) fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }

    pub(super) fn diff(&self) -> Diff {
        Diff {
            to: self.name.to,
            from: self.name.from,
            size: Size::Exact(self.bytes()),
        }
    }

    /// The keys, the one without which the others mean nothing first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let objects = self.objects.iter().map(|object| object.key.as_str());
        self.marker.as_deref().into_iter().chain(objects)
    }
}

/// What an upload left that was not finished: parts, or objects of a set without its marker.
#[derive(Clone, Debug, Default)]
pub(super) struct Leftover {
    pub(super) uploads: Vec<Unfinished>,
    pub(super) pieces: Vec<Source>,
    started: Option<Timestamp>,
    latest: Option<Timestamp>,
}

impl Leftover {
    /// When a piece of it, or an upload, was last begun or written.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    /// When it was begun, if the service tells.
    pub(super) fn started(&self) -> Option<Timestamp> {
        self.started
    }
}

/// Everything below a prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) kept: Vec<Kept>,
    pub(super) leftovers: BTreeMap<Name, Leftover>,
    /// Paths that have a `.bs` file.
    pub(super) hints: BTreeSet<String>,
    foreign: Vec<String>,
}

/// Where deleted objects go.
pub(super) const TRASH: &str = "trash/";

type Pieces = BTreeMap<u64, (Source, Option<Timestamp>)>;

impl Index {
    /// Of all the objects and unfinished uploads whose keys begin with the prefix.
    pub(super) fn of(prefix: &str, objects: Vec<Object>, uploads: Vec<Unfinished>) -> Index {
        let mut index = Index::default();
        let mut pieces: BTreeMap<Name, Pieces> = BTreeMap::new();
        let mut markers = Vec::new();
        for object in objects {
            let Some(below) = object.key.strip_prefix(prefix) else {
                continue;
            };
            // At the root of the bucket stands what was removed.
            if object.key.starts_with(TRASH) {
                continue;
            }
            let modified = object.modified;
            let key = Key::parse(below);
            let source = Source {
                key: object.key,
                size: object.size,
                etag: object.etag,
            };
            match key {
                Key::Diff(name) => {
                    index.kept.push(Kept {
                        name,
                        objects: vec![source],
                        marker: None,
                        modified,
                    });
                }
                Key::Piece(name, number) => {
                    pieces
                        .entry(name)
                        .or_default()
                        .insert(number, (source, modified));
                }
                Key::Marker(name, count, bytes) => {
                    markers.push((source.key, name, count, bytes, modified));
                }
                Key::Info(path) => drop(index.hints.insert(path)),
                // Another store's, in its own listing.
                Key::Foreign if Archived::parse(&source.key).is_some() => {}
                Key::Foreign => index.foreign.push(source.key),
                Key::Folder => {}
            }
        }
        for marker in markers {
            index.unite(marker, &mut pieces);
        }
        index.add_leftovers(prefix, pieces, uploads);
        index.kept.sort_by(|a, b| a.name.cmp(&b.name));
        index
    }

    /// A marker counts if all its pieces are there.
    fn unite(
        &mut self,
        (key, name, count, bytes, modified): (String, Name, u64, u64, Option<Timestamp>),
        pieces: &mut BTreeMap<Name, Pieces>,
    ) {
        let there = pieces
            .get(&name)
            .into_iter()
            .flat_map(|pieces| pieces.range(1..=count));
        let objects: Vec<Source> = there.map(|(_, (source, _))| source.clone()).collect();
        let kept = Kept {
            name,
            objects,
            marker: Some(key),
            modified,
        };
        if kept.objects.len() as u64 == count && kept.bytes() == bytes {
            pieces.remove(&kept.name);
            self.kept.push(kept);
        } else {
            self.foreign.extend(kept.marker);
        }
    }

    fn add_leftovers(
        &mut self,
        prefix: &str,
        pieces: BTreeMap<Name, Pieces>,
        uploads: Vec<Unfinished>,
    ) {
        for (name, pieces) in pieces {
            let leftover = self.leftovers.entry(name).or_default();
            for (source, modified) in pieces.into_values() {
                leftover.pieces.push(source);
                leftover.started = leftover.started.or(modified);
                leftover.latest = leftover.latest.max(modified);
            }
        }
        for upload in uploads {
            let below = upload.key.strip_prefix(prefix).map(Key::parse);
            if let Some(Key::Diff(name) | Key::Piece(name, _)) = below
                && !upload.key.starts_with(TRASH)
            {
                let leftover = self.leftovers.entry(name).or_default();
                leftover.started = leftover.started.or(upload.started);
                leftover.latest = leftover.latest.max(upload.started);
                leftover.uploads.push(upload);
            }
        }
    }

    /// The diff, wherever it stands.
    pub(super) fn find(&self, diff: &Diff) -> Option<&Kept> {
        self.kept
            .iter()
            .find(|kept| kept.name.to == diff.to && kept.name.from == diff.from)
    }

    /// The diffs that make the snapshot of this path.
    pub(super) fn at(&self, path: &str) -> Vec<&Kept> {
        self.kept
            .iter()
            .filter(|kept| kept.name.path == path)
            .collect()
    }

    pub(super) fn offer(&self) -> Offer {
        let mut diffs: Vec<Diff> = Vec::new();
        let mut seen = BTreeSet::new();
        for kept in &self.kept {
            if seen.insert((kept.name.to, kept.name.from)) {
                diffs.push(kept.diff());
            }
        }
        Offer::Only(diffs)
    }

    /// One for each path and UUID, then the leftovers, all in the order of their paths.
    pub(super) fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots: BTreeMap<(String, [u8; 16]), Snapshot> = BTreeMap::new();
        for kept in &self.kept {
            let name = &kept.name;
            let entry = snapshots.entry((name.path.clone(), name.to.0));
            let created = kept.modified.map(Timestamp::as_second);
            let snapshot = entry.or_insert_with(|| snapshot(name, name.path.clone(), State::Ok));
            snapshot.created = snapshot.created.max(created);
        }
        for (name, leftover) in &self.leftovers {
            let mut partial = snapshot(name, name.to_string(), State::Partial);
            partial.created = leftover.started.map(Timestamp::as_second);
            snapshots.insert((name.to_string(), name.to.0), partial);
        }
        snapshots.into_values().collect()
    }

    /// One remark about all the keys that are not ours.
    pub(super) fn foreign(&self) -> Option<String> {
        let example = shown(self.foreign.first()?);
        Some(match self.foreign.len() {
            1 => format!("ignoring a key that is not a snapshot's: {example}"),
            n => format!("ignoring {n} keys that are not snapshots', such as {example}"),
        })
    }

    /// Paths under which several snapshots stand.
    pub(super) fn shared(&self) -> Vec<String> {
        let mut uuids: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
        for kept in &self.kept {
            uuids
                .entry(&kept.name.path)
                .or_default()
                .insert(kept.name.to);
        }
        let several = uuids.into_iter().filter(|(_, uuids)| uuids.len() > 1);
        several.map(|(path, _)| path.to_owned()).collect()
    }
}

fn snapshot(name: &Name, path: String, state: State) -> Snapshot {
    Snapshot {
        path: path.into(),
        uuid: name.to,
        read_only: state == State::Ok,
        state,
        ..Snapshot::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;

    fn object(key: String, size: u64) -> Object {
        Object {
            key,
            size,
            etag: "e".to_owned(),
            modified: None,
        }
    }

    #[test]
    fn a_set_counts_only_with_its_marker_and_all_its_pieces() {
        let name = Name {
            path: "s".to_owned(),
            to: Uuid([1; 16]),
            from: None,
        };
        let piece = |n: u64| object(format!("p/{name}.{n}"), 10);
        let marker = object(format!("p/{}", name.marker(2, 20)), 5);
        for (objects, whole) in [
            (vec![piece(1), piece(2), marker.clone()], true),
            (vec![piece(1), piece(2)], false),
            (vec![piece(2), marker.clone()], false),
            (
                vec![piece(1), object(format!("p/{name}.2"), 9), marker.clone()],
                false,
            ),
        ] {
            let index = Index::of("p/", objects, Vec::new());
            assert_eq!(index.kept.len(), usize::from(whole));
            assert_eq!(index.leftovers.len(), usize::from(!whole));
            let state = index.snapshots()[0].state;
            assert_eq!(state, if whole { State::Ok } else { State::Partial });
            if whole {
                assert_eq!(index.kept[0].diff().size, Size::Exact(20));
                assert_eq!(index.kept[0].keys().next(), Some(&marker.key[..]));
            }
        }
    }

    #[test]
    fn foreign_keys_are_one_remark_and_trash_is_none() {
        let keys = ["a.txt", "b.txt", "trash/x", "dir/", "x.bs"];
        let objects = keys.map(|key| object(key.to_owned(), 1)).to_vec();
        let index = Index::of("", objects, Vec::new());
        assert!(index.foreign().unwrap().contains("2 keys"));
        assert!(index.hints.contains("x") && index.snapshots().is_empty());
    }
}
