//! Our own receive beside `btrfs receive`, and beside the source: whole and incremental streams of an
//! awkward tree, in pieces of any length, and streams by people who mean harm.

use crate::runner::Test;
use crate::streams::{command, noise, of_commands, write};
use crate::subvolumes::{EVERYTHING, id, script, set_read_only, shown, snapshot, subvolume};
use crate::support::{
    btrfs, btrfs_with, here, in_quarantine, local_options, mount_image, output, run,
};
use crate::tests;
use crate::tree::{assert_same, differences};
use buttersink::error::{Cause, Error, Result};
use buttersink::snapshot::{Diff, Size};
use buttersink::store::local::{Local, LocalOptions};
use buttersink::store::{Access, ReceiveWith, Store};
use buttersink::stream::Head;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TESTS: &[Test] = tests![
    an_awkward_tree_arrives_in_pieces_of_any_length,
    compressed_streams_arrive_as_they_are,
    compressed_streams_are_unpacked_where_they_must_be,
    nothing_is_inherited,
    what_btrfs_receive_loses_arrives,
    writes_go_on_behind_other_commands,
    a_parent_is_the_planned_one_wherever_others_are,
    errors_name_the_file_and_leave_nothing,
    a_quota_is_named_with_the_way_out,
    a_broken_disk_is_named_with_the_way_out,
    newer_protocols_and_missing_data_are_refused,
    damage_touches_nothing_else,
    harm_touches_nothing_else,
];

/// Changes to what [`EVERYTHING`] made that make the kernel send moves in an odd order.
const CHANGES: &str = r#"
    mv deep/1 deep/t; mv deep/2 deep/1; mv deep/t deep/2
    mv deep/3/a deep/tmp; mv deep/3 deep/tmp/x/down; mv deep/tmp deep/3
    mv plain/large plain/t; mv shared plain/large; mv plain/t shared
    rm first; mv deep/second plain/second; ln plain/second deep/9/again
    rm -r deep/4; echo file >deep/4; rm plain/nothing; mkdir plain/nothing; echo in >plain/nothing/in
    rm fifo character; mkfifo character; mknod fifo c 1 5; rm link; ln -s elsewhere link
    truncate -s 1000 tail; truncate -s 90M holes; printf tail >>plain/even
    dd if=/dev/urandom of=halfshared bs=4K count=2 seek=100 conv=notrunc status=none
    cp --reflink=always halfshared deep/5/reflinked; cp --reflink=always shared deep/new
    setfattr -n user.comment -v "$(head -c 3000 /dev/zero | tr '\0' x)" plain/small
    setfattr -x user.empty plain/even 2>/dev/null || true; setfattr -x trusted.mark empty
    setfacl -b plain/large; setfacl -m u:77:r plain/small
    chmod 6711 setuid; setcap cap_kill+ep capable; chown 7:8 capable; setcap cap_kill+ep capable
    mkdir -m 2775 setgid; echo a >setgid/a; mkdir setgid/d; echo b >setgid/d/b; chown -R 5:6 setgid; chmod 2775 setgid
    mkdir acl; setfacl -d -m u:1000:rwx acl; echo c >acl/c; mkdir acl/d; setfacl -b acl/c
    mkdir zipped; setfattr -n btrfs.compression -v zstd zipped; yes z | head -c 100000 >zipped/z
    touch -d '2011-11-11 11:11:11.111111111' .
"#;

pub(crate) fn options(receive_with: ReceiveWith) -> LocalOptions {
    LocalOptions {
        receive_with: Some(receive_with),
        ..local_options()
    }
}

