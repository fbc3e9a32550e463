//! What the holder of a key or of a line in sudoers can do, and cannot.

use super::client::{Client, clone, file, of_parent};
use super::silence::forced;
use super::without_namespaces;
use crate::runner::Test;
use crate::streams::{of_commands, uuid};
use crate::subvolumes::{snapshot, subvolume};
use crate::support::*;
use crate::tests;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    a_wildcard_adds_nothing,
    servers_follow_only_links_of_roots_alone,
    strict_servers_refuse_what_others_could_use,
    quotas_of_a_key_are_kept,
    the_server_decides_how_it_receives,
    an_old_kernel_receives_by_the_program_btrfs,
    sessions_are_in_the_system_log,
    keys_of_one_filesystem_see_only_their_own,
    digests_tell_no_more_than_a_mode_may_fetch,
    nobody_is_blocked_by_who_claims_his_uuid,
    mounts_in_the_directory_are_not_crossed,
    who_appends_removes_only_what_never_counted,
    who_puts_reads_nothing_back,
    who_puts_gets_no_digest_of_what_was_there,
    what_a_server_makes_is_roots_alone,
    nothing_foreign_is_received_unconfined,
    no_request_reaches_what_is_remembered,
];

/// Whatever stands where a wildcard of sudoers does.
fn a_wildcard_adds_nothing() {
    let (root, log) = (btrfs("far", 256), here().join("log"));
    let dir = root.join("bak/x");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir(root.join("other")).unwrap();
    let (dir, log) = (dir.to_str().unwrap(), log.to_str().unwrap());
    let up = format!("{dir}/../../other");
    for words in [
        &[dir, "--mode", "w"][..],
        &["--mode", "w", dir],
        &[dir, "-l", log],
        &["-l", log, dir],
        &[dir, "--exclude", "x\n* * * * * root id\n", "-l", log],
        &[dir, dir],
        &[&up],
        &["s3://b/x"],
        &["ssh://localhost/x/"],
        &["btrfs:///"],
        &[""],
        &["bak/x"],
    ] {
        let words = [&["--server", "--mode", "a"], words].concat();
        let said = buttersink(&words);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{words:?}");
        assert!(!Path::new(log).exists() && !Path::new(dir).join(".buttersink").exists());
    }
    let mut client = Client::serving("a", dir);
    assert!(client.list().is_empty());
    assert_eq!(client.close(), 0);
}

fn servers_follow_only_links_of_roots_alone() {
    let root = btrfs("far", 256);
    let (dir, theirs) = (root.join("dir"), root.join("theirs"));
    fs::create_dir(&dir).unwrap();
    fs::create_dir(&theirs).unwrap();
    symlink(&dir, root.join("way")).unwrap();
    assert!(Client::serving("a", root.join("way")).list().is_empty());
    symlink("/", theirs.join("way")).unwrap();
    let refused = |place: &Path| {
        let mut client = Client::of(&["--mode".as_ref(), "a".as_ref(), place.as_os_str()]);
        client.hear().unwrap();
        let said = client.hear().unwrap_err();
        assert!(said.contains("root's alone"), "{said}");
    };
    chown(&theirs, Some(65534), None).unwrap();
    refused(&theirs.join("way"));
    refused(&theirs.join("way/etc"));
    chown(&theirs, Some(0), None).unwrap();
    fs::set_permissions(&theirs, PermissionsExt::from_mode(0o777)).unwrap();
    refused(&theirs.join("way"));
    // A link of a user's own, in a directory of root's.
    let nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "ln",
        "-s",
    ];
    fs::set_permissions(&theirs, PermissionsExt::from_mode(0o1777)).unwrap();
    run(
        "setpriv",
        nobody
            .iter()
            .map(|w| (*w).into())
            .chain([dir.clone(), theirs.join("own")]),
    );
    refused(&theirs.join("own"));
}

