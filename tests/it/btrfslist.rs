//! `btrfslist` on real filesystems: what it prints, for whom, and how it exits.

use crate::btrfs::{create, snapshot};
use crate::runner::Test;
use crate::support::*;
use crate::tests;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{Permissions, copy, create_dir, set_permissions, write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    wrong_usage_is_2,
    the_table,
    the_tree,
    the_json,
    hostile_names_stay_in_their_line,
    sizes_without_quotas,
    ordinary_users_see_what_they_may,
];

fn btrfslist<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> Said {
    program("btrfslist", args)
}

/// Output of a run that must succeed.
fn shown<I: IntoIterator<Item: AsRef<OsStr>>>(args: I) -> String {
    let said = btrfslist(args);
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    said.stdout
}

fn json(dir: &Path, more: &[&str]) -> Value {
    let words = more.iter().map(OsStr::new);
    let words = words.chain(["--json".as_ref(), dir.as_ref()]);
    let text = shown(words);
    assert_eq!(text.lines().count(), 1);
    serde_json::from_str(&text).unwrap()
}

fn subvolume<'a>(view: &'a Value, path: &str) -> &'a Value {
    let all = view["subvolumes"].as_array().unwrap();
    all.iter()
        .find(|s| s["path"] == path)
        .unwrap_or_else(|| panic!("no {path} in {view:#}"))
}

fn wrong_usage_is_2() {
    for (words, why) in [
        (&[][..], "a word is missing: it is btrfslist [options] DIR"),
        (&["/a", "/b"], "'/b' is one word too many"),
        (&["--nonsense", "/"], "--nonsense"),
        (&["--sizes=3", "/"], "--sizes"),
        (&["--tree", "--json", "/"], "parent_uuid"),
    ] {
        let said = btrfslist(words);
        assert_eq!(said.code, 2, "{words:?}");
        assert!(said.stderr.contains(why), "{}", said.stderr);
        assert!(said.stdout.is_empty());
    }
    let said = btrfslist(["/proc"]);
    assert_eq!(said.code, 1);
    assert_eq!(
        said.stderr,
        "btrfslist: /proc: is not on btrfs (it is proc)\n"
    );
}

fn the_table() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    create(&a.join("home"));
    snapshot(&a.join("home"), &a.join("home/.snapshots/1/snapshot"));
    let sent = a.join("home/.snapshots/1/snapshot");
    let send = format!(
        "btrfs send -q {} | btrfs receive {}",
        sent.display(),
        b.display()
    );
    run("sh", ["-c", &send]);
    let text = shown([&a]);
    let view = json(&a, &[]);
    assert!(text.starts_with(&format!(
        "filesystem {}\n",
        view["filesystem"]["uuid"].as_str().unwrap()
    )));
    assert!(text.contains("\nsize       256.0 MiB, used "));
    let all = view["subvolumes"].as_array().unwrap().iter();
    let newest = all.filter_map(|s| s["generation"].as_u64()).max();
    assert!(view["filesystem"]["generation"].as_u64() >= newest);
    assert!(text.contains("\ndevice 1   /dev/loop"));
    let s = subvolume(&view, "home/.snapshots/1/snapshot");
    let home = subvolume(&view, "home");
    let words = |path: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.contains(path)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    let text_of = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    assert_eq!(
        words("1/snapshot"),
        [
            &text_of(&s["id"]),
            "0",
            &text_of(&s["generation"]),
            "-",
            "-",
            "ro",
            "ok",
            &text_of(&s["uuid"]),
            &text_of(&home["uuid"]),
            &text_of(&s["otransid"]),
            "-",
            "-",
            "home/.snapshots/1/snapshot",
        ]
    );
    let top = words("mounted at");
    assert_eq!(top[0], "5");
    assert_eq!(
        top[12..],
        ["/", "(mounted", "at", &format!("{})", a.display())]
    );
    // Every line of the table has its path at the same place.
    let table: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.contains("PARENT-UUID"))
        .collect();
    assert_eq!(table.len(), 4);
    let at = table[0].find("PATH").unwrap();
    assert!(
        table
            .iter()
            .all(|line| line.is_char_boundary(at) && &line[at - 2..at] == "  ")
    );
    // The other side knows where it came from.
    let received = json(&b, &[]);
    let r = subvolume(&received, "snapshot");
    assert_eq!(r["received_uuid"], s["uuid"]);
    assert_eq!(r["stransid"], s["ctransid"]);
    let text = shown([&b]);
    let line = text
        .lines()
        .find(|line| line.ends_with("  snapshot"))
        .unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let from = [&text_of(&s["uuid"]), &text_of(&s["ctransid"]), "snapshot"];
    assert_eq!(words[10..], from);
}

