//! What a run would do now for each subvolume, by what the bucket has, and where that cannot be read,
//! as far as is remembered. Changes nothing.

use super::subvolume::SubvolumeBackup;
use super::{RunContext, ScheduledOrder, open_base};
use crate::backup::schedule::Due;
use crate::backup::state::RunState;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::snapshot::shown;
use crate::store::Means;
use jiff::Zoned;
use std::collections::HashSet;
use std::path::Path;

/// Asks the bucket, unless the order leaves it alone, and looks at the snapshots.
///
/// # Errors
/// If a run could not do what the file says.
pub fn preview(
    order: &ScheduledOrder,
    means: &Means,
    now: &Zoned,
    listener: &mut Listener,
) -> Result<()> {
    let (state, damaged) = RunState::of(&order.config);
    damaged
        .iter()
        .for_each(|remark| listener(Event::note(remark)));
    let store = match open_base(order, means) {
        Ok(store) => store,
        Err(error) => {
            remembered(order, &state, now, listener);
            return Err(error);
        }
    };
    let mut round = RunContext {
        order,
        means,
        now,
        state,
        store,
        others: Vec::new(),
        said: HashSet::new(),
        listener,
    };
    let (mut failed, selected) = (None, order.selected()?);
    for (name, path) in selected {
        match round.see(name, path) {
            Ok(()) => {}
            Err(error) if error.kind == Kind::Interrupted => return Err(error),
            Err(error) => {
                tell(order, &round.state, now, (name, path), round.listener);
                (round.listener)(Event::destination(&shown(path), Err(&error)));
                failed = Some(error.kind);
            }
        }
    }
    match failed {
        None => Ok(()),
        Some(kind) => {
            let said = "not all of it can be done as it says";
            Err(Error::new(
                kind,
                format!("checking {}", shown(&order.file)),
                said,
            ))
        }
    }
}

/// What is due as far as is remembered, without asking or looking at anything.
pub fn remembered(order: &ScheduledOrder, state: &RunState, now: &Zoned, listener: &mut Listener) {
    for (name, path) in &order.config.subvolumes {
        tell(order, state, now, (name, path), listener);
    }
}

fn tell(
    order: &ScheduledOrder,
    state: &RunState,
    now: &Zoned,
    (name, path): (&str, &Path),
    listener: &mut Listener,
) {
    let past = state.past(name, Path::is_dir);
    let what = match order.config.schedule.due(&past, now, false) {
        Due::Now(kind, why) => format!("{kind} backup now ({why})"),
        Due::Later(at, kind) => {
            format!("{kind} backup from {}", at.strftime("%Y-%m-%d %H:%M %Z"))
        }
    };
    let what = format!("{what}, as far as is remembered");
    listener(Event::Due {
        subvolume: path.to_owned(),
        what,
    });
}

impl RunContext<'_, '_> {
    /// What there is, and what would be done.
    fn see(&mut self, name: &str, path: &Path) -> Result<()> {
        let mut subject = SubvolumeBackup::new(name, path, self.order, self.means)?;
        let todo = self.look(&mut subject);
        if let Some(words) = subject.there()? {
            (self.listener)(Event::Due {
                subvolume: path.to_owned(),
                what: words,
            });
        }
        todo.map(drop)
    }
}
