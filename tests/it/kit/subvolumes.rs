//! What tests do to subvolumes with the plain tools: make, change, look at, and fill them.

use crate::support::run;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Runs a script in a directory; it must succeed.
pub(crate) fn script(at: &Path, text: &str) -> String {
    let cd = format!("cd \"$1\"\n{text}");
    run("bash", ["-euc", &cd, "bash", at.to_str().unwrap()])
}

/// Makes an empty subvolume.
pub(crate) fn subvolume(at: &Path) {
    let words = ["-q", "subvolume", "create"].map(OsStr::new);
    run("btrfs", words.into_iter().chain([at.as_os_str()]));
}

/// What an interrupted transfer into a directory leaves, as releases before 2.0 noted it down.
pub(crate) fn unfinished(dir: &Path, name: &str) {
    subvolume(&dir.join(name));
    script(
        dir,
        &format!("mkdir -pm 700 .buttersink; printf {name} >.buttersink/unfinished"),
    );
}

/// Makes a read-only snapshot.
pub(crate) fn snapshot(of: &Path, to: &Path) {
    let words = ["-q", "subvolume", "snapshot", "-r"].map(OsStr::new);
    run(
        "btrfs",
        words.into_iter().chain([of.as_os_str(), to.as_os_str()]),
    );
}

/// Sets or clears the read-only flag and nothing else. `btrfs property set` would refuse, or forget
/// the received UUID; older ones and other programs do not.
pub(crate) fn set_read_only(subvolume: &Path, read_only: bool) {
    let setflags = "import fcntl, os, struct, sys
flags = struct.pack('Q', 2 if sys.argv[2] == 'true' else 0)
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x4008941a, flags)";
    let (path, flag) = (subvolume.to_str().unwrap(), read_only.to_string());
    run("python3", ["-c", setflags, path, &flag]);
}

/// Alters a read-only snapshot in place, which nobody should do.
pub(crate) fn alter(subvolume: &Path) {
    set_read_only(subvolume, false);
    script(subvolume, "echo other >d/small; sync -f .");
    set_read_only(subvolume, true);
}

/// A field of `btrfs subvolume show`, `-` if it is not set.
pub(crate) fn shown(subvolume: &Path, field: &str) -> String {
    let text = run("btrfs", ["subvolume", "show", subvolume.to_str().unwrap()]);
    let lines = text.lines().filter_map(|l| l.trim().split_once(':'));
    let mut found = lines.filter(|(name, _)| *name == field);
    found
        .next()
        .map_or("-", |(_, value)| value.trim())
        .to_owned()
}

/// The effective UUID.
pub(crate) fn id(subvolume: &Path) -> String {
    match shown(subvolume, "Received UUID") {
        uuid if uuid == "-" => shown(subvolume, "UUID"),
        received => received,
    }
}

/// The length of the plain stream of a snapshot.
pub(crate) fn stream_length(snapshot: &Path, parent: Option<&Path>) -> u64 {
    let mut send = Command::new("btrfs");
    send.args(["send", "--quiet"]);
    if let Some(parent) = parent {
        send.arg("-p").arg(parent);
    }
    send.arg(snapshot);
    crate::support::output(&mut send).stdout.len() as u64
}

/// A subvolume `live` with a few files, and `snaps/1`, `snaps/2` … with changes between them.
pub(crate) fn history(at: &Path, snapshots: usize) {
    let live = at.join("live");
    subvolume(&live);
    std::fs::create_dir_all(at.join("snaps")).unwrap();
    script(
        &live,
        "head -c 300000 /dev/urandom >big; mkdir d; echo small >d/small",
    );
    for number in 1..=snapshots {
        if number > 1 {
            change(&live, number);
        }
        snapshot(&live, &at.join(format!("snaps/{number}")));
    }
}

/// Changes `live`: new content, a rename, a removal.
pub(crate) fn change(live: &Path, number: usize) {
    let text = format!(
        "head -c 20000 /dev/urandom >new{number}; echo {number} >>d/small
         mv big bigger; mv bigger big; rm -f new{}",
        number.saturating_sub(2)
    );
    script(live, &text);
}

/// One of everything that a btrfs snapshot can hold.
pub(crate) const EVERYTHING: &str = r#"
    mkdir -p plain deep/{1..9}/{a..c}/x empty sticky
    : >plain/nothing; echo hello >plain/small; head -c 2500000 /dev/urandom >plain/large
    yes 'compress me' | head -c 3000000 >plain/even
    truncate -s 100M holes; printf x | dd of=holes bs=1 seek=50M conv=notrunc status=none
    head -c 5000 /dev/urandom >tail; truncate -s 10M tail
    fallocate -l 1M reserved; printf y | dd of=reserved bs=1 seek=300K conv=notrunc status=none
    fallocate --keep-size -o 1M -l 1M plain/small
    cp --reflink=always plain/large shared
    cp --reflink=always plain/large halfshared
    dd if=/dev/urandom of=halfshared bs=64K count=3 seek=7 conv=notrunc status=none
    echo linked >first; ln first deep/second; ln first plain/third
    mknod character c 1 3; mknod block b 7 200; mkfifo -m 0640 fifo
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
    ln -s plain/small link; ln -s /nowhere/at/all dangling; ln -s "$(printf %02000d 0)" longlink
    touch -- "$(printf %0255d 7)" $'new\nline' $'\xff\xfe' ' ' '*' '-n' $'\e[31m'
    cp /bin/true setuid; chmod 4755 setuid; chmod 2711 tail; chmod 1777 sticky
    cp /bin/true capable; setcap cap_net_raw,cap_chown+ep capable
    echo secret >locked; chmod 0 locked
    chown 1234:5678 plain/small; chown -h 4000000000:77 link; chown 3:4 deep
    setfattr -n user.comment -v 'a word' plain/small; setfattr -n trusted.mark -v 0x00ff empty
    setfattr -h -n trusted.mark -v 1 link; setfattr -n user.empty plain/nothing
    setfacl -m u:1234:rw,g:5678:- plain/large; setfacl -d -m u:99:rwx empty
    touch -d '1935-05-05 05:05:05.123456789' plain/small; touch -d '2345-01-01' tail
    touch -h -d '2001-02-03 04:05:06.7' link; touch -d '2010-10-10' empty
"#;
