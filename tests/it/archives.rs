//! Backups in chunks, as the old program left them in a bucket: laid out by hand, listed, and received
//! with the commands that the list shows.

use crate::runner::Test;
use crate::servers::{KEY, SECRET, Server, shared};
use crate::subvolumes::{history, script};
use crate::support::{Said, binary, btrfs, here, output};
use crate::tests;
use crate::tree::assert_same;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    an_old_archive_is_listed_and_comes_back,
    what_is_broken_is_said,
];

/// A bucket with a chain of backups of `live`, whose chunks also lie below `here()/bucket`.
struct Scene {
    server: Server,
    bucket: String,
    config: PathBuf,
    from: PathBuf,
}

const CUT: usize = 100_000;

impl Scene {
    fn new() -> Scene {
        let server = shared("seaweedfs");
        let bucket = server.bucket();
        let from = btrfs("from", 512);
        history(&from, 3);
        let config = here().join("config.toml");
        let text = format!(
            "subvolumes.paths = ['/srv/live']\n[s3]\nbucket = '{bucket}'\nregion = 'us-east-1'\n\
             prefix = 'old/host 1/'\nendpoint_url = '{}'\n",
            server.endpoint
        );
        std::fs::write(&config, text).unwrap();
        let scene = Scene {
            server,
            bucket,
            config,
            from,
        };
        scene.fill();
        scene
    }

    fn put(&self, key: &str, body: &[u8]) {
        let (status, _) = self.server.plain("PUT", &self.bucket, key, body);
        assert_eq!(status, 200);
        let copy = here().join("bucket").join(key);
        std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
        std::fs::write(copy, body).unwrap();
    }

    fn fill(&self) {
        let mut parent = String::new();
        for number in 1..=3 {
            let kind = if number == 1 { "full" } else { "incremental" };
            let made = format!("2026010{number}T020000Z");
            let path = |n: usize| self.from.join(format!("snaps/{n}"));
            let mut send = Command::new("btrfs");
            send.args(["send", "--quiet"]);
            if number > 1 {
                send.arg("-p").arg(path(number - 1));
            }
            let stream = output(send.arg(path(number))).stdout;
            let folder = format!("old/host 1/subvol/live/{kind}");
            let mut chunks = Vec::new();
            for (i, piece) in stream.chunks(CUT).enumerate() {
                let key = format!("{folder}/chunk-{made}-{i}.bin");
                self.put(&key, piece);
                chunks.push(json!({"key": key, "size": piece.len(), "sha256": "", "etag": null}));
            }
            let manifest = json!({
                "version": 1, "subvolume": "live", "kind": kind, "created_at": made,
                "snapshot": {"name": number.to_string(), "path": format!("/srv/snapshots/{number}"),
                             "uuid": null, "parent_uuid": null},
                "parent_manifest": parent, "chunks": chunks, "total_bytes": stream.len(),
                "chunk_size": CUT, "s3": {"storage_class": "STANDARD"},
            });
            parent = format!("{folder}/manifest-{made}.json");
            self.put(&parent, manifest.to_string().as_bytes());
        }
        let pointer = json!({"manifest_key": parent, "kind": "incremental", "created_at": "x"});
        self.put(
            "old/host 1/subvol/live/current.json",
            pointer.to_string().as_bytes(),
        );
    }

    fn list(&self, options: &[&str]) -> Said {
        let output = output(
            Command::new(binary("buttersink"))
                .args(["list", "--config", self.config.to_str().unwrap()])
                .args(options)
                .env("AWS_ACCESS_KEY_ID", KEY)
                .env("AWS_SECRET_ACCESS_KEY", SECRET),
        );
        Said {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// `aws … s3 cp s3://BUCKET/KEY -` from the copies of the objects.
const AWS: &str = r#"aws() { local url=${@: -2:1}; cat "$objects/${url#s3://*/}"; }"#;

fn an_old_archive_is_listed_and_comes_back() {
    let scene = Scene::new();
    let said = scene.list(&[]);
    assert_eq!(said.code, 0);
    let states: Vec<&str> = said
        .stdout
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().nth_back(1))
        .take(3)
        .collect();
    assert_eq!(states, ["restorable", "restorable", "newest"]);
    let said = scene.list(&["--commands"]);
    let commands: Vec<&str> = said
        .stdout
        .lines()
        .filter(|l| l.contains("btrfs receive"))
        .collect();
    assert_eq!(commands.len(), 3);
    assert!(
        commands[0].contains(" && "),
        "one chunk only: {}",
        commands[0]
    );
    let to = btrfs("to", 512);
    for command in commands {
        let command = command.replace("btrfs receive", "btrfs -q receive");
        let objects: &Path = &here().join("bucket");
        script(
            &to,
            &format!("objects='{}'\n{AWS}\n{command}", objects.display()),
        );
    }
    for name in ["1", "2", "3"] {
        assert_same(&scene.from.join("snaps").join(name), &to.join(name));
    }
}

fn what_is_broken_is_said() {
    let scene = Scene::new();
    let chunk = "old/host 1/subvol/live/incremental/chunk-20260102T020000Z-0.bin";
    scene.server.plain("DELETE", &scene.bucket, chunk, b"");
    scene.put(
        "old/host 1/subvol/live/full/chunk-20260109T020000Z-0.bin",
        b"x",
    );
    scene.put(
        "old/host 1/subvol/live/full/manifest-20260108T020000Z.json",
        br#"{"version": 7}"#,
    );
    let said = scene.list(&[]);
    assert_eq!(said.code, 0);
    let lines: Vec<&str> = said.stdout.lines().map(str::trim).collect();
    assert!(lines[2].contains("  restorable"), "{}", lines[2]);
    // What builds on a broken one is broken too.
    for (row, why) in [(3, 6), (4, 7)] {
        assert!(lines[row].contains("  broken"), "{}", lines[row]);
        assert!(
            lines[why].starts_with("broken") && lines[why].contains("Z-0.bin is missing"),
            "{}",
            lines[why]
        );
    }
    assert!(
        lines[8].contains("manifest-20260108") && lines[8].contains("newer program"),
        "{}",
        lines[8]
    );
    assert!(
        lines[9].starts_with("stray") && lines[9].contains("chunk-20260109"),
        "{}",
        lines[9]
    );
}
