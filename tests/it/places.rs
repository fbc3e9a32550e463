//! Where buttersink keeps what it must remember: one place a filesystem, which only root can write to,
//! and locks that are the same by whichever mount a directory is reached.

use crate::runner::Test;
use crate::subvolumes::{history, script, subvolume, unfinished};
use crate::support::{Said, btrfs, buttersink, local_options, run};
use crate::tests;
use buttersink::store::Access;
use buttersink::store::local::Local;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) const TESTS: &[Test] = tests![
    one_place_a_filesystem,
    earlier_releases_are_taken_over_once,
    what_others_could_forge_is_not_believed,
    where_others_can_write_nothing_is_kept,
    a_directory_has_one_lock_by_every_mount,
    the_place_is_no_change_of_what_is_backed_up,
];

fn pair() -> (PathBuf, PathBuf) {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    history(&a, 2);
    (a.join("snaps/"), b)
}

fn send(from: &Path, to: &Path) -> Said {
    buttersink([from.as_os_str(), to.join("").as_os_str()])
}

/// How many snapshots are sealed, beside the lines of what was to be.
fn seals(path: &Path) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter(|line| !line.contains("pending"))
        .count()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn state(dir: &Path) -> String {
    buttersink([dir.join("")]).stdout
}

fn one_place_a_filesystem() {
    let (from, b) = pair();
    for name in ["one", "two"] {
        std::fs::create_dir(b.join(name)).unwrap();
        assert_eq!(send(&from.join("1"), &b.join(name)).code, 0);
        assert!(!b.join(name).join(".buttersink").exists());
    }
    let home = b.join(".buttersink");
    assert_eq!((mode(&home), mode(&home.join("seals"))), (0o700, 0o600));
    assert_eq!(seals(&home.join("seals")), 2);
    assert_eq!(home.join("marks").read_dir().unwrap().count(), 0);
    assert!(!state(&b.join("one")).contains("unsealed"));
    // It is no place for snapshots.
    let said = send(&from.join("1"), &home.join("marks"));
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("what it remembers"), "{}", said.stderr);
}

/// The seals and the mark that a release before this one kept in the directory itself.
fn earlier_releases_are_taken_over_once() {
    let (from, b) = pair();
    let dir = b.join("deep/dir");
    std::fs::create_dir_all(&dir).unwrap();
    assert_eq!(send(&from.join("1"), &dir).code, 0);
    unfinished(&dir, "x.part");
    script(
        &b,
        "mv .buttersink/seals deep/dir/.buttersink/; rm -r .buttersink",
    );
    // Whoever only reads believes both where they are.
    let listed = state(&dir);
    assert!(
        !listed.contains("unsealed") && listed.contains("partial"),
        "{listed}"
    );
    assert!(dir.join(".buttersink/seals").exists());
    assert_eq!(send(&from.join("2"), &dir).code, 0);
    assert!(!dir.join(".buttersink").exists() && !dir.join("x.part").exists());
    assert_eq!(seals(&b.join(".buttersink/seals")), 2);
    assert!(!state(&dir).contains("unsealed"));
}

fn what_others_could_forge_is_not_believed() {
    let (from, b) = pair();
    let dir = b.join("dir");
    std::fs::create_dir(&dir).unwrap();
    assert_eq!(send(&from.join("1"), &dir).code, 0);
    unfinished(&dir, "x.part");
    script(
        &b,
        "mv .buttersink/seals dir/.buttersink/; chown -R 65534 dir/.buttersink",
    );
    let listed = state(&dir);
    assert!(
        listed.contains("unsealed") && !listed.contains("partial"),
        "{listed}"
    );
    assert_eq!(buttersink(["clean".as_ref(), dir.as_os_str()]).code, 0);
    assert!(dir.join("x.part").exists());
    // A link leads nowhere.
    script(
        &b,
        "rm -r .buttersink; mkdir elsewhere; ln -s elsewhere .buttersink",
    );
    assert_ne!(send(&from.join("2"), &dir).code, 0);
    assert_eq!(b.join("elsewhere").read_dir().unwrap().count(), 0);
    assert!(!dir.join("2").exists());
}

fn where_others_can_write_nothing_is_kept() {
    let (from, b) = pair();
    let dir = b.join("dir");
    script(&b, "mkdir dir; chmod 1777 .");
    // Nobody can put another in the place of a directory of root's there.
    assert_eq!(send(&from.join("1"), &dir).code, 0);
    assert!(dir.join(".buttersink/seals").exists() && !b.join(".buttersink").exists());
    for words in [
        "chmod 777 dir",
        "chmod 755 dir; chmod 777 .",
        "chmod 755 .; chown 65534 .",
    ] {
        script(&b, words);
        let said = send(&from.join("2"), &dir);
        assert_ne!(said.code, 0, "{words}");
        assert!(said.stderr.contains("chown root"), "{}", said.stderr);
        assert!(!dir.join("2").exists());
    }
    script(&b, "chown 0 .");
    assert_eq!(send(&from.join("2"), &dir).code, 0);
    assert!(b.join(".buttersink/seals").exists() && !state(&dir).contains("unsealed"));
}

fn a_directory_has_one_lock_by_every_mount() {
    let (from, b) = pair();
    let (dir, again) = (b.join("dir"), b.with_file_name("again"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::create_dir(&again).unwrap();
    run(
        "mount",
        [OsStr::new("--bind"), dir.as_os_str(), again.as_os_str()],
    );
    let held = Local::open(&dir, Access::Append, local_options()).unwrap();
    assert_eq!(send(&from.join("1"), &again).code, 3);
    // Another one below the same root has its own.
    std::fs::create_dir(b.join("other")).unwrap();
    assert_eq!(send(&from.join("1"), &b.join("other")).code, 0);
    drop(held);
    assert_eq!(send(&from.join("1"), &again).code, 0);
}

/// The mount's root is the subvolume itself, and a destination lies in it too.
fn the_place_is_no_change_of_what_is_backed_up() {
    let top = btrfs("a", 256);
    let live = top.with_file_name("live");
    subvolume(&top.join("live"));
    std::fs::create_dir(&live).unwrap();
    run("umount", [&top]);
    let image = crate::support::image("a");
    run(
        "mount",
        [
            "-o".as_ref(),
            "loop,subvol=live".as_ref(),
            image.as_os_str(),
            live.as_os_str(),
        ],
    );
    // In a subvolume of its own, so that what arrives there is no change of what is backed up.
    script(&live, "btrfs -q subvolume create vault; echo 1 >file");
    let dest = live.join("vault");
    let backup = || {
        let words = [OsStr::new("backup"), live.as_os_str(), dest.as_os_str()];
        let said = buttersink(words);
        assert_eq!(said.code, 0);
        said.stdout.contains("made the snapshot")
    };
    assert!(backup());
    assert!(live.join(".buttersink/seals").exists());
    assert!(!backup());
    script(&live, "echo 2 >file");
    assert!(backup() && !backup());
}
