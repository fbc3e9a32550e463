//! Whose an archive is: a second machine with one prefix and name finds out before it writes, and before
//! it takes a snapshot, whatever has become of the first.

use crate::bucket::{Bucket, command, said};
use crate::bucket_suites::settings;
use crate::runner::Test;
use crate::scheduled::{Scene, day};
use crate::support::{Said, btrfs};
use crate::tests;
use buttersink::error::{Kind, Result};
use buttersink::objects::Objects;
use buttersink::objects::memory::{Break, Memory};
use buttersink::snapshot::{Diff, Origin, Size, Uuid};
use buttersink::store::bucket::ArchiveStore;
use buttersink::store::{Access, Archive, Store};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(crate) const TESTS: &[Test] = tests![
    the_first_machine_has_it,
    of_two_that_begin_at_a_time_one_goes_on,
    an_answer_that_is_lost_changes_nothing,
    what_is_not_understood_is_somebodys,
    a_second_machine_takes_no_snapshot,
    a_second_machine_goes_on_with_what_is_its_own,
];

const KEY: &str = "subvol/data/owner.json";
const NAME: &str = "data__20261121T020000Z__full";

fn origin(machine: &str) -> Origin {
    Origin {
        machine: machine.to_owned(),
        host: format!("host of {machine}"),
        filesystem: Uuid([9; 16]),
        subvolume: Uuid([1; 16]),
        ..Origin::default()
    }
}

fn open(memory: &Memory) -> ArchiveStore {
    let settings = settings("memory", "/", 25_000);
    ArchiveStore::on(Arc::new(memory.clone()), settings, Access::Write).unwrap()
}

fn owner(memory: &Memory) -> Value {
    serde_json::from_slice(&memory.get(KEY).unwrap().unwrap()).unwrap()
}

fn back_up(store: &mut ArchiveStore) -> Result<()> {
    let bytes = crate::streams::stream(1, None, 70_000);
    let diff = Diff::new(Uuid([1; 16]), None, Size::Exact(bytes.len() as u64));
    let mut sink = store.receive(&diff, Path::new(NAME))?;
    sink.write_all(&bytes).unwrap();
    sink.finish().map(drop)
}

fn count(memory: &Memory) -> usize {
    memory.inventory("").unwrap().objects.len()
}

fn the_first_machine_has_it() {
    let memory = Memory::new(10_000);
    let (mut first, mut second) = (open(&memory), open(&memory));
    first.claim(&origin("one"), false).unwrap();
    assert_eq!(owner(&memory)["origin"]["machine"], "one");
    let error = second.claim(&origin("two"), false).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    assert!(error.said.contains("host of one"), "{error}");
    assert!(error.lines().contains("--take-over"), "{error}");
    assert_eq!(count(&memory), 1);
    // Nothing is said of its backups either.
    let error = second.adopt(Path::new(NAME), &origin("two")).unwrap_err();
    assert_eq!(error.kind, Kind::Refused);
    back_up(&mut first).unwrap();
    // It moves when somebody says so, and the first finds out.
    second.claim(&origin("two"), true).unwrap();
    assert_eq!(owner(&memory)["origin"]["host"], "host of two");
    let error = open(&memory).claim(&origin("one"), false).unwrap_err();
    assert!(error.said.contains("host of two"), "{error}");
    // A machine without an id is known by its filesystem.
    let memory = Memory::new(10_000);
    open(&memory).claim(&origin(""), false).unwrap();
    open(&memory).claim(&origin(""), false).unwrap();
    let other = Origin {
        filesystem: Uuid([8; 16]),
        ..origin("")
    };
    assert!(open(&memory).claim(&other, false).is_err());
}

/// Where a service overwrites what must not be there yet, both may believe for a moment to be the first.
fn of_two_that_begin_at_a_time_one_goes_on() {
    let memory = Memory::new(10_000);
    let (mut first, mut second) = (open(&memory), open(&memory));
    first.claim(&origin("one"), false).unwrap();
    memory.remove(&[KEY.to_owned()]).unwrap();
    second.claim(&origin("two"), false).unwrap();
    let error = back_up(&mut first).unwrap_err();
    assert!(error.said.contains("host of two"), "{error}");
    let manifests = |memory: &Memory| {
        let all = memory.inventory("").unwrap().objects.into_iter();
        all.filter(|object| object.key.contains("manifest")).count()
    };
    assert_eq!(manifests(&memory), 0);
    // Somebody deleted it while a backup was uploaded: that is whole all the same.
    let memory = Memory::new(10_000);
    let mut first = open(&memory);
    first.claim(&origin("one"), false).unwrap();
    memory.remove(&[KEY.to_owned()]).unwrap();
    back_up(&mut first).unwrap();
    assert_eq!(owner(&memory)["origin"]["machine"], "one");
    assert_eq!(manifests(&memory), 1);
}