/// A stream of `btrfs send`.
pub(crate) fn sent(snapshot: &Path, parent: Option<&Path>, more: &[&str]) -> Vec<u8> {
    let mut send = Command::new("btrfs");
    send.args(["send", "--quiet"]).args(more);
    if let Some(parent) = parent {
        send.arg("-p").arg(parent);
    }
    let output = send.arg(snapshot).output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Receives a stream by ourselves, in pieces of this length.
pub(crate) fn receive(dest: &Path, name: &str, stream: &[u8], piece: usize) -> Result<()> {
    receive_by(ReceiveWith::Builtin, dest, name, stream, piece)
}

pub(crate) fn receive_by(
    way: ReceiveWith,
    dest: &Path,
    name: &str,
    stream: &[u8],
    piece: usize,
) -> Result<()> {
    let head = Head::read(&mut &stream[..])?;
    let diff = Diff::new(head.uuid, head.parent.map(|(uuid, _)| uuid), Size::Unknown);
    let mut local = Local::open(dest, Access::Write, options(way))?;
    local.list()?;
    let mut sink = local.receive(&diff, Path::new(name))?;
    for piece in stream.chunks(piece) {
        sink.write_all(piece)
            .map_err(|error| Error::io("writing", error))?;
    }
    sink.finish().map(drop)
}

/// Receives it by `btrfs receive`, under its own name.
pub(crate) fn plain(dest: &Path, stream: &[u8]) {
    let mut child = Command::new("btrfs")
        .args(["receive", "-q"])
        .arg(dest)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stream).unwrap();
    assert!(child.wait().unwrap().success());
}

/// Nothing is left of what was being received.
#[track_caller]
pub(crate) fn clean(dest: &Path, name: &str) {
    for path in [name, &format!("{name}.part")] {
        assert!(dest.join(path).symlink_metadata().is_err(), "{path}");
    }
    assert!(!in_quarantine(dest));
}

/// Also what [`assert_same`] lets pass, since `btrfs receive` gets it wrong.
#[track_caller]
pub(crate) fn assert_identical(source: &Path, copy: &Path) {
    assert_same(source, copy);
    let time = |path: &Path| {
        let top = path.metadata().unwrap();
        (top.mtime(), top.mtime_nsec())
    };
    assert_eq!(time(source), time(copy), "the top's time");
}

/// Two snapshots, `1` and `2`, of an awkward tree.
pub(crate) fn awkward(at: &Path) -> (PathBuf, PathBuf) {
    let live = at.join("live");
    subvolume(&live);
    script(&live, EVERYTHING);
    snapshot(&live, &at.join("1"));
    script(&live, CHANGES);
    snapshot(&live, &at.join("2"));
    (at.join("1"), at.join("2"))
}

fn an_awkward_tree_arrives_in_pieces_of_any_length() {
    let (a, b, c) = (btrfs("a", 1024), btrfs("b", 2048), btrfs("c", 1024));
    let (one, two) = awkward(&a);
    let whole = sent(&one, None, &[]);
    let change = sent(&two, Some(&one), &[]);
    plain(&c, &whole);
    plain(&c, &change);
    for piece in [1 << 20, 50_000, 4096, 777, 1] {
        // All of a stream byte by byte takes long; its second half has what is new.
        if piece > 1 {
            receive(&b, "1", &whole, piece).unwrap();
            assert_identical(&one, &b.join("1"));
            assert_same(&c.join("1"), &b.join("1"));
        }
        receive(&b, "2", &change, piece).unwrap();
        assert_identical(&two, &b.join("2"));
        assert_same(&c.join("2"), &b.join("2"));
        assert_eq!(id(&b.join("2")), id(&two));
        assert_eq!(
            shown(&b.join("2"), "Parent UUID"),
            shown(&b.join("1"), "UUID")
        );
        assert!(shown(&b.join("2"), "Flags").contains("readonly"));
        let names = if piece == 777 { "2" } else { "1 2" };
        script(&b, &format!("btrfs -q subvolume delete {names}"));
    }
}

fn compressed_streams_arrive_as_they_are() {
    let send = ["--proto", "2", "--compressed-data"];
    for kind in ["zlib", "zstd", "lzo"] {
        let a = btrfs_with(
            &format!("a{kind}"),
            512,
            &[],
            &format!("compress-force={kind}"),
        );
        let b = btrfs(&format!("b{kind}"), 512);
        let (one, two) = awkward(&a);
        // Flags of files travel in protocol 2.
        for (name, from, to) in [("1", None, &one), ("2", Some(&*one), &two)] {
            let stream = sent(to, from, &send);
            receive(&b, name, &stream, 100_000).unwrap();
            assert_identical(to, &b.join(name));
        }
        let used = |path: PathBuf| path.metadata().unwrap().blocks();
        let extents = output(
            Command::new("filefrag")
                .arg("-v")
                .arg(b.join("1/plain/even")),
        );
        let text = String::from_utf8_lossy(&extents.stdout);
        assert!(text.contains("encoded"), "unpacked: {text}");
        assert_eq!(used(a.join("1/plain/even")), used(b.join("1/plain/even")));
    }
}

