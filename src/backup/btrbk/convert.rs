//! The sections of `btrbk.conf` into sections of ours, which name each other.

use super::lines::{Entry, Wrong};
use super::places;
use super::remarks::{remark, without};
use super::retention::{Keeps, keeps};
use super::sections::{BtrbkSubvolume, BtrbkTarget, File, Scope, Volume};
use super::{Imported, NoCounterpart};
use crate::backup::config::ARCHIVE;
use crate::backup::draft::{Draft, DraftSection, unused};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

/// What was converted so far.
#[derive(Default)]
struct Conversion {
    subvolumes: Vec<BtrbkSource>,
    destinations: Vec<Destination>,
    without: BTreeSet<NoCounterpart>,
    /// What subvolumes are called.
    names: HashSet<String>,
    /// What destinations and groups of them are called.
    words: HashSet<String>,
}

/// A subvolume, without what of it stays.
struct BtrbkSource {
    path: PathBuf,
    section: DraftSection,
    keeps: Keeps,
}

/// A place, and what is the same of it wherever it is named.
struct Destination {
    location: String,
    /// The same for each way to write it.
    same: String,
    name: String,
    groups: Vec<String>,
    keeps: Keeps,
    ssh_options: Vec<String>,
    rate: Option<u64>,
    /// Why it cannot be used.
    doubt: Option<&'static str>,
}

const SNAPSHOT: &str = "snapshot";
const TARGET: &str = "target";

pub(super) fn convert(name: &str, file: &File) -> Result<Imported, Wrong> {
    let mut all = Conversion::default();
    all.words.insert(ARCHIVE.to_owned());
    all.without.extend(file.entries().filter_map(remark));
    let groups = file.entries().filter(|entry| entry.key == "group");
    all.words.extend(groups.flat_map(words));
    for volume in &file.volumes {
        for subvolume in &volume.subvolumes {
            all.subvolume(file, volume, subvolume)?;
        }
    }
    all.groups_of_sources(file);
    let head = all.head(name);
    let without = all.without.iter().cloned().collect();
    let sections = all.sections(global(file)?);
    Ok(Imported {
        draft: Draft { head, sections },
        without,
    })
}

fn words(entry: &Entry) -> impl Iterator<Item = String> + use<> {
    let words: Vec<String> = entry
        .value
        .split([' ', ',', '\t'])
        .map(str::to_owned)
        .collect();
    words.into_iter().filter(|word| !word.is_empty())
}

impl Conversion {
    fn miss(&mut self, entry: &Entry, why: impl Into<String>) {
        self.without.insert(without(entry, why));
    }

    fn subvolume(
        &mut self,
        file: &File,
        volume: &Volume,
        of: &BtrbkSubvolume,
    ) -> Result<(), Wrong> {
        let scope = Scope([&[], &of.options, &volume.options, &file.options]);
        let Some((base, path)) = self.paths(volume, of)? else {
            return Ok(());
        };
        if self.subvolumes.iter().any(|known| known.path == path) {
            self.miss(
                &of.entry,
                "it is there already, and a file of ours names each once",
            );
            return Ok(());
        }
        let mut section = DraftSection::new("[[subvolume]]");
        self.name_it(&mut section, of, &path, scope);
        self.folder(&mut section, base.as_deref(), &of.entry, scope)?;
        let mut names = Vec::new();
        let inherited = file.targets.iter().chain(&volume.targets);
        for target in inherited.chain(&of.targets) {
            let inner = Scope([&target.options, &of.options, &volume.options, &file.options]);
            names.extend(self.destination(target, inner)?);
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(name.clone()));
        section.texts("destinations", &names);
        self.manner(&mut section, scope);
        let keeps = keeps(scope, SNAPSHOT)?;
        self.subvolumes.push(BtrbkSource {
            path,
            section,
            keeps,
        });
        Ok(())
    }

    /// Where a subvolume is, and what that is relative to; `None` if it cannot be here.
    fn paths(
        &mut self,
        volume: &Volume,
        of: &BtrbkSubvolume,
    ) -> Result<Option<(Option<PathBuf>, PathBuf)>, Wrong> {
        let above = volume.entry.as_ref();
        let far = above.into_iter().chain([&of.entry]);
        if let Some(far) = far.into_iter().find(|entry| places::is_far(&entry.value)) {
            let why = "it is on another machine: buttersink there makes its snapshots, and \
                       buttersink sync ssh://HOST/DIR/ DIR fetches them";
            self.miss(far, why);
            return Ok(None);
        }
        let wrong = |entry: &Entry| entry.wrong("it is no path that btrbk takes");
        let base = above.map(|entry| places::path(None, &entry.value).ok_or_else(|| wrong(entry)));
        let base = base.transpose()?;
        let path = places::path(base.as_deref(), &of.entry.value);
        let path = path.ok_or_else(|| wrong(&of.entry))?;
        Ok(Some((base, path)))
    }

