//! What is remembered of the last scheduled runs: a JSON file that the old program wrote too. A
//! cache: whoever reads it must do without it as well.

use super::config::{ARCHIVE, ArchiveConfig, Config, SubvolumeConfig};
use super::names;
use super::room::{RoomHistory, RoomSeen};
use super::schedule::Past;
use crate::archive::Stamp;
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Snapshot, Uuid, shown};
use crate::sys::secure_open;
use crate::sys::whole_file::write_whole;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Everything that is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunState {
    /// The configuration whose run wrote it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// When the last run was.
    pub last_run_at: Option<Stamp>,
    /// By the names of backups.
    pub subvolumes: BTreeMap<String, Last>,
    /// What was free at places, by their locations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub room: BTreeMap<String, RoomHistory>,
    /// Why nothing is known of what was written down, if so.
    #[serde(skip)]
    pub unread: Option<String>,
}

/// The last backup of a subvolume.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Last {
    /// Its snapshot: an absolute path.
    pub last_snapshot: Option<PathBuf>,
    /// The key of its manifest.
    pub last_manifest: Option<String>,
    /// When the last full one was.
    pub last_full_at: Option<Stamp>,
    /// Destinations that have not got the last snapshot.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owed: Vec<String>,
    /// What kept it from a backup the last time, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is known of each destination, by its location, and of the archive by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub destinations: BTreeMap<String, AtDestination>,
}

/// What a destination had when a run last came to an end there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AtDestination {
    /// When it last had everything that it was to have.
    pub at: Option<Stamp>,
    /// The newest snapshot that it had then, by its name.
    pub snapshot: Option<String>,
    /// Its effective UUID.
    pub id: Option<Uuid>,
    /// In an archive: when the newest full backup was made that it had then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_at: Option<Stamp>,
    /// Why it has not got what it was to have, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was last looked at again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<Stamp>,
    /// What that found, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

impl Last {
    /// Whether it is of backups that a configuration makes.
    fn is_of(&self, config: &Config) -> bool {
        let mut archives = config.archives.iter();
        let Some(archive) = archives.find(|archive| archive.name == ARCHIVE) else {
            return false;
        };
        let prefix = archive.prefix.trim_matches('/');
        let key = self.last_manifest.as_deref().unwrap_or_default();
        let below = key.trim_start_matches('/').strip_prefix(prefix);
        let made = self.last_snapshot.as_deref();
        below.is_some_and(|below| prefix.is_empty() || below.starts_with('/'))
            && made.is_none_or(|path| path.starts_with(&config.snapshots.base_dir))
    }

    /// Notes that a destination has everything, up to this snapshot.
    pub fn has_all(&mut self, place: String, at: Stamp, newest: &Snapshot) {
        let there = self.destinations.entry(place).or_default();
        there.at = Some(at);
        there.snapshot = Some(shown(&newest.path));
        there.id = Some(newest.id());
        there.error = None;
    }

    /// Notes the newest backup in the bucket, and when the newest full one was made.
    pub fn arrived(&mut self, snapshot: PathBuf, manifest: String, full: Option<Timestamp>) {
        self.last_snapshot = Some(snapshot);
        self.last_manifest = Some(manifest);
        self.last_full_at = full.map(Stamp::of);
    }
}

impl RunState {
    /// Reads what is remembered of a configuration; as long as there is nothing, what the program before
    /// remembered: it had one file for all, of which only what lies in the same places is ours. What cannot be
    /// read is not nothing.
    pub fn of(config: &Config) -> RunState {
        let global = &config.global;
        let is_none = |error: std::io::Error| error.kind() == ErrorKind::NotFound;
        match &global.old_state {
            Some(old) if global.state_path.symlink_metadata().is_err_and(is_none) => {
                let mut state = RunState::read(old);
                state.subvolumes.retain(|_, last| last.is_of(config));
                state
            }
            _ => RunState::read(&global.state_path),
        }
    }

    /// Reads a state, or why nothing is known.
    pub fn read(path: &Path) -> RunState {
        let unread = |why: String| RunState {
            unread: Some(why),
            ..RunState::default()
        };
        let name = shown(path);
        let text = match secure_open::read_file(path, 16 << 20) {
            Ok(text) => text,
            Err(error) if is_missing(path, &error) => return RunState::default(),
            Err(error) => {
                let error = Error::io(format!("cannot read {name}"), error);
                return unread(error.to_string());
            }
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            unread(format!(
                "{name} is damaged, and nothing in it is used: {error}"
            ))
        })
    }

    /// Writes it, all of it or nothing, durably.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let doing = || format!("cannot write {}", shown(path));
        let dir = path.parent().unwrap_or(Path::new("/"));
        let new = path.with_extension("json.new");
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            let mut text = serde_json::to_vec_pretty(self)?;
            text.push(b'\n');
            write_whole(path, &new, 0o600, &text)?;
            File::open(dir)?.sync_all()
        };
        write().doing(doing)
    }

    /// What is known of a destination of a subvolume.
    pub fn at(&self, name: &str, place: &str) -> Option<&AtDestination> {
        self.subvolumes.get(name)?.destinations.get(place)
    }

    /// What a schedule needs to know about a subvolume in an archive: of `[s3]` as the program before wrote
    /// it too.
    pub fn past_in(&self, of: &SubvolumeConfig, archive: &ArchiveConfig) -> Past<'static> {
        if archive.name == ARCHIVE {
            return self.past(&of.name, Path::is_dir);
        }
        let there = self.at(&of.name, &archive.name);
        let snapshot = there.and_then(|there| there.snapshot.as_ref());
        let here = snapshot.is_some_and(|name| of.folder().join(name).is_dir());
        Past {
            last_full: there.and_then(|there| there.full_at.as_ref()?.moment()),
            last: snapshot.and_then(|name| names::scheduled_time(Path::new(name))),
            broken: (!here).then_some("the snapshot of the last backup is gone"),
        }
    }

    /// Notes what was free at a place.
    pub fn saw_room(&mut self, place: &str, at: Timestamp, free: u64) {
        let known = self.room.entry(place.to_owned()).or_default();
        known.note(RoomSeen::new(at, free));
    }

    /// What a schedule needs to know about a subvolume. Without the snapshot that the next
    /// incremental one would build on, it has to be a full one; `there` tells.
    pub fn past(&self, name: &str, there: impl Fn(&Path) -> bool) -> Past<'static> {
        let Some(last) = self.subvolumes.get(name) else {
            return Past::default();
        };
        let made = |key: &String| {
            let stamp = key.rsplit_once("manifest-")?.1.strip_suffix(".json")?;
            Stamp::from(stamp).moment()
        };
        let broken = match &last.last_snapshot {
            None => Some("no snapshot of the last backup is known"),
            Some(path) if !there(path) => Some("the snapshot of the last backup is gone"),
            Some(_) => None,
        };
        Past {
            last_full: last.last_full_at.as_ref().and_then(Stamp::moment),
            last: last.last_manifest.as_ref().and_then(made),
            broken,
        }
    }
}

