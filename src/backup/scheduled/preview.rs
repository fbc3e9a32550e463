//! What a run would do now for each subvolume, by what the bucket has, and where that cannot be read,
//! as far as is remembered. Changes nothing.

use super::folders::Folders;
use super::subvolume::SubvolumeBackup;
use super::{RunContext, ScheduledOrder};
use crate::backup::config::SubvolumeConfig;
use crate::backup::names;
use crate::backup::schedule::Due;
use crate::backup::state::RunState;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Fault, FaultKind, Listener, Overview};
use crate::snapshot::shown;
use crate::store::StoreOptions;
use jiff::Zoned;

/// Asks the bucket, unless the order leaves it alone, and looks at the snapshots.
///
/// # Errors
/// If a run could not do what the file says.
pub fn preview(
    order: &ScheduledOrder,
    store_options: &StoreOptions,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let state = RunState::of(&order.config);
    if let Some(remark) = &state.unread {
        listener(Event::note(remark));
    }
    let selected: Vec<&SubvolumeConfig> = order.config.subvolumes.iter().collect();
    let folders = Folders::open(order, &selected, store_options).map_err(|error| {
        remembered(order, &state, now, listener);
        listener(Fault::failing(FaultKind::Subvolume, "subvolume.snapshots", &error).into());
        not_all(order, error.kind)
    })?;
    let told = (&mut Overview::default(), listener);
    let mut round = RunContext::new(order, (store_options, now), state, folders, told);
    let mut failed = None;
    for (_, error) in order.unmatched() {
        (round.listener)(Fault::failing(FaultKind::Subvolume, PATH, &error).into());
        failed = Some(error.kind);
    }
    for of in selected {
        let Err(error) = round.see(of) else {
            continue;
        };
        if error.kind == Kind::Interrupted {
            return Err(error);
        }
        tell(order, &round.state, now, of, round.listener);
        (round.listener)(Fault::failing(FaultKind::Subvolume, PATH, &error).into());
        failed = Some(error.kind);
    }
    failed.map_or(Ok(()), |kind| Err(not_all(order, kind)))
}

/// Whose subvolumes are looked at; those of `[subvolumes]` have no key of their own.
const PATH: &str = "subvolume.path";

fn not_all(order: &ScheduledOrder, kind: Kind) -> Error {
    let doing = format!("checking {}", shown(&order.file));
    Error::new(kind, doing, "not all of it can be done as it says")
}

/// What is due as far as is remembered, without asking or looking at anything.
pub fn remembered(order: &ScheduledOrder, state: &RunState, now: &Zoned, listener: &mut Listener) {
    for of in &order.config.subvolumes {
        tell(order, state, now, of, listener);
    }
}

fn tell(
    order: &ScheduledOrder,
    state: &RunState,
    now: &Zoned,
    of: &SubvolumeConfig,
    listener: &mut Listener,
) {
    let config = &order.config;
    let time = |at: Zoned| at.strftime("%Y-%m-%d %H:%M %Z").to_string();
    let mut what = Vec::new();
    let archives = config.archives_of(of);
    for archive in &archives {
        let words = match archive
            .schedule
            .due(&state.past_in(of, archive), now, false)
        {
            Due::Now(kind, why) => format!("{kind} backup now ({why})"),
            Due::Later(at, kind) => format!("{kind} backup from {}", time(at)),
        };
        what.push(match archives.len() {
            1 => words,
            _ => format!("{}: {words}", archive.name),
        });
    }
    if let Some(cycle) = config.cycle_of(of) {
        let last = state.subvolumes.get(&of.name);
        let last = last.and_then(|last| names::scheduled_time(last.last_snapshot.as_deref()?));
        what.push(match cycle.due(last, now) {
            Ok(why) => format!("snapshot now ({why})"),
            Err(at) => format!("snapshot from {}", time(at)),
        });
    }
    let what = format!("{}, as far as is remembered", what.join(", "));
    listener(Event::Due {
        subvolume: of.path.clone(),
        what,
        due: false,
    });
}

impl RunContext<'_, '_> {
    /// What there is, and what would be done.
    fn see(&mut self, of: &SubvolumeConfig) -> Result<()> {
        let mut subject = SubvolumeBackup::new(of, self.order, self.store_options)?;
        let todo = self.look(&mut subject);
        let mut done = todo.map(drop);
        for there in subject.there() {
            match there {
                Ok(what) => (self.listener)(Event::Due {
                    subvolume: of.path.clone(),
                    what,
                    due: false,
                }),
                Err(error) => done = done.and(Err(error)),
            }
        }
        done
    }
}
