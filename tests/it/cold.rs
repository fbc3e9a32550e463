//! Scheduled backups into an archive class, on a server that models such: weeks while everything is
//! frozen, an interrupted upload, and the way back.

use crate::bucket::{Bucket, command, said};
use crate::proxy::{Fault, Proxy};
use crate::runner::Test;
use crate::s3::options;
use crate::scheduled::{Scene, day, store_options};
use crate::servers::shared;
use crate::subvolumes::{id, script, subvolume};
use crate::support::btrfs;
use crate::tests;
use crate::tree::assert_same;
use buttersink::s3::S3Options;
use buttersink::store::StoreOptions;
use serde_json::{Value, json};
use std::path::Path;

pub(crate) const TESTS: &[Test] = tests![
    weeks_while_all_is_frozen,
    what_nobody_wrote_down_is_known_by_name,
    a_sync_thaws_what_it_restores,
];

fn scene() -> Scene {
    let scene = Scene::new("ministack", "storage_class_manifest = 'STANDARD'");
    let chunks = |class: &str| format!("storage_class_chunks = '{class}'");
    scene.replace(&chunks("STANDARD"), &chunks("DEEP_ARCHIVE"));
    scene
}

fn bucket(scene: &Scene) -> Bucket<'_> {
    Bucket {
        server: &scene.server,
        name: scene.bucket.clone(),
    }
}

#[track_caller]
fn all_frozen(scene: &Scene, name: &str) {
    let bucket = bucket(scene);
    let keys = bucket.keys(&format!("host 1/subvol/{name}/"));
    let chunks: Vec<_> = keys.iter().filter(|key| key.ends_with(".bin")).collect();
    assert!(!chunks.is_empty());
    for key in chunks {
        let (status, body) = scene.server.plain("GET", &bucket.name, key, b"");
        let body = String::from_utf8_lossy(&body);
        assert!(
            status == 403 && body.contains("InvalidObjectState"),
            "{key}"
        );
    }
}

/// Restores one backup with the program, to a new filesystem.
fn restore(scene: &Scene, name: &str, snapshot: &str, to: &Path) {
    let (config, target) = (scene.config.to_str().unwrap(), to.join("back"));
    let words = [
        "restore",
        "--config",
        config,
        "--subvolume",
        name,
        "--snapshot",
        snapshot,
        "--target",
    ];
    let words = [&words[..], &[target.to_str().unwrap()]].concat();
    let back = said(&mut command(&scene.server.endpoint, &words));
    assert_eq!(back.code, 0);
    assert!(back.stderr.contains("asked for"), "{}", back.stderr);
    assert_same(&scene.snapshots().join(snapshot), &target);
}

fn weeks_while_all_is_frozen() {
    let scene = scene();
    for week in 0..3 {
        scene.write(&week.to_string());
        let due = scene.run(&day(7 * week)).unwrap();
        let kind = if week == 0 { "full" } else { "incremental" };
        assert!(due[0].starts_with(&format!("data: {kind}")), "{due:?}");
        all_frozen(&scene, "data");
    }
    // The network goes away after the first chunk of `data`.
    scene.write("3");
    let mut chunks = 0;
    let proxy = Proxy::before(&scene.server, move |seen| {
        chunks += usize::from(seen.method == "PUT" && seen.target.contains("chunk-"));
        (chunks > 1).then_some(Fault::Reset)
    });
    let through = |proxy: &Proxy, retries| StoreOptions {
        s3: S3Options {
            retries,
            ..options(&proxy.endpoint)
        },
        ..store_options(&scene.server)
    };
    scene.run_with(&day(21), &through(&proxy, 0)).unwrap_err();
    let names = scene.names("data");
    assert_eq!(names.len(), 4);
    let whole = Proxy::before(&scene.server, |_| None);
    let due = scene.run_with(&day(22), &through(&whole, 5)).unwrap();
    assert!(due[0].ends_with("was interrupted)"), "{due:?}");
    assert_eq!(scene.names("data"), names, "it is the same snapshot");
    let seen = whole.seen.lock().unwrap().clone();
    let puts = |part: &str| {
        let puts = seen.iter().filter(|line| line.starts_with("PUT "));
        puts.filter(|line| line.contains(part)).count()
    };
    assert_eq!(puts("data/incremental/chunk-"), 1, "{seen:?}");
    assert_eq!(puts("data/incremental/manifest-"), 1, "{seen:?}");
    for name in ["data", "home"] {
        let listing = scene.listing(name);
        assert!(listing.notes.is_empty(), "{:?}", listing.notes);
        assert_eq!(listing.snapshots.len(), 4);
        all_frozen(&scene, name);
    }
    restore(&scene, "data", &names[3], &btrfs("newest", 512));
    restore(
        &scene,
        "home",
        &scene.names("home")[1],
        &btrfs("older", 512),
    );
}

/// Manifests of the old program have no UUIDs, and chunks that are frozen tell none; but the
/// snapshots are here, and have the names that the manifests say.
fn what_nobody_wrote_down_is_known_by_name() {
    let scene = scene();
    for week in 0..2 {
        scene.write(&week.to_string());
        scene.run(&day(7 * week)).unwrap();
    }
    let bucket = bucket(&scene);
    let manifest = |key: &str| -> Value { serde_json::from_slice(&bucket.get(key)).unwrap() };
    for key in bucket.keys("host 1/subvol/data/") {
        if key.contains("/manifest-") {
            let mut old = manifest(&key);
            assert!(old["snapshot"]["uuid"].is_string());
            old["snapshot"]["uuid"] = json!(null);
            old["snapshot"]["parent_uuid"] = json!(null);
            bucket.put(&key, old.to_string().as_bytes());
        }
    }
    all_frozen(&scene, "data");
    scene.write("2");
    let due = scene.run(&day(14)).unwrap();
    assert!(due[0].starts_with("data: incremental"), "{due:?}");
    let key = "host 1/subvol/data/incremental/manifest-20260215T020000Z.json";
    let new = manifest(key);
    let names = scene.names("data");
    let parent = scene.snapshots().join(&names[1]);
    assert_eq!(new["snapshot"]["parent_uuid"], json!(id(&parent)));
    assert!(
        new["parent_manifest"]
            .as_str()
            .unwrap()
            .contains("20260208T020000Z")
    );
    all_frozen(&scene, "data");
    restore(&scene, "data", &names[2], &btrfs("to", 512));
}

fn a_sync_thaws_what_it_restores() {
    let (from, to) = (btrfs("a", 256), btrfs("b", 256));
    subvolume(&from.join("data"));
    script(
        &from,
        "echo one >data/file; mkdir snaps; btrfs -q subvolume snapshot -r data snaps/one",
    );
    let server = shared("ministack");
    let bucket = Bucket::new(&server);
    let (snaps, there, back) = (slash(&from.join("snaps")), bucket.url("y/"), slash(&to));
    bucket.fine(&["--storage-class", "GLACIER", &snaps, &there]);
    assert_eq!(bucket.run(&["--no-wait-restore", &there, &back]).code, 10);
    assert!(!to.join("one").exists());
    bucket.fine(&["--restore-tier", "Bulk", &there, &back]);
    assert_same(&from.join("snaps/one"), &to.join("one"));
}

fn slash(dir: &Path) -> String {
    format!("{}/", dir.display())
}
