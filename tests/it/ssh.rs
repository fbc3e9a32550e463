//! Through a real sshd, with real filesystems on both ends: what works, and what is refused.

use crate::contract;
use crate::damage;
use crate::runner::Test;
use crate::sshd::*;
use crate::stores::{Directories, delete, fill, two_snapshots};
use crate::subvolumes::{snapshot, subvolume};
use crate::support::{binary, btrfs, btrfs_with, here, local_options};
use crate::tests;
use crate::tree::assert_same;
use buttersink::process::Priority;
use buttersink::store::local::LocalOptions;
use buttersink::store::{self, Access, Location, Store, StoreOptions};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    ssh_keeps_the_contract,
    push_pull_list_and_delete,
    streams_kept_behind_ssh,
    from_far_to_far,
    odd_names_travel,
    what_arrives_is_compared_and_replaced,
    compressed_data_travels,
    a_forced_command_decides,
    each_mode_is_refused_what_it_must_be,
    nothing_leads_out_of_the_directory,
    a_far_lock_is_respected,
    common_mistakes_have_a_way_out,
];

fn ssh_keeps_the_contract() {
    let _sshd = Sshd::start();
    std::env::set_current_dir(here()).unwrap();
    let open = |dir: &Path, access| -> Box<dyn Store> {
        let place = Location::directory(&far(dir)).unwrap().place;
        let (priority, compressed) = (Priority::Normal, false);
        let ssh = store::remote::ssh::SshOptions {
            command: "./ssh".into(),
            ..Default::default()
        };
        let store_options = StoreOptions {
            bwlimit: None,
            local: LocalOptions {
                priority,
                compressed,
                ..local_options()
            },
            ssh,
            s3: buttersink::s3::S3Options::default(),
        };
        store::open(&place, access, &store_options).unwrap()
    };
    let mut world = Directories::new(Box::new(open));
    contract::all(&mut world);
    damage::all(&mut world);
}

fn push_pull_list_and_delete() {
    let sshd = Sshd::start();
    let (snaps, root) = dirs();
    let there = root.join("backup");
    fs::create_dir(&there).unwrap();

    let plan = fine([OsStr::new("-n"), &near(&snaps), &far(&there)]);
    assert!(plan.stdout.contains("base") && plan.stdout.contains("next"));
    assert_eq!(
        fs::read_dir(&there).unwrap().count(),
        0,
        "a dry run changes nothing"
    );
    fine([near(&snaps), far(&there)]);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &there.join(name));
    }
    let list = fine([far(&there)]);
    assert!(list.stdout.contains("base") && list.stdout.contains("next"));

    // What is there is not sent again; with a name it is one snapshot; this is one directory.
    fine([near(&snaps), far(&there)]);
    let back = root.join("back");
    fs::create_dir(&back).unwrap();
    let one = there.join("base");
    let url = format!("ssh://root@127.0.0.1:{}{}", sshd.port, one.display());
    let home = btrfs("home", 512);
    fine([url, home.display().to_string()]);
    assert_same(&one, &home.join("base"));
    fine([far(&there), near(&home)]);
    assert_same(&there.join("next"), &home.join("next"));

    delete(&snaps.join("base"));
    fine([OsStr::new("-d"), &near(&snaps), &far(&there)]);
    assert!(!there.join("base").exists() && there.join("next").exists());

    let dir = format!("{}/", there.display());
    let words = |mode: char| format!("sudo buttersink --server --mode {mode} {dir}");
    let modes: Vec<String> = "rararrw".chars().map(words).collect();
    let log = fs::read_to_string(here().join("ssh.log")).unwrap();
    let said: Vec<&str> = log
        .lines()
        .map(|line| &line[line.find("sudo").unwrap()..])
        .collect();
    assert_eq!(
        said, modes,
        "one connection a run, with no more rights than it needs"
    );
}