fn the_tree() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    snapshot(&a.join("s"), &a.join("s1"));
    run(
        "btrfs",
        [
            "subvolume",
            "snapshot",
            a.join("s1").to_str().unwrap(),
            a.join("s2").to_str().unwrap(),
        ],
    );
    snapshot(&a.join("s"), &a.join("s3"));
    create(&a.join("t"));
    let text = shown([OsStr::new("--tree"), a.as_ref()]);
    let rows = text
        .lines()
        .skip_while(|line| !line.contains("PARENT-UUID"))
        .skip(2);
    let paths: Vec<&str> = rows
        .map(|line| line.rsplit("  ").find(|w| !w.is_empty()).unwrap())
        .collect();
    assert_eq!(paths[0], "s");
    assert!(
        paths[1].ends_with("├─ s1") && paths[2].ends_with("└─ s2"),
        "{text}"
    );
    assert!(
        text.contains("│  └─ s2\n") && text.contains("  └─ s3\n"),
        "{text}"
    );
    assert_eq!(paths[4], "t");
}

fn the_json() {
    let a = btrfs("a", 256);
    create(&a.join("d/s"));
    create(&a.join("else"));
    let view = json(&a.join("d"), &[]);
    assert_eq!(view["version"], 2);
    assert_eq!(view["complete"], true);
    assert_eq!(view["notes"], Value::Array(vec![]));
    assert_eq!(view["sizes"], Value::Null);
    assert_eq!(view["filesystem"]["total_bytes"], 256 << 20);
    assert!(view["filesystem"]["used_bytes"].as_u64().unwrap() > 0);
    assert_eq!(view["filesystem"]["devices"][0]["id"], 1);
    let s = subvolume(&view, "d/s");
    assert_eq!((&s["below"], &s["parent_id"]), (&"s".into(), &5.into()));
    assert_eq!((&s["level"], &s["tree_bytes"]), (&0.into(), &16384.into()));
    for unknown in [
        "total_bytes",
        "exclusive_bytes",
        "parent_uuid",
        "received_uuid",
        "stransid",
    ] {
        assert_eq!(s[unknown], Value::Null, "{unknown}");
    }
    assert_eq!(s["read_only"], false);
    assert_eq!(subvolume(&view, "else")["below"], Value::Null);
    let top = subvolume(&view, "");
    assert_eq!(top["mounts"][0], a.to_str().unwrap());
    assert_eq!(top["parent_id"], Value::Null);
    // With quotas, their numbers.
    run("btrfs", ["quota", "enable", a.to_str().unwrap()]);
    run("btrfs", ["quota", "rescan", "-w", a.to_str().unwrap()]);
    let view = json(&a, &[]);
    assert_eq!(view["sizes"], "quotas");
    assert_eq!(subvolume(&view, "d/s")["total_bytes"], 16384);
}

fn hostile_names_stay_in_their_line() {
    let a = btrfs("a", 256);
    create(&a.join(OsStr::from_bytes(b"x\n7 fake\x1b[2J\xff%")));
    let device = run("findmnt", ["-n", "-o", "SOURCE", a.to_str().unwrap()]);
    let at = here().join("at\n and a tab\t");
    create_dir(&at).unwrap();
    let id = json(&a, &[])["subvolumes"][1]["id"].to_string();
    let option = format!("subvolid={id}");
    run(
        "mount",
        [
            OsStr::new("-o"),
            option.as_ref(),
            device.trim().as_ref(),
            at.as_ref(),
        ],
    );
    let text = shown([&a]);
    assert!(
        text.contains("  x\\n7 fake\\u{1b}[2J\\xff% (mounted at "),
        "{text}"
    );
    assert!(text.contains("/at\\n and a tab\\t)\n"), "{text}");
    let s = &json(&a, &[])["subvolumes"][1];
    assert_eq!(s["path"], "x\n7 fake\u{1b}[2J%FF%25");
    assert_eq!(s["mounts"][0], at.to_str().unwrap());
}