/// The kernel takes no compressed extent into a file without checksums.
fn compressed_streams_are_unpacked_where_they_must_be() {
    for kind in ["zlib", "zstd", "lzo"] {
        let force = format!("compress-force={kind}");
        let a = btrfs_with(&format!("a{kind}"), 512, &[], &force);
        let b = btrfs_with(&format!("b{kind}"), 512, &[], "nodatasum");
        let (one, two) = awkward(&a);
        for (name, from, to) in [("1", None, &one), ("2", Some(&*one), &two)] {
            let stream = sent(to, from, &["--proto", "2", "--compressed-data"]);
            let received = receive(&b, name, &stream, 100_000);
            if kind == "lzo" {
                let said = received.unwrap_err().to_string();
                assert!(
                    said.contains("LZO") && said.contains("cannot write"),
                    "{said}"
                );
                clean(&b, name);
                break;
            }
            received.unwrap();
            assert_identical(to, &b.join(name));
        }
    }
}

/// Makes the top, and a directory in it, hand everything down that there is.
const HEIRS: &str = "
    mkdir d plain; chmod 2777 . d; setfacl -d -m u:1000:rwx . d; setfacl -m u:1000:rwx . d
    setfattr -n btrfs.compression -v zstd d; chattr +C . 2>/dev/null || true";