/// Whether there is no file, and no link to one that is not there either.
fn is_missing(path: &Path, error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound && !path.is_symlink()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::config::OwnFiles;

    #[test]
    fn what_the_old_program_wrote() {
        let text = r#"{"last_run_at": "20261120T020001Z", "subvolumes": {"data": {
            "last_snapshot": "/srv/snapshots/data__20261120T020001Z__inc",
            "last_manifest": "p/subvol/data/incremental/manifest-20261120T020001Z.json",
            "last_full_at": "20260601T020000Z", "more": 1}, "new": {}}}"#;
        let state: RunState = serde_json::from_str(text).unwrap();
        let past = state.past("data", |_| true);
        assert_eq!(
            past.last_full,
            Some("2026-06-01T02:00:00Z".parse().unwrap())
        );
        assert_eq!(past.last, Some("2026-11-20T02:00:01Z".parse().unwrap()));
        assert_eq!(past.broken, None);
        assert!(state.past("data", |_| false).broken.is_some());
        assert_eq!(state.past("new", |_| true).last_full, None);
        assert_eq!(state.past("other", |_| true).broken, None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = std::env::temp_dir().join(format!("buttersink-state-{}", std::process::id()));
        let path = dir.join("deeper/state.json");
        let mut state = RunState::default();
        let made: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let last = state.subvolumes.entry("data".to_owned()).or_default();
        last.arrived("/s/b".into(), "k2".to_owned(), Some(made));
        assert_eq!(last.last_full_at, Some("20261121T020000Z".into()));
        state.write(&path).unwrap();
        state.write(&path).unwrap();
        assert_eq!(RunState::read(&path), state);
        std::fs::write(&path, "{").unwrap();
        assert!(RunState::read(&path).unread.unwrap().contains("damaged"));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// What cannot be read takes nobody back to what the program before remembered.
    #[test]
    fn an_unread_state_is_not_none() {
        let dir = std::env::temp_dir().join(format!("buttersink-unread-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let text = "[subvolumes]\npaths = ['/srv/data']\n[snapshots]\nbase_dir = '/srv/snaps'\n\
                    [s3]\nbucket = 'b'\nregion = 'r'\nprefix = 'p'\n";
        let mut config = Config::parse("x", text, &OwnFiles::of(Path::new("/etc/x.toml"))).unwrap();
        let (old, new) = (dir.join("old.json"), dir.join("new.json"));
        config.global.old_state = Some(old.clone());
        config.global.state_path = new.clone();
        let last = r#"{"last_manifest": "p/subvol/data/full/manifest-20261120T020001Z.json"}"#;
        std::fs::write(&old, format!(r#"{{"subvolumes": {{"data": {last}}}}}"#)).unwrap();
        assert_eq!(RunState::of(&config).subvolumes.len(), 1);
        std::os::unix::fs::symlink(dir.join("nowhere"), &new).unwrap();
        let unread = RunState::of(&config);
        assert!(unread.unread.is_some() && unread.subvolumes.is_empty());
        std::fs::remove_file(&new).unwrap();
        std::fs::create_dir(&new).unwrap();
        assert!(RunState::of(&config).unread.is_some());
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_the_old_program_remembered_of_others_is_not_ours() {
        let last = |snapshot: &str, key: &str| Last {
            last_snapshot: Some(snapshot.into()),
            last_manifest: Some(key.to_owned()),
            ..Last::default()
        };
        let text = "[subvolumes]\npaths = ['/srv/data']\n[snapshots]\nbase_dir = '/srv/snaps'\n\
                    [s3]\nbucket = 'b'\nregion = 'r'\nprefix = 'p/q'\n";
        let places = OwnFiles::of(Path::new("/etc/x.toml"));
        let config = Config::parse("x", text, &places).unwrap();
        assert!(last("/srv/snaps/a", "p/q/subvol/data/full/m").is_of(&config));
        for other in [
            last("/srv/snaps/a", "p/qr/subvol/data/full/m"),
            last("/srv/snaps/a", "other/subvol/data/full/m"),
            last("/other/a", "p/q/subvol/data/full/m"),
        ] {
            assert!(!other.is_of(&config), "{other:?}");
        }
    }
}