fn an_answer_that_is_lost_changes_nothing() {
    let memory = Memory::new(10_000);
    memory.break_if(|verb, _, _| (verb == "create").then_some(Break::LosesAnswer));
    open(&memory).claim(&origin("one"), false).unwrap();
    let memory = Memory::new(10_000);
    memory.break_if(|verb, _, _| (verb == "create").then_some(Break::Fails));
    assert!(open(&memory).claim(&origin("one"), false).is_err());
}

fn what_is_not_understood_is_somebodys() {
    for body in ["", "{}", "[1]", "{\"since\": 3}"] {
        let memory = Memory::new(10_000);
        let about = Default::default();
        memory.put(KEY, body.as_bytes(), &about).unwrap();
        let mut store = open(&memory);
        let error = store.claim(&origin("one"), false).unwrap_err();
        assert_eq!(error.kind, Kind::Refused, "{body}");
        assert!(store.list().unwrap().notes.is_empty());
        store.claim(&origin("one"), true).unwrap();
    }
}

/// The first one has said that it begins, and was never seen again.
fn another_has_begun(scene: &Scene) {
    let (origin, since) = (origin("0a"), "20260101T020000Z");
    let owner = json!({"since": since, "origin": origin});
    let bucket = bucket(scene);
    bucket.put(
        "host 1/subvol/data/owner.json",
        owner.to_string().as_bytes(),
    );
}

fn bucket(scene: &Scene) -> Bucket<'_> {
    Bucket {
        server: &scene.server,
        name: scene.bucket.clone(),
    }
}

fn adopt(scene: &Scene, more: &[&str]) -> Said {
    let place = format!("s3://{}/host 1/", scene.bucket);
    let data = scene.from.join("data");
    let words = [
        "adopt",
        "--take-over",
        &place,
        "--as",
        data.to_str().unwrap(),
    ];
    said(&mut command(
        &scene.server.endpoint,
        &[&words, more].concat(),
    ))
}

fn a_second_machine_takes_no_snapshot() {
    let scene = Scene::new("seaweedfs", "");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    another_has_begun(&scene);
    let before = bucket(&scene).keys("");
    for number in [0, 7] {
        let error = scene.run(&day(number)).unwrap_err();
        assert_eq!((error.kind, error.exit_code()), (Kind::Refused, 1));
        assert!(error.said.contains("host of 0a, since 20260101"), "{error}");
    }
    let mut order = scene.order();
    order.once = true;
    let store_options = crate::scheduled::store_options(&scene.server);
    let run =
        |order| buttersink::backup::scheduled::run(order, &store_options, &day(8), &mut |_| {});
    assert_eq!(run(&order).unwrap_err().kind, Kind::Refused);
    assert!(scene.names("data").is_empty(), "a snapshot was taken");
    assert_eq!(bucket(&scene).keys(""), before);
    // Shown first, and done when that is said.
    let shown = adopt(&scene, &[]);
    assert_eq!(shown.code, 0);
    assert!(
        shown.stderr.contains("would be of this machine"),
        "{}",
        shown.stderr
    );
    scene.run(&day(9)).unwrap_err();
    assert_eq!(adopt(&scene, &["--yes"]).code, 0);
    scene.run(&day(9)).unwrap();
    assert_eq!(scene.names("data").len(), 1);
    // Another one that was reinstalled, or whose disk is in this machine, has nothing of the chain.
    let other = serde_json::to_vec(&json!({"origin": origin("0b")})).unwrap();
    bucket(&scene).put("host 1/subvol/data/owner.json", &other);
    scene.run(&day(16)).unwrap_err();
    assert_eq!(scene.names("data").len(), 1);
}

fn a_second_machine_goes_on_with_what_is_its_own() {
    let scene = Scene::new("seaweedfs", "");
    scene.replace(&format!(", '{}/home'", scene.from.display()), "");
    let copies = btrfs("copies", 512);
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let more = format!(
        "{text}\n[[destination]]\nlocation = '{}/'\n",
        copies.display()
    );
    std::fs::write(&scene.config, more).unwrap();
    another_has_begun(&scene);
    let error = scene.run(&day(0)).unwrap_err();
    assert_eq!(error.exit_code(), 10, "{error}");
    let names = scene.names("data");
    assert_eq!(names.len(), 1);
    assert!(copies.join(&names[0]).exists());
    assert_eq!(bucket(&scene).keys("").len(), 1);
}
