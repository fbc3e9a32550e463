//! Receiving by the program `btrfs`: what it is told, what it sees of the machine, and what its streams
//! need to be changed in for it.

use super::alias::Alias;
use super::inherited;
use super::parent::{Exact, Needs};
use super::part::PartialSnapshot;
use super::way_out::unreceivable;
use crate::btrfs;
use crate::error::{Error, Result};
use crate::log;
use crate::process::{Writer, program};
use crate::snapshot::{Diff, Uuid, shown};
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
    /// What CLONE commands take data of: the parent, if there is one, and the clone sources; each by the UUID that the
    /// stream has for it, and the alias by which it is found, where they would find another.
    sources: Vec<(Uuid, Option<Alias>)>,
    /// The parent's own UUID and generation, by which it is found.
    parent: Option<(Uuid, u64)>,
    /// Extended attributes that it has from the beginning, and its source has not.
    inherited: Vec<Vec<u8>>,
    renamed: Option<Renamed>,
}

impl Child {
    pub(super) fn start(
        local: &Local,
        diff: &Diff,
        needs: &Needs,
        part: &PartialSnapshot,
    ) -> Result<Child> {
        let dir = &part.dir();
        let parent = needs.parent.as_ref();
        let inherited = match parent {
            Some(_) => Vec::new(),
            None => inherited::by_new_subvolume(dir, part.name())?,
        };
        let sources = diff.from.zip(parent).into_iter();
        let sources = sources.chain(needs.clones.iter().map(|(id, exact)| (*id, exact)));
        let alias = |(number, (id, exact)): (usize, (Uuid, &Exact))| {
            let alias = match exact.found_by_received {
                true => None,
                false => Some(Alias::of(exact, number, &local.dir, part.will_be())?),
            };
            Ok((id, alias))
        };
        let sources = sources.enumerate().map(alias).collect::<Result<_>>()?;
        let mut command = Command::new("btrfs");
        command.args(["receive", "-q"]).arg(dir);
        // Its errors are those of the system, whose words we know in this language.
        command.env("LC_ALL", "C");
        log::line(|| format!("{command:?}"));
        confine(&mut command, dir, local.options.unconfined)?;
        let writer = Writer::start(command, local.options.priority, part.doing())?;
        Ok(Child {
            writer: Some(writer),
            sources,
            parent: parent.map(|exact| (exact.uuid, exact.generation)),
            inherited,
            renamed: None,
        })
    }

    /// Passes the head on with the part's name in it, and the parent's own. What a new subvolume
    /// inherits where it is made is taken from it at once.
    pub(super) fn begin(&mut self, head: &Head, part: &OsStr) -> Result<()> {
        let found_by = |(named, alias): &(Uuid, Option<Alias>)| {
            let found_by = alias.as_ref().map_or(*named, Alias::uuid);
            (*named, found_by)
        };
        let sources = self.sources.iter().map(found_by).collect();
        let child = head.uuid;
        self.renamed = Some(Renamed::after_head(Names { child, sources }));
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
        let (writer, sources) = (&mut self.writer, &mut self.sources);
        match &mut self.renamed {
            Some(renamed) => renamed.feed(bytes, &mut |piece| pass_piece(writer, sources, &piece)),
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
fn confine(command: &mut Command, dir: &Path, unconfined: bool) -> Result<()> {
    let program = program("btrfs").unwrap_or_default();
    let system = ["/", "/usr", "/proc", "/dev"].map(Path::new);
    let others = btrfs::mounts_without(&[&system[..], &[dir, &program]].concat())?;
    let confined = match btrfs::mount_point(dir)? {
        Some(mount) => sys::confine(command, &mount, &others),
        None => Err(io::Error::other("where it is mounted cannot be seen")),
    };
    let Err(error) = confined else {
        return Ok(());
    };
    let said = format!("btrfs receive cannot be confined to its filesystem ({error})");
    if unconfined {
        log::line(|| format!("{}: {said}", shown(dir)));
        return Ok(());
    }
    let doing = format!("cannot receive in {}", shown(dir));
    let why = format!("{said}, and a stream that was made to do harm could write anywhere");
    Err(Error::refused(doing, why).hint("--receive-with builtin, or --receive-unconfined"))
}

/// What clones from another snapshot must find it.
fn pass_piece(
    writer: &mut Option<Writer>,
    sources: &mut [(Uuid, Option<Alias>)],
    piece: &Piece,
) -> Result<()> {
    if let Piece::From(number, _) = piece
        && let Some((_, Some(alias))) = sources.get_mut(*number)
    {
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
