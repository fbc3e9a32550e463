//! `buttersink adopt`: says what snapshots are of, where nothing else does. Shows first, and changes
//! nothing before it is told to.

use super::form::Form;
use super::grammar::{Command, Usage, usage};
use super::list::go_on;
use super::options::Options;
use super::store_options::store_options;
use crate::archive::Backups;
use crate::btrfs::{self, Filesystem};
use crate::error::{Error, Result};
use crate::event::{Adopted, Event};
use crate::machine;
use crate::process;
use crate::progress::Progress;
use crate::snapshot::{CameBy, Origin, Origins, Snapshot, State, shown};
use crate::store::{self, Access, Archive, Location, Store};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

pub(super) const COMMAND: Command<Form> = Command {
    name: "adopt",
    about: "says what snapshots are of, where nothing else does",
    usages: &[Usage::of(
        Form::Adopt,
        "[options] LOCATION [NAME...] --as SUBVOLUME",
        (1, usize::MAX),
    )],
    text: "\
Without names, all that nothing attributes are meant. What would be done is shown; --yes does it.
",
    examples: &[
        "buttersink adopt /mnt/backup/home/ --as /home",
        "buttersink adopt --yes ssh://store/backup/home/ monday --as /home",
    ],
    exit: &[],
};

/// What is adopted.
struct AdoptTask {
    /// Which; all that nothing attributes if there are none.
    names: Vec<PathBuf>,
    /// It is done, and not only shown.
    yes: bool,
    /// Also what is another's by its record: that has moved here.
    take_over: bool,
}

pub(super) fn run(words: &[OsString], options: &Options) -> Result<()> {
    let location = Location::directory(&words[0])?;
    let Some(subvolume) = &options.as_subvolume else {
        let said = "it lacks --as SUBVOLUME: what the snapshots are of";
        return Err(usage("buttersink adopt", said));
    };
    let mut adoption = Adoption {
        task: AdoptTask {
            names: words[1..].iter().map(PathBuf::from).collect(),
            yes: options.yes && !options.dry_run,
            take_over: options.take_over,
        },
        path: subvolume,
        ours: origin(subvolume)?,
        count: 0,
        failed: Ok(()),
        progress: Progress::new(options.verbosity(), options.json),
    };
    let access = match adoption.task.yes {
        true => Access::Write,
        false => Access::Read,
    };
    let (mut store, mut archives) =
        store::open_all(&location.place, access, &store_options(options)?)?;
    store.attribute(Origins::new());
    adoption.adopt(&mut *store)?;
    for archive in &mut archives {
        let done = adoption.take_over(&mut **archive);
        let done = done.and_then(|()| adoption.adopt(&mut **archive));
        adoption.go_on(done)?;
    }
    adoption.end(&words[0])
}

/// An adoption, and what it came to so far.
struct Adoption<'a> {
    task: AdoptTask,
    /// The subvolume that the snapshots are of.
    path: &'a Path,
    /// The same as records have it.
    ours: Origin,
    /// How many are adopted, or would be.
    count: usize,
    failed: Result<()>,
    progress: Progress,
}

impl Adoption<'_> {
    /// Shows what is to be adopted in a store, and does it if that is wanted. One that cannot be keeps none of the
    /// others from it.
    fn adopt(&mut self, store: &mut dyn Store) -> Result<()> {
        let listing = store.list()?;
        for snapshot in meant(&self.task, &listing.snapshots, &self.ours)? {
            process::check("adopting")?;
            let known = snapshot.origin.as_ref().filter(|known| known.is_known());
            let origin = Origin {
                made: known.and_then(|known| known.made),
                ..self.ours.clone()
            };
            if self.task.yes
                && let Err(error) = store.adopt(&snapshot.path, &origin)
            {
                self.go_on(Err(error))?;
                continue;
            }
            self.count += 1;
            self.progress.hear(&Event::Adopted(Box::new(Adopted {
                location: listing.location.clone(),
                id: snapshot.id(),
                path: snapshot.path.clone(),
                before: snapshot.origin.clone(),
                origin,
                done: self.task.yes,
            })));
        }
        Ok(())
    }

    /// Makes the archive that the subvolume's backups go to this machine's, if it is another one's and that is
    /// wanted.
    fn take_over(&mut self, archive: &mut dyn Archive) -> Result<()> {
        if !self.task.take_over {
            return Ok(());
        }
        let Backups { name, owner, .. } = archive.backups()?;
        let called = self.path.file_name() == Some(OsStr::new(&name));
        let Some(before) = owner.filter(|owner| called && !owner.is_of(&self.ours)) else {
            return Ok(());
        };
        let (place, done) = (archive.location(), self.task.yes);
        if done {
            archive.claim(&self.ours, true)?;
        }
        let becomes = if done { "is" } else { "would be" };
        self.progress.note(format!(
            "{place}: {before}, made the backups; it {becomes} of this machine now"
        ));
        Ok(())
    }

    fn go_on(&mut self, done: Result<()>) -> Result<()> {
        go_on(done, &mut self.failed, &mut self.progress)
    }

    /// Says what it came to.
    ///
    /// # Errors
    /// If something failed, or nothing of the names was there.
    fn end(mut self, location: &OsStr) -> Result<()> {
        let (count, ours) = (self.count, &self.ours);
        if count == 0 && self.failed.is_ok() && !self.task.names.is_empty() {
            let doing = format!("cannot adopt in {}", shown(location));
            let said = "nothing of these names is there that is not adopted";
            return Err(Error::failed(doing, said));
        }
        self.progress.note(match self.task.yes {
            true => format!("{count} of {ours} now"),
            false => format!("{count} would be of {ours}; --yes does it"),
        });
        self.failed.and(self.progress.close())
    }
}

