//! What people and scripts see of a run, from values that are made up: text, and below it the JSON of
//! the same.

use crate::kit::snapshots::same_as_kept;
use crate::runner::Test;
use crate::tests;
use buttersink::archive::{ArchiveState, Backup, BackupKind, Backups, ByHand};
use buttersink::error::Error;
use buttersink::event::{
    Adopted, Cleaned, Compared, Counts, Deleted, Event, Fate, Instead, Judged, Leftover, Link,
    Restoring, Retention, Summary, Verified,
};
use buttersink::plan::{Action, Obstacle, Plan, Step};
use buttersink::proof::{Finding, Seen, Verdict};
use buttersink::report::archives::Shown;
use buttersink::report::{Listed, ListingFormat, Screen, json};
use buttersink::snapshot::{
    CameBy, Diff, Listing, Mended, Offer, Origin, Size, Snapshot, State, Uuid,
};
use buttersink::store::{Effort, Parts, Receipt};
use jiff::SignedDuration;
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    a_listing,
    screens,
    screens_of_an_archive,
    a_plan,
    a_run,
    a_backup,
    a_restore,
    a_verification,
    tidying_up,
];

fn both(value: &(impl Display + Serialize)) -> String {
    format!("{value}\n{}\n\n", json(value))
}

fn kept(name: &str, events: &[Event]) {
    same_as_kept(name, &events.iter().map(both).collect::<String>());
}

fn id(n: u8) -> Uuid {
    Uuid([n; 16])
}

fn step(action: Action, path: &str, size: Size) -> Step {
    Step {
        action,
        path: path.into(),
        to: id(2),
        from: (action == Action::Transfer).then_some(id(1)),
        clones: Vec::new(),
        size,
        mended: Mended::default(),
        original: None,
        why: "as the difference from a".to_owned(),
    }
}

fn plan() -> Plan {
    let obstacle = |path: &str, blocks: bool| Obstacle {
        hint: blocks.then(|| "send another".into()),
        path: path.into(),
        what: "it was altered".to_owned(),
        blocks,
    };
    Plan {
        steps: vec![
            step(Action::Keep, "a", Size::Exact(0)),
            step(Action::Transfer, "b\n100%", Size::Exact(1234)),
            step(Action::Transfer, "c", Size::Estimate(5 << 20)),
            Step {
                original: Some("/mnt/other/d".into()),
                ..step(Action::Copy, "d", Size::Exact(0))
            },
            step(Action::Delete, "old", Size::Exact(0)),
        ],
        obstacles: vec![obstacle("x", true), obstacle("", false)],
        strangers: 2,
        effort: Some(Effort {
            requests: 7,
            parts: 3,
        }),
        compare: true,
        ..Plan::default()
    }
}

fn origin() -> Origin {
    Origin {
        machine: "0123".to_owned(),
        host: "host".to_owned(),
        filesystem: id(8),
        subvolume: id(9),
        made: Some(1_800_000_000),
        by: CameBy::OwnWay,
    }
}

fn a_listing() {
    let snapshot = |path: &str, state, known| Snapshot {
        path: path.into(),
        uuid: id(3),
        received_uuid: Some(id(4)),
        created: Some(1_800_000_000).filter(|_| known),
        read_only: true,
        state,
        referenced: Some(3 << 30).filter(|_| known),
        exclusive: Some(17).filter(|_| known),
        origin: Some(origin()).filter(|_| known),
        ..Snapshot::default()
    };
    let listing = |snapshots| Listing {
        location: "/mnt/b".to_owned(),
        snapshots,
        free: Some(1 << 40),
        notes: vec!["some remark".to_owned()],
        ..Listing::default()
    };
    let full = listing(vec![
        snapshot("home/2027", State::Ok, true),
        snapshot("home/2028", State::RwReceived, false),
    ]);
    let empty = Listing {
        free: None,
        ..listing(Vec::new())
    };
    let look = ListingFormat {
        now: 1_800_100_000,
        ..ListingFormat::default()
    };
    let all = [&full, &empty].map(|listing| both(&Listed::of(listing, &look)));
    same_as_kept("listing", &all.concat());
}

