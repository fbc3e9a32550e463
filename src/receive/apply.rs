//! What each command does to the tree. One after the other, in the order of the stream, but for the
//! top's attributes, which come last of all. Knows no filesystem: what it does to the tree goes through
//! `tree`.

use super::inherit::{absent_is_well, is_inherited, strip};
use super::tree::OpenTree;
use super::unpack::unpack;
use super::{Fresh, Named, Receiver, Writes, decode, length};
use crate::btrfs;
use crate::error::Result;
use crate::snapshot::Uuid;
use crate::stream::damaged;
use crate::stream::instruction::{CloneRange, Encoded, Instruction, Make};
use crate::sys::at::{self, Thing, open_within};
use crate::sys::dir::Time;
use std::io::{self, IoSlice};
use std::os::fd::AsFd;

/// How many commands are looked at in advance for the permissions of a new file.
const AHEAD: usize = 64;
/// WRITEs that go out together at most.
const TOGETHER: usize = 1024;
/// No file's capabilities take more bytes.
const CAPABILITY: usize = 64;

impl Receiver {
    /// Any command but the making of something.
    pub(super) fn carry_out<'p>(
        &mut self,
        instruction: &Instruction<'p>,
        writes: &mut Writes<'p>,
    ) -> Result<()> {
        if let Instruction::Write { path, offset, data } = *instruction {
            return self.write(path, offset, data, writes);
        }
        self.write_out(writes)?;
        match instruction {
            Instruction::NoData { .. } => Err(damaged(
                "it has no data: it was made with btrfs send --no-data",
            )),
            Instruction::Verity(_) => {
                Err(damaged("it has a command that its protocol does not have"))
            }
            Instruction::End => {
                self.current = None;
                self.ended = true;
                Ok(())
            }
            _ => {
                let done = self.change(instruction);
                done.named(instruction.words(), instruction.path())
            }
        }
    }

    fn change(&mut self, instruction: &Instruction) -> io::Result<()> {
        match *instruction {
            Instruction::Encoded(path, extent) => self.write_encoded(path, &extent),
            Instruction::Clone(path, range) => self.share(path, &range),
            Instruction::Truncate(path, size) => self.with_file(path, |_, file| file.set_len(size)),
            Instruction::Allocate {
                path,
                mode,
                offset,
                length,
            } => self.with_file(path, |_, file| {
                at::allocate(file.as_fd(), mode, offset, length)
            }),
            Instruction::Rename { from, to } => self.rename(from, to),
            Instruction::Link { from, to } => self.link(from, to),
            Instruction::Unlink(path) => self.remove(path, false),
            Instruction::Rmdir(path) => self.remove(path, true),
            Instruction::SetXattr { path, name, value } => self.set_xattr(path, name, Some(value)),
            Instruction::RemoveXattr { path, name } => self.set_xattr(path, name, None),
            Instruction::Chmod(path, mode) => self.chmod(path, mode),
            Instruction::Chown(path, user, group) => self.chown(path, user, group),
            Instruction::Times {
                path,
                read,
                changed,
            } => self.set_times(path, read, changed),
            Instruction::Flags(_) => {
                self.notes.flags += 1;
                Ok(())
            }
            Instruction::Make { .. }
            | Instruction::Write { .. }
            | Instruction::Verity(_)
            | Instruction::NoData { .. }
            | Instruction::End => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Makes something that nothing is inherited by, with its final permissions if `ahead` says
    /// which.
    pub(super) fn make(&mut self, path: &[u8], make: Make, ahead: &[u8]) -> io::Result<()> {
        (self.current, self.fresh) = (None, None);
        let (dir, name) = self.tree.place(path)?;
        let has_mode = !matches!(make, Make::Symlink(_));
        let known = self.mode_ahead(path, ahead);
        let known = known.filter(|_| dir.plain && has_mode);
        let mode = known.unwrap_or(first_mode(make));
        match make {
            Make::File => {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
                let file = open_within(dir.fd(), name, flags, mode)?;
                self.current = Some((path.to_vec(), file.into()));
            }
            Make::Directory => at::make_dir_at(dir.fd(), name, mode)?,
            Make::Node(kind, device) => at::make_node_at(dir.fd(), name, kind | mode, device)?,
            Make::Symlink(content) => at::make_symlink_at(dir.fd(), name, content)?,
        }
        if !dir.plain {
            let flags = matches!(make, Make::File | Make::Directory);
            strip(dir.fd(), name, has_mode.then_some(mode), flags)?;
        }
        self.fresh = Some(Fresh {
            path: path.to_vec(),
            mode: known,
            roots: self.for_root || !dir.plain,
        });
        Ok(())
    }

    /// The permissions that a new file gets further on, if it may have them from the beginning:
    /// special bits come after the owner, and an access list would change them.
    fn mode_ahead(&self, path: &[u8], mut ahead: &[u8]) -> Option<u32> {
        for _ in 0..AHEAD {
            let length = length(ahead).ok()?.ok()?;
            let (next, rest) = ahead.split_at(length);
            match decode(self.version, next).ok()? {
                Instruction::Chmod(of, mode) if of == path => {
                    return (mode & !0o777 == 0 && mode & self.umask == 0).then_some(mode);
                }
                Instruction::SetXattr { path: of, name, .. }
                    if of == path && is_inherited(name) =>
                {
                    return None;
                }
                Instruction::Make { .. } | Instruction::Rename { .. } | Instruction::End => {
                    return None;
                }
                _ => ahead = rest,
            }
        }
        None
    }

    fn open(&mut self, path: &[u8]) -> io::Result<()> {
        if self.current.as_ref().is_none_or(|(open, _)| open != path) {
            self.current = None;
            self.current = Some((path.to_vec(), self.tree.open(path)?));
        }
        Ok(())
    }

    /// Does something to a file that is open to be written.
    fn with_file<T>(
        &mut self,
        path: &[u8],
        act: impl FnOnce(&mut Self, &std::fs::File) -> io::Result<T>,
    ) -> io::Result<T> {
        self.open(path)?;
        let Some((open, file)) = self.current.take() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let done = act(self, &file);
        self.current = Some((open, file));
        done
    }

    fn write<'p>(
        &mut self,
        path: &[u8],
        offset: u64,
        data: &'p [u8],
        writes: &mut Writes<'p>,
    ) -> Result<()> {
        let same = self.current.as_ref().is_some_and(|(open, _)| open == path);
        if !same || offset != writes.end || writes.pieces.len() >= TOGETHER {
            self.write_out(writes)?;
            self.open(path).named("write", path)?;
            (writes.offset, writes.end) = (offset, offset);
        }
        if data.is_empty() {
            return Ok(());
        }
        writes.end = writes.end.saturating_add(data.len() as u64);
        writes.pieces.push(IoSlice::new(data));
        Ok(())
    }

    fn write_encoded(&mut self, path: &[u8], extent: &Encoded) -> io::Result<()> {
        let written = self.with_file(path, |_, file| btrfs::write_encoded(file.as_fd(), extent));
        match written.as_ref().map_err(io::Error::raw_os_error) {
            // Old kernels cannot, and files without checksums or copy on write do not take it.
            Err(Some(libc::ENOTTY | libc::EINVAL | libc::EOPNOTSUPP)) => {
                self.write_unpacked(path, extent)
            }
            _ => written,
        }
    }

    fn write_unpacked(&mut self, path: &[u8], extent: &Encoded) -> io::Result<()> {
        let plain = unpack(extent)?;
        self.notes.unpacked += 1;
        self.with_file(path, |_, file| {
            at::write_at(file.as_fd(), &mut [IoSlice::new(&plain)], extent.offset)
        })
    }

    fn share(&mut self, path: &[u8], range: &CloneRange) -> io::Result<()> {
        self.with_file(path, |this, file| {
            let named = |(uuid, _): &&(Uuid, OpenTree)| *uuid == range.snapshot;
            let from = match this.sources.iter().find(named) {
                _ if range.snapshot == this.uuid => &this.tree,
                Some((_, tree)) => tree,
                None => {
                    let said = format!(
                        "it needs data of {}, which is neither its parent nor a clone source",
                        range.snapshot
                    );
                    return Err(io::Error::other(said));
                }
            };
            let source = from.source(range.source)?;
            let (offset, length) = (range.source_offset, range.length);
            btrfs::clone_range(file.as_fd(), range.offset, source.as_fd(), offset, length)
        })
    }

    /// Names change: what is known by a name no longer holds.
    fn let_go(&mut self) {
        (self.current, self.fresh, self.capability) = (None, None, None);
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) -> io::Result<()> {
        self.let_go();
        let ((dir, name), (new_dir, new_name)) = (self.tree.place(from)?, self.tree.place(to)?);
        at::rename_at(dir.fd(), name, new_dir.fd(), new_name, true)?;
        self.tree.forget(from);
        self.tree.forget(to);
        Ok(())
    }

    /// From now on it may be changed by another name than the one that we know it by.
    fn link(&mut self, from: &[u8], to: &[u8]) -> io::Result<()> {
        (self.fresh, self.capability) = (None, None);
        let ((dir, name), (new_dir, new_name)) = (self.tree.place(from)?, self.tree.place(to)?);
        at::link_at(dir.fd(), name, new_dir.fd(), new_name)
    }

    fn remove(&mut self, path: &[u8], directory: bool) -> io::Result<()> {
        self.let_go();
        let (dir, name) = self.tree.place(path)?;
        at::unlink_at(dir.fd(), name, directory)?;
        self.tree.forget(path);
        Ok(())
    }

    /// Does something to the attributes of what has this path.
    fn on<T>(&mut self, path: &[u8], act: impl FnOnce(Thing) -> io::Result<T>) -> io::Result<T> {
        if path.is_empty() {
            return act(Thing::Open(self.tree.top()));
        }
        if let Some((open, file)) = &self.current
            && open == path
        {
            return act(Thing::Open(file.as_fd()));
        }
        let (dir, name) = self.tree.place(path)?;
        act(Thing::Named(dir.fd(), name))
    }

    fn set_xattr(&mut self, path: &[u8], name: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if path.is_empty() && is_inherited(name) {
            return self.top.set_xattr(name, value);
        }
        if name == b"security.capability" {
            let kept = value.filter(|value| value.len() <= CAPABILITY);
            self.capability = kept.map(|value| (path.to_vec(), value.to_vec()));
        }
        self.on(path, |thing| match value {
            Some(value) => replace_xattr(&thing, name, value),
            // Which is what is asked for.
            None => absent_is_well(thing.remove_xattr(name)),
        })?;
        self.tree.changed(path);
        Ok(())
    }

    fn chmod(&mut self, path: &[u8], mode: u32) -> io::Result<()> {
        if path.is_empty() {
            self.top.chmod(mode);
            return Ok(());
        }
        if let Some(fresh) = self.fresh.as_mut().filter(|fresh| fresh.path == path) {
            if fresh.mode.take() == Some(mode) {
                return Ok(());
            }
            // It may have special bits now, which a change of the owner takes.
            self.fresh = None;
        }
        self.on(path, |thing| thing.chmod(mode))?;
        self.tree.changed(path);
        Ok(())
    }

    fn chown(&mut self, path: &[u8], user: u32, group: u32) -> io::Result<()> {
        if path.is_empty() {
            self.top.chown(user, group);
            return Ok(());
        }
        let capability = self.capability.as_ref().filter(|(of, _)| of == path);
        let capability = capability.map(|(_, value)| value.clone());
        let fresh = self.fresh.as_mut().filter(|fresh| fresh.path == path);
        let is_new = fresh.is_some();
        let roots = fresh.is_some_and(|fresh| std::mem::take(&mut fresh.roots));
        if roots && (user, group) == (0, 0) && capability.is_none() {
            return Ok(());
        }
        self.on(path, |thing| {
            // A change of the owner clears them, and the stream says them again only if they differ.
            let before = if is_new { 0 } else { thing.mode()? };
            thing.chown(user, group)?;
            if before & libc::S_IFMT != libc::S_IFDIR && before & 0o6000 != 0 {
                thing.chmod(before & 0o7777)?;
            }
            capability.map_or(Ok(()), |value| {
                thing.set_xattr(b"security.capability", &value)
            })
        })?;
        self.tree.changed(path);
        Ok(())
    }

    fn set_times(&mut self, path: &[u8], read: Time, changed: Time) -> io::Result<()> {
        if path.is_empty() {
            self.top.set_times(read, changed);
            return Ok(());
        }
        match self.on(path, |thing| thing.set_times(read, changed)) {
            // The kernel looks directories up that were removed, by numbers that were used again.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => {
                self.notes.gone += 1;
                Ok(())
            }
            set => set,
        }
    }
}

/// The permissions until the stream says them.
fn first_mode(make: Make) -> u32 {
    match make {
        Make::File | Make::Node(libc::S_IFIFO | libc::S_IFSOCK, _) => 0o600,
        Make::Directory => 0o700,
        Make::Node(..) | Make::Symlink(_) => 0,
    }
}

/// Where the old value and the new one do not fit beside each other, the old one goes first.
fn replace_xattr(thing: &Thing, name: &[u8], value: &[u8]) -> io::Result<()> {
    match thing.set_xattr(name, value) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
            absent_is_well(thing.remove_xattr(name))?;
            thing
                .set_xattr(name, value)
                .map_err(|again| too_large(again, value))
        }
        set => set,
    }
}

/// The kernel has one number for a full disk and for what a leaf of the tree cannot hold.
fn too_large(error: io::Error, value: &[u8]) -> io::Error {
    const SMALLEST_LEAF: usize = 4096;
    match error.raw_os_error() {
        Some(libc::ENOSPC) if value.len() >= SMALLEST_LEAF => {
            let said = format!(
                "no room for it: {} bytes may be more than a leaf holds",
                value.len()
            );
            io::Error::other(said)
        }
        _ => error,
    }
}
