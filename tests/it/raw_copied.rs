//! What other programs make of a bucket in a directory, and of a directory in a bucket: they know nothing of what
//! is known of objects, and the streams are there all the same.

use crate::bucket::Bucket;
use crate::disks::{ext4, raw};
use crate::raw::fine;
use crate::runner::Test;
use crate::servers::{KEY, SECRET, installed, shared};
use crate::subvolumes::history;
use crate::support::*;
use crate::tree::assert_same;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = crate::tests![copied_by_aws_there_and_back];

/// `aws s3 sync FROM TO`
fn aws(bucket: &Bucket, from: &str, to: &str) {
    let Some(home) = installed("awscli") else {
        skip("needs PyPI's awscli");
    };
    let mut command = Command::new("python3");
    command.args(["-m", "awscli", "--endpoint-url", &bucket.server.endpoint]);
    command.args(["s3", "sync", "--only-show-errors", from, to]);
    command.env("PYTHONPATH", home).env("HOME", here());
    command.env("AWS_DEFAULT_REGION", "us-east-1");
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    assert!(output(&mut command).status.success());
}

fn copied_by_aws_there_and_back() {
    let server = shared("seaweedfs");
    let [a, b, c] = ["a", "b", "c"].map(|name| btrfs(name, 256));
    let bucket = Bucket::new(&server);
    history(&a, 3);
    let snaps = format!("{}/", a.join("snaps").display());
    let (one, two) = (bucket.url("one/"), bucket.url("two/"));
    bucket.fine(&[&snaps, &one]);
    let disk = ext4("e", 64).join("copy");
    std::fs::create_dir(&disk).unwrap();
    aws(&bucket, &one, disk.to_str().unwrap());
    let said = buttersink(["list", &raw(&disk)]);
    assert!(said.code != 0 && said.stderr.contains(".buttersink-raw"));
    // As buttersink-raw(5) has it.
    std::fs::write(
        disk.join(".buttersink-raw"),
        r#"{"version": 1, "escaping": "percent"}"#,
    )
    .unwrap();
    let said = buttersink(["verify", &raw(&disk)]);
    assert!(said.code == 1 && said.stdout.contains("3 unverifiable, 0 different"));
    let said = fine(&["verify", "--download", &raw(&disk)]);
    assert!(said.stdout.contains("3 intact, 0 unverifiable"));
    assert_eq!(said.stdout.matches("is the recorded one").count(), 3);
    restored(&bucket, &a, &raw(&disk), &b.join("from-disk"));
    aws(&bucket, disk.to_str().unwrap(), &two);
    let said = bucket.fine(&["verify", "--download", &two]);
    assert!(said.stdout.contains("3 intact, 0 unverifiable"));
    restored(&bucket, &a, &two, &c.join("from-bucket"));
}

fn restored(bucket: &Bucket, a: &Path, from: &str, to: &Path) {
    std::fs::create_dir(to).unwrap();
    bucket.fine(&[from, &format!("{}/", to.display())]);
    for name in ["1", "2", "3"] {
        assert_same(&a.join("snaps").join(name), &to.join(name));
    }
}