fn nothing_is_inherited() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    // Where it is received hands down too.
    script(
        &b,
        "chmod 2755 .; setfacl -d -m u:55:rwx .; setfattr -n btrfs.compression -v zlib .",
    );
    let live = a.join("live");
    subvolume(&live);
    script(&live, &format!("{HEIRS}; chown 1:2 . d; chmod 2777 . d"));
    script(
        &live,
        "umask 027; for in in . d plain; do
            echo x >$in/f; mkdir $in/s; mkfifo $in/p; mknod $in/c c 1 3; ln -s x $in/l
            setfacl -b $in/f $in/p $in/c; setfacl -b $in/s; chmod 640 $in/f; chmod 710 $in/s
            chgrp 0 $in/f $in/s $in/p; chgrp -h 0 $in/l; setfattr -x btrfs.compression $in/s 2>/dev/null || true
        done; touch -d 2001-01-01 . d",
    );
    snapshot(&live, &a.join("1"));
    script(
        &live,
        "umask 077; for in in . d plain s d/s; do
            echo y >$in/g; mkdir $in/t; echo z >$in/t/z; setfacl -b $in/g $in/t; chmod 604 $in/g; chgrp 0 $in/g $in/t
        done; chown 3:4 .; setfacl -d -m u:9:r .; setfacl -x u:1000 .; chmod 1775 .; touch -d 2002-02-02 .",
    );
    snapshot(&live, &a.join("2"));
    for (name, from) in [("1", None), ("2", Some(a.join("1")))] {
        let stream = sent(&a.join(name), from.as_deref(), &[]);
        receive(&b, name, &stream, 30_000).unwrap();
        assert_identical(&a.join(name), &b.join(name));
    }
    let flags = |path: &str| {
        let flags = output(Command::new("lsattr").arg("-d").arg(b.join(path)));
        String::from_utf8_lossy(&flags.stdout)
            .split(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    for path in ["1/plain/f", "1/plain/s", "2/g", "2/t", "2/f"] {
        let flags = flags(path);
        assert!(!flags.contains(['c', 'C', 'm']), "{path}: {flags}");
    }
    // Whoever may enter the directory cannot have entered what was not there yet.
    let quarantine = b.join(".buttersink/quarantine").metadata().unwrap();
    assert_eq!((quarantine.mode() & 0o777, quarantine.uid()), (0o700, 0));
}

/// A command with a path, a time of reading and one of change.
pub(crate) fn utimes(path: &str) -> Vec<u8> {
    let time = [&7u64.to_le_bytes()[..], &8u32.to_le_bytes()].concat();
    command(
        20,
        &[
            (15, path.into()),
            (11, time.clone()),
            (10, time.clone()),
            (9, time),
        ],
    )
}

pub(crate) fn make(kind: u16, path: &str, more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let first = [(15, path.into()), (3, 300u64.to_le_bytes().into())];
    command(kind, &[&first[..], more].concat())
}

pub(crate) fn number(n: u64) -> Vec<u8> {
    n.to_le_bytes().into()
}

fn what_btrfs_receive_loses_arrives() {
    let b = btrfs("b", 512);
    let xattr = |value: &[u8]| {
        command(
            13,
            &[
                (15, b"x".into()),
                (13, b"user.large".into()),
                (14, value.into()),
            ],
        )
    };
    let chown = |path: &str| command(19, &[(15, path.into()), (6, number(5)), (7, number(6))]);
    let commands = [
        make(3, "suid", &[]),
        command(18, &[(15, b"suid".into()), (5, number(0o6755))]),
        // Later, as of a file of the parent.
        make(3, "x", &[]),
        chown("suid"),
        xattr(&noise(1, 5000)),
        xattr(&noise(2, 12_000)),
        utimes("gone"),
        utimes("gone/too"),
        command(14, &[(15, b"x".into()), (13, b"user.none".into())]),
        // Old kernels send capabilities before the owner, who takes them away.
        make(3, "capable", &[]),
        command(
            13,
            &[
                (15, b"capable".into()),
                (13, b"security.capability".into()),
                (
                    14,
                    [&0x0200_0001u32.to_le_bytes()[..], &[0, 4, 0, 0], &[0; 12]].concat(),
                ),
            ],
        ),
        chown("capable"),
        utimes(""),
        make(3, "last", &[]),
    ];
    receive(&b, "snap", &of_commands(1, &commands), 100).unwrap();
    let suid = b.join("snap/suid").metadata().unwrap();
    assert_eq!(
        (suid.mode() & 0o7777, suid.uid(), suid.gid()),
        (0o6755, 5, 6)
    );
    let large = output(
        Command::new("getfattr")
            .args(["-n", "user.large", "--only-values"])
            .arg(b.join("snap/x")),
    );
    assert_eq!(large.stdout, noise(2, 12_000));
    let capable = output(Command::new("getcap").arg(b.join("snap/capable")));
    assert!(String::from_utf8_lossy(&capable.stdout).contains("cap_net_bind_service"));
    assert_eq!(b.join("snap").metadata().unwrap().mtime(), 7);
}

/// Writes that follow each other are joined, and here something else stands between two that do.
fn writes_go_on_behind_other_commands() {
    let b = btrfs("b", 256);
    let bytes = noise(3, 60_000);
    let piece = |from: usize, to: usize| {
        let data = bytes[from..to].to_vec();
        command(
            15,
            &[(15, b"f".into()), (18, number(from as u64)), (19, data)],
        )
    };
    let truncate = command(17, &[(15, b"f".into()), (4, number(60_000))]);
    let shared = |to: u8| {
        let attributes = [
            (15, b"f".to_vec()),
            (18, number(61_440)),
            (24, number(4096)),
            (20, vec![to; 16]),
            (21, number(7)),
            (22, b"f".into()),
            (23, number(0)),
        ];
        command(16, &attributes)
    };
    let commands = |to| {
        [
            make(3, "f", &[]),
            piece(0, 20_480),
            piece(20_480, 28_672),
            truncate.clone(),
            piece(28_672, 40_000),
            shared(to),
            piece(40_000, 60_000),
        ]
    };
    for (to, length) in [(1, 1), (2, 1000), (3, 1 << 20)] {
        let name = format!("snap{to}");
        receive(&b, &name, &of_commands(to, &commands(to)), length).unwrap();
        let came = std::fs::read(b.join(name).join("f")).unwrap();
        assert_eq!(came.len(), 65_536);
        assert!(came[..60_000] == bytes, "in pieces of {length}");
        assert!(came[61_440..] == bytes[..4096], "in pieces of {length}");
    }
}

fn a_parent_is_the_planned_one_wherever_others_are() {
    let (a, top) = (btrfs("a", 512), btrfs("b", 512));
    let (one, two) = awkward(&a);
    script(&top, "btrfs -q subvolume create box");
    let b = mount_image(&crate::support::image("b"), "boxed", "subvol=box");
    let (whole, change) = (sent(&one, None, &[]), sent(&two, Some(&one), &[]));
    receive(&b, "1", &whole, 100_000).unwrap();
    // Copies with the same identity, one of them spoilt, where this mount does not reach.
    receive(&top, "1", &whole, 100_000).unwrap();
    receive(&top, "spoilt", &whole, 100_000).unwrap();
    spoil(&top.join("spoilt"));
    receive(&b, "2", &change, 100_000).unwrap();
    assert_identical(&two, &b.join("2"));
    assert_eq!(
        shown(&b.join("2"), "Parent UUID"),
        shown(&b.join("1"), "UUID")
    );
    // Without one in reach nothing is begun.
    script(&b, "btrfs -q subvolume delete 1 2");
    let error = receive(&b, "2", &change, 100_000).unwrap_err();
    assert!(error.to_string().contains("parent"), "{error}");
    clean(&b, "2");
    spoil(&top.join("1"));
    script(&top, "btrfs -q subvolume delete spoilt");
    let error = receive(&top, "2", &change, 100_000).unwrap_err();
    assert!(error.to_string().contains("altered"), "{error}");
    clean(&top, "2");
}

/// Alters a received snapshot in place.
fn spoil(subvolume: &Path) {
    set_read_only(subvolume, false);
    script(subvolume, "echo other >plain/small; sync -f .");
    set_read_only(subvolume, true);
}

fn errors_name_the_file_and_leave_nothing() {
    let (a, b) = (btrfs("a", 1024), btrfs("b", 128));
    let live = a.join("live");
    subvolume(&live);
    script(&live, "mkdir home; head -c 200M /dev/urandom >home/large");
    snapshot(&live, &a.join("1"));
    let error = receive(&b, "1", &sent(&a.join("1"), None, &[]), 1 << 20).unwrap_err();
    let said = (&*error.doing, &*error.said);
    assert_eq!(said, ("cannot write home/large", "No space left on device"));
    assert_eq!(error.cause, Some(Cause::Errno(28)));
    assert!(error.hint.unwrap().contains("subvolume sync"));
    clean(&b, "1");
    script(&b, "sync -f .; btrfs -q subvolume sync .");
    let value = (14, noise(3, 20_000));
    let large = command(13, &[(15, b"f".into()), (13, b"user.x".into()), value]);
    let stream = of_commands(1, &[make(3, "f", &[]), large]);
    let said = receive(&b, "snap", &stream, 4096).unwrap_err().to_string();
    assert!(said.contains("extended attribute of f"), "{said}");
    assert!(said.len() < 200, "{said}");
    clean(&b, "snap");
    // What is dropped on the way leaves nothing either.
    let stream = sent(&a.join("1"), None, &[]);
    receive(&b, "1", &stream[..1_000_000], 4096).unwrap_err();
    clean(&b, "1");
}

/// A snapshot with a large file.
pub(crate) fn with_large(name: &str) -> PathBuf {
    let a = btrfs(name, 1024);
    let live = a.join("live");
    subvolume(&live);
    script(&live, "mkdir home; head -c 100M /dev/urandom >home/large");
    snapshot(&live, &a.join("1"));
    a.join("1")
}

/// What is being received there, of whatever way.
fn under_way(dest: &Path) -> PathBuf {
    let quarantine = std::fs::read_dir(dest.join(".buttersink/quarantine"));
    let inside = quarantine.ok().and_then(|mut all| all.next());
    inside.map_or_else(|| dest.join("1.part"), |entry| entry.unwrap().path())
}

fn a_quota_is_named_with_the_way_out() {
    let one = with_large("a");
    let stream = sent(&one, None, &[]);
    let head = Head::read(&mut &stream[..]).unwrap();
    for way in [ReceiveWith::Builtin, ReceiveWith::Btrfs] {
        let b = btrfs(&format!("b{way:?}"), 1024);
        script(&b, "btrfs quota enable .");
        let diff = Diff::new(head.uuid, None, Size::Unknown);
        let mut local = Local::open(&b, Access::Write, options(way)).unwrap();
        let mut sink = local.receive(&diff, Path::new("1")).unwrap();
        let (first, rest) = stream.split_at(10 << 20);
        sink.write_all(first).unwrap();
        let place = under_way(&b);
        run("btrfs", ["qgroup", "limit", "5M", place.to_str().unwrap()]);
        let written = sink.write_all(rest).map_err(|e| Error::io("writing", e));
        let error = written.and_then(|()| sink.finish()).unwrap_err();
        assert_eq!(error.cause, Some(Cause::Errno(122)), "{error}");
        assert!(error.hint.as_ref().unwrap().contains("btrfs qgroup"));
        if way == ReceiveWith::Builtin {
            let said = (&*error.doing, &*error.said);
            assert_eq!(said, ("cannot write home/large", "Disk quota exceeded"));
        }
        clean(&b, "1");
    }
}

/// A disk that has fewer blocks than it says: the file below it is on a filesystem that is full.
fn a_broken_disk_is_named_with_the_way_out() {
    let one = with_large("a");
    for way in [ReceiveWith::Builtin, ReceiveWith::Btrfs] {
        let memory = here().join(format!("memory{way:?}"));
        std::fs::create_dir(&memory).unwrap();
        let small = ["-t", "tmpfs", "-o", "size=60m", "small"];
        run("mount", small.into_iter().chain([memory.to_str().unwrap()]));
        let disk = memory.join("disk");
        let file = std::fs::File::create(&disk).unwrap();
        file.set_len(512 << 20).unwrap();
        run("mkfs.btrfs", ["-q", "-m", "single", disk.to_str().unwrap()]);
        let b = mount_image(&disk, &format!("b{way:?}"), "");
        let stream = sent(&one, None, &[]);
        let error = receive_by(way, &b, "1", &stream, 1 << 20).unwrap_err();
        println!("{}", error.lines());
        assert!(b.join("1").symlink_metadata().is_err());
        assert!(matches!(error.cause, Some(Cause::Errno(5 | 30))), "{error}");
        assert!(error.hint.unwrap().contains("dmesg"));
    }
}

fn newer_protocols_and_missing_data_are_refused() {
    let (a, b) = (btrfs("a", 256), btrfs("b", 256));
    subvolume(&a.join("live"));
    script(&a.join("live"), "echo x >f");
    snapshot(&a.join("live"), &a.join("1"));
    let mut stream = sent(&a.join("1"), None, &["--no-data"]);
    let error = receive(&b, "1", &stream, 4096).unwrap_err();
    assert!(error.to_string().contains("no data"), "{error}");
    clean(&b, "1");
    stream[13] = 3;
    let error = receive(&b, "1", &stream, 4096).unwrap_err();
    assert!(error.to_string().contains("protocol 3"), "{error}");
    clean(&b, "1");
}

/// Somebody else's files on the filesystem that is received to, and elsewhere.
fn bystanders(dest: &Path) -> [PathBuf; 2] {
    [dest.join("others"), here().join("others")].map(|dir| {
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("victim"), "good").unwrap();
        std::fs::set_permissions(dir.join("victim"), PermissionsExt::from_mode(0o640)).unwrap();
        dir
    })
}