/// A bucket as screens of several widths show it: of a snapshot that the old program stored nobody knows when it
/// was made.
fn screens() {
    let snapshot = |n: u8, name: &str, own_time: bool| Snapshot {
        path: name.into(),
        uuid: id(n),
        created: Some(1_800_000_000 + 90_000 * i64::from(n)),
        read_only: true,
        storage_class: Some("DEEP_ARCHIVE".to_owned()).filter(|_| n < 3),
        origin: own_time.then(|| Origin {
            made: Some(1_700_000_000 + 86_400 * i64::from(n)),
            ..origin()
        }),
        ..Snapshot::default()
    };
    let diff = |to, from: Option<u8>, bytes| Diff::new(id(to), from.map(id), Size::Exact(bytes));
    let bucket = Listing {
        location: "s3://bucket/home/".to_owned(),
        snapshots: vec![
            snapshot(1, "20231115-221320", false),
            snapshot(2, "tuesday", true),
            snapshot(3, "with a long name, as some people like them", true),
            snapshot(4, "wednesd8", true),
        ],
        offer: Offer::Only(vec![
            diff(1, None, 5 << 30),
            diff(2, Some(1), 70 << 20),
            diff(3, Some(2), 1 << 20),
            diff(4, Some(2), 900),
        ]),
        ..Listing::default()
    };
    on_screens("screens", |look| Listed::of(&bucket, look).to_string());
}

/// What screens of several widths show, each of which it fits.
fn on_screens(name: &str, shown: impl Fn(&ListingFormat) -> String) {
    let mut text = String::new();
    for (width, tree) in [(40, false), (80, false), (160, false), (80, true)] {
        let look = ListingFormat {
            screen: Screen {
                width: Some(width),
                colour: false,
            },
            now: 1_800_500_000,
            tree,
            ..ListingFormat::default()
        };
        let shown = shown(&look);
        let table = shown.lines().skip_while(|line| !line.starts_with("NAME"));
        assert!(
            table.take(5).all(|line| line.chars().count() <= width),
            "{shown}"
        );
        text += &format!("{width} columns:\n{shown}\n\n");
    }
    same_as_kept(name, &text);
}

/// An archive of the old program, with which ours went on: of its own backups nobody knows when their snapshots
/// were made.
fn an_archive() -> Backups {
    let backup = |n: u8, on: Option<u8>, bytes: u64, all: Option<u64>| Backup {
        key: format!("m{n}"),
        kind: on.map_or(BackupKind::Full, |_| BackupKind::Incremental),
        created_at: format!("2026120{n}T020000Z").as_str().into(),
        snapshot: format!("home__2026120{n}T020000Z__{}", on.map_or("full", |_| "inc")),
        parent: on.map(|n| format!("m{n}")),
        origin: (n > 2).then(|| Origin {
            made: Some(1_796_090_000 + 86_400 * i64::from(n)),
            ..origin()
        }),
        id: Some(id(n)),
        bytes,
        chain_bytes: all,
        broken: all.is_none().then(|| "a chunk is missing".to_owned()),
        state: Some(match n {
            1 => ArchiveState::Frozen,
            _ => ArchiveState::Readable,
        }),
        command: Some(ByHand {
            thaw: (n == 1).then(|| format!("thaw {n}")),
            receive: format!("receive {n}"),
        })
        .filter(|_| n < 3),
        ..a_backup_of("")
    };
    Backups {
        name: "home".to_owned(),
        location: "s3://bucket/host/".to_owned(),
        all: vec![
            backup(1, None, 5 << 30, Some(5 << 30)),
            backup(2, Some(1), 70 << 20, Some((5 << 30) + (70 << 20))),
            backup(3, Some(2), 900, Some((5 << 30) + (70 << 20) + 900)),
            backup(4, Some(2), 1 << 20, None),
        ],
        current: Some("m3".to_owned()),
        unread: [("m9".to_owned(), "it is no JSON".to_owned())].into(),
        strays: vec!["chunk".to_owned()],
        ..Backups::default()
    }
}

