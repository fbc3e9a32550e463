//! One step of a plan, and the words for a step that is not carried out.

use super::transfer::transfer;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Listener};
use crate::plan::{Action, Step};
use crate::process;
use crate::snapshot::shown;
use crate::store::{Receipt, Store};

pub(super) fn not_deleted(step: &Step) -> Error {
    let said = "nothing is deleted, since not every snapshot arrived";
    Error::refused(format!("keeping {}", shown(&step.path)), said)
}

pub(super) fn orphan(step: &Step) -> Error {
    let name = shown(&step.path);
    Error::failed(
        format!("cannot send {name}"),
        "it builds on a snapshot that did not arrive",
    )
}

pub(super) fn one_step(
    step: &Step,
    source: &mut dyn Store,
    dest: &mut dyn Store,
    listener: &mut Listener,
) -> Result<Receipt> {
    process::check("synchronising")?;
    listener(Event::Started(step.clone()));
    match step.action {
        Action::Delete => dest.delete(&step.path).map(|()| Receipt::default()),
        Action::Copy => {
            let original = step.original.as_deref().unwrap_or(&step.path);
            dest.copy(original, &step.path).map(|()| Receipt::default())
        }
        _ => match transfer(source, dest, &step.diff(), &step.path, &mut |n| {
            listener(Event::Moved { bytes: n });
        }) {
            Err(error) if error.kind == Kind::Restarted => {
                let path = step.path.clone();
                listener(Event::Again { path, error });
                transfer(source, dest, &step.diff(), &step.path, &mut |n| {
                    listener(Event::Moved { bytes: n });
                })
            }
            other => other,
        },
    }
}