/// A number below `limit`, from a sequence that is the same each time.
fn pick(state: &mut u64, limit: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) as usize) % limit
}

/// Streams with bytes changed and checksums that are right nonetheless.
fn damage_touches_nothing_else() {
    let (a, b) = (btrfs("a", 512), btrfs("b", 512));
    let live = a.join("live");
    subvolume(&live);
    script(
        &live,
        "mkdir -p d/e; echo x >d/f; ln -s f d/l; head -c 9000 /dev/urandom >big; cp --reflink=always big d/e/big; ln big again; setfattr -n user.a -v b d",
    );
    snapshot(&live, &a.join("1"));
    let stream = sent(&a.join("1"), None, &[]);
    let bystanders = bystanders(&b);
    let copies = bystanders.each_ref().map(|dir| copy_of(dir));
    let mut state = 1;
    let (mut good, mut bad) = (0, 0);
    for _ in 0..150 {
        let damaged = damaged(&stream, &mut state);
        match receive(&b, "1", &damaged, 1 + pick(&mut state, 5000)) {
            Ok(()) => {
                good += 1;
                script(&b, "btrfs -q subvolume delete 1");
            }
            Err(_) => bad += 1,
        }
        clean(&b, "1");
    }
    println!("{good} received, {bad} refused");
    assert!(good > 0 && bad > 0);
    for (dir, copy) in bystanders.iter().zip(&copies) {
        assert_eq!(differences(dir, copy), [""; 0]);
    }
    receive(&b, "1", &stream, 4096).unwrap();
    assert_identical(&a.join("1"), &b.join("1"));
}

