//! Which backup is wanted, and the backups that it builds on. Reads manifests; fetches no data.

use super::Which;
use crate::backup::state::moment;
use crate::error::{Error, Result};
use crate::s3::Client;
use crate::snapshot::{Uuid, shown};
use crate::store::bucket::archive::index::Archive;
use crate::store::bucket::archive::manifest::Manifest;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A backup that is needed.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) key: String,
    pub(super) manifest: Manifest,
    /// The effective UUID of its snapshot. The old program left it out, and only the stream has it.
    pub(super) id: Option<Uuid>,
}

impl Link {
    fn new(key: String, manifest: Manifest) -> Link {
        let id = manifest.snapshot.uuid;
        Link { key, manifest, id }
    }

    /// The name that the stream gives its snapshot.
    pub(super) fn path(&self) -> PathBuf {
        path(&self.manifest)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.manifest.chunks.iter().map(|chunk| chunk.key.as_str())
    }
}

fn path(manifest: &Manifest) -> PathBuf {
    let origin = &manifest.snapshot;
    let name = Path::new(&origin.path).file_name();
    name.map_or_else(|| PathBuf::from(&origin.name), PathBuf::from)
}

fn doing(archive: &Archive) -> String {
    format!("cannot restore {}", shown(&archive.name))
}

/// The key of the manifest that is meant, with remarks for a person.
pub(super) fn choose(archive: &Archive, which: &Which) -> Result<(String, Vec<String>)> {
    if let Which::Key(key) = which {
        return match archive.broken.get(key) {
            Some(why) => Err(broken(archive, key, why)),
            None => Ok((key.clone(), Vec::new())),
        };
    }
    let meant = |made: &Manifest| match which {
        Which::At(time) => moment(&made.created_at).is_some_and(|made| made <= *time),
        Which::Snapshot(name) => *name == made.snapshot.name || path(made) == Path::new(name),
        Which::Newest | Which::Key(_) => true,
    };
    let all = archive.in_order().into_iter();
    let meant: Vec<_> = all.filter(|(_, manifest)| meant(manifest)).collect();
    let mut sound = meant
        .iter()
        .filter(|(key, _)| !archive.broken.contains_key(*key));
    let Some((key, _)) = sound.next_back() else {
        return Err(none(archive, which, meant.last().map(|(key, _)| *key)));
    };
    let mut notes = Vec::new();
    let newest = meant.last().map_or(*key, |(key, _)| *key);
    if let Some(why) = archive.broken.get(newest) {
        notes.push(passed_over(newest, why));
    }
    Ok(match (&archive.current, which) {
        (Some(current), Which::Newest) if current != *key => {
            let chosen = as_pointed(archive, current, key, &mut notes);
            (chosen.to_owned(), notes)
        }
        _ => ((*key).clone(), notes),
    })
}

/// The pointer decides, as long as what it names can be restored.
fn as_pointed<'a>(
    archive: &'a Archive,
    current: &'a str,
    newest: &'a str,
    notes: &mut Vec<String>,
) -> &'a str {
    match (archive.manifests.get(current), archive.broken.get(current)) {
        (Some(_), None) => {
            let newest = shown(newest);
            notes.push(format!(
                "the pointer names an older backup than {newest}; --manifest-key {newest} takes that"
            ));
            current
        }
        (_, Some(why)) => {
            let note = passed_over(current, why);
            if !notes.contains(&note) {
                notes.push(note);
            }
            newest
        }
        (None, None) => {
            notes.push(passed_over(
                current,
                "the pointer names it, and it is missing",
            ));
            newest
        }
    }
}

fn passed_over(key: &str, why: &str) -> String {
    format!("{} cannot be restored: {why}", shown(key))
}

fn broken(archive: &Archive, key: &str, why: &str) -> Error {
    Error::damaged(doing(archive), passed_over(key, why))
}

/// Why there is nothing to restore; `last` was meant, and is broken.
fn none(archive: &Archive, which: &Which, last: Option<&String>) -> Error {
    let last = last.or_else(|| {
        let all = archive.broken.keys().next_back();
        all.filter(|_| *which == Which::Newest)
    });
    if let Some((key, why)) = last.and_then(|key| archive.broken.get_key_value(key)) {
        return broken(archive, key, why);
    }
    let what = match which {
        Which::At(time) => format!("no backup was made before {time}"),
        Which::Snapshot(name) => format!("there is no backup of a snapshot {}", shown(name)),
        Which::Newest | Which::Key(_) => "there are no backups of it".to_owned(),
    };
    let said = format!("{what}; buttersink list --config FILE shows what there is");
    Error::failed(doing(archive), said)
}