    /// Path and name; of a pattern each has its own.
    fn name_it(
        &mut self,
        section: &mut DraftSection,
        of: &BtrbkSubvolume,
        path: &Path,
        scope: Scope,
    ) {
        let text = path.to_string_lossy();
        let pattern = places::pattern(&text);
        section.text("path", &pattern);
        let own = scope.entry("snapshot_name");
        if pattern.contains('*') || pattern != text {
            return own
                .into_iter()
                .for_each(|entry| self.miss(entry, "each is called after its path"));
        }
        let last = path.file_name().map(|name| name.to_string_lossy());
        let usual = last.map_or("ROOT".to_owned(), Cow::into_owned);
        let wished = own.map_or(usual.clone(), |entry| entry.value.replace('/', "_"));
        let name = unused(&mut self.names, &wished);
        if name != wished {
            self.miss(
                &of.entry,
                format!("its backups are called {name}, since others are called {wished}"),
            );
        }
        if name != usual || path.file_name().is_none() {
            section.text("name", &name);
        }
    }

    fn folder(
        &mut self,
        section: &mut DraftSection,
        base: Option<&Path>,
        of: &Entry,
        scope: Scope,
    ) -> Result<(), Wrong> {
        let said = scope
            .entry("snapshot_dir")
            .filter(|entry| entry.value != "no");
        let folder = match (said, base) {
            (Some(entry), _) => places::path(base, &entry.value)
                .ok_or_else(|| entry.wrong("it is no path that btrbk takes"))?,
            (None, Some(base)) => base.to_owned(),
            (None, None) => {
                let why =
                    "no snapshot_dir is said: they are in .snapshots at the root of the mount";
                self.miss(of, why);
                return Ok(());
            }
        };
        section.text("snapshots", &folder.to_string_lossy());
        Ok(())
    }

    /// When there is a snapshot.
    fn manner(&mut self, section: &mut DraftSection, scope: Scope) {
        let mut noauto = scope.says("noauto");
        let create = scope.entry("snapshot_create");
        match create.map(|entry| (entry, entry.value.as_str())) {
            Some((_, "onchange")) => section.raw("on_change", true),
            Some((entry, "ondemand")) => {
                self.miss(
                    entry,
                    "there is a snapshot even if no destination can be reached",
                );
            }
            Some((entry, "no")) => {
                self.miss(entry, "the subvolume is left alone: buttersink send --subvolume NAME sends what is there");
                noauto = true;
            }
            _ => {}
        }
        if noauto {
            section.raw("noauto", true);
        }
    }

    /// What the place is called, if it can be used.
    fn destination(&mut self, target: &BtrbkTarget, scope: Scope) -> Result<Option<String>, Wrong> {
        let (location, same) = match places::location(target, scope) {
            Ok(found) => found,
            Err(why) => {
                self.miss(&target.entry, why);
                return Ok(None);
            }
        };
        let far = places::is_far(&target.place);
        let (rate, doubt) = (self.rate(scope, far), self.doubt(target, scope));
        let groups = target.options.iter().filter(|entry| entry.key == "group");
        let found = Destination {
            groups: groups.flat_map(words).collect(),
            name: String::new(),
            location,
            same,
            keeps: keeps(scope, TARGET)?,
            ssh_options: match far {
                true => places::ssh_options(scope),
                false => Vec::new(),
            },
            rate,
            doubt,
        };
        let sure = found.doubt.is_none();
        let same = |known: &Destination| known.same == found.same;
        let at = match self.destinations.iter().position(same) {
            Some(at) => self.again(at, &target.entry, &found),
            None => {
                let name = unused(&mut self.words, &title(&target.place));
                self.destinations.push(Destination { name, ..found });
                self.destinations.len() - 1
            }
        };
        Ok(sure.then(|| self.destinations[at].name.clone()))
    }

    /// A place that is known is named again: it has one policy, and one way to it.
    fn again(&mut self, at: usize, entry: &Entry, found: &Destination) -> usize {
        let known = &mut self.destinations[at];
        let unlike = (&known.ssh_options, known.rate) != (&found.ssh_options, found.rate);
        let keeps_all = known.keeps != found.keeps;
        if keeps_all {
            known.keeps = Keeps::All;
        }
        // Whoever has no doubt about it uses it.
        known.doubt = known.doubt.and(found.doubt);
        if keeps_all {
            let why = "not all keep the same there, and a place of ours has one policy: everything stays there";
            self.miss(entry, why);
        }
        if unlike {
            self.miss(entry, "it is reached in the way that is said first");
        }
        at
    }

    fn rate(&mut self, scope: Scope, far: bool) -> Option<u64> {
        let entry = scope
            .entry("rate_limit")
            .filter(|entry| entry.value != "no")?;
        let rate = places::rate(entry);
        match (far, rate) {
            (false, _) => self.miss(entry, "only what goes to other machines is limited"),
            (true, None) => self.miss(entry, "it is no number of bytes"),
            (true, Some(_)) => {}
        }
        rate.filter(|_| far)
    }

