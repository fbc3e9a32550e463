//! Receiving by the program `btrfs`: what it is told, what it sees of the machine, and what its streams
//! need to be changed in for it.

use super::alias::Alias;
use super::inherited;
use super::parent::Exact;
use super::part::Part;
use super::way_out::unreceivable;
use crate::btrfs;
use crate::error::{Error, Result};
use crate::log;
use crate::process::{Writer, program};
use crate::snapshot::shown;
use crate::store::local::Local;
use crate::stream::Head;
use crate::stream::clone_source::{Names, Piece, Renamed, remove_from_top};
use crate::sys;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// `btrfs receive` at work. Dropped, it is ended.
pub(super) struct Child {
    // First: it must have ended before the alias goes.
    writer: Option<Writer>,
    /// By which CLONE commands find the parent, where they would find another.
    alias: Option<Alias>,
    /// The parent's own UUID and generation, by which it is found.
    parent: Option<(crate::snapshot::Uuid, u64)>,
    /// Extended attributes that it has from the beginning, and its source has not.
    inherited: Vec<Vec<u8>>,
    renamed: Option<Renamed>,
}

impl Child {
    pub(super) fn start(
        local: &Local,
        parent: Option<&Exact>,
        path: &Path,
        part: &Part,
    ) -> Result<Child> {
        let dir = &part.dir();
        let inherited = match parent {
            Some(_) => Vec::new(),
            None => inherited::by_new_subvolume(dir, part.name())?,
        };
        let alias = parent.filter(|parent| !parent.found_by_received);
        let alias = alias
            .map(|parent| Alias::of(parent, &local.dir, path))
            .transpose()?;
        let mut command = Command::new("btrfs");
        command.args(["receive", "-q"]).arg(dir);
        // Its errors are those of the system, whose words we know in this language.
        command.env("LC_ALL", "C");
        log::line(|| format!("{command:?}"));
        confine(&mut command, dir)?;
        let writer = Writer::start(command, local.manner.priority, part.doing())?;
        Ok(Child {
            writer: Some(writer),
            alias,
            parent: parent.map(|exact| (exact.uuid, exact.generation)),
            inherited,
            renamed: None,
        })
    }

    /// Passes the head on with the part's name in it, and the parent's own. What a new subvolume
    /// inherits where it is made is taken from it at once.
    pub(super) fn begin(&mut self, head: &Head, part: &OsStr) -> Result<()> {
        let alias = self.alias.as_ref().map(Alias::uuid);
        let parent = head
            .parent
            .map(|(named, _)| (named, alias.unwrap_or(named)));
        let child = head.uuid;
        self.renamed = Some(Renamed::after_head(Names { child, parent }));
        let head = Head {
            path: part.as_bytes().to_vec(),
            parent: self.parent,
            ..head.clone()
        };
        pass(&mut self.writer, &head.encode())?;
        let mut each = self.inherited.iter();
        each.try_for_each(|xattr| pass(&mut self.writer, &remove_from_top(xattr)))
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        let (writer, alias) = (&mut self.writer, &mut self.alias);
        match &mut self.renamed {
            Some(renamed) => renamed.feed(bytes, &mut |piece| pass_piece(writer, alias, &piece)),
            None => pass(writer, bytes),
        }
    }

    /// All has been passed on.
    pub(super) fn finish(&mut self) -> Result<()> {
        let finished = self.writer.take().map_or(Ok(()), Writer::finish);
        finished.map_err(unreceivable)
    }
}

/// `btrfs receive` follows symbolic links that the stream makes, and writes to device nodes. A stream
/// that somebody made who means harm must not get anywhere by that. Of all that is mounted it sees
/// what it needs only: else a disk that is unmounted meanwhile would stay in use, and not be written
/// out.
fn confine(command: &mut Command, dir: &Path) -> Result<()> {
    let program = program("btrfs").unwrap_or_default();
    let system = ["/", "/usr", "/proc", "/dev"].map(Path::new);
    let others = btrfs::mounts_without(&[&system[..], &[dir, &program]].concat())?;
    let confined = match btrfs::mount_point(dir)? {
        Some(mount) => sys::confine(command, &mount, &others),
        None => Err(io::Error::other("where it is mounted cannot be seen")),
    };
    if let Err(error) = confined {
        // Old kernels and some containers; and what is received mostly comes from friends.
        log::line(|| format!("btrfs receive is not confined to {}: {error}", shown(dir)));
    }
    Ok(())
}

/// What clones from the parent must find it.
fn pass_piece(writer: &mut Option<Writer>, alias: &mut Option<Alias>, piece: &Piece) -> Result<()> {
    if let (Piece::FromParent(_), Some(alias)) = (piece, alias) {
        alias.make()?;
    }
    pass(writer, piece.bytes())
}

fn pass(writer: &mut Option<Writer>, bytes: &[u8]) -> Result<()> {
    let doing = "cannot write to btrfs receive";
    match writer {
        Some(writer) => writer
            .write_all(bytes)
            .map_err(|error| unreceivable(Error::io(doing, error))),
        None => Err(Error::failed(doing, "it was finished before")),
    }
}