/// By the number of snapshots, by the bytes that are announced, and by those that come.
fn quotas_of_a_key_are_kept() {
    let root = btrfs("far", 256);
    let dir = root.to_str().unwrap().to_owned();
    let serve = |key: &str, limits: &[&str]| {
        let words = [&["--mode", "w", "--as", key], limits, &[&dir]].concat();
        let mut client = Client::of(&words);
        client.hear().unwrap();
        client
    };
    let stream = |n: u8| of_commands(n, &[file("f", &[b'x'; 3000])]);
    let one = stream(1).len();
    let two = (2 * one + 10).to_string();
    let limits = ["--max-bytes", &two, "--max-snapshots", "9"];
    for n in [1, 2] {
        let mut client = serve("a", &limits);
        client
            .receive(&format!("a{n}"), n, None, &stream(n))
            .unwrap();
    }
    // Ten bytes are left: what is announced is refused at once, and the session goes on.
    let mut client = serve("a", &limits);
    let diff = json!({"to": uuid(3).to_string(), "from": null, "size": {"exact": one}});
    let said = client
        .ask(&json!({"ask": "receive", "diff": diff, "path": "a3"}))
        .unwrap_err();
    assert!(said.contains("quota"), "{said}");
    assert_eq!(client.list().len(), 2);
    // What is not announced ends where the limit is, and leaves nothing.
    let said = client.receive("a3", 3, None, &stream(3)).unwrap_err();
    assert!(said.contains("quota"), "{said}");
    assert_ne!(client.close(), 0);
    assert!(!root.join("a3").exists() && !root.join("a3.part").exists());
    // What came by another key, or was made here, takes no place; what is deleted takes none any more.
    subvolume(&root.join("live"));
    snapshot(&root.join("live"), &root.join("own"));
    let mut other = serve("b", &limits);
    other.receive("b3", 3, None, &stream(3)).unwrap();
    assert_eq!(other.close(), 0);
    let mut client = serve("a", &["--max-snapshots", "2"]);
    let said = client.receive("a4", 4, None, &stream(4)).unwrap_err();
    assert!(said.contains("2 snapshots"), "{said}");
    client.ask(&json!({"ask": "delete", "path": "a1"})).unwrap();
    client.receive("a4", 4, None, &stream(4)).unwrap();
    let said = client.receive("a5", 5, None, &stream(5)).unwrap_err();
    assert!(said.contains("2 snapshots"), "{said}");
    assert_eq!(client.close(), 0);
    // What is held for others is not in a listing, and so is not held.
    let words = ["--mode", "a", "--as", "c", "--max-snapshots", "2", &dir];
    let mut client = Client::newest(&words);
    for n in [1, 2] {
        let diff = json!({"to": uuid(n).to_string(), "from": null, "size": "unknown"});
        let path = format!("c{n}");
        let question = json!({"ask": "receive", "diff": diff, "path": path, "hold": true});
        let there = client.put(&question, &stream(n)).unwrap();
        assert!(there.get("held").is_none() && root.join(path).exists());
    }
    let said = client.receive("c3", 3, None, &stream(3)).unwrap_err();
    assert!(said.contains("2 snapshots"), "{said}");
    assert_eq!(client.ask(&json!({"ask": "publish"})).unwrap(), json!([]));
    assert_eq!(client.close(), 0);
    // Nor does who says that it is nothing, which would be taken for what was made here.
    let mut client = serve("d", &["--max-snapshots", "1"]);
    let said = client.receive("d0", 0, None, &stream(0)).unwrap_err();
    assert!(said.contains("UUID of nothing"), "{said}");
    assert_eq!(client.close(), 0);
    // Who does not say who he is gets no place by that.
    let mut nobody = Client::of(&["--mode", "a", "--max-snapshots", "1", &dir]);
    nobody.hear().unwrap();
    nobody.receive("n5", 5, None, &stream(5)).unwrap();
    let said = nobody.receive("n6", 6, None, &stream(6)).unwrap_err();
    assert!(said.contains("(1 snapshot)"), "{said}");
}

