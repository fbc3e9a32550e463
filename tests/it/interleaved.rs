//! Streams whose commands stand in orders that no kernel sends: those of one file between those of others,
//! by one name and by another. `btrfs receive` keeps nothing from one command to the next, and ours must
//! make the same tree, in pieces of any length.

use crate::histories::dice::Dice;
use crate::receive::{clean, make, number, plain, receive, utimes};
use crate::runner::Test;
use crate::streams::{command, noise, of_commands};
use crate::subvolumes::script;
use crate::support::{btrfs, output};
use crate::tests;
use crate::tree::assert_same;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

pub(crate) const TESTS: &[Test] = tests![
    any_order_makes_the_tree_of_btrfs_receive,
    other_names_of_a_file_are_heeded,
    special_bits_and_capabilities_outlast_every_owner,
    the_tops_own_attributes_come_in_their_order,
    nothing_comes_after_the_end,
];

const BLOCK: u64 = 4096;

/// What there is so far: files by their names, and directories.
struct Tree {
    dice: Dice,
    to: u8,
    made: u32,
    files: Vec<File>,
    dirs: Vec<String>,
    commands: Vec<Vec<u8>>,
    /// WRITEs have up to so many bytes.
    longest: usize,
}

struct File {
    names: Vec<String>,
    size: u64,
    /// Where the last WRITE ended.
    end: u64,
    attributes: Vec<u8>,
    mode: u64,
}

fn path(of: &str) -> (u16, Vec<u8>) {
    (15, of.into())
}

fn join(dir: &str, name: &str) -> String {
    [dir, name].concat()
}

impl Tree {
    fn new(seed: u64, to: u8, longest: usize) -> Tree {
        Tree {
            dice: Dice::new(seed, 0),
            to,
            made: 0,
            files: Vec::new(),
            dirs: vec![String::new()],
            commands: Vec::new(),
            longest,
        }
    }

    /// A stream of so many steps, after which every time is set.
    fn stream(mut self, steps: usize) -> Vec<u8> {
        self.file();
        for _ in 0..steps {
            self.step();
        }
        let files = self.files.iter().map(|file| &*file.names[0]);
        let dirs = self.dirs.iter().map(|dir| dir.trim_end_matches('/'));
        let times: Vec<_> = files.chain(dirs).map(utimes).collect();
        self.commands.extend(times);
        of_commands(self.to, &self.commands)
    }

    fn step(&mut self) {
        match self.dice.below(24) {
            0..2 => self.file(),
            2 => self.dir(),
            3 => self.node(),
            4 => self.link(),
            5 => self.unlink(),
            6 => self.rename_file(),
            7 => self.rename_dir(),
            8 => self.rmdir(),
            9..11 => self.share(),
            11 => self.truncate(),
            12 => self.attribute(),
            13 => self.mode(),
            14 => self.owner(),
            15 => self.times(),
            _ => self.write(),
        }
    }

    fn say(&mut self, kind: u16, attributes: &[(u16, Vec<u8>)]) {
        self.commands.push(command(kind, attributes));
    }

    fn fresh(&mut self) -> String {
        self.made += 1;
        format!("n{}", self.made)
    }

    /// Somewhere in the tree, under a new name.
    fn place(&mut self) -> String {
        let dir = self.dice.below(self.dirs.len());
        let name = self.fresh();
        join(&self.dirs[dir], &name)
    }

    /// One of the last files, by one of its names.
    fn some(&mut self) -> Option<(usize, String)> {
        let many = self.files.len();
        let near = if self.dice.percent(70) { 3 } else { many };
        let at = many.checked_sub(1 + self.dice.below(near.min(many)))?;
        let name = self.dice.below(self.files[at].names.len());
        Some((at, self.files[at].names[name].clone()))
    }

    /// Under a passing name at the top, and moved at once, later or not at all.
    fn made(&mut self, kind: u16, more: &[(u16, Vec<u8>)]) -> String {
        let (passing, to) = (self.fresh(), self.place());
        self.commands.push(make(kind, &passing, more));
        match self.dice.below(4) {
            0 => return passing,
            1 => self.write(),
            _ => {}
        }
        self.say(9, &[path(&passing), (16, to.clone().into())]);
        to
    }

    fn file(&mut self) {
        let name = self.made(3, &[]);
        let file = File {
            names: vec![name],
            size: 0,
            end: 0,
            attributes: Vec::new(),
            mode: 0o600,
        };
        self.files.push(file);
    }

    fn dir(&mut self) {
        let name = self.made(4, &[]);
        self.say(18, &[path(&name), (5, number(0o750))]);
        self.dirs.push(name + "/");
    }

    /// Never touched again, so that no name of it is needed.
    fn node(&mut self) {
        let name = match self.dice.below(3) {
            0 => self.made(6, &[]),
            1 => self.made(8, &[(17, b"nowhere".into())]),
            _ => self.made(5, &[(5, number(0o020_000)), (8, number(0x103))]),
        };
        self.commands.push(utimes(&name));
        let top = !name.contains('/');
        if top && self.dice.percent(30) {
            self.say(11, &[path(&name)]);
        }
    }

