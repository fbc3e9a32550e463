//! One thing in a bucket that cannot be read, frozen by a lifecycle rule or refused, is one named item, and
//! never built upon; the rest goes on. In memory.

use crate::bucket_suites::settings;
use crate::contract::{bytes, put};
use crate::runner::Test;
use crate::streams::{diff, stream};
use buttersink::archive::{Thaw, Thawing, Tier, Which};
use buttersink::objects::memory::{Break, Memory};
use buttersink::plan::{Action, Wish, plan};
use buttersink::proof::Depth;
use buttersink::snapshot::{Diff, Listing, Origin, Size, Sizes};
use buttersink::store::bucket::{ArchiveStore, DiffStore};
use buttersink::store::{Access, Archive, Store};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = crate::tests![
    a_frozen_manifest_is_one_item,
    frozen_manifests_are_thawed_by_a_restore,
    a_refused_manifest_is_one_item,
    who_may_read_no_manifest_makes_no_backup,
    a_pointer_is_not_set_back_over_what_is_not_read,
    hints_are_not_needed,
    what_is_frozen_is_deleted_for_good,
    what_is_frozen_is_thawed_before_it_is_sent,
    what_cannot_be_thawed_is_one_item,
    what_runs_left_need_not_be_told,
    a_beginning_that_cannot_be_read_is_one_item,
    an_owner_that_cannot_be_read_keeps_nobody_from_restoring,
    a_copied_bucket_is_not_different,
    a_folder_that_cannot_be_read_is_one_item,
    a_folder_of_an_archive_that_cannot_be_read_is_one_item,
    a_chunk_that_cannot_be_looked_at_is_not_missing,
    what_an_archive_hides_is_told_beside_it,
    what_is_recorded_of_one_must_be_listed,
    an_upload_whose_parts_are_not_told_is_begun_anew,
];

const PART: usize = 10_000;
const POINTER: &str = "host/subvol/data/current.json";

fn archive(memory: &Memory, access: Access) -> ArchiveStore {
    let settings = settings("memory", "host", 3 * PART);
    ArchiveStore::on(Arc::new(memory.clone()), settings, access).unwrap()
}

fn diffs(memory: &Memory) -> DiffStore {
    DiffStore::on(Arc::new(memory.clone()), "host/", Access::Write).unwrap()
}

/// A full backup, one on it, and another full one.
fn three() -> Memory {
    let memory = Memory::new(PART as u64);
    let mut store = archive(&memory, Access::Write);
    for (name, to, from) in [("first", 1, None), ("next", 2, Some(1)), ("other", 3, None)] {
        let (diff, stream) = (diff(to, from, 5 * PART), stream(to, from, 5 * PART));
        put(&mut store, &diff, Path::new(name), &stream).unwrap();
    }
    memory
}

/// The key of the manifest of the first backup.
fn first(memory: &Memory) -> String {
    let keys = memory.keys();
    let mut manifests = keys.iter().filter(|key| key.contains("/full/manifest-"));
    manifests.next().unwrap().clone()
}

fn names(store: &mut dyn Store) -> Vec<String> {
    let listing = store.list().unwrap();
    let all = listing.snapshots.iter();
    all.map(|s| s.path.display().to_string()).collect()
}

/// How bad each finding is, by its path.
fn ranks(store: &mut dyn Store) -> BTreeMap<String, u8> {
    let findings = store.inspect(Depth::Download, &mut |_| {}).unwrap();
    let all = findings.iter();
    all.map(|f| (f.path.display().to_string(), f.verdict.rank()))
        .collect()
}

#[track_caller]
fn all_but_the_first_are_there(memory: &Memory) {
    let mut store = archive(memory, Access::Write);
    assert_eq!(names(&mut store), ["other"]);
    assert!(store.list().unwrap().partial);
    let error = store.backups().unwrap().must_be_all_read().unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    assert!(error.to_string().contains("/full/manifest-"), "{error}");
    let ranks = ranks(&mut store);
    let of = |end: &str| {
        ranks
            .iter()
            .find(|(path, _)| path.ends_with(end))
            .unwrap()
            .1
    };
    assert_eq!(
        (of("other"), of("next"), of(".json")),
        (&0, &1, &1),
        "{ranks:?}"
    );
    // What builds on it has no parent there.
    let on = diff(4, Some(2), PART);
    assert!(store.receive(&on, Path::new("more")).is_err());
    let on = diff(4, Some(3), PART);
    let stream = stream(4, Some(3), PART);
    put(&mut store, &on, Path::new("more"), &stream).unwrap();
    store.delete(Path::new("more")).unwrap();
}