fn strict_servers_refuse_what_others_could_use() {
    let root = btrfs("far", 256);
    let dir = root.join("above/dir");
    fs::create_dir_all(&dir).unwrap();
    let strict = || {
        let words = [
            "--strict".as_ref(),
            "--mode".as_ref(),
            "a".as_ref(),
            dir.as_os_str(),
        ];
        let mut client = Client::of(&words);
        client.hear().unwrap();
        client.ask(&json!({"ask": "list"}))
    };
    // The tests' own directory may be root's alone already.
    let private = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0;
    if here().ancestors().any(private) {
        skip("a directory above this one is for root only");
    }
    let said = strict().unwrap_err();
    assert!(said.contains("nosuid and nodev"), "{said}");
    fs::set_permissions(root.join("above"), PermissionsExt::from_mode(0o700)).unwrap();
    strict().unwrap();
    fs::set_permissions(root.join("above"), PermissionsExt::from_mode(0o755)).unwrap();
    run(
        "mount",
        ["-o", "remount,nosuid,nodev", root.to_str().unwrap()],
    );
    strict().unwrap();
}

/// By its own command line, and else as the client wishes, where that can be.
fn the_server_decides_how_it_receives() {
    let path = std::env::var("PATH").unwrap();
    for (number, (own, wish, path, way)) in [
        (Some("builtin"), Some("btrfs"), &*path, "builtin"),
        (Some("btrfs"), Some("builtin"), &path, "btrfs"),
        (Some("btrfs"), None, &path, "btrfs"),
        (None, Some("builtin"), &path, "builtin"),
        (None, Some("btrfs"), &path, "btrfs"),
        (None, Some("btrfs"), "/nowhere", "builtin"),
        (None, None, &path, "builtin"),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = btrfs(&format!("far{number}"), 256);
        let mut command = Command::new(binary("buttersink"));
        command.args(["--server", "--mode", "a"]).env("PATH", path);
        if let Some(own) = own {
            command.args(["--receive-with", own]);
        }
        let mut client = Client::wishing(command.arg(&dir), wish);
        let hello = client.hear().unwrap();
        assert_eq!(hello.get("receive_with").and_then(Value::as_str), own);
        client
            .receive("s", 2, None, &of_commands(2, &[file("f", b"x")]))
            .unwrap();
        assert_eq!(client.close(), 0);
        assert_eq!(fs::read(dir.join("s/f")).unwrap(), b"x");
        // Only one of the two ways has such a directory.
        let quarantine = dir.join(".buttersink/quarantine").exists();
        assert_eq!(quarantine, way == "builtin", "{number}");
    }
}

/// Before Linux 5.6 there is no openat2; who is served is told how he is.
fn an_old_kernel_receives_by_the_program_btrfs() {
    if Command::new("strace").arg("-V").output().is_err() {
        skip("needs strace");
    }
    let dir = btrfs("far", 256);
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "inject=openat2:error=ENOSYS"]);
    command
        .arg(binary("buttersink"))
        .args(["--server", "--mode", "a"]);
    let mut client = Client::wishing(command.arg(&dir), None);
    let hello = client.hear().unwrap();
    assert!(!hello["words"].to_string().contains("builtin"));
    let listing = client.ask(&json!({"ask": "list"})).unwrap();
    assert!(listing["notes"].to_string().contains("needs Linux 5.6"));
    let stream = of_commands(2, &[file("f", b"x")]);
    client.receive("s", 2, None, &stream).unwrap();
    assert_eq!(client.close(), 0);
    assert_eq!(fs::read(dir.join("s/f")).unwrap(), b"x");
    assert!(!dir.join(".buttersink/quarantine").exists());
}