fn screens_of_an_archive() {
    let archive = an_archive();
    on_screens("archive", |look| Shown::of(&archive, look).to_string());
    let order = |order: &str| {
        let look = ListingFormat {
            sort: Some(order.to_owned()),
            columns: vec!["chain".to_owned()],
            ..ListingFormat::default()
        };
        let shown = Shown::of(&archive, &look).to_string();
        let rows = shown.lines().skip(2).take(4);
        rows.map(|row| row.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(order("-chain"), ["3", "2", "1", "-"]);
    assert_eq!(order("stored"), ["3", "-", "2", "1"]);
    assert_eq!(order("total"), ["-", "1", "2", "3"]);
    assert_eq!(order("-time"), ["-", "3", "2", "1"]);
}

fn a_plan() {
    let all = [plan(), Plan::default()].map(|plan| both(&plan));
    same_as_kept("plan", &all.concat());
}

fn a_run() {
    let sent = step(Action::Transfer, "b", Size::Exact(1234));
    let error = Error::failed("cannot send b", "the pipe broke");
    let receipt = Receipt {
        bytes: 1234,
        parts: Some(Parts {
            sent: 2,
            skipped: 1,
        }),
        held: false,
        note: None,
    };
    kept(
        "run",
        &[
            Event::note("some remark"),
            Event::Measuring { diffs: 3 },
            Event::Started(sent.clone()),
            Event::Again {
                path: "b".into(),
                error: error.clone(),
            },
            Event::Instead(Box::new(Instead {
                step: sent.clone(),
                error: error.clone(),
                plan: plan(),
            })),
            Event::Comparing {
                path: "b".into(),
                entries: 10,
            },
            Event::Compared(Compared {
                path: "b".into(),
                everything: true,
                words: "compared b: 10 entries are the same".to_owned(),
            }),
            Event::Unsettled(error.clone()),
            Event::ended(&sent, Ok(receipt)),
            Event::ended(&sent, Err(&error)),
            Event::ended(&sent, Err(&error.clone().hint("look at the pipe"))),
            Event::ended(
                &step(Action::Delete, "old", Size::Exact(0)),
                Ok(Receipt::default()),
            ),
            Event::Summary(Summary::default()),
            Event::Summary(summary()),
        ],
    );
}

fn summary() -> Summary {
    Summary {
        kept: 1,
        sent: 3,
        copied: 7,
        compared: 2,
        bytes: 123_456,
        deleted: 4,
        strangers: 5,
        failed: 6,
        parts: Some(Parts {
            sent: 2,
            skipped: 1,
        }),
    }
}

fn a_backup() {
    let judged = |path: &str, keep| Judged {
        path: path.into(),
        id: id(5),
        keep,
        why: "the newest of its day".to_owned(),
    };
    let retention = |dry_run| {
        Event::Retention(Retention {
            location: "/mnt/b".to_owned(),
            snapshots: vec![judged("a", false), judged("b", true)],
            dry_run,
        })
    };
    let made = |made, why: Option<&str>| Event::Made {
        path: "/home/snapshot/2027".into(),
        made,
        why: why.map(str::to_owned),
    };
    kept(
        "backup",
        &[
            Event::Due {
                subvolume: "/home".into(),
                what: "full backup now (there is none)".to_owned(),
                due: true,
            },
            made(true, Some("it changed")),
            made(false, Some("it changed")),
            made(false, None),
            Event::planned("/mnt/b", &plan(), true),
            Event::cost("s3://b/", "costs nothing".to_owned()),
            Event::destination("/mnt/b", Ok(summary())),
            Event::destination("/mnt/b", Err(&Error::failed("cannot open /mnt/b", "no"))),
            retention(true),
            retention(false),
        ],
    );
}

fn a_backup_of(name: &str) -> Backup {
    Backup {
        key: "m".to_owned(),
        kind: BackupKind::Incremental,
        created_at: "20270101T020000Z".into(),
        snapshot: name.to_owned(),
        path: "/srv/a".into(),
        id: None,
        origin: None,
        parent: None,
        bytes: 3 << 30,
        chain_bytes: None,
        chunks: ["1", "2", "3"].map(str::to_owned).into(),
        class: "DEEP_ARCHIVE".to_owned(),
        broken: None,
        state: None,
        command: None,
    }
}

fn a_restore() {
    let link = |name: &str, needed: bool| Link {
        backup: a_backup_of(name),
        frozen: usize::from(needed),
        classes: vec!["DEEP_ARCHIVE".to_owned()],
        present: (!needed).then(|| "/srv/a".into()),
        needed,
    };
    let plan = Restoring {
        subvolume: "home".to_owned(),
        manifest_key: "p/subvol/home/full/manifest-20270101T020000Z.json".to_owned(),
        why: "the newest".to_owned(),
        chain: vec![link("a", false), link("b", true)],
        bytes: 3 << 30,
        objects: 3,
        frozen: 1,
        tier: "Standard".to_owned(),
        waits: vec!["DEEP_ARCHIVE by Standard: 12 hours".to_owned()],
        cost_dollars: Some(1.25),
        cost: "about $1.25 to thaw".to_owned(),
        received_in: "/srv".into(),
        target: "/srv/home".into(),
    };
    let nothing = Restoring {
        bytes: 0,
        ..plan.clone()
    };
    kept(
        "restore",
        &[
            Event::Restoring(Box::new(plan)),
            Event::Restoring(Box::new(nothing)),
            Event::Thaw { objects: 3 },
            Event::Thawing {
                frozen: 2,
                objects: 3,
                waited: Duration::from_secs(3_700),
            },
            Event::Checked {
                words: "/srv/b: compared".to_owned(),
            },
            Event::Restored {
                snapshot: "/srv/b".into(),
                target: "/srv/home".into(),
            },
        ],
    );
}

fn a_verification() {
    let finding = |path: &str, verdict| {
        Event::Finding(Finding {
            path: path.into(),
            id: id(6),
            verdict,
        })
    };
    let both = Verdict::Good([Seen::Sealed, Seen::Same].into(), "by its seal".to_owned());
    kept(
        "verify",
        &[
            Event::verifying("a"),
            finding("a", both),
            finding("b", Verdict::Unverifiable("there is no seal".to_owned())),
            finding("c", Verdict::Different("it was altered".to_owned())),
            Event::Verified(Verified {
                location: "/mnt/b".to_owned(),
                counts: Counts {
                    seen: Seen::ALL.into_iter().map(|seen| (seen, 1)).collect(),
                    unverifiable: 1,
                    different: 1,
                },
                snapshots: 3,
            }),
        ],
    );
}

fn tidying_up() {
    let left = |result, known: bool| {
        Event::Leftover(Box::new(Leftover {
            location: "s3://b/".to_owned(),
            path: "x.part".into(),
            bytes: known.then_some(3 << 20),
            latest: known.then_some(1_800_000_000),
            result,
            error: (result == Fate::Failed).then(|| Error::failed("cannot delete", "denied")),
            age: known.then_some(SignedDuration::from_hours(2)),
            limit: SignedDuration::from_hours(24),
        }))
    };
    let cleaned = |dry_run| {
        Event::Cleaned(Cleaned {
            removed: 1,
            kept: 2,
            failed: 3,
            dry_run,
        })
    };
    let adopted = |before: Option<Origin>, done| {
        Event::Adopted(Box::new(Adopted {
            location: "/mnt/b".to_owned(),
            id: id(7),
            path: "a".into(),
            before,
            origin: origin(),
            done,
        }))
    };
    kept(
        "clean",
        &[
            left(Fate::Removed, true),
            left(Fate::Removable, false),
            left(Fate::Kept, true),
            left(Fate::Failed, true),
            cleaned(false),
            cleaned(true),
            Event::Deleted(Box::new(Deleted {
                location: "s3://b/".to_owned(),
                created_at: "20270101T020000Z".into(),
                kind: BackupKind::Full,
                snapshot: "home__20270101T020000Z__full".to_owned(),
                bytes: 5,
                result: Fate::Removed,
                cost: "costs nothing".to_owned(),
            })),
            adopted(None, false),
            adopted(Some(origin()), true),
        ],
    );
}
