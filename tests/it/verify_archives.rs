//! Verification of backups in chunks: below a location, and those of a configuration.

use crate::bucket::{command, said};
use crate::restore::{COLD, PLAIN, Scene};
use crate::runner::Test;
use crate::servers::shared;
use crate::support::{Said, here};
use crate::tests;
use serde_json::Value;

pub(crate) const TESTS: &[Test] = tests![
    what_is_whole_and_what_is_not,
    with_the_streams_made_again,
    what_is_frozen_was_not_read,
];

fn verify(scene: &Scene, words: &[&str]) -> Said {
    said(&mut command(
        &scene.server.endpoint,
        &[&["verify"], words].concat(),
    ))
}

/// The backups of the configuration, and those below the bucket's top and the archive's folder.
#[track_caller]
fn ends(scene: &Scene, options: &[&str], code: i32, words: &[&str]) {
    let config = scene.config.to_str().unwrap();
    let url = |prefix: &str| format!("s3://{}/{prefix}", scene.bucket);
    for place in [
        &["--config", config][..],
        &[&url("")],
        &[&url("host/")],
        &[&url("host/subvol/live/")],
    ] {
        let said = verify(scene, &[place, options].concat());
        assert_eq!(said.code, code, "{place:?} {options:?}");
        for word in words {
            assert!(said.stdout.contains(word), "no '{word}' for {place:?}");
        }
    }
}

fn what_is_whole_and_what_is_not() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let deep = ["--download"];
    ends(
        &scene,
        &[],
        0,
        &["3 snapshots: 3 intact", "chain of 2 backups"],
    );
    ends(&scene, &deep, 0, &["3 intact", "each chunk's SHA-256"]);
    // The full backup has several chunks; one of them has another byte.
    let (key, bytes, _) = scene.chunks[1].clone();
    let mut changed = bytes.clone();
    changed[7] ^= 1;
    scene.put(&key, &changed);
    ends(&scene, &[], 4, &["3 different", "its ETag is another"]);
    ends(&scene, &deep, 4, &["3 different", "it builds on"]);
    scene.put(&key, &bytes);
    ends(&scene, &deep, 0, &["3 intact"]);
    without_etags(&scene);
    // The last one is gone: the others are good.
    let (key, bytes, _) = scene.chunks.last().unwrap();
    scene.server.plain("DELETE", &scene.bucket, key, b"");
    for depth in [&[][..], &deep] {
        ends(&scene, depth, 4, &["2 intact", "1 different", "is missing"]);
    }
    scene.put(key, bytes);
    // A manifest that cannot be read, and a subvolume without backups.
    scene.put("host/subvol/live/full/manifest-20260109T020000Z.json", b"{");
    ends(&scene, &[], 4, &["3 intact", "1 different", "20260109"]);
    let key = "host/subvol/live/full/manifest-20260109T020000Z.json";
    scene.server.plain("DELETE", &scene.bucket, key, b"");
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let config = here().join("more.toml");
    let more = text.replace("['/srv/live']", "['/srv/live', '/srv/other']");
    std::fs::write(&config, more).unwrap();
    let said = verify(&scene, &["--config", config.to_str().unwrap(), "--json"]);
    assert_eq!(said.code, 10);
    let lines: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let verdict = |line: &Value| (line["path"].clone(), line["verdict"].clone());
    assert_eq!(
        verdict(&lines[3]),
        ("subvol/other".into(), "unverifiable".into())
    );
    assert_eq!(lines[4]["intact"], 3);
    assert_eq!(lines[4]["location"], format!("s3://{}/host/", scene.bucket));
    // Where nothing is, nothing is verified.
    let none = format!("s3://{}/none/", scene.bucket);
    let said = verify(&scene, &[&none]);
    assert!(said.code == 1 && said.stderr.contains("no snapshots"));
}

/// The length alone says nothing of the bytes.
fn without_etags(scene: &Scene) {
    let manifest = scene.manifests.last().unwrap();
    let (status, kept) = scene.server.plain("GET", &scene.bucket, manifest, b"");
    assert_eq!(status, 200);
    let mut text: Value = serde_json::from_slice(&kept).unwrap();
    text["chunks"][0]["etag"] = Value::Null;
    scene.put(manifest, text.to_string().as_bytes());
    ends(scene, &[], 10, &["2 intact, 1 unverifiable", "no ETags"]);
    ends(scene, &["--download"], 0, &["3 intact, 0 unverifiable"]);
    scene.put(manifest, &kept);
}

fn with_the_streams_made_again() {
    let scene = Scene::new(shared("seaweedfs"), &PLAIN);
    let place = format!("s3://{}/", scene.bucket);
    let snaps = scene.from.join("snaps");
    let words = [&place, "--against", snaps.to_str().unwrap()];
    let good = verify(&scene, &words);
    assert!(good.code == 0 && good.stdout.contains("3 intact, 3 regenerated"));
    let (key, bytes, _) = &scene.chunks[0];
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 1;
    scene.put(key, &changed);
    let bad = verify(&scene, &words);
    assert!(bad.code == 4 && bad.stdout.contains("different     host/subvol/live/1"));
    scene.put(key, bytes);
    crate::stores::delete(&snaps.join("3"));
    let lacking = verify(&scene, &words);
    assert!(lacking.code == 4 && lacking.stdout.contains("missing in"));
}

fn what_is_frozen_was_not_read() {
    let scene = Scene::new(shared("ministack"), &COLD);
    ends(&scene, &[], 0, &["3 intact", "the sizes and the ETags"]);
    let words = ["3 snapshots: 3 unverifiable, 0 different", ": frozen: "];
    ends(&scene, &["--download"], 1, &words);
    // Frozen or not, what is missing is known.
    let (key, ..) = scene.chunks.last().unwrap();
    scene.server.plain("DELETE", &scene.bucket, key, b"");
    let words = ["2 unverifiable, 1 different", "is missing"];
    ends(&scene, &["--download"], 4, &words);
}