/// A directory of a filesystem that is not btrfs, with `raw+ssh://`.
fn streams_kept_behind_ssh() {
    let _sshd = Sshd::start();
    let (snaps, home) = (two_snapshots(&btrfs("near", 512), 3), btrfs("home", 512));
    let disk = crate::disks::ext4("e", 64);
    let place = |dir: &Path| format!("raw+ssh://far{}/", dir.display());
    let there = OsString::from(place(&disk));
    let plan = fine([OsStr::new("-n"), &near(&snaps), &there]);
    assert!(plan.stdout.contains("base") && plan.stdout.contains("next"));
    fine([near(&snaps), there.clone()]);
    let said = fine([near(&snaps), there.clone()]);
    assert!(
        said.stdout.contains("nothing sent; 2 already there"),
        "{}",
        said.stdout
    );
    let by_hand = fine(["list".as_ref(), "--commands".as_ref(), &*there]).stderr;
    let words = format!(
        "on far, buttersink list --commands raw:{}/ prints",
        disk.display()
    );
    assert!(by_hand.contains(&words), "{by_hand}");
    fine(["verify".as_ref(), "--download".as_ref(), &*there]);
    fine([there, near(&home)]);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &home.join(name));
    }
    // What is there is whole without us.
    let streams = crate::disks::names_below(&disk);
    assert!(
        streams.iter().any(|name| name.starts_with("base/")),
        "{streams:?}"
    );
}

fn from_far_to_far() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    fine([far(&snaps), far(&root)]);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &root.join(name));
    }
    assert_eq!(asked().len(), 2);
}

fn odd_names_travel() {
    let _sshd = Sshd::start();
    let (near_fs, far_fs) = (btrfs("near", 512), btrfs("far", 512));
    let work = near_fs.join("work");
    subvolume(&work);
    fill(&work, "files", 1);
    let odd: [&[u8]; 5] = [
        b"with space",
        b"it's \"quoted\" \\ $HOME `id`",
        b"new\nline",
        b"\xff\xfe",
        b"%41",
    ];
    let (snaps, there) = (
        near_fs.join(OsStr::from_bytes(odd[1])),
        far_fs.join(OsStr::from_bytes(odd[3])),
    );
    // The directories' names have to pass the far side's shell, those of snapshots the protocol.
    let there = there
        .join(OsStr::from_bytes(odd[2]))
        .join(OsStr::from_bytes(odd[1]));
    fs::create_dir(&snaps).unwrap();
    fs::create_dir_all(&there).unwrap();
    for name in odd {
        snapshot(&work, &snaps.join(OsStr::from_bytes(name)));
    }
    fine([near(&snaps), far(&there)]);
    let back = near_fs.join("back");
    fs::create_dir(&back).unwrap();
    for name in odd {
        assert_same(
            &snaps.join(OsStr::from_bytes(name)),
            &there.join(OsStr::from_bytes(name)),
        );
    }
    let list = fine([far(&there)]).stdout;
    for shown in ["with space", "new\\nline", "\\xff\\xfe", "%41"] {
        assert!(list.contains(shown), "{shown}");
    }
}

fn compressed_data_travels() {
    let _sshd = Sshd::start();
    let near_fs = btrfs_with("near", 512, &[], "compress-force=zstd");
    let far_fs = btrfs("far", 512);
    let (work, snaps) = (near_fs.join("work"), near_fs.join("snaps"));
    subvolume(&work);
    fs::create_dir(&snaps).unwrap();
    fs::write(work.join("zeros"), "much the same ".repeat(1 << 20)).unwrap();
    snapshot(&work, &snaps.join("one"));
    fine([
        OsStr::new("--compressed-data"),
        &near(&snaps),
        &far(&far_fs),
    ]);
    assert_same(&snaps.join("one"), &far_fs.join("one"));
    let back = btrfs("back", 512);
    fine([OsStr::new("--compressed-data"), &far(&far_fs), &near(&back)]);
    assert_same(&snaps.join("one"), &back.join("one"));
}

fn what_arrives_is_compared_and_replaced() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    let home = btrfs("home", 512);
    for (from, to) in [(near(&snaps), far(&root)), (far(&snaps), near(&home))] {
        let said = fine([OsStr::new("--compare"), &from, &to]);
        let words = "2 snapshots sent";
        assert!(said.stdout.contains(words), "{}", said.stdout);
        assert!(
            said.stdout.contains("compared with the source"),
            "{}",
            said.stdout
        );
    }
    let verify = |at: &OsStr, source: &OsStr| {
        let words = ["verify", "--content", "--against"].map(OsStr::new);
        buttersink(words.into_iter().chain([source, at]))
    };
    assert_eq!(verify(&far(&root), &near(&snaps)).code, 0);
    assert_eq!(verify(&near(&home), &far(&snaps)).code, 0);
    crate::subvolumes::set_read_only(&root.join("base"), false);
    fs::write(root.join("base/first/2"), "something else").unwrap();
    crate::subvolumes::set_read_only(&root.join("base"), true);
    let said = verify(&far(&root), &near(&snaps));
    assert_eq!(said.code, 4);
    assert!(
        said.stdout.contains("first/2 differs: content"),
        "{}",
        said.stdout
    );
    assert!(said.stdout.contains("built on it: next"), "{}", said.stdout);
    let resend = ["--resend", "base", "--resend", "next"].map(OsStr::new);
    let (from, to) = (near(&snaps), far(&root));
    fine(resend.into_iter().chain([from.as_os_str(), to.as_os_str()]));
    assert_eq!(verify(&to, &from).code, 0);
    for name in ["base", "next"] {
        assert_same(&snaps.join(name), &root.join(name));
    }
}