fn copy_of(dir: &Path) -> PathBuf {
    let copy = dir.with_extension("copy");
    script(
        Path::new("/"),
        &format!("cp -a {} {}", dir.display(), copy.display()),
    );
    copy
}

/// One byte of one command after the first is another.
fn damaged(stream: &[u8], state: &mut u64) -> Vec<u8> {
    let mut commands = vec![17];
    while let Some(length) = stream
        .get(commands[commands.len() - 1]..)
        .filter(|rest| !rest.is_empty())
    {
        let length = u32::from_le_bytes(length[..4].try_into().unwrap()) as usize;
        commands.push(commands[commands.len() - 1] + 10 + length);
    }
    let which = 1 + pick(state, commands.len() - 2);
    let (start, end) = (commands[which], commands[which + 1]);
    let mut all = stream.to_vec();
    let at = start + 4 + pick(state, (end - start - 4).min(80));
    all[at] = pick(state, 256) as u8;
    let command = &mut all[start..end];
    command[6..10].fill(0);
    let sum = !crc32c_of(command);
    command[6..10].copy_from_slice(&sum.to_le_bytes());
    all
}

/// CRC-32C that begins with zeros and is inverted in the end.
fn crc32c_of(bytes: &[u8]) -> u32 {
    let step = |mut crc: u32, byte: &u8| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
        crc
    };
    !bytes.iter().fold(0, step)
}