/// In a namespace of its own, where this test is the system's logger.
fn sessions_are_in_the_system_log() {
    let root = btrfs("far", 256);
    let socket = here().join("log");
    let logger = UnixDatagram::bind(&socket).unwrap();
    logger
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let script =
        "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod /dev/urandom c 1 9 &&
        touch /dev/log && mount --bind \"$1\" /dev/log && shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(&socket)
        .arg(binary("buttersink"));
    command
        .args(["--server", "--as", "host\n1", "--mode", "a"])
        .arg(&root);
    command
        .env("SSH_CONNECTION", "192.0.2.7 1 2 3")
        .env("SUDO_USER", "mallory");
    let mut client = Client::start(&mut command);
    client.hear().unwrap();
    client
        .receive("good", 7, None, &of_commands(7, &[file("f", b"x")]))
        .unwrap();
    client.receive("bad", 8, None, b"nothing").unwrap_err();
    client.close();
    let mut client = Client::start(&mut command);
    client.hear().unwrap();
    client
        .ask(&json!({"ask": "delete", "path": "good"}))
        .unwrap_err();
    client.send(&uuid(7).to_string(), None).unwrap();
    client.close();
    let mut lines = Vec::new();
    logger.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = logger.recv(&mut buffer) {
        lines.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    println!("{lines:#?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains(": host\\n1 at 192.0.2.7: "))
    );
    let expected = [
        "mode a was granted",
        "received 07070707-0707-0707-0707-070707070707 as good",
        "damaged",
        "mode a was granted",
        "refused: cannot delete",
        "sent 07070707-0707-0707-0707-070707070707 (",
    ];
    let mut rest = lines.iter();
    for words in expected {
        assert!(rest.any(|line| line.contains(words)), "{words}");
    }
}

/// Two directories of two keys on one filesystem, and what the second has: the snapshot `monday`.
fn two_tenants() -> (PathBuf, PathBuf) {
    let root = btrfs("far", 256);
    let (one, two) = (root.join("host1"), root.join("host2"));
    fs::create_dir(&one).unwrap();
    fs::create_dir(&two).unwrap();
    let monday = of_commands(2, &[file("secret", &[b's'; 8192])]);
    Client::serving("a", &two)
        .receive("monday", 2, None, &monday)
        .unwrap();
    (one, two)
}

fn tell_nothing(said: &str) {
    for word in ["host2", "monday"] {
        assert!(!said.contains(word), "{said}");
    }
}

/// By the UUIDs that others have, which anybody may be told.
fn keys_of_one_filesystem_see_only_their_own() {
    let (one, two) = two_tenants();
    let theirs = uuid(2).to_string();
    let own = Client::serving("r", &two).list()[0]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut client = Client::serving("w", &one);
    assert!(client.list().is_empty());
    for known in [&theirs, &own] {
        tell_nothing(&client.send(known, None).unwrap_err());
        let diff = json!({"to": known, "from": null, "size": "unknown"});
        tell_nothing(
            &client
                .ask(&json!({"ask": "measure", "diffs": [diff]}))
                .unwrap_err(),
        );
        let id: buttersink::snapshot::Uuid = known.parse().unwrap();
        // A snapshot of it, and a file out of it.
        let snapshot = of_parent(3, Some(id.0), &[]);
        tell_nothing(
            &client
                .receive("stolen", 3, Some(known), &snapshot)
                .unwrap_err(),
        );
        let cloned = of_commands(3, &[file("f", b""), clone("f", id.0, "secret")]);
        tell_nothing(&client.receive("stolen", 3, None, &cloned).unwrap_err());
        client = Client::serving("w", &one);
        // The same said aloud.
        let diff =
            json!({"to": uuid(3).to_string(), "from": null, "size": "unknown", "clones": [known]});
        for question in [
            json!({"ask": "receive", "diff": diff, "path": "stolen"}),
            json!({"ask": "receive", "diff": diff, "path": "stolen", "hold": true}),
            json!({"ask": "send", "diff": diff}),
            json!({"ask": "measure", "diffs": [diff]}),
        ] {
            tell_nothing(&client.ask(&question).unwrap_err());
        }
    }
    // As what one of his own builds on, or is compared with.
    assert_eq!(client.close(), 0);
    let mut client = Client::comparing("w", &one);
    client
        .receive("mine", 5, None, &of_commands(5, &[]))
        .unwrap();
    let mine = uuid(5).to_string();
    for known in [&theirs, &own] {
        let diff = json!({"to": mine, "from": known, "size": "unknown"});
        let first = json!({"id": mine, "extent": {"first": known}, "from_disk": false});
        for question in [
            json!({"ask": "send", "diff": diff}),
            json!({"ask": "measure", "diffs": [diff]}),
            json!({"ask": "digest", "digest": first}),
            json!({"ask": "receive", "diff": diff, "path": "next"}),
        ] {
            tell_nothing(&client.ask(&question).unwrap_err());
        }
    }
    client
        .ask(&json!({"ask": "delete", "path": "mine"}))
        .unwrap();
    for path in ["../host2/monday", "/monday"] {
        tell_nothing(
            &client
                .ask(&json!({"ask": "delete", "path": path}))
                .unwrap_err()
                .replace(path, ""),
        );
    }
    assert!(client.list().is_empty());
    assert_eq!(fs::read_dir(&one).unwrap().count(), 0);
}

/// What each mode may fetch it may have digests of, and of nothing else.
fn digests_tell_no_more_than_a_mode_may_fetch() {
    let (one, two) = two_tenants();
    let id = uuid(2).to_string();
    let digest = json!({"id": id, "extent": {"these": ["", "secret"]}, "from_disk": false});
    let question = json!({"ask": "digest", "digest": digest});
    for mode in ["r", "a", "w"] {
        let mut client = Client::comparing(mode, &two);
        assert_eq!(client.list().len(), 1);
        client.send(&id, None).unwrap();
        client.ask(&question).unwrap();
        assert_eq!(client.close(), 0);
        let mut client = Client::comparing(mode, &one);
        assert!(client.list().is_empty());
        tell_nothing(&client.send(&id, None).unwrap_err());
        tell_nothing(&client.ask(&question).unwrap_err());
    }
}

/// Whoever claims to be the snapshot of somebody else is not in his way.
fn nobody_is_blocked_by_who_claims_his_uuid() {
    let (one, two) = two_tenants();
    let own = Client::serving("r", &two).list()[0]["uuid"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut client = Client::serving("a", &one);
    client
        .receive("evil", 2, None, &of_commands(2, &[]))
        .unwrap();
    let id: buttersink::snapshot::Uuid = own.parse().unwrap();
    let diff = json!({"to": own, "from": null, "size": "unknown"});
    let said = client.ask(&json!({"ask": "receive", "diff": diff, "path": "more"}));
    tell_nothing(&said.unwrap_err());
    assert_eq!(client.close(), 0);
    let mut client = Client::serving("a", &two);
    let listed = client.list();
    assert_eq!((listed.len(), listed[0]["state"].as_str()), (1, Some("ok")));
    let tuesday = of_parent(3, Some([2; 16]), &[file("new", b"x")]);
    client
        .receive("tuesday", 3, Some(&uuid(2).to_string()), &tuesday)
        .unwrap();
    let listed = client.list();
    let parent = listed.iter().find(|s| s["path"] == "tuesday").unwrap()["parent_uuid"].clone();
    assert_eq!(parent, id.to_string(), "made of the owner's");
    assert_eq!(fs::read(two.join("tuesday/secret")).unwrap(), [b's'; 8192]);
}

/// What is mounted in the directory is not in it.
fn mounts_in_the_directory_are_not_crossed() {
    let root = btrfs("far", 256);
    let (dir, outside) = (root.join("dir"), root.join("outside"));
    fs::create_dir_all(dir.join("in")).unwrap();
    fs::create_dir(&outside).unwrap();
    Client::serving("a", &outside)
        .receive("s", 2, None, &of_commands(2, &[]))
        .unwrap();
    // And one below it that has the name of one outside.
    Client::serving("a", &dir)
        .receive("in/s", 4, None, &of_commands(4, &[]))
        .unwrap();
    run(
        "mount",
        [
            "--bind".as_ref(),
            outside.as_os_str(),
            dir.join("in").as_os_str(),
        ],
    );
    let mut client = Client::serving("w", &dir);
    assert_eq!(client.list().len(), 1);
    let refused = |said: Result<_, String>| {
        let said = said.unwrap_err();
        assert!(
            said.contains("cross-device") || said.contains("link"),
            "{said}"
        );
    };
    refused(client.ask(&json!({"ask": "copy", "from": "in/s", "to": "got"})));
    refused(client.ask(&json!({"ask": "delete", "path": "in/s"})));
    refused(client.receive("in/new", 3, None, &of_commands(3, &[])));
    refused(client.send(&uuid(4).to_string(), None).map(|_| json!(null)));
    let diff = json!({"to": uuid(4).to_string(), "from": null, "size": "unknown"});
    refused(client.ask(&json!({"ask": "measure", "diffs": [diff]})));
    client.close();
    assert!(outside.join("s").exists() && !outside.join("new").exists());
    run("umount", [dir.join("in")]);
}

/// What was received with the wish to compare it, and not settled, goes when a client says that it is
/// wrong, whoever sent it; all else stays and is only marked.
fn who_appends_removes_only_what_never_counted() {
    let dir = btrfs("far", 256).join("dir");
    fs::create_dir(&dir).unwrap();
    let receive = |client: &mut Client, name: &str, to: u8, compare: bool| {
        let diff = json!({"to": uuid(to).to_string(), "from": null, "size": "unknown"});
        let question = json!({"ask": "receive", "diff": diff, "path": name, "compare": compare});
        client.put(&question, &of_commands(to, &[])).unwrap();
    };
    let mut honest = Client::comparing("a", &dir);
    receive(&mut honest, "whole", 2, false);
    receive(&mut honest, "settled", 3, true);
    honest
        .ask(&json!({"ask": "settle", "path": "settled"}))
        .unwrap();
    receive(&mut honest, "uncompared", 4, true);
    honest.close();
    let mut other = Client::comparing("a", &dir);
    assert_eq!(other.list().len(), 3);
    receive(&mut other, "own", 5, false);
    let mut reject = |name: &str| other.ask(&json!({"ask": "reject", "path": name}));
    assert_eq!(reject("uncompared").unwrap(), "removed");
    assert_eq!(reject("own").unwrap(), "removed");
    for name in ["settled", "whole"] {
        assert!(reject(name).unwrap_err().contains("it counts already"));
    }
    for question in [
        json!({"ask": "delete", "path": "whole"}),
        json!({"ask": "exchange", "new": "settled", "old": "whole"}),
    ] {
        assert!(other.ask(&question).unwrap_err().contains("refused"));
    }
    let left = other.list();
    let left: Vec<_> = left
        .iter()
        .map(|s| (s["path"].as_str(), s["state"].as_str()))
        .collect();
    assert_eq!(
        left,
        [(Some("settled"), Some("ok")), (Some("whole"), Some("ok"))]
    );
}

/// A question about what was received, and the bytes that nobody may be told.
const SECRET: [u8; 8192] = [b's'; 8192];

fn digest_of(to: u8, name: &str) -> Value {
    let extent = json!({"these": ["secret"]});
    let of =
        json!({"id": uuid(to).to_string(), "path": name, "extent": extent, "from_disk": false});
    json!({"ask": "digest", "digest": of})
}

/// A file of which somebody knows all but a byte is told by its digest.
fn who_puts_gets_no_digest_of_what_was_there() {
    let dir = btrfs("far", 256).join("dir");
    fs::create_dir(&dir).unwrap();
    let old = of_commands(2, &[file("secret", &SECRET)]);
    Client::serving("a", &dir)
        .receive("old", 2, None, &old)
        .unwrap();
    let put = |client: &mut Client, name: &str, (to, from): (u8, Option<u8>), more: Value| {
        let mut diff = json!({"to": uuid(to).to_string(), "size": "unknown", "from": null});
        diff["from"] = from.map_or(Value::Null, |from| uuid(from).to_string().into());
        let mut question = json!({"ask": "receive", "path": name, "compare": more["compare"]});
        if let Some(sources) = more.get("clones") {
            diff["clones"] = sources.clone();
        }
        question["diff"] = diff;
        let commands = match more.get("clones") {
            Some(_) => vec![file("secret", b""), clone("secret", [2; 16], "secret")],
            None => Vec::new(),
        };
        client.put(
            &question,
            &of_parent(to, from.map(|from| [from; 16]), &commands),
        )
    };
    let compare = json!({"compare": true});
    let mut client = Client::comparing("p", &dir);
    assert_eq!(client.list().len(), 1);
    let said = put(&mut client, "next", (3, Some(2)), compare.clone()).unwrap_err();
    assert!(said.contains("builds on what was there before"), "{said}");
    let refused = |client: &mut Client, (to, name): (u8, &str)| {
        let said = client.ask(&digest_of(to, name)).unwrap_err();
        assert!(said.contains("mode p"), "{said}");
    };
    put(&mut client, "next", (3, Some(2)), json!({})).unwrap();
    refused(&mut client, (3, "next"));
    put(
        &mut client,
        "cloned",
        (4, None),
        json!({"clones": [uuid(2).to_string()]}),
    )
    .unwrap();
    refused(&mut client, (4, "cloned"));
    // What builds on that, and on what only claims to be it.
    put(&mut client, "further", (5, Some(3)), json!({})).unwrap();
    refused(&mut client, (5, "further"));
    put(&mut client, "claims", (2, None), json!({})).unwrap();
    if put(&mut client, "of", (6, Some(2)), json!({})).is_ok() {
        let said = client.ask(&digest_of(6, "of"));
        assert!(said.is_err() || fs::read(dir.join("of/secret")).is_err());
    }
    // All of it came in this session.
    put(&mut client, "whole", (7, None), compare.clone()).unwrap();
    client
        .ask(&json!({"ask": "settle", "path": "whole"}))
        .unwrap();
    put(&mut client, "more", (8, Some(7)), compare).unwrap();
    client.ask(&digest_of(8, "more")).unwrap();
    assert_eq!(client.close(), 0);
}

/// By a server, out of a bucket, from this machine itself, and from a server.
fn nothing_foreign_is_received_unconfined() {
    let (near, far) = (btrfs("near", 256), btrfs("far", 256));
    let stream = of_commands(2, &[file("f", b"x")]);
    for (said, comes) in [(&[][..], false), (&["--receive-unconfined"], true)] {
        let mut command = without_namespaces();
        command.args(["--server", "--mode", "a", "--receive-with", "btrfs"]);
        let mut client = Client::start(command.args(said).arg(&far));
        client.hear().unwrap();
        let answer = client.receive("s", 2, None, &stream);
        assert!(answer.is_ok() == comes && far.join("s").exists() == comes);
        assert!(comes || answer.unwrap_err().contains("cannot be confined"));
    }
    let live = near.join("live");
    subvolume(&live);
    fs::create_dir(near.join("snaps")).unwrap();
    snapshot(&live, &near.join("snaps/one"));
    let (snaps, bucket) = (near.join("snaps/"), here().join("bucket"));
    fs::create_dir(&bucket).unwrap();
    let raw = format!("raw:{}/", bucket.display());
    let back = format!("{}/", btrfs("back", 256).display());
    let sync = |more: &[&str], from: &str, to: &str| {
        let mut command = without_namespaces();
        command.args(["--receive-with", "btrfs", "--create"]);
        let said = crate::bucket::said(command.args(more).args([from, to]));
        assert!(said.code == 0 || said.stderr.contains("cannot be confined"));
        said.code == 0
    };
    let snaps = snaps.to_str().unwrap();
    assert!(sync(&[], snaps, &raw));
    assert!(sync(&[], snaps, &format!("{}/own/", far.display())));
    assert!(!sync(&[], &raw, &back));
    assert!(sync(&["--receive-unconfined"], &raw, &back));
    let ssh = forced(&far.join("own"));
    let pull = |more: &[&str], to: &str| {
        let there = format!("ssh://far{}/own/", far.display());
        sync(&[&["--ssh-command", &ssh], more].concat(), &there, to)
    };
    let more = format!("{}/", btrfs("more", 256).display());
    assert!(!pull(&[], &more));
    assert!(pull(&["--receive-unconfined"], &more));
}

/// By any request that has a name in it, with the most that can be granted; nor is it served itself.
fn no_request_reaches_what_is_remembered() {
    let root = btrfs("far", 256);
    Client::serving("a", &root)
        .receive("s", 2, None, &of_commands(2, &[file("f", b"x")]))
        .unwrap();
    let state = root.join(".buttersink");
    let seals = fs::read(state.join("seals")).unwrap();
    let id = uuid(2).to_string();
    let origin = json!({"machine": "", "host": "", "filesystem": id, "subvolume": id});
    let diff = json!({"to": uuid(3).to_string(), "from": null, "size": "unknown"});
    let mut client = Client::comparing("w", &root);
    assert_eq!(client.list().len(), 1);
    for name in [
        ".buttersink",
        ".buttersink/seals",
        ".buttersink/x/y",
        "a/.buttersink",
        ".buttersink-raw",
    ] {
        let digest = json!({"id": id, "path": name, "extent": "next", "from_disk": false});
        for question in [
            json!({"ask": "receive", "diff": diff, "path": name}),
            json!({"ask": "copy", "from": "s", "to": name}),
            json!({"ask": "copy", "from": name, "to": "t"}),
            json!({"ask": "delete", "path": name}),
            json!({"ask": "reject", "path": name}),
            json!({"ask": "settle", "path": name}),
            json!({"ask": "adopt", "path": name, "origin": origin}),
            json!({"ask": "exchange", "new": "s", "old": name}),
            json!({"ask": "exchange", "new": name, "old": "s"}),
            json!({"ask": "digest", "digest": digest}),
        ] {
            let said = client.ask(&question).unwrap_err();
            assert!(said.contains("but what is remembered"), "{said}");
        }
    }
    assert_eq!(client.list().len(), 1);
    assert_eq!(client.close(), 0);
    let mut inside = Client::serving("w", &state);
    inside.ask(&json!({"ask": "list"})).unwrap_err();
    assert_eq!(fs::read(state.join("seals")).unwrap(), seals);
    assert!(!root.join(".buttersink-raw").exists() && !root.join("a").exists());
}

/// In a directory below which others can go.
fn what_a_server_makes_is_roots_alone() {
    let dir = btrfs("far", 256).join("dir");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
    let mut client = Client::serving("a", &dir);
    let stream = of_commands(2, &[]);
    client.receive("daily/home/s", 2, None, &stream).unwrap();
    client
        .ask(&json!({"ask": "copy", "from": "daily/home/s", "to": "weekly/s"}))
        .unwrap();
    for made in ["daily", "daily/home", "weekly"] {
        let mode = fs::metadata(dir.join(made)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{made}");
    }
}

fn who_puts_reads_nothing_back() {
    let dir = btrfs("far", 256).join("dir");
    fs::create_dir(&dir).unwrap();
    let diff = |to: u8| json!({"to": uuid(to).to_string(), "from": null, "size": "unknown"});
    let digest = |to: u8, name: &str| {
        let extent = json!({"these": [""]});
        let of =
            json!({"id": uuid(to).to_string(), "path": name, "extent": extent, "from_disk": false});
        json!({"ask": "digest", "digest": of})
    };
    let put = |client: &mut Client, name: &str, to: u8| {
        let question = json!({"ask": "receive", "diff": diff(to), "path": name});
        client.put(&question, &of_commands(to, &[])).unwrap();
    };
    let mut one = Client::comparing("p", &dir);
    put(&mut one, "one", 2);
    one.ask(&digest(2, "one")).unwrap();
    one.close();
    let mut two = Client::comparing("p", &dir);
    assert_eq!(two.list()[0]["path"], "one", "so that it can plan");
    put(&mut two, "two", 3);
    for question in [
        json!({"ask": "measure", "diffs": [diff(3)]}),
        json!({"ask": "send", "diff": diff(3)}),
        json!({"ask": "inspect", "depth": "quick"}),
        digest(2, "one"),
        digest(3, "one"),
        json!({"ask": "delete", "path": "two"}),
    ] {
        let said = two.ask(&question).unwrap_err();
        assert!(said.contains("mode p was granted"), "{said}");
    }
    two.ask(&digest(3, "two")).unwrap();
}
