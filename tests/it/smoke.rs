//! The programs start and say who they are.

use crate::runner::Test;
use crate::support::*;
use crate::tests;

pub(crate) const TESTS: &[Test] = tests![scratch_filesystem];

fn scratch_filesystem() {
    let a = btrfs("a", 256);
    run(
        "btrfs",
        ["subvolume", "create", a.join("x").to_str().unwrap()],
    );
}