fn a_frozen_manifest_is_one_item() {
    let memory = three();
    let first = first(&memory);
    memory.change_class(move |key| key == first, "GLACIER");
    all_but_the_first_are_there(&memory);
}

fn a_refused_manifest_is_one_item() {
    let memory = three();
    let first = first(&memory);
    memory.break_if(move |verb, key, _| (verb == "read" && key == first).then_some(Break::Fails));
    all_but_the_first_are_there(&memory);
}

fn frozen_manifests_are_thawed_by_a_restore() {
    let memory = three();
    memory.change_class(|key| key.ends_with(".json"), "DEEP_ARCHIVE");
    let mut store = archive(&memory, Access::Write);
    assert!(names(&mut store).is_empty());
    let mut how = now(Duration::from_secs(60));
    let error = store.thaw_records(&how, &mut |_| {}).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    memory.thaw_all();
    how.wait = true;
    store.thaw_records(&how, &mut |_| {}).unwrap();
    let backups = store.backups().unwrap();
    assert_eq!(backups.all.len(), 3);
    assert!(backups.must_be_all_read().is_ok());
    let (key, notes) = backups.choose(&Which::Newest).unwrap();
    assert!(notes.is_empty(), "{notes:?}");
    assert_eq!(backups.get(&key).unwrap().snapshot, "other");
}

/// Or it would make full ones for ever. To look is something else.
fn who_may_read_no_manifest_makes_no_backup() {
    let memory = three();
    memory.break_if(|verb, key, _| {
        (verb == "read" && key.contains("manifest-")).then_some(Break::Fails)
    });
    assert!(archive(&memory, Access::Append).list().is_err());
    let mut reader = archive(&memory, Access::Read);
    assert!(names(&mut reader).is_empty());
    assert_eq!(
        ranks(&mut reader).into_values().collect::<Vec<_>>(),
        [1, 1, 1]
    );
}

fn a_pointer_is_not_set_back_over_what_is_not_read() {
    let memory = three();
    let newest = memory
        .keys()
        .into_iter()
        .rfind(|key| key.contains("/full/manifest-"));
    let newest = newest.unwrap();
    let pointer = memory.bytes("host/subvol/data/current.json").unwrap();
    assert!(String::from_utf8_lossy(&pointer).contains(&newest));
    memory.change_class(move |key| key == newest, "GLACIER");
    assert_eq!(
        names(&mut archive(&memory, Access::Write)),
        ["first", "next"]
    );
    let now = memory.bytes("host/subvol/data/current.json").unwrap();
    assert_eq!(now, pointer);
}

fn hints_are_not_needed() {
    let memory = Memory::new(PART as u64);
    let (one, stream) = (diff(1, None, 5 * PART), stream(1, None, 5 * PART));
    put(&mut diffs(&memory), &one, Path::new("one"), &stream).unwrap();
    memory.change_class(|key| key.ends_with(".bs"), "GLACIER");
    let mut store = diffs(&memory);
    let listing = store.list().unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    assert!(listing.notes.iter().any(|note| note.contains("one.bs")));
    assert!(bytes(&mut store, &one) == stream);
    let size = store.measure(std::slice::from_ref(&one)).unwrap()[&one.key()].size;
    assert!(matches!(size, Size::Exact(_)));
    assert_eq!(ranks(&mut store)["one"], 0);
}

fn what_is_frozen_is_thawed_before_it_is_sent() {
    let memory = Memory::new(PART as u64);
    let sent = [1, 2].map(|to| (diff(to, None, 5 * PART), stream(to, None, 5 * PART)));
    for (diff, stream) in &sent {
        let name = diff.to.to_string();
        put(&mut diffs(&memory), diff, Path::new(&name), stream).unwrap();
    }
    let all = sent
        .iter()
        .map(|(diff, _)| diff.clone())
        .collect::<Vec<_>>();
    let mut how = now(Duration::from_secs(60));
    diffs(&memory)
        .thaw_diffs(&all, &how, &mut |_| panic!("nothing is frozen"))
        .unwrap();
    memory.change_class(|key| key.contains("_None"), "GLACIER");
    let mut asked = Vec::new();
    let error = diffs(&memory).thaw_diffs(&all, &how, &mut |how_far| asked.push(how_far));
    assert_eq!(error.unwrap_err().exit_code(), 10);
    assert_eq!(asked, [Thawing::Asked(2)]);
    memory.thaw_all();
    how.wait = true;
    let mut store = diffs(&memory);
    store.thaw_diffs(&all, &how, &mut |_| {}).unwrap();
    for (diff, stream) in &sent {
        assert!(bytes(&mut store, diff) == *stream);
    }
}

