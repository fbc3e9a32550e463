//! Holds a copy of a snapshot against the snapshot itself, file by file: each store looks at its own,
//! both at the same time, and what they see is compared here. Knows stores only as what they
//! promise, changes nothing and prints nothing.

use crate::checksum::{Aspect, Change, Difference, Found, SeenEntry, What};
use crate::error::{Error, Result};
use crate::process;
use crate::snapshot::{Uuid, shown};
use crate::store::Store;
use crate::store::file_digests::{Digest, Extent, Page};
use crate::text::numbered;
use std::path::{Path, PathBuf};

/// How many differences are kept; the others are counted.
const KEPT: usize = 100;

/// What is compared with what.
#[derive(Clone, Debug)]
pub struct ComparedPair<'a> {
    /// The snapshot, at both places.
    pub id: Uuid,
    /// Where it is at the source, if that matters.
    pub source: Option<&'a Path>,
    /// Where its copy is.
    pub copy: &'a Path,
    /// Only what differs from this snapshot of the source; `None` for everything.
    pub since: Option<Uuid>,
    /// The copy is read from its disk, and not from memory.
    pub from_disk: bool,
    /// The time of the top counts. Copies made by older releases have that of their making.
    pub top_time: bool,
}

/// What a comparison found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// The first differences, as many as are kept.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub different: usize,
    /// What could not be read, and so not compared.
    pub unread: Vec<String>,
    /// How many paths were looked at.
    pub entries: u64,
    /// More than can be kept in memory differs, so everything was compared.
    pub everything: bool,
}

impl Comparison {
    /// Whether everything was read, and nothing differs.
    pub fn is_same(&self) -> bool {
        self.different == 0 && self.unread.is_empty()
    }

    /// That the copy at this path is the same, for people.
    pub fn praise(&self, copy: &Path) -> String {
        let more = match self.everything {
            true => "; more than can be kept in mind changed, so all were looked at",
            false => "",
        };
        let entries = numbered(self.entries, "entry is", "entries are");
        format!("compared {}: {entries} the same{more}", shown(copy))
    }

    /// What differs, or could not be read, in one line: the worst of it by name.
    pub fn words(&self) -> String {
        let worst = self.differences.iter().min_by_key(|d| rank(d));
        let (first, more) = match (worst, self.unread.first()) {
            (Some(first), _) => (told(first), self.different - 1),
            (None, Some(first)) => (first.clone(), self.unread.len() - 1),
            (None, None) => return "the same".to_owned(),
        };
        match more {
            0 => first,
            n => format!("{first} (and {n} more)"),
        }
    }

    fn add(&mut self, source: &SeenEntry, copy: &Found, top_time: bool) {
        self.entries += 1;
        for (found, whose) in [(&source.found, "the source"), (copy, "the copy")] {
            if let Found::Unread(why) = found {
                let path = shown(&source.path);
                self.unread
                    .push(format!("cannot read {path} of {whose}: {why}"));
            }
        }
        let found = match top_time || !source.path.as_os_str().is_empty() {
            true => source.difference(copy),
            false => source.difference(&with_time_of(copy, &source.found)),
        };
        let Some(mut difference) = found else { return };
        if difference.path.as_os_str().is_empty() {
            difference.path = PathBuf::from(".");
        }
        self.different += 1;
        if self.differences.len() < KEPT {
            self.differences.push(difference);
        }
    }
}

/// What is missing or has other bytes comes before what only looks different, and directories last:
/// they differ with what is in them.
fn rank(difference: &Difference) -> u8 {
    let What::Changed(changes) = &difference.what else {
        return 0;
    };
    let worse = |change: &Change| match change.aspect {
        Aspect::Kind | Aspect::Content | Aspect::Target | Aspect::Device => 0,
        Aspect::Entries => 2,
        Aspect::Time => 3,
        _ => 1,
    };
    let top = u8::from(difference.path.as_os_str() == ".");
    changes.iter().map(worse).min().unwrap_or(3) + top
}

fn told(difference: &Difference) -> String {
    let path = shown(&difference.path);
    match &difference.what {
        What::Added => format!("{path} is not in the source"),
        What::Removed => format!("{path} is missing"),
        What::Changed(changes) => {
            let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!("{path} differs: {}", changes.join(", "))
        }
    }
}

