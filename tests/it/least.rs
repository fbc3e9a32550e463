//! The least configuration that README shows, at the services that tests have: it works as it stands, or the
//! message names the key to set, and then it does.

use crate::bucket::{Bucket, command, said};
use crate::runner::Test;
use crate::servers::shared;
use crate::subvolumes::{script, subvolume};
use crate::support::{btrfs, here};

pub(crate) const TESTS: &[Test] =
    crate::tests![readme_at_seaweedfs, readme_at_radosgw, readme_at_ministack,];

fn readme_at_seaweedfs() {
    assert_eq!(least("seaweedfs"), [""; 0]);
}

fn readme_at_radosgw() {
    let keys = least("radosgw");
    assert!(keys.iter().all(|key| key.starts_with("sse")), "{keys:?}");
}

fn readme_at_ministack() {
    assert_eq!(least("ministack"), [""; 0]);
}

/// The keys that had to be set besides.
fn least(kind: &'static str) -> Vec<&'static str> {
    let server = shared(kind);
    let (bucket, from) = (Bucket::new(&server), btrfs("from", 256));
    subvolume(&from.join("home"));
    script(&from, "head -c 400000 /dev/urandom >home/big");
    let readme = include_str!("../../README.md");
    let (_, text) = readme.split_once("the least is this:\n\n```\n").unwrap();
    let (text, _) = text.split_once("[[destination]]").unwrap();
    let text = text
        .replace("/home", &from.join("home").display().to_string())
        .replace("/snapshots", &from.join("snapshots").display().to_string())
        .replace("my-backups", &bucket.name);
    // Other tests run at the same time.
    let own = here().display();
    let global = format!("[global]\nstate_path = '{own}/state.json'\nlock_path = '{own}/lock'\n");
    let file = here().join("least.toml");
    let words = |args: &[&str]| said(command(&server.endpoint, args).arg(&file));
    let mut keys = Vec::new();
    loop {
        std::fs::write(&file, format!("{text}{}{global}", keys.concat())).unwrap();
        let check = words(&["config", "check", "--write"]);
        if check.code == 0 {
            assert!(check.stdout.contains("it is removed"), "{}", check.stdout);
            break;
        }
        let named = |key: &str| check.stderr.contains(key) && !keys.concat().contains(key);
        keys.push(
            match (named("sse = \"none\""), named("storage_class_chunks")) {
                (true, _) => "sse = \"none\"\n",
                (_, true) => "storage_class_chunks = \"STANDARD\"\n",
                _ => panic!("no key is named: {}", check.stderr),
            },
        );
    }
    assert!(bucket.keys("").is_empty());
    assert_eq!(words(&["backup", "--once", "--config"]).code, 0);
    let list = words(&["list", "--config"]);
    assert_eq!(list.code, 0);
    assert!(list.stdout.contains("home: 1 backup"), "{}", list.stdout);
    keys
}
