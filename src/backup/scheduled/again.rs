//! What destinations have is looked at again when the file says that it is time, and what was found is
//! remembered. Verifies nothing itself.

use super::RunContext;
use super::subvolume::SubvolumeBackup;
use super::verified::FoundIn;
use crate::archive::Stamp;
use crate::backup::config::{LookAgain, SubvolumeConfig};
use crate::backup::oneshot::as_store;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener, OverviewLine};
use crate::process;
use crate::proof::Depth;
use crate::store::Store;
use crate::verify::{self, RehearsalTrial, Sample, Verification};
use std::collections::HashMap;
use std::path::PathBuf;

impl RunContext<'_, '_> {
    /// Looks at what is due of these subvolumes, and adds what is wrong to the errors.
    ///
    /// # Errors
    /// If it was interrupted, or what was found cannot be remembered.
    pub(super) fn look_again(
        &mut self,
        subjects: &mut [SubvolumeBackup],
        errors: &mut Vec<(PathBuf, Error)>,
    ) -> Result<()> {
        // A place is looked at once, whosever snapshots are there.
        let mut places = HashMap::new();
        for subject in subjects {
            self.look_at_archives(subject, errors)?;
            self.look_at_places(subject, &mut places, errors)?;
        }
        Ok(())
    }

    fn look_at_archives(
        &mut self,
        subject: &mut SubvolumeBackup,
        errors: &mut Vec<(PathBuf, Error)>,
    ) -> Result<()> {
        let of = subject.of;
        for archive in &mut subject.archives {
            let (name, place) = (archive.config.name.clone(), archive.place());
            if let Some(how) = self.due_look(&of.name, &name, archive.config.verify) {
                process::check("verifying")?;
                let store = archive.store().map(|store| store as &mut dyn Store);
                let looked = look(store, how, self.listener);
                self.note_look(of, (name, &place), looked, errors)?;
            }
        }
        Ok(())
    }

    fn look_at_places(
        &mut self,
        subject: &SubvolumeBackup,
        places: &mut HashMap<usize, Looked>,
        errors: &mut Vec<(PathBuf, Error)>,
    ) -> Result<()> {
        let (of, config) = (subject.of, &self.order.config);
        for at in config.destinations_of(of) {
            let dest = &config.destinations[at];
            let place = dest.place.to_string();
            let Some(how) = self.due_look(&of.name, &place, dest.verify) else {
                continue;
            };
            process::check("verifying")?;
            self.open_others(&[at]);
            let looked = match (places.get(&at), &mut self.others[at]) {
                (Some(looked), _) => looked.clone(),
                (None, Some(opened)) => look(as_store(opened), how, self.listener),
                (None, None) => continue,
            };
            places.insert(at, looked.clone());
            self.note_look(of, (place.clone(), &place), looked, errors)?;
        }
        Ok(())
    }

    /// How a destination is to be looked at now: something arrived there, and the last look is too old.
    fn due_look(&self, name: &str, place: &str, how: Option<LookAgain>) -> Option<LookAgain> {
        let there = self.state.at(name, place)?;
        there.at.as_ref()?;
        let last = there.verified_at.as_ref().and_then(Stamp::moment);
        how.filter(|how| how.cycle.due(last, self.now).is_ok())
    }

    /// Remembers what was found at a place, under the name that the state has for it.
    fn note_look(
        &mut self,
        of: &SubvolumeConfig,
        (archive, place): (String, &str),
        (verdict, done): Looked,
        errors: &mut Vec<(PathBuf, Error)>,
    ) -> Result<()> {
        match done {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => {
                self.overview.lines.push(OverviewLine {
                    subvolume: of.name.clone(),
                    location: place.to_owned(),
                    error: Some(error.clone()),
                    ..OverviewLine::default()
                });
                errors.push((of.path.clone(), error));
            }
        }
        let found = FoundIn {
            subvolume: of.name.clone(),
            archive,
            verdict,
        };
        found.note(&mut self.state, self.now.timestamp());
        Ok(())
    }
}

/// What there is to say of a place, and what is wrong with it.
type Looked = (String, Result<()>);

fn look(store: Result<&mut dyn Store>, how: LookAgain, listener: &mut Listener) -> Looked {
    match store.and_then(|store| seen(store, how, listener)) {
        Ok(report) => {
            for finding in report.findings.iter().filter(|one| one.verdict.rank() > 0) {
                listener(Event::Finding(finding.clone()));
            }
            listener(Event::Verified(report.summary()));
            (verify::in_words(&report.findings), report.verdict())
        }
        Err(error) => (error.to_string(), Err(error)),
    }
}

fn seen(store: &mut dyn Store, how: LookAgain, listener: &mut Listener) -> Result<Verification> {
    let mut report = verify::alone(store, Depth::Quick, listener)?;
    if let Some(bytes) = how.sample {
        let sample = Some(Sample::Bytes(bytes));
        verify::drill(
            &mut report,
            store,
            &mut RehearsalTrial::default(),
            sample,
            listener,
        )?;
    }
    Ok(report)
}