/// The subvolume as records have it.
fn origin(path: &Path) -> Result<Origin> {
    let subvolume = btrfs::subvolume(path)?;
    if subvolume.read_only {
        let said = "it is read-only: name the subvolume that the snapshots are of";
        return Err(Error::usage(
            format!("cannot adopt as {}", shown(path)),
            said,
        ));
    }
    Ok(Origin {
        machine: machine::id().to_owned(),
        host: machine::name(),
        filesystem: Filesystem::open(path)?.fsid()?,
        subvolume: subvolume.uuid,
        made: None,
        by: CameBy::OwnWay,
    })
}

/// What is to be adopted, or why not.
fn meant<'a>(task: &AdoptTask, all: &'a [Snapshot], ours: &Origin) -> Result<Vec<&'a Snapshot>> {
    let whole = |s: &&Snapshot| s.read_only && s.state != State::Partial;
    let subject = ours.subject();
    let known = |s: &Snapshot| s.origin.clone().filter(Origin::is_known);
    let other =
        |s: &Snapshot| known(s).filter(|known| known.subject() != subject || !known.by.is_own());
    let same = |s: &Snapshot| known(s).is_some_and(|known| known.subvolume == ours.subvolume);
    let named = |s: &&Snapshot| match task.names.is_empty() {
        true => known(s).is_none() || same(s),
        false => task.names.contains(&s.path),
    };
    let meant = all.iter().filter(whole).filter(named);
    let meant: Vec<_> = meant
        .filter(|s| known(s).is_none() || other(s).is_some())
        .collect();
    let refused = meant.iter().find_map(|s| Some((s, other(s)?)));
    match refused {
        Some((snapshot, origin)) if !task.take_over => {
            let doing = format!("cannot adopt {}", shown(&snapshot.path));
            let said = format!("it is of {origin}; if that has moved here, say --take-over");
            Err(Error::refused(doing, said))
        }
        _ => Ok(meant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;

    #[test]
    fn what_is_anothers_is_taken_over_only_when_said() {
        let ours = Origin {
            machine: "m".to_owned(),
            subvolume: Uuid([1; 16]),
            ..Origin::default()
        };
        let elsewhere = Origin {
            machine: "other".to_owned(),
            ..ours.clone()
        };
        let stranger = Origin {
            subvolume: Uuid([2; 16]),
            ..elsewhere.clone()
        };
        let snapshot = |name: &str, origin: Option<&Origin>| Snapshot {
            path: name.into(),
            read_only: true,
            origin: origin.cloned(),
            ..Snapshot::default()
        };
        let mut all = vec![
            snapshot("ours", Some(&ours)),
            snapshot("nobodys", None),
            snapshot("strangers", Some(&stranger)),
        ];
        let task = |names: &[&str], take_over| AdoptTask {
            names: names.iter().map(PathBuf::from).collect(),
            yes: true,
            take_over,
        };
        let found = |task: &AdoptTask, all: &[Snapshot]| {
            let meant = meant(task, all, &ours)?;
            Ok::<_, Error>(meant.iter().map(|s| s.path.clone()).collect::<Vec<_>>())
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(found(&task(&[], false), &all).unwrap(), paths(&["nobodys"]));
        assert!(found(&task(&["strangers"], false), &all).is_err());
        let taken = found(&task(&["strangers", "ours"], true), &all);
        assert_eq!(taken.unwrap(), paths(&["strangers"]));
        all.push(snapshot("moved", Some(&elsewhere)));
        let error = found(&task(&[], false), &all).unwrap_err();
        assert!(error.said.contains("--take-over"), "{error}");
        let taken = found(&task(&[], true), &all).unwrap();
        assert_eq!(taken, paths(&["nobodys", "moved"]));
    }
}
