//! The verdict on a snapshot of a filesystem, from what was recorded of it and what it is now.
//! Looks at no content: the filesystem's own checksums guard that, and other stores' copies.

use crate::proof::{Seen, Verdict};
use crate::snapshot::{Snapshot, State};

pub(crate) fn verdict(snapshot: &Snapshot, sealed: bool, rejected: bool) -> Verdict {
    let unaltered = |words: &str| Verdict::seen(Seen::Sealed, words);
    let unverifiable = |words: &str| Verdict::Unverifiable(words.to_owned());
    match snapshot.state {
        State::Altered if rejected => Verdict::Different(
            "not what its source has: a comparison found that when it was received".to_owned(),
        ),
        State::Altered if snapshot.received_uuid.is_some() => Verdict::Different(
            "altered since it was received: its UUIDs or generations are not those of its seal, or of what it is a snapshot of"
                .to_owned(),
        ),
        State::Altered => Verdict::Different(format!(
            "altered since it was made: its generation is {}, and it was made in {}",
            snapshot.ctransid, snapshot.otransid
        )),
        State::Partial => unverifiable(
            "left by an interrupted transfer; the next run into the directory removes it",
        ),
        State::RwReceived => unverifiable(
            "read-write although it was received, so that anything may have changed in it",
        ),
        State::Uncompared => unverifiable(
            "the run that received it ended before it was compared with its source; compare it \
             (--against SOURCE --content), or delete it and let buttersink send it again",
        ),
        State::Ok | State::Duplicate if sealed => {
            unaltered("unaltered since it was received: its seal is right")
        }
        State::Ok if snapshot.received_uuid.is_none() && snapshot.ctransid > snapshot.otransid => {
            unaltered("its generation moved since it was made, and was found to be all that did")
        }
        State::Ok if snapshot.received_uuid.is_none() => {
            unaltered("unaltered since it was made: its generation is that of its making")
        }
        State::Ok | State::Unsealed | State::Duplicate => unverifiable(
            "no seal, as another program received it or a crash came before; compare it with its \
             source (--against SOURCE --content), which seals what is the same, or delete it and let \
             buttersink send it again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Uuid;

    #[test]
    fn nothing_is_sealed_without_a_record() {
        let made = |state| Snapshot {
            state,
            ..Snapshot::default()
        };
        let received = |state| Snapshot {
            received_uuid: Some(Uuid([1; 16])),
            ..made(state)
        };
        for (snapshot, sealed, rank) in [
            (made(State::Ok), false, 0),
            (made(State::Altered), false, 2),
            (received(State::Ok), true, 0),
            (received(State::Duplicate), true, 0),
            (received(State::Duplicate), false, 1),
            (received(State::Unsealed), false, 1),
            (received(State::Altered), false, 2),
            (received(State::RwReceived), false, 1),
            (received(State::Partial), false, 1),
            (received(State::Uncompared), true, 1),
        ] {
            let verdict = verdict(&snapshot, sealed, false);
            assert_eq!(verdict.rank(), rank, "{snapshot:?}");
        }
    }
}