fn sizes_without_quotas() {
    let a = btrfs("a", 256);
    create(&a.join("s"));
    write(a.join("s/f"), vec![1; 3 << 20]).unwrap();
    snapshot(&a.join("s"), &a.join("s1"));
    write(a.join("s/g"), vec![1; 1 << 20]).unwrap();
    run("sync", ["-f", a.to_str().unwrap()]);
    let view = json(&a, &["--sizes"]);
    assert_eq!(view["sizes"], "extents");
    let sizes = |path| {
        let s = subvolume(&view, path);
        (
            s["total_bytes"].as_u64().unwrap(),
            s["exclusive_bytes"].as_u64().unwrap(),
        )
    };
    assert_eq!(sizes("s"), (4 << 20, 1 << 20));
    assert_eq!(sizes("s1"), (3 << 20, 0));
    assert_eq!(sizes(""), (0, 0));
    let text = shown([OsStr::new("--sizes"), a.as_ref()]);
    assert!(text.contains("data on disk, and no metadata"));
    assert!(text.contains("  4.0 MiB    1.0 MiB  rw  "), "{text}");
    let quotas = Command::new("btrfs")
        .args(["qgroup", "show"])
        .arg(&a)
        .output()
        .unwrap();
    assert!(!quotas.status.success(), "quotas must stay off");
}

/// Runs `btrfslist` as nobody in particular.
fn as_user(dir: &Path, more: &[&str]) -> Said {
    // Its usual place need not be readable for everybody; bind, so that the directory is.
    let place = PathBuf::from(format!("/run/buttersink-test-{}", std::process::id()));
    create_dir(&place).unwrap();
    set_permissions(&place, Permissions::from_mode(0o755)).unwrap();
    let program = place.join("btrfslist");
    copy(binary("btrfslist"), &program).unwrap();
    let at = place.join("at");
    create_dir(&at).unwrap();
    run("mount", [OsStr::new("--bind"), dir.as_ref(), at.as_ref()]);
    let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let mut command = Command::new("setpriv");
    let output = output(command.args(words).arg(&program).args(more).arg(&at));
    run("umount", [&at]);
    std::fs::remove_dir_all(&place).unwrap();
    Said {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn ordinary_users_see_what_they_may() {
    let a = btrfs("a", 256);
    create(&a.join("d/open"));
    create(&a.join("d/open/x/inner"));
    create(&a.join("d/private/hidden"));
    create(&a.join("d/closed"));
    create(&a.join("elsewhere"));
    snapshot(&a.join("d/open"), &a.join("d/snap"));
    for closed in ["d/private", "d/closed"] {
        set_permissions(a.join(closed), Permissions::from_mode(0o700)).unwrap();
    }
    let said = as_user(&a.join("d"), &["--json"]);
    assert_eq!(said.code, 10);
    for words in [
        "not all subvolumes are shown: the notes say what is missing",
        "not run as root: only subvolumes below",
        "not listed: subvolumes elsewhere or in directories that may not be entered, 1",
        "not listed: subvolumes that may not be read or that a mount hides, 2, such as private/hidden",
    ] {
        assert!(said.stderr.contains(words), "{words}");
    }
    let (seen, all): (Value, Value) = (
        serde_json::from_str(&said.stdout).unwrap(),
        json(&a.join("d"), &[]),
    );
    assert_eq!(seen["complete"], false);
    assert_eq!(seen["notes"].as_array().unwrap().len(), 3);
    let paths: Vec<&str> = seen["subvolumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["d/open", "d/open/x/inner", "d/snap"]);
    for path in paths {
        let mut expected = subvolume(&all, path).clone();
        for unknown in ["level", "tree_bytes"] {
            expected[unknown] = Value::Null;
        }
        assert_eq!(*subvolume(&seen, path), expected);
    }
    assert_eq!(seen["filesystem"]["devices"], all["filesystem"]["devices"]);
    let said = as_user(&a.join("d"), &["--sizes"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("only root may"), "{}", said.stderr);
    let said = as_user(&a.join("d"), &[]);
    assert!(
        said.stdout
            .lines()
            .any(|line| line.ends_with("  d/open/x/inner"))
    );
}