/// Of two, one of which the service refuses to thaw, the other one is thawed.
fn what_cannot_be_thawed_is_one_item() {
    let memory = Memory::new(PART as u64);
    let sent = [1, 2].map(|to| (diff(to, None, 5 * PART), stream(to, None, 5 * PART)));
    for (diff, stream) in &sent {
        put(
            &mut diffs(&memory),
            diff,
            Path::new(&diff.to.to_string()),
            stream,
        )
        .unwrap();
    }
    memory.change_class(|key| key.contains("_None"), "GLACIER");
    let refused = sent[0].0.to.to_string();
    memory.break_if(move |verb, key, _| {
        (verb == "thaw" && key.contains(&refused)).then_some(Break::Fails)
    });
    let all = sent
        .iter()
        .map(|(diff, _)| diff.clone())
        .collect::<Vec<_>>();
    let (mut told, mut how) = (Vec::new(), now(Duration::from_secs(60)));
    let error = diffs(&memory).thaw_diffs(&all, &how, &mut |how_far| told.push(how_far));
    assert_eq!(error.unwrap_err().exit_code(), 10);
    assert!(matches!(
        &told[..],
        [Thawing::Refused(_), Thawing::Asked(1)]
    ));
    memory.thaw_all();
    memory.change_class(
        |key| key.contains(&sent[0].0.to.to_string()),
        "DEEP_ARCHIVE",
    );
    how.wait = true;
    let mut store = diffs(&memory);
    store.thaw_diffs(&all, &how, &mut |_| {}).unwrap();
    assert!(bytes(&mut store, &sent[1].0) == sent[1].1);
}

/// To ask, and not to wait.
fn now(timeout: Duration) -> Thaw {
    Thaw {
        tier: Tier::Bulk,
        hurry: false,
        wait: false,
        timeout,
    }
}

/// AWS refuses to copy what is frozen: it goes for good, and the listing says so before.
fn what_is_frozen_is_deleted_for_good() {
    let memory = Memory::new(PART as u64);
    for (name, to) in [("one", 1), ("two", 2)] {
        let (diff, stream) = (diff(to, None, 5 * PART), stream(to, None, 5 * PART));
        put(&mut diffs(&memory), &diff, Path::new(name), &stream).unwrap();
    }
    memory.change_class(|key| key.contains("/one/"), "DEEP_ARCHIVE");
    let mut store = diffs(&memory);
    let notes = store.list().unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("goes for good")),
        "{notes:?}"
    );
    for name in ["one", "two"] {
        store.delete(Path::new(name)).unwrap();
    }
    let keys = memory.keys();
    assert!(keys.iter().all(|key| key.starts_with("trash/")), "{keys:?}");
    assert!(!keys.iter().any(|key| key.contains("/one/")), "{keys:?}");
    assert_eq!(keys.iter().filter(|key| key.contains("/two/")).count(), 1);
}

/// A snapshot whose upload ended shortly before its end: what it is, and its stream.
fn interrupted(store: &mut dyn Store) -> (Diff, Vec<u8>) {
    let (nine, stream) = (diff(9, None, 20 * PART), stream(9, None, 20 * PART));
    let mut sink = store.receive(&nine, Path::new("nine")).unwrap();
    crate::contract::write(&mut *sink, &stream[..stream.len() - 100]).unwrap();
    drop(sink);
    (nine, stream)
}

/// Who may not list the parts of an upload sees all else.
fn what_runs_left_need_not_be_told() {
    let memory = three();
    for mut store in [
        Box::new(diffs(&memory)) as Box<dyn Store>,
        Box::new(archive(&memory, Access::Write)),
    ] {
        interrupted(&mut *store);
        memory.break_if(|verb, _, _| (verb == "list the parts of").then_some(Break::Fails));
        let listing = store.list().unwrap();
        assert!(
            listing
                .notes
                .iter()
                .any(|note| note.contains("list the parts of"))
        );
        memory.mend();
    }
}

/// A backup of the old program, whose manifest does not say of which snapshot it is.
fn a_beginning_that_cannot_be_read_is_one_item() {
    let memory = three();
    let first = first(&memory);
    let text = String::from_utf8(memory.bytes(&first).unwrap()).unwrap();
    let (begin, end) = text.rsplit_once("\"uuid\": \"").unwrap();
    let (_, end) = end.split_once('"').unwrap();
    memory.overwrite(&first, format!("{begin}\"uuid\": null{end}").as_bytes());
    // Nothing may build on it that knows.
    let keys = memory.keys().into_iter();
    let next = keys.filter(|key| key.contains("/incremental/"));
    next.for_each(|key| memory.lose(&key));
    let chunk = first
        .replace("manifest-", "chunk-")
        .replace(".json", "-0.bin");
    memory.break_if(move |verb, key, _| (verb == "read" && key == chunk).then_some(Break::Fails));
    let mut store = archive(&memory, Access::Write);
    assert_eq!(names(&mut store), ["first", "other"]);
    let notes = store.list().unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("-0.bin")),
        "{notes:?}"
    );
}

