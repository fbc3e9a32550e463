//! The sections of `btrbk.conf`, and what holds in each: an option is of the section above it, and holds in what
//! is inside as well. Knows no option but those that begin a section.

use super::lines::{Entry, Wrong, unquoted};

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) options: Vec<Entry>,
    pub(super) targets: Vec<BtrbkTarget>,
    pub(super) volumes: Vec<Volume>,
}

/// What subvolumes are relative to.
#[derive(Debug)]
pub(super) struct Volume {
    /// `None` for subvolumes that stand in none.
    pub(super) entry: Option<Entry>,
    pub(super) options: Vec<Entry>,
    pub(super) targets: Vec<BtrbkTarget>,
    pub(super) subvolumes: Vec<BtrbkSubvolume>,
}

/// What is backed up.
#[derive(Debug)]
pub(super) struct BtrbkSubvolume {
    pub(super) entry: Entry,
    pub(super) options: Vec<Entry>,
    pub(super) targets: Vec<BtrbkTarget>,
}

/// Where backups go.
#[derive(Debug)]
pub(super) struct BtrbkTarget {
    pub(super) entry: Entry,
    /// Streams in files, and not subvolumes.
    pub(super) raw: bool,
    pub(super) place: String,
    pub(super) options: Vec<Entry>,
}

/// The options that hold somewhere: the nearest section that has one decides.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a>(pub(super) [&'a [Entry]; 4]);

impl<'a> Scope<'a> {
    /// What is said, if anything is, in the last line that says it.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        let last = |options: &&'a [Entry]| options.iter().rev().find(|entry| entry.key == key);
        self.0.iter().find_map(last)
    }

    /// The same without `no`, which says that there is none.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        let value = self.entry(key).map(|entry| entry.value.as_str());
        value.filter(|value| *value != "no")
    }

    /// Whether it is `yes`.
    pub(super) fn says(&self, key: &str) -> bool {
        self.get(key) == Some("yes")
    }
}

/// Which section a line is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Global,
    Volume,
    Subvolume,
}

/// Sorts the lines.
pub(super) fn read(lines: &[Entry]) -> Result<File, Wrong> {
    let mut file = File::default();
    let (mut at, mut in_target) = (At::Global, false);
    for entry in lines {
        match entry.key.as_str() {
            "volume" => {
                file.volumes.push(Volume::new(Some(entry.clone())));
                (at, in_target) = (At::Volume, false);
            }
            "subvolume" => {
                file.volume().subvolumes.push(BtrbkSubvolume {
                    entry: entry.clone(),
                    options: Vec::new(),
                    targets: Vec::new(),
                });
                (at, in_target) = (At::Subvolume, false);
            }
            "target" => {
                let target = target(entry)?;
                file.section(at).1.push(target);
                in_target = true;
            }
            _ => {
                let (options, targets) = file.section(at);
                let inner = targets.last_mut().filter(|_| in_target);
                inner
                    .map_or(options, |target| &mut target.options)
                    .push(entry.clone());
            }
        }
    }
    Ok(file)
}

impl Volume {
    fn new(entry: Option<Entry>) -> Volume {
        Volume {
            entry,
            options: Vec::new(),
            targets: Vec::new(),
            subvolumes: Vec::new(),
        }
    }
}

impl File {
    /// The volume that a subvolume is in.
    fn volume(&mut self) -> &mut Volume {
        if self.volumes.is_empty() {
            self.volumes.push(Volume::new(None));
        }
        let last = self.volumes.len() - 1;
        &mut self.volumes[last]
    }

    /// Options and targets of a section.
    fn section(&mut self, at: At) -> (&mut Vec<Entry>, &mut Vec<BtrbkTarget>) {
        if at == At::Global {
            return (&mut self.options, &mut self.targets);
        }
        let volume = self.volume();
        match volume.subvolumes.last_mut().filter(|_| at == At::Subvolume) {
            Some(inner) => (&mut inner.options, &mut inner.targets),
            None => (&mut volume.options, &mut volume.targets),
        }
    }

    /// Every option that is no section.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let volumes = || self.volumes.iter();
        let subvolumes = move || volumes().flat_map(|volume| &volume.subvolumes);
        let targets = self.targets.iter();
        let targets = targets.chain(volumes().flat_map(|volume| &volume.targets));
        let targets = targets.chain(subvolumes().flat_map(|inner| &inner.targets));
        let above = self
            .options
            .iter()
            .chain(volumes().flat_map(|volume| &volume.options));
        let below = subvolumes().flat_map(|inner| &inner.options);
        above
            .chain(below)
            .chain(targets.flat_map(|target| &target.options))
    }
}

/// `[send-receive|raw] PLACE`
fn target(entry: &Entry) -> Result<BtrbkTarget, Wrong> {
    let (kind, place) = match entry.value.split_once(char::is_whitespace) {
        Some((kind, place))
            if kind
                .chars()
                .all(|c| c.is_ascii_alphabetic() || "_-".contains(c)) =>
        {
            (kind.to_ascii_lowercase(), place.trim())
        }
        _ => ("send-receive".to_owned(), entry.value.as_str()),
    };
    let raw = match kind.as_str() {
        "raw" => true,
        "send-receive" => false,
        _ => return Err(entry.wrong("a target is send-receive or raw")),
    };
    Ok(BtrbkTarget {
        entry: entry.clone(),
        raw,
        place: unquoted(place).to_owned(),
        options: Vec::new(),
    })
}