    fn link(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let to = self.place();
        self.say(10, &[path(&to), (17, name.into())]);
        self.files[at].names.push(to);
    }

    fn unlink(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        self.say(11, &[path(&name)]);
        self.files[at].names.retain(|other| *other != name);
        if self.files[at].names.is_empty() {
            self.files.remove(at);
        }
    }

    fn rename_file(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let to = self.place();
        self.say(9, &[path(&name), (16, to.clone().into())]);
        self.files[at].names.retain(|other| *other != name);
        self.files[at].names.push(to);
    }

    fn rename_dir(&mut self) {
        let at = self.dice.below(self.dirs.len());
        let (from, to) = (self.dirs[at].clone(), self.place() + "/");
        if from.is_empty() || to.starts_with(&from) {
            return;
        }
        let [old, new] = [&from, &to].map(|dir| dir.trim_end_matches('/').to_owned());
        self.say(9, &[path(&old), (16, new.into())]);
        let names = self.files.iter_mut().flat_map(|file| &mut file.names);
        for below in names.chain(&mut self.dirs) {
            if let Some(rest) = below.strip_prefix(&from) {
                *below = join(&to, rest);
            }
        }
    }

    /// One that was made just now is empty.
    fn rmdir(&mut self) {
        let name = self.fresh();
        self.commands.push(make(4, &name, &[]));
        self.write();
        self.say(12, &[path(&name)]);
    }

    fn write(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let goes_on = self.dice.percent(70);
        let offset = match goes_on {
            true => self.files[at].end,
            false => self.dice.below(40 * BLOCK as usize) as u64,
        };
        let length = self.dice.below(self.longest);
        let data = noise(self.dice.next(), length);
        self.say(15, &[path(&name), (18, number(offset)), (19, data)]);
        let file = &mut self.files[at];
        file.end = offset + length as u64;
        if length > 0 {
            file.size = file.size.max(file.end);
        }
    }

    fn share(&mut self) {
        let (Some((to, name)), Some((from, source))) = (self.some(), self.some()) else {
            return;
        };
        let blocks = self.files[from].size / BLOCK;
        if blocks == 0 || to == from {
            return;
        }
        let start = self.dice.below(blocks as usize) as u64;
        let length = BLOCK * self.dice.within(1, (blocks - start) as usize) as u64;
        let offset = BLOCK * self.dice.below(40) as u64;
        let attributes = [
            path(&name),
            (18, number(offset)),
            (24, number(length)),
            (20, vec![self.to; 16]),
            (21, number(7)),
            (22, source.into()),
            (23, number(start * BLOCK)),
        ];
        self.say(16, &attributes);
        let file = &mut self.files[to];
        file.size = file.size.max(offset + length);
    }

    fn truncate(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let size = self.dice.below(40 * BLOCK as usize) as u64;
        self.say(17, &[path(&name), (4, number(size))]);
        self.files[at].size = size;
    }

    fn attribute(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let which = b"abc"[self.dice.below(3)];
        let attribute = (13, [&b"user."[..], &[which]].concat());
        let known = self.files[at].attributes.contains(&which);
        if known && self.dice.percent(50) {
            self.say(14, &[path(&name), attribute]);
            return self.files[at].attributes.retain(|other| *other != which);
        }
        let length = self.dice.below(500);
        let value = noise(self.dice.next(), length);
        self.say(13, &[path(&name), attribute, (14, value)]);
        if !known {
            self.files[at].attributes.push(which);
        }
    }

    fn mode(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let mode = self.dice.pick(&[0o644, 0o600, 0o755, 0o4755, 0o2710, 0]);
        self.say(18, &[path(&name), (5, number(mode))]);
        self.files[at].mode = mode;
    }

    /// `btrfs receive` loses special bits then, unless they are said again.
    fn owner(&mut self) {
        let Some((at, name)) = self.some() else {
            return;
        };
        let owner = number(self.dice.pick(&[0, 0, 5, 1000]));
        self.say(19, &[path(&name), (6, owner.clone()), (7, owner)]);
        let mode = self.files[at].mode;
        if mode & 0o6000 != 0 {
            self.say(18, &[path(&name), (5, number(mode))]);
        }
    }

    fn times(&mut self) {
        if let Some((_, name)) = self.some() {
            self.commands.push(utimes(&name));
        }
    }
}

/// How many streams, and the longest WRITE of them. Byte by byte there is little time for much.
const STREAMS: &[(u64, usize)] = &[(14, 20_000), (4, 300)];

fn any_order_makes_the_tree_of_btrfs_receive() {
    let (b, c) = (btrfs("b", 512), btrfs("c", 512));
    let mut seed = 0;
    for &(many, longest) in STREAMS {
        for _ in 0..many {
            seed += 1;
            let stream = Tree::new(seed, 1, longest).stream(250);
            plain(&c, &stream);
            let small = if longest < 1000 { 1 } else { 700 };
            for piece in [small, 30_000, 1 << 20] {
                println!("seed {seed} in pieces of {piece}");
                receive(&b, "snap", &stream, piece).unwrap();
                assert_same(&c.join("snap"), &b.join("snap"));
                script(&b, "btrfs -q subvolume delete snap");
            }
            script(&c, "btrfs -q subvolume delete snap");
        }
    }
}

