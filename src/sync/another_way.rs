//! Whether a step that failed may succeed in another way. Goes by kinds and causes, never by words.

use crate::error::{Cause, Error, Kind, Result};
use crate::plan::{Action, Step};
use crate::process;
use crate::snapshot::Listing;

/// Whether what failed may succeed in another way: not where room, a disk, a signal or a connection was
/// the reason. What a child of a store says about what it was given is [`Kind::Unreceivable`] by then.
pub(super) fn another_may_do(step: &Step, error: &Error) -> bool {
    let outside = process::outside(error).is_some()
        || matches!(
            error.cause,
            Some(Cause::Signal(_) | Cause::Exit(_) | Cause::Connection)
        );
    match (step.action, error.kind) {
        (_, Kind::Interrupted) | (Action::Keep | Action::Delete, _) => false,
        (Action::Copy, _) | (_, Kind::Unreceivable) => true,
        (_, Kind::Failed | Kind::Damaged | Kind::Restarted) => {
            (step.from.is_some() || !step.clones.is_empty()) && !outside
        }
        _ => false,
    }
}

/// A bucket takes any stream: what fails there is not about this one.
pub(super) fn must_be_about(error: &Error, there: &Listing) -> Result<()> {
    match there.offer.keeps_diffs() && error.kind != Kind::Unreceivable {
        true => Err(error.clone()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Mended, Size, Uuid};

    #[test]
    fn another_way_is_tried_unless_it_would_fail_too() {
        let step = |action, from| Step {
            action,
            path: "a".into(),
            to: Uuid([1; 16]),
            from,
            clones: Vec::new(),
            size: Size::Unknown,
            mended: Mended::default(),
            original: None,
            why: String::new(),
        };
        let diff = step(Action::Transfer, Some(Uuid([2; 16])));
        let whole = step(Action::Transfer, None);
        let failed = |cause: Option<Cause>| Error {
            cause,
            ..Error::failed("cannot receive a", "it said no")
        };
        let may = |step: &Step, error: Error| another_may_do(step, &error);
        assert!(may(&diff, failed(None)) && may(&diff, failed(Some(Cause::Errno(libc::EINVAL)))));
        assert!(may(
            &diff,
            Error::damaged("cannot receive a", "its end is wrong")
        ));
        assert!(!may(&whole, failed(None)) && !may(&step(Action::Delete, None), failed(None)));
        for outside in [
            Cause::Errno(libc::ENOSPC),
            Cause::Errno(libc::EDQUOT),
            Cause::Signal(9),
            Cause::Exit(255),
            Cause::Connection,
        ] {
            assert!(!may(&diff, failed(Some(outside))));
        }
        let stopped = process::interrupted("synchronising");
        assert!(!may(&diff, stopped.clone()) && !may(&step(Action::Copy, None), stopped));
        assert!(may(
            &step(Action::Copy, None),
            Error::refused("cannot copy a", "altered")
        ));
    }
}
