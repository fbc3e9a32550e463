//! What a listing of keys means: diffs, leftovers, hints, and keys that are not ours.

use super::TRASH;
use super::name::{Key, Name};
use crate::objects::{Inventory, Object, Source, Unfinished, Unread};
use crate::prices::freezes;
use crate::snapshot::shown;
use crate::store::bucket::kept::{Kept, UnfinishedStream};
use crate::store::bucket::keys::is_archived;
use crate::text::counted;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything below a prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) kept: Vec<Kept>,
    /// Parts, and objects of a set without its marker, by the name of the diff.
    pub(super) leftovers: BTreeMap<String, UnfinishedStream>,
    /// Paths that have a `.bs` file.
    pub(super) hints: BTreeSet<String>,
    /// What is there and could not be looked at.
    pub(super) unread: Vec<Unread>,
    /// Keys of streams that must be thawed to be read, as their class says.
    frozen: Vec<String>,
    foreign: Vec<String>,
}

type Pieces = BTreeMap<u64, Object>;

/// What is wrong with an object that has a stream's key.
const NO_STREAM: &str = "it has no bytes";

impl Index {
    /// Of all the objects and unfinished uploads whose keys begin with the prefix.
    pub(super) fn of(prefix: &str, found: Inventory) -> Index {
        let mut index = Index::default();
        let mut pieces: BTreeMap<Name, Pieces> = BTreeMap::new();
        let mut markers = Vec::new();
        for object in found.objects {
            // At the root of the bucket stands what was removed.
            let Some(below) = below(prefix, &object.key) else {
                continue;
            };
            if freezes(&object.class) && !is_archived(&object.key) {
                index.frozen.push(object.key.clone());
            }
            match Key::parse(below) {
                Key::Diff(name) => index.kept.push(in_one(&name, object)),
                Key::Piece(name, number) => {
                    pieces.entry(name).or_default().insert(number, object);
                }
                Key::Marker(name, count, bytes) => markers.push((object, name, count, bytes)),
                Key::Info(path) => drop(index.hints.insert(path)),
                // Another store's, in its own listing.
                Key::Foreign if is_archived(&object.key) => {}
                Key::Foreign => index.foreign.push(object.key),
                Key::Folder => {}
            }
        }
        for marker in markers {
            index.unite(marker, &mut pieces);
        }
        index.add_leftovers(prefix, pieces, found.uploads);
        index.add_unread(prefix, found.unread);
        index.kept.sort_by_key(Name::of);
        index
    }

    /// A marker counts if all its pieces are there.
    fn unite(
        &mut self,
        (marker, name, count, bytes): (Object, Name, u64, u64),
        pieces: &mut BTreeMap<Name, Pieces>,
    ) {
        let there = pieces.get(&name).into_iter();
        let there = there.flat_map(|pieces| pieces.range(1..=count));
        let classes = there.clone().map(|(_, object)| &object.class);
        let class = classes.max().cloned().unwrap_or_default();
        let objects = there
            .map(|(_, object)| Source::from(object.clone()))
            .collect();
        let created = marker.modified.map(Timestamp::as_second);
        let mut kept = name.kept(objects, created);
        if kept.objects.len() as u64 == count && kept.bytes() == bytes {
            pieces.remove(&name);
            (kept.marker, kept.class) = (Some(marker.key), class);
            self.kept.push(kept);
        } else {
            self.foreign.push(marker.key);
        }
    }

    fn add_leftovers(
        &mut self,
        prefix: &str,
        pieces: BTreeMap<Name, Pieces>,
        uploads: Vec<Unfinished>,
    ) {
        for (name, pieces) in pieces {
            let leftover = self.leftover(&name);
            pieces.into_values().for_each(|piece| leftover.add(piece));
        }
        for upload in uploads {
            let key = below(prefix, &upload.key).map(Key::parse);
            if let Some(Key::Diff(name) | Key::Piece(name, _)) = key {
                self.leftover(&name).uploads.push(upload);
            }
        }
    }

    /// What could not be looked at may be what makes a stream of what seems to be left. Hints are there, too.
    fn add_unread(&mut self, prefix: &str, mut unread: Vec<Unread>) {
        let is_apart = |key: &str| {
            // What was removed, and another store's, in its own listing.
            key.starts_with(TRASH) || is_archived(key) || is_folder_of_archive(key)
        };
        unread.retain(|unread| !is_apart(&unread.key));
        let hints = unread
            .iter()
            .filter_map(|unread| below(prefix, &unread.key));
        self.hints
            .extend(hints.filter_map(|key| match Key::parse(key) {
                Key::Info(path) => Some(path),
                _ => None,
            }));
        self.leftovers.retain(|name, _| {
            let stem = format!("{prefix}{name}");
            !unread.iter().any(|unread| unread.concerns(&stem))
        });
        self.unread = unread;
    }

    /// What may be at keys that begin so, and could not be looked at.
    pub(super) fn unread_at(&self, key: &str) -> Option<&Unread> {
        self.unread.iter().find(|unread| unread.concerns(key))
    }

    fn leftover(&mut self, name: &Name) -> &mut UnfinishedStream {
        let leftover = self.leftovers.entry(name.to_string()).or_default();
        leftover.id = name.to;
        leftover
    }

    /// What has a stream's key and is none.
    pub(super) fn losses(&self) -> impl Iterator<Item = String> {
        let broken = self
            .kept
            .iter()
            .filter_map(|kept| Some((kept, kept.broken.as_ref()?)));
        broken.map(|(kept, why)| {
            format!(
                "{} cannot be restored: {why}",
                shown(Name::of(kept).to_string())
            )
        })
    }