/// Whose archive it is matters to who writes there.
fn an_owner_that_cannot_be_read_keeps_nobody_from_restoring() {
    let memory = three();
    let ours = Origin {
        machine: "ours".to_owned(),
        ..Origin::default()
    };
    archive(&memory, Access::Append)
        .claim(&ours, false)
        .unwrap();
    memory.break_if(|verb, key, _| {
        (verb == "read" && key.ends_with("owner.json")).then_some(Break::Fails)
    });
    let mut reader = archive(&memory, Access::Read);
    assert_eq!(names(&mut reader), ["first", "next", "other"]);
    let notes = reader.list().unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("owner.json")),
        "{notes:?}"
    );
    assert!(
        archive(&memory, Access::Append)
            .claim(&ours, false)
            .is_err()
    );
}

/// Who copies a bucket makes its parts anew, and with them the ETags: that says nothing of the bytes.
fn a_copied_bucket_is_not_different() {
    let memory = Memory::new(PART as u64);
    let (one, two) = (diff(1, None, 5 * PART), diff(2, None, PART / 2));
    for (name, diff, length) in [("one", &one, 5 * PART), ("two", &two, PART / 2)] {
        let sent = stream(diff.to.0[15], None, length);
        put(&mut diffs(&memory), diff, Path::new(name), &sent).unwrap();
    }
    let again = |name: &str, change: bool| {
        let mut keys = memory.keys().into_iter();
        let key = keys.rfind(|key| key.contains(&format!("/{name}/")));
        let key = key.unwrap();
        let mut bytes = memory.bytes(&key).unwrap();
        bytes[7] ^= u8::from(change);
        memory.overwrite(&key, &bytes);
    };
    let quick = |name: &str| {
        let findings = diffs(&memory).inspect(Depth::Quick, &mut |_| {}).unwrap();
        let found = findings.into_iter().find(|f| f.path == Path::new(name));
        found.unwrap().verdict
    };
    again("one", false);
    let verdict = quick("one");
    assert_eq!(verdict.rank(), 1, "{verdict:?}");
    assert!(format!("{verdict:?}").contains("--download"), "{verdict:?}");
    assert_eq!(ranks(&mut diffs(&memory))["one"], 0);
    // The ETag of what was written at once is a digest of its bytes.
    again("two", false);
    assert_eq!(quick("two").rank(), 0);
    again("two", true);
    assert_eq!(quick("two").rank(), 2);
}

/// What is in it may build on any other, and have any name.
fn a_folder_that_cannot_be_read_is_one_item() {
    let memory = Memory::new(PART as u64);
    for (name, to, from) in [("one", 1, None), ("two", 2, Some(1)), ("three", 3, None)] {
        let (diff, stream) = (diff(to, from, 5 * PART), stream(to, from, 5 * PART));
        put(&mut diffs(&memory), &diff, Path::new(name), &stream).unwrap();
    }
    memory.hide("host/one/");
    let mut store = diffs(&memory);
    let listing = store.list().unwrap();
    assert_eq!(names(&mut store), ["three", "two"]);
    let error = listing.must_be_whole().unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    assert!(
        listing.partial && error.to_string().contains("host/one/"),
        "{error}"
    );
    let ranks = ranks(&mut store);
    assert_eq!(
        (ranks["one"], ranks["two"], ranks["three"]),
        (1, 1, 0),
        "{ranks:?}"
    );
    for name in ["two", "three"] {
        let error = store.delete(Path::new(name)).unwrap_err();
        assert!(error.to_string().contains("host/one/"), "{error}");
    }
    let (four, bytes) = (diff(4, None, PART), stream(4, None, PART));
    let taken = put(&mut store, &four, Path::new("one"), &bytes).unwrap_err();
    assert!(taken.to_string().contains("of that name"), "{taken}");
    put(&mut store, &four, Path::new("four"), &bytes).unwrap();
    // A run brings the others, names this one, and deletes nothing for it.
    let there = Listing {
        snapshots: store.list().unwrap().snapshots[..1].to_vec(),
        ..Listing::default()
    };
    let wish = Wish {
        delete: true,
        ..Wish::default()
    };
    let plan = plan(&store.list().unwrap(), &there, &wish, &Sizes::new()).unwrap();
    let blocked: Vec<_> = plan.obstacles.iter().filter(|o| o.blocks).collect();
    assert!(
        blocked.iter().any(|o| o.path == Path::new("one")),
        "{blocked:?}"
    );
    assert!(plan.transfers().any(|step| step.path == Path::new("three")));
    assert!(plan.steps.iter().all(|step| step.action != Action::Delete));
}