fn with_time_of(copy: &Found, source: &Found) -> Found {
    let mut copy = copy.clone();
    if let (Found::Entry(copy), Found::Entry(source)) = (&mut copy, source) {
        copy.mtime = source.mtime;
    }
    copy
}

/// Compares a copy with its source. `watch` hears how many entries were compared so far.
///
/// # Errors
/// If one of the two stores cannot look, or a signal asks to stop. What cannot be read in the
/// snapshots is in the outcome.
pub fn copies(
    source: &mut dyn Store,
    copy: &mut dyn Store,
    pair: &ComparedPair,
    watch: &mut dyn FnMut(u64),
) -> Result<Comparison> {
    let ask = |extent| Digest {
        id: pair.id,
        path: pair.source.map(Path::to_owned),
        extent,
        from_disk: false,
    };
    let mut outcome = Comparison::default();
    let mut page = source.digest(&ask(Extent::First(pair.since)))?()?;
    outcome.everything = page.everything;
    while !page.seen.is_empty() {
        process::check("comparing")?;
        let these = page.seen.iter().map(|seen| seen.path.clone()).collect();
        let there = copy.digest(&Digest {
            path: Some(pair.copy.to_owned()),
            extent: Extent::These(these),
            from_disk: pair.from_disk,
            ..ask(Extent::Next)
        })?;
        let next = source.digest(&ask(Extent::Next))?;
        hold(&mut outcome, &page, &there()?, pair)?;
        page = next()?;
        watch(outcome.entries);
    }
    Ok(outcome)
}

fn hold(outcome: &mut Comparison, here: &Page, there: &Page, pair: &ComparedPair) -> Result<()> {
    let paths = |page: &Page| page.seen.iter().map(|s| s.path.clone()).collect::<Vec<_>>();
    if paths(here) != paths(there) {
        let doing = format!("cannot compare {}", shown(pair.copy));
        return Err(Error::damaged(doing, "the answer is about other files"));
    }
    for (source, copy) in here.seen.iter().zip(&there.seen) {
        outcome.add(source, &copy.found, pair.top_time);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Entry;

    fn seen(path: &str, found: Found) -> SeenEntry {
        let path = path.into();
        SeenEntry { path, found }
    }

    fn entry(change: impl Fn(&mut Entry)) -> Found {
        let mut entry = Entry::default();
        change(&mut entry);
        Found::Entry(Box::new(entry))
    }

    #[test]
    fn the_first_is_named_and_the_others_counted() {
        let mut outcome = Comparison::default();
        outcome.add(&seen("a", entry(|_| ())), &entry(|_| ()), true);
        assert!(outcome.is_same());
        assert_eq!(outcome.words(), "the same");
        outcome.add(&seen("b", entry(|_| ())), &Found::Nothing, true);
        outcome.add(&seen("c", Found::Nothing), &entry(|_| ()), true);
        assert!(!outcome.is_same());
        assert_eq!(outcome.words(), "b is missing (and 1 more)");
    }

    #[test]
    fn what_cannot_be_read_is_not_the_same() {
        let unread = || Found::Unread("Input/output error".to_owned());
        for (source, copy) in [(unread(), entry(|_| ())), (entry(|_| ()), unread())] {
            let mut outcome = Comparison::default();
            outcome.add(&seen("a", source), &copy, true);
            assert!(!outcome.is_same());
            assert!(
                outcome.words().starts_with("cannot read a of the "),
                "{}",
                outcome.words()
            );
        }
    }

    #[test]
    fn the_time_of_the_top_counts_if_that_is_asked() {
        let (top, copy) = (seen("", entry(|_| ())), entry(|e| e.mtime.0 = 7));
        for (counts, same) in [(true, false), (false, true)] {
            let mut outcome = Comparison::default();
            outcome.add(&top, &copy, counts);
            assert_eq!(outcome.is_same(), same);
        }
        let mut outcome = Comparison::default();
        outcome.add(&top, &entry(|e| e.uid = 7), false);
        assert!(
            outcome.words().contains(". differs: owner"),
            "{}",
            outcome.words()
        );
    }
}