    /// One remark about all the keys that are not ours.
    pub(super) fn foreign(&self) -> Option<String> {
        let example = shown(self.foreign.first()?);
        Some(match self.foreign.len() {
            1 => format!("ignoring a key that is not a snapshot's: {example}"),
            n => format!("ignoring {n} keys that are not snapshots', such as {example}"),
        })
    }

    /// One remark about all that is in a class from which it must be thawed.
    pub(super) fn cold(&self) -> Option<String> {
        let example = shown(self.frozen.first()?);
        let count = counted(self.frozen.len() as u64, "object");
        Some(format!(
            "{count} in a class that must be thawed to be read, such as {example}; what is frozen cannot be \
             copied to {TRASH}, and goes for good when it is deleted"
        ))
    }

    /// Paths under which several snapshots stand.
    pub(super) fn shared(&self) -> Vec<String> {
        let mut uuids: BTreeMap<&str, BTreeSet<_>> = BTreeMap::new();
        for kept in &self.kept {
            uuids.entry(&kept.path).or_default().insert(kept.to);
        }
        let several = uuids.into_iter().filter(|(_, uuids)| uuids.len() > 1);
        several.map(|(path, _)| path.to_owned()).collect()
    }
}

/// A stream that is one object, or nothing.
fn in_one(name: &Name, object: Object) -> Kept {
    let created = object.modified.map(Timestamp::as_second);
    Kept {
        class: object.class.clone(),
        broken: (object.size == 0).then(|| NO_STREAM.to_owned()),
        ..name.kept(vec![Source::from(object)], created)
    }
}

/// Whether whatever is in it is an archive's.
fn is_folder_of_archive(key: &str) -> bool {
    key.ends_with('/') && is_archived(&format!("{key}manifest-T.json"))
}

/// The rest of a key below the prefix, unless it was removed.
fn below<'a>(prefix: &str, key: &'a str) -> Option<&'a str> {
    key.strip_prefix(prefix).filter(|_| !key.starts_with(TRASH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Size, Uuid};

    fn object(key: String, size: u64) -> Object {
        Object {
            key,
            size,
            etag: "e".to_owned(),
            ..Object::default()
        }
    }

    fn found(objects: Vec<Object>) -> Inventory {
        Inventory {
            objects,
            ..Inventory::default()
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
            let index = Index::of("p/", found(objects));
            assert_eq!(index.kept.len(), usize::from(whole));
            assert_eq!(index.leftovers.len(), usize::from(!whole));
            let partial = index.leftovers.contains_key(&name.to_string());
            assert_eq!(partial, !whole);
            if whole {
                assert_eq!(index.kept[0].diff().size, Size::Exact(20));
                assert_eq!(index.kept[0].keys().next(), Some(&marker.key));
            }
        }
    }

    /// Its pieces are not what a run left.
    #[test]
    fn a_set_whose_marker_cannot_be_looked_at_is_no_leftover() {
        let name = Name {
            path: "s".to_owned(),
            to: Uuid([1; 16]),
            from: None,
        };
        let piece = |n: u64| object(format!("p/{name}.{n}"), 10);
        for (key, left) in [
            (format!("p/{}", name.marker(2, 20)), 0),
            ("p/s/".to_owned(), 0),
            ("p/".to_owned(), 0),
            ("p/t/".to_owned(), 1),
            ("p/subvol/s/full/".to_owned(), 1),
        ] {
            let why = String::new();
            let found = Inventory {
                objects: vec![piece(1), piece(2)],
                unread: vec![Unread {
                    key: key.clone(),
                    why,
                }],
                ..Inventory::default()
            };
            assert_eq!(Index::of("p/", found).leftovers.len(), left, "{key}");
        }
    }

    #[test]
    fn hints_that_cannot_be_looked_at_are_there() {
        let unread = ["p/s.bs", "p/t/"].map(|key| Unread {
            key: key.to_owned(),
            why: String::new(),
        });
        let found = Inventory {
            unread: unread.to_vec(),
            ..Inventory::default()
        };
        let index = Index::of("p/", found);
        assert!(index.hints.contains("s") && index.hints.len() == 1);
    }

    /// Whatever made it, nobody can receive it, and nothing is there for it.
    #[test]
    fn an_object_without_bytes_is_no_snapshot() {
        let key = |to: u8| {
            let (path, to) = (to.to_string(), Uuid([to; 16]));
            let name = Name {
                path,
                to,
                from: None,
            };
            format!("p/{name}")
        };
        let index = Index::of("p/", found(vec![object(key(1), 0), object(key(2), 9)]));
        let losses: Vec<_> = index.losses().collect();
        assert!(
            losses.len() == 1 && losses[0].starts_with("1/"),
            "{losses:?}"
        );
        let broken = index.kept.iter().filter(|kept| kept.broken.is_some());
        assert_eq!(broken.map(|kept| &*kept.path).collect::<Vec<_>>(), ["1"]);
    }

    #[test]
    fn foreign_keys_are_one_remark_and_trash_is_none() {
        let keys = ["a.txt", "b.txt", "trash/x", "dir/", "x.bs"];
        let objects = keys.map(|key| object(key.to_owned(), 1)).to_vec();
        let index = Index::of("", found(objects));
        assert!(index.foreign().unwrap().contains("2 keys"));
        assert!(index.hints.contains("x") && index.kept.is_empty());
    }
}