fn chmod(name: &str, mode: u64) -> Vec<u8> {
    command(18, &[path(name), (5, number(mode))])
}

fn chown(name: &str, owner: u64) -> Vec<u8> {
    command(19, &[path(name), (6, number(owner)), (7, number(owner))])
}

fn link(name: &str, to: &str) -> Vec<u8> {
    command(10, &[path(to), (17, name.into())])
}

/// The stream in pieces of any length; what is then there.
fn received(b: &Path, commands: &[Vec<u8>], look: impl Fn(&Path)) {
    for piece in [1, 60, 1 << 20] {
        println!("in pieces of {piece}");
        receive(b, "snap", &of_commands(1, commands), piece).unwrap();
        look(&b.join("snap"));
        script(b, "btrfs -q subvolume delete snap");
    }
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().mode() & 0o7777
}

fn other_names_of_a_file_are_heeded() {
    let b = btrfs("b", 256);
    let commands = [
        make(3, "f", &[]),
        link("f", "other"),
        chmod("other", 0o600),
        chown("other", 5),
        chmod("f", 0o644),
        chown("f", 0),
        // Its name goes to another file, which has those permissions already.
        make(3, "g", &[]),
        chmod("g", 0o640),
        make(3, "h", &[]),
        command(11, &[path("h")]),
        link("g", "h"),
        chmod("h", 0o604),
        make(8, "link", &[(17, b"f".into())]),
    ];
    received(&b, &commands, |snap| {
        let file = snap.join("f").metadata().unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid()), (0o644, 0));
        assert_eq!(mode(&snap.join("g")), 0o604);
    });
    // A symbolic link has no permissions, however much of the stream is there to look ahead.
    for piece in [1, 1 << 20] {
        let commands = [make(8, "link", &[(17, b"f".into())]), chmod("link", 0o640)];
        let error = receive(&b, "snap", &of_commands(1, &commands), piece).unwrap_err();
        assert!(error.to_string().contains("the mode of link"), "{error}");
        clean(&b, "snap");
    }
}

fn special_bits_and_capabilities_outlast_every_owner() {
    let b = btrfs("b", 256);
    let value = [&0x0200_0001u32.to_le_bytes()[..], &[0, 4, 0, 0], &[0; 12]].concat();
    let capability = [
        path("capable"),
        (13, b"security.capability".into()),
        (14, value),
    ];
    let commands = [
        make(3, "suid", &[]),
        chmod("suid", 0o4755),
        chown("suid", 5),
        make(6, "pipe", &[]),
        chmod("pipe", 0o2770),
        make(3, "capable", &[]),
        chown("pipe", 6),
        command(13, &capability),
        chown("capable", 1),
        make(3, "between", &[]),
        chown("capable", 2),
        chown("suid", 0),
    ];
    received(&b, &commands, |snap| {
        assert_eq!(mode(&snap.join("suid")), 0o4755);
        assert_eq!(mode(&snap.join("pipe")), 0o2770);
        let capable = output(Command::new("getcap").arg(snap.join("capable")));
        assert!(String::from_utf8_lossy(&capable.stdout).contains("cap_net_bind_service"));
    });
}

/// An access list says permissions too: of the two the later one counts.
fn the_tops_own_attributes_come_in_their_order() {
    let b = btrfs("b", 256);
    // Owner rwx, user 5 rwx, group r-x, mask rwx, others none.
    let entries: [(u16, u16, u32); 5] = [
        (1, 7, !0),
        (2, 7, 5),
        (4, 5, !0),
        (0x10, 7, !0),
        (0x20, 0, !0),
    ];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([tag.to_le_bytes(), rights.to_le_bytes()].concat());
        list.extend(id.to_le_bytes());
    }
    let list = |name: &str| {
        let attribute = (13, b"system.posix_acl_access".to_vec());
        command(13, &[path(name), attribute, (14, list.clone())])
    };
    let commands = [chmod("", 0o711), list(""), make(4, "d", &[])];
    received(&b, &commands, |snap| assert_eq!(mode(snap), 0o770));
    let commands = [list(""), make(4, "d", &[]), chmod("", 0o711)];
    received(&b, &commands, |snap| assert_eq!(mode(snap), 0o711));
    let commands = [
        make(4, "d", &[]),
        chmod("d", 0o711),
        list("d"),
        make(3, "d/f", &[]),
    ];
    received(&b, &commands, |snap| {
        assert_eq!(mode(&snap.join("d")), 0o770);
        assert_eq!(mode(&snap.join("d/f")), 0o600);
    });
}

fn nothing_comes_after_the_end() {
    let b = btrfs("b", 256);
    let mut stream = of_commands(1, &[make(3, "f", &[])]);
    stream.extend(make(3, "g", &[]));
    for piece in [1, 1 << 20] {
        let error = receive(&b, "snap", &stream, piece).unwrap_err();
        assert!(error.to_string().contains("after its end"), "{error}");
        clean(&b, "snap");
    }
}