/// From now on a client gets this command, whatever it asks for.
fn force(mode: char, dir: &Path) {
    let key = fs::read_to_string(here().join("user.pub")).unwrap();
    let line = format!(
        "command=\"buttersink --server --mode {mode} '{}'\",restrict {key}",
        dir.display()
    );
    fs::write(here().join("authorized_keys"), line).unwrap();
}

fn a_forced_command_decides() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    let (granted, other) = (root.join("host1"), root.join("host2"));
    fs::create_dir(&granted).unwrap();
    fs::create_dir(&other).unwrap();
    force('a', &granted);
    let said = fine([near(&snaps), far(&other)]);
    assert!(
        said.stderr.contains("host1") && said.stderr.contains("where"),
        "said where it went"
    );
    assert_same(&snaps.join("next"), &granted.join("next"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
    // What is asked for is not even looked at.
    let words = [
        OsStr::new("--remote-sudo"),
        "touch".as_ref(),
        "--remote-command".as_ref(),
    ];
    let evil = here().join("evil");
    let url = far(&granted);
    fine([&words[..], &[evil.as_os_str(), &url]].concat());
    assert!(!evil.exists());
}

fn each_mode_is_refused_what_it_must_be() {
    let _sshd = Sshd::start();
    let (snaps, root) = dirs();
    for mode in ['r', 'p', 'a', 'w'] {
        let there = root.join(mode.to_string());
        fs::create_dir(&there).unwrap();
        force(mode, &there);
        let push = buttersink([near(&snaps), far(&there)]);
        if mode == 'r' {
            assert_eq!(push.code, 1);
            assert!(
                push.stderr
                    .contains("grants mode r, and this run needs mode a")
            );
            assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
            continue;
        }
        assert_eq!(push.code, 0);
        fine([far(&there)]);
        if mode == 'p' {
            // Digests are of what came in the same session only.
            delete(&there.join("next"));
            let builds = buttersink([OsStr::new("--compare"), &near(&snaps), &far(&there)]);
            assert!(builds.code == 10 && builds.stderr.contains("which mode p does not grant"));
            delete(&there.join("base"));
            fine([OsStr::new("--compare"), &near(&snaps), &far(&there)]);
            let home = btrfs("home", 256);
            let back = buttersink([far(&there), near(&home)]);
            assert!(back.code != 0 && !home.join("next").exists());
            assert!(
                back.stderr
                    .contains("mode p was granted, and this needs mode r")
            );
            delete(&there.join("base"));
            delete(&there.join("next"));
            continue;
        }
        delete(&snaps.join("base"));
        let deleted = buttersink([OsStr::new("-d"), &near(&snaps), &far(&there)]);
        assert_eq!(deleted.code, if mode == 'w' { 0 } else { 1 });
        assert_eq!(there.join("base").exists(), mode == 'a');
        if mode == 'a' {
            assert!(
                deleted
                    .stderr
                    .contains("grants mode a, and this run needs mode w")
            );
            // Bring it back, for the next mode to delete.
            fine([OsString::from(there.join("base")), near(&snaps)]);
            delete(&there.join("base"));
            delete(&there.join("next"));
        }
    }
}

/// Says these frames to a real server in a mode; everything that it answers.
fn raw(mode: &str, dir: &Path, frames: &[(u8, String)]) -> String {
    use std::io::Write;
    let mut child = Command::new(binary("buttersink"))
        .args(["--server", "--mode", mode])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for (kind, body) in frames {
        let length = (body.len() as u32).to_le_bytes();
        input
            .write_all(&[&[*kind][..], &length, body.as_bytes()].concat())
            .unwrap();
    }
    drop(input);
    let said = child.wait_with_output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    println!("{said:?}");
    said
}

fn nothing_leads_out_of_the_directory() {
    let (snaps, root) = dirs();
    let (inside, outside) = (root.join("inside"), root.join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    symlink(&outside, inside.join("way")).unwrap();
    symlink("../outside", inside.join("other")).unwrap();
    subvolume(&outside.join("base"));
    fine([near(&snaps), near(&inside)]);
    let hello = (b'H', r#"{"program":"x","protocol":2}"#.to_owned());
    let ask = |text: String| (b'Q', text);
    let diff = r#"{"to":"11111111-1111-1111-1111-111111111111","from":null,"size":"unknown"}"#;
    let absolute = outside.display().to_string();
    let names = [
        "way/base",
        "other/base",
        "way",
        "../outside/base",
        "",
        "..",
        "a/../../x",
        "x%00y",
        ".buttersink",
        &absolute,
    ];
    for name in names {
        let said = raw(
            "w",
            &inside,
            &[
                hello.clone(),
                ask(format!(r#"{{"ask":"delete","path":"{name}"}}"#)),
                ask(format!(r#"{{"ask":"copy","from":"{name}","to":"new"}}"#)),
                ask(format!(r#"{{"ask":"copy","from":"base","to":"{name}"}}"#)),
                ask(format!(
                    r#"{{"ask":"copy","from":"base","to":"{name}/new"}}"#
                )),
                ask(format!(
                    r#"{{"ask":"receive","diff":{diff},"path":"{name}/new"}}"#
                )),
            ],
        );
        assert_eq!(said.matches("hangs_up").count(), 5, "{name}: five refusals");
        assert!(!said.contains("hangs_up\":true"), "{name}");
    }
    let left = fs::read_dir(&outside)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["base"]);
    assert!(!inside.join("new").exists());
}

fn a_far_lock_is_respected() {
    let _sshd = Sshd::start();
    let (snaps, there) = dirs();
    let held = store::local::Local::open(&there, Access::Append, local_options()).unwrap();
    let said = buttersink([near(&snaps), far(&there)]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("far: "), "says whose lock it is");
    drop(held);
    fine([near(&snaps), far(&there)]);
}

fn common_mistakes_have_a_way_out() {
    let _sshd = Sshd::start();
    let there = btrfs("far", 256);
    let says = |args: &[&OsStr], code: i32, words: &[&str]| {
        let said = buttersink(args);
        assert_eq!(said.code, code, "{args:?}");
        for word in words {
            assert!(said.stderr.contains(word), "{word}");
        }
    };
    let url = far(&there);
    let missing = ["--remote-command", "no-such-buttersink"].map(OsStr::new);
    says(
        &[missing[0], missing[1], &url],
        1,
        &["not found", "--remote-command"],
    );
    let doas = ["--remote-sudo", "no-such-doas"].map(OsStr::new);
    says(
        &[doas[0], doas[1], &url],
        1,
        &["not found", "--remote-sudo"],
    );
    says(&[&far(&there.join("nothing"))], 1, &["far: ", "nothing"]);
    script(
        "bin/sudo",
        "echo 'sudo: a password is required' >&2; exit 1",
    );
    says(
        &[&url],
        1,
        &["a password is required", "without a password"],
    );
    says(&["--remote-sudo".as_ref(), "".as_ref(), &url], 0, &[]);
    let closed = format!("ssh://root@127.0.0.1:{}/x/", free_port());
    says(&[closed.as_ref()], 1, &["Connection refused"]);
    says(
        &["ssh://-oProxyCommand=touch/x/".as_ref()],
        2,
        &["ssh://[user@]host"],
    );
    says(&["ssh://far".as_ref()], 2, &["it has no directory"]);
    let none = ["--ssh-command", "no-such-ssh"].map(OsStr::new);
    says(
        &[none[0], none[1], &url],
        1,
        &["there is no program 'no-such-ssh'"],
    );

    let _ = fs::remove_file(here().join("bin/buttersink"));
    script("bin/buttersink", "echo Welcome to far; exit 1");
    says(
        &["--remote-sudo".as_ref(), "".as_ref(), &url],
        1,
        &["'Welco'", "login script"],
    );
}