/// Streams of commands in any order, whose paths go through links, devices and what is not there.
fn harm_touches_nothing_else() {
    let b = btrfs("b", 512);
    let bystanders = bystanders(&b);
    let copies = bystanders.each_ref().map(|dir| copy_of(dir));
    let mut state = 7;
    let (mut good, mut bad) = (0, 0);
    for _ in 0..400 {
        let many = 1 + pick(&mut state, 12);
        let commands: Vec<_> = (0..many)
            .map(|_| harmful(&bystanders, &mut state))
            .collect();
        let stream = of_commands(1, &commands);
        match receive(&b, "snap", &stream, 1 + pick(&mut state, 300)) {
            Ok(()) => {
                good += 1;
                script(&b, "btrfs -q subvolume delete snap");
            }
            Err(_) => bad += 1,
        }
        clean(&b, "snap");
    }
    println!("{good} received, {bad} refused");
    assert!(good > 0 && bad > 0);
    for (dir, copy) in bystanders.iter().zip(&copies) {
        assert_eq!(differences(dir, copy), [""; 0]);
    }
    let null = Path::new("/dev/null").metadata().unwrap();
    assert_eq!(null.permissions().mode() & 0o777, 0o666);
    let names = std::fs::read_dir(&b)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, [".buttersink", "others", "others.copy"]);
}

fn harmful(bystanders: &[PathBuf; 2], state: &mut u64) -> Vec<u8> {
    let names = [
        "a",
        "b",
        "l",
        "n",
        "a/b",
        "l/victim",
        "l/new",
        "a/l/victim",
        "n",
        ".",
    ];
    let outside = [
        "../others/victim",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "../../others/victim",
    ];
    let mut path = || match pick(state, 12) {
        0 => outside[pick(state, outside.len())].to_owned(),
        _ => names[pick(state, names.len())].to_owned(),
    };
    let (one, two) = (path(), path());
    let target = bystanders[pick(state, 2)].to_str().unwrap().to_owned();
    let name = |path: &str| (15, path.as_bytes().to_vec());
    match pick(state, 16) {
        0 => make(3, &one, &[]),
        1 | 2 => make(4, &one, &[]),
        3 => make(5, &one, &[(5, number(0o020_666)), (8, number(0x103))]),
        4 | 5 => make(8, &one, &[(17, target.into())]),
        6 => command(9, &[name(&one), (16, two.into())]),
        7 => command(10, &[name(&one), (17, two.into())]),
        8 => command(11, &[name(&one)]),
        9 => command(12, &[name(&one)]),
        10 => command(
            13,
            &[name(&one), (13, b"user.x".into()), (14, b"evil".into())],
        ),
        11 | 12 => write(one.as_bytes(), b"evil"),
        13 => command(17, &[name(&one), (4, number(0))]),
        14 => command(18, &[name(&one), (5, number(0o777))]),
        _ => command(19, &[name(&one), (6, number(9)), (7, number(9))]),
    }
}