fn a_folder_of_an_archive_that_cannot_be_read_is_one_item() {
    for (folder, there) in [("full/", &[][..]), ("incremental/", &["first", "other"])] {
        let memory = three();
        let key = format!("host/subvol/data/{folder}");
        let pointer = memory.bytes(POINTER).unwrap();
        memory.hide(&key);
        let mut store = archive(&memory, Access::Write);
        assert_eq!(names(&mut store), there, "{folder}");
        assert!(store.list().unwrap().partial);
        let backups = store.backups().unwrap();
        let error = backups.must_be_all_read().unwrap_err();
        assert_eq!(error.exit_code(), 10, "{error}");
        assert!(error.to_string().contains(&key), "{error}");
        assert!(backups.leftovers.is_empty());
        // Nothing is called different for it.
        let ranks = ranks(&mut store);
        assert!(ranks.values().all(|rank| *rank < 2), "{ranks:?}");
        // The pointer is not set back.
        assert_eq!(memory.bytes(POINTER).unwrap(), pointer);
        if !there.is_empty() {
            assert!(store.delete(Path::new("first")).is_err());
            memory.pass(SignedDuration::from_secs(60));
            let (more, bytes) = (diff(4, None, PART), stream(4, None, PART));
            put(&mut store, &more, Path::new("more"), &bytes).unwrap();
        }
    }
}

fn a_chunk_that_cannot_be_looked_at_is_not_missing() {
    let memory = three();
    let chunk = first(&memory)
        .replace("manifest-", "chunk-")
        .replace(".json", "-0.bin");
    memory.hide(&chunk);
    let mut store = archive(&memory, Access::Write);
    assert_eq!(names(&mut store), ["other"]);
    let ranks = ranks(&mut store);
    assert!(ranks.values().all(|rank| *rank < 2), "{ranks:?}");
    assert_eq!(
        ranks.values().filter(|rank| **rank == 1).count(),
        2,
        "{ranks:?}"
    );
    let memory = three();
    let chunk = first(&memory)
        .replace("manifest-", "chunk-")
        .replace(".json", "-0.bin");
    memory.lose(&chunk);
    let ranks = self::ranks(&mut archive(&memory, Access::Write));
    assert_eq!(
        ranks.values().filter(|rank| **rank == 2).count(),
        2,
        "{ranks:?}"
    );
}

/// By the archive, and not by what lies around it.
fn what_an_archive_hides_is_told_beside_it() {
    let memory = three();
    memory.hide("host/subvol/data/full/");
    assert!(diffs(&memory).list().unwrap().must_be_whole().is_ok());
    memory.hide("host/subvol/");
    let error = diffs(&memory).list().unwrap().must_be_whole().unwrap_err();
    assert!(error.to_string().contains("host/subvol/"), "{error}");
}

/// Whoever adopts a snapshot is not told that it is done, if nobody will find it.
fn what_is_recorded_of_one_must_be_listed() {
    let memory = Memory::new(PART as u64);
    let (one, stream) = (diff(1, None, PART), stream(1, None, PART));
    put(&mut diffs(&memory), &one, Path::new("one"), &stream).unwrap();
    let ours = Origin {
        machine: "ours".to_owned(),
        ..Origin::default()
    };
    memory.show_as(|key| key.replace(".bs", ".BS"));
    let error = diffs(&memory).adopt(Path::new("one"), &ours).unwrap_err();
    assert!(error.to_string().contains("no listing shows it"), "{error}");
    memory.show_as(str::to_owned);
    diffs(&memory).adopt(Path::new("one"), &ours).unwrap();
}

/// It stays what a run left; the snapshot arrives, now and whenever it is sent.
fn an_upload_whose_parts_are_not_told_is_begun_anew() {
    let memory = three();
    for mut store in [
        Box::new(diffs(&memory)) as Box<dyn Store>,
        Box::new(archive(&memory, Access::Write)),
    ] {
        let (nine, stream) = interrupted(&mut *store);
        store.list().unwrap();
        memory.break_if(|verb, _, _| (verb == "list the parts of").then_some(Break::Fails));
        put(&mut *store, &nine, Path::new("nine"), &stream).unwrap();
        memory.mend();
        assert!(bytes(&mut *store, &nine) == stream);
    }
}
