//! Steps that change owners, modes, capabilities, ACLs, properties, extended attributes and times.

use super::super::dice::Dice;
use super::super::hands::text;
use super::super::work::{Done, Kind, Work};
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

const MODES: &[u32] = &[0o4755, 0o2755, 0o6711, 0o755, 0o640, 0o600, 0o2644, 0o4644];

fn set_mode(work: &mut Work, path: &Path, mode: u32) -> Done {
    work.say(&format!("mode {mode:o} of {path:?}"));
    std::fs::set_permissions(work.at(path), Permissions::from_mode(mode))
}

/// Files and directories, the top among them; symbolic links have no mode.
fn with_mode(work: &Work, dice: &mut Dice) -> PathBuf {
    let dir = dice.percent(30);
    match work.a_file(dice) {
        Ok(file) if !dir => file,
        _ => work.a_place(dice),
    }
}

pub(super) fn mode(work: &mut Work, dice: &mut Dice) -> Done {
    let path = with_mode(work, dice);
    let mode = dice.pick(MODES) | if work.at(&path).is_dir() { 0o711 } else { 0 };
    let sticky = if dice.percent(10) { 0o1000 } else { 0 };
    set_mode(work, &path, mode | sticky)
}

fn change_owner(work: &mut Work, dice: &mut Dice, path: &Path) -> Done {
    let id = |dice: &mut Dice| Some(dice.pick(&[0, 1, 2, 1000]));
    let (user, group) = (id(dice), id(dice));
    work.say(&format!("owner {user:?} {group:?} of {path:?}"));
    lchown(work.at(path), user, group)
}

pub(super) fn owner(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.anything(dice)?;
    change_owner(work, dice, &path)
}

/// The mode stays what it was, as when packages are installed again.
pub(super) fn owner_and_mode(work: &mut Work, dice: &mut Dice) -> Done {
    let path = with_mode(work, dice);
    let now = work.at(&path).metadata()?.mode() & 0o7777;
    let mode = if dice.percent(50) && work.at(&path).is_file() {
        dice.pick(MODES)
    } else {
        now
    };
    change_owner(work, dice, &path)?;
    set_mode(work, &path, mode)
}

/// Capabilities, before or after the owner changes, which takes them away.
pub(super) fn capable(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let (before, after) = (dice.percent(30), dice.percent(40));
    if before {
        change_owner(work, dice, &path)?;
    }
    let bits = dice.pick(&[1 << 13, 1 << 10, 1 << 13 | 1]);
    let words = [0x0200_0001_u32, bits, 0, 0, 0];
    let value: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    work.say(&format!("capabilities {bits:x} of {path:?}"));
    let whole = work.at(&path);
    work.hands
        .set_xattr(&whole, "security.capability", &value)?;
    if after {
        change_owner(work, dice, &path)?;
    }
    match dice.percent(40) {
        true => set_mode(work, &path, dice.pick(MODES)),
        false => Ok(()),
    }
}

pub(super) fn not_capable(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    work.say(&format!("no capabilities of {path:?}"));
    let whole = work.at(&path);
    work.hands.remove_xattr(&whole, "security.capability")
}

/// As the kernel keeps it: what owner, a named user, group, mask and others may.
fn acl(user: u32, may: u16) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries = [
        (1, 7, nobody),
        (2, may, user),
        (4, 5, nobody),
        (16, 7, nobody),
        (32, 0, nobody),
    ];
    let entry = |(tag, may, id): (u16, u16, u32)| {
        [
            &tag.to_le_bytes()[..],
            &may.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    let body = entries.into_iter().flat_map(entry);
    2_u32.to_le_bytes().into_iter().chain(body).collect()
}

const DEFAULT_ACL: &str = "system.posix_acl_default";
const ACL: &str = "system.posix_acl_access";
const PROPERTY: &str = "btrfs.compression";

/// What children of a directory inherit, or no longer.
pub(super) fn heritage(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_place(dice);
    let whole = work.at(&path);
    let name = dice.pick(&[DEFAULT_ACL, PROPERTY]);
    if dice.percent(25) {
        work.say(&format!("no {name} of {path:?}"));
        return work.hands.remove_xattr(&whole, name);
    }
    let value = match name {
        PROPERTY => dice.pick(&["zstd", "lzo", "zlib"]).as_bytes().to_vec(),
        _ => acl(dice.pick(&[7, 1000]), dice.pick(&[7, 4])),
    };
    work.say(&format!("{name} of {path:?}"));
    work.hands.set_xattr(&whole, name, &value)
}

/// Many get something in one directory, as do those in it later.
pub(super) fn access(work: &mut Work, dice: &mut Dice) -> Done {
    let path = with_mode(work, dice);
    let whole = work.at(&path);
    if dice.percent(25) {
        work.say(&format!("no ACL of {path:?}"));
        return work.hands.remove_xattr(&whole, ACL);
    }
    work.say(&format!("ACL of {path:?}"));
    let value = acl(dice.pick(&[7, 1000]), dice.pick(&[7, 4]));
    work.hands.set_xattr(&whole, ACL, &value)
}

pub(super) fn property(work: &mut Work, dice: &mut Dice) -> Done {
    let path = work.a_file(dice)?;
    let whole = work.at(&path);
    work.say(&format!("{PROPERTY} of {path:?}"));
    match dice.percent(30) {
        true => work.hands.remove_xattr(&whole, PROPERTY),
        false => work.hands.set_xattr(&whole, PROPERTY, b"zstd"),
    }
}

/// About what a leaf of the tree takes, and its half.
const SIZES: &[usize] = &[
    0, 20, 300, 3900, 5000, 7900, 8050, 8120, 8200, 12000, 15900, 16200,
];

/// An attribute of one file or of several grows, shrinks, comes or goes.
pub(super) fn big_xattr(work: &mut Work, dice: &mut Dice) -> Done {
    let paths = several(work, dice);
    let (size, name) = (dice.pick(SIZES), dice.pick(&["user.big", "user.b"]));
    let (first, gone) = (dice.percent(60), dice.percent(10));
    for path in paths {
        let whole = work.at(&path);
        work.say(&format!("{name} of {path:?}: {size}"));
        if first || gone {
            let _ = work.hands.remove_xattr(&whole, name);
        }
        if !gone {
            work.hands.set_xattr(&whole, name, &dice.bytes(size))?;
        }
    }
    Ok(())
}

fn several(work: &Work, dice: &mut Dice) -> Vec<PathBuf> {
    let mut left = [work.all(Kind::File), work.all(Kind::Dir)].concat();
    left.push(PathBuf::new());
    let count = if dice.percent(50) {
        1
    } else {
        dice.within(2, 9)
    };
    let mut chosen = Vec::new();
    for _ in 0..count.min(left.len()) {
        let one = dice.choose(&left).cloned().unwrap_or_default();
        left.retain(|path| *path != one);
        chosen.push(one);
    }
    chosen
}

pub(super) fn times(work: &mut Work, dice: &mut Dice) -> Done {
    let top = dice.percent(30);
    let path = if top {
        PathBuf::new()
    } else {
        work.anything(dice)?
    };
    let when = dice.pick(&[
        -1_000_000_001_i64,
        981_173_106_700_000_000,
        1_700_000_000_000_000_001,
    ]);
    work.say(&format!("time of {path:?}: {when}"));
    let words = json!(["set_mtime", text(&work.at(&path)), when]);
    work.hands.call(&words).map(drop)
}