/// The backups that it takes to restore one, the full one first.
pub(super) fn follow(client: &Client, archive: &Archive, key: &str) -> Result<Vec<Link>> {
    let (mut links, mut seen, mut next) = (Vec::new(), HashSet::new(), Some(key.to_owned()));
    while let Some(key) = next {
        let wrong = |said: &str| Error::damaged(format!("cannot restore {}", shown(&key)), said);
        if !seen.insert(key.clone()) {
            return Err(wrong("it builds on itself"));
        }
        // One that somebody names may lie anywhere in the bucket.
        let manifest = match archive.manifests.get(&key) {
            Some(manifest) => manifest.clone(),
            None => match client.small(&key)? {
                Some(body) => Manifest::parse(&key, &body)?,
                None => return Err(wrong("there is no such manifest in the bucket")),
            },
        };
        if manifest.subvolume != archive.name {
            let said = format!("it is a backup of {}", shown(&manifest.subvolume));
            return Err(wrong(&said));
        }
        next = manifest.parent_manifest.clone();
        links.push(Link::new(key, manifest));
    }
    links.reverse();
    for at in 1..links.len() {
        // What builds on a backup may know whose snapshot that is.
        let told = links[at].manifest.snapshot.parent_uuid;
        let before = &mut links[at - 1];
        before.id = before.id.or(told);
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn archive(current: Option<&str>, broken: &[&str]) -> Archive {
        let manifest = |day: u64| {
            let text = json!({
                "version": 1, "subvolume": "data", "kind": "full", "total_bytes": 1,
                "created_at": format!("2026010{day}T020000Z"), "chunk_size": 9,
                "snapshot": {"name": format!("s{day}"), "path": format!("/x/p{day}")},
                "chunks": [{"key": "c", "size": 1, "sha256": ""}],
                "s3": {"storage_class": "STANDARD"},
            });
            let key = format!("m{day}");
            let manifest = Manifest::parse(&key, text.to_string().as_bytes()).unwrap();
            (key, manifest)
        };
        let broken = broken
            .iter()
            .map(|key| (key.to_string(), "torn".to_owned()));
        let mut archive = Archive::default();
        archive.name = "data".to_owned();
        archive.manifests = (1..=3).map(manifest).collect();
        archive.current = current.map(str::to_owned);
        archive.broken = broken.collect();
        archive
    }

    #[track_caller]
    fn expect(archive: &Archive, which: &Which, key: &str, note: &str) {
        let (found, notes) = choose(archive, which).unwrap();
        assert_eq!(found, key);
        let notes = notes.join("\n");
        assert!(notes.contains(note), "{notes}");
        assert_eq!(notes.is_empty(), note.is_empty(), "{notes}");
    }

    #[test]
    fn the_newest_is_what_the_pointer_names() {
        let newest = Which::Newest;
        expect(&archive(Some("m3"), &[]), &newest, "m3", "");
        expect(&archive(None, &[]), &newest, "m3", "");
        expect(&archive(Some("m2"), &[]), &newest, "m2", "older backup");
        expect(&archive(Some("m3"), &["m3"]), &newest, "m2", "torn");
        expect(&archive(Some("gone"), &[]), &newest, "m3", "missing");
        expect(&archive(Some("m2"), &["m2"]), &newest, "m3", "torn");
        let all = choose(&archive(Some("m3"), &["m1", "m2", "m3"]), &newest);
        assert!(all.unwrap_err().said.contains("torn"));
        let empty = Archive::default();
        let error = choose(&empty, &newest).unwrap_err();
        assert!(error.said.contains("no backups"), "{error}");
    }

    #[test]
    fn at_a_time_and_by_name() {
        let at = |text: &str| Which::At(text.parse().unwrap());
        let sound = archive(Some("m3"), &[]);
        expect(&sound, &at("2026-01-02T02:00:00Z"), "m2", "");
        expect(&sound, &at("2026-01-02T01:59:59Z"), "m1", "");
        expect(
            &archive(None, &["m2"]),
            &at("2026-01-02T12:00:00Z"),
            "m1",
            "torn",
        );
        assert!(choose(&sound, &at("2025-01-01T00:00:00Z")).is_err());
        let named = |name: &str| Which::Snapshot(name.to_owned());
        expect(&sound, &named("s2"), "m2", "");
        expect(&sound, &named("p2"), "m2", "");
        assert!(choose(&sound, &named("s9")).is_err());
        let torn = choose(&archive(None, &["m2"]), &named("s2")).unwrap_err();
        assert!(torn.said.contains("torn"), "{torn}");
        let key = |key: &str| Which::Key(key.to_owned());
        expect(&sound, &key("elsewhere"), "elsewhere", "");
        assert!(choose(&archive(None, &["m2"]), &key("m2")).is_err());
    }
}