    fn doubt(&mut self, target: &BtrbkTarget, scope: Scope) -> Option<&'static str> {
        let encrypted = target.raw && scope.get("raw_target_encrypt").is_some();
        let noauto = target
            .options
            .iter()
            .rev()
            .find(|entry| entry.key == "noauto");
        let noauto = noauto.filter(|entry| entry.value == "yes");
        let (entry, why) = match noauto {
            _ if encrypted => (
                &target.entry,
                "what btrbk encrypts would lie there as it is",
            ),
            Some(entry) => (entry, "a destination is used whenever it is time"),
            None => return None,
        };
        self.miss(entry, format!("{why}, so that it is left out"));
        Some(why)
    }

    /// Only destinations have groups here.
    fn groups_of_sources(&mut self, file: &File) {
        let subvolumes = file.volumes.iter().flat_map(|volume| &volume.subvolumes);
        let inner = subvolumes.flat_map(|of| &of.options);
        let outer = file.volumes.iter().flat_map(|volume| &volume.options);
        let all = file.options.iter().chain(outer).chain(inner);
        for entry in all.filter(|entry| entry.key == "group") {
            self.miss(
                entry,
                "only destinations have groups; --subvolume NAME names what is meant",
            );
        }
    }

    fn head(&self, name: &str) -> Vec<String> {
        let mut head = vec![
            format!(
                "Scheduled backups, from {name} by buttersink config import; see buttersink.conf(5)."
            ),
            "Stop btrbk before the first run. buttersink config check FILE says what this means."
                .to_owned(),
        ];
        if !self.without.is_empty() {
            head.extend([String::new(), "Without a counterpart:".to_owned()]);
        }
        head.extend(self.without.iter().map(ToString::to_string));
        head
    }

    fn sections(self, global: DraftSection) -> Vec<DraftSection> {
        let hours = self.subvolumes.iter().any(|one| one.keeps.by_hours());
        let hours = hours || self.destinations.iter().any(|one| one.keeps.by_hours());
        let mut schedule = DraftSection::new("[schedule]");
        schedule.text("every", if hours { "1h" } else { "1d" });
        schedule.because("btrbk makes a snapshot whenever it is run: how often, is for you to say");
        let mut snapshots = DraftSection::new("[snapshots]");
        let all = &self.subvolumes;
        let shared = all
            .first()
            .filter(|first| all.iter().all(|one| one.keeps == first.keeps));
        let is_shared = shared.is_some();
        if let Some(shared) = shared {
            shared.keeps.write(&mut snapshots, Some("all"));
        }
        let sources = self
            .subvolumes
            .into_iter()
            .map(|one| one.section(!is_shared));
        let destinations = self.destinations.into_iter().map(Destination::section);
        let above = [global, schedule, snapshots].into_iter();
        let above = above.filter(|section| !section.is_empty());
        above.chain(sources).chain(destinations).collect()
    }
}

fn global(file: &File) -> Result<DraftSection, Wrong> {
    let mut global = DraftSection::new("[global]");
    let scope = Scope([&[], &[], &[], &file.options]);
    if let Some(entry) = scope.entry("lockfile").filter(|entry| entry.value != "no") {
        let path = places::path(None, &entry.value);
        let path = path.ok_or_else(|| entry.wrong("it is no path that btrbk takes"))?;
        global.text("lock_path", &path.to_string_lossy());
    }
    Ok(global)
}

impl BtrbkSource {
    fn section(mut self, own_policy: bool) -> DraftSection {
        if own_policy {
            self.keeps.write(&mut self.section, Some("all"));
        }
        self.section
    }
}

impl Destination {
    fn section(self) -> DraftSection {
        let mut section = DraftSection::new("[[destination]]");
        section.doubtful = self.doubt.is_some();
        section.remarks.extend(self.doubt.map(str::to_owned));
        section.text("name", &self.name);
        section.text("location", &self.location);
        if !self.groups.is_empty() {
            section.texts("groups", &self.groups);
        }
        self.keeps.write(&mut section, None);
        if !self.ssh_options.is_empty() {
            section.texts("ssh_options", &self.ssh_options);
        }
        if let Some(rate) = self.rate {
            section.raw("bwlimit_bytes", rate);
        }
        section
    }
}

/// What a place may be called: its host, or the last part of its path.
fn title(place: &str) -> String {
    let text = place.strip_prefix("ssh://").unwrap_or(place);
    let host = text.split([':', '/']).next().unwrap_or_default();
    let last = text
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default();
    let title = if places::is_far(place) && !host.starts_with('[') {
        host
    } else {
        last
    };
    match title {
        "" => "disk".to_owned(),
        title => title.to_owned(),
    }
}
