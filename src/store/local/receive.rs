//! Receiving one snapshot so that its name appears only when it is whole and durable.

mod alias;
mod btrfs_receive;
pub(super) mod builtin_receive;
mod copy;
pub(super) mod held;
mod inherited;
pub(super) mod leftover;
pub(super) mod parent;
pub(super) mod part;
mod way_out;
mod writeback;

use super::Local;
use super::paths::open_dir;
use crate::error::{Error, Result};
use crate::log::transactions;
use crate::snapshot::{Diff, Uuid, shown};
use crate::store::{Receipt, Sink};
use crate::stream::{CommandCheck, Head, Parsed};
use btrfs_receive::Child;
use builtin_receive::Quarantined;
pub(super) use copy::copy;
use held::Held;
use parent::Needs;
use part::{PartialSnapshot, SealNote};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;
pub(super) use way_out::with_way_out;
use writeback::Writeback;

/// A snapshot on its way in. Dropped before it is finished, what has arrived is removed.
pub(super) struct Receiving<'a> {
    local: &'a mut Local,
    diff: Diff,
    // Before the part: nobody must write to what is removed.
    way: Way,
    part: PartialSnapshot,
    needs: Needs,
    writeback: Writeback,
    stage: Stage,
}

/// The stream's head decides under which name the rest is received.
enum Stage {
    Head(Vec<u8>),
    Rest {
        head: Box<Head>,
        check: Box<CommandCheck>,
    },
}

/// Who makes a tree of it.
enum Way {
    Child(Box<Child>),
    Builtin(Box<Quarantined>),
}

impl Way {
    fn begin(&mut self, head: &Head, part: &OsStr) -> Result<()> {
        match self {
            Way::Child(child) => child.begin(head, part),
            Way::Builtin(quarantined) => quarantined.begin(head),
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Way::Child(child) => child.pass(bytes),
            Way::Builtin(quarantined) => quarantined.pass(bytes),
        }
    }
}

impl<'a> Receiving<'a> {
    pub(super) fn start(
        local: &'a mut Local,
        diff: &Diff,
        path: &Path,
        needs: Needs,
    ) -> Result<Receiving<'a>> {
        let part = PartialSnapshot::claim(&local.dir, path)?;
        let writeback = Writeback::start(open_dir(&part.dir())?, part.doing());
        let way = match builtin_receive::is_chosen(local.options)? {
            true => Way::Builtin(Box::new(Quarantined::prepare(local, &needs, &part)?)),
            false => Way::Child(Box::new(Child::start(local, diff, &needs, &part)?)),
        };
        Ok(Receiving {
            local,
            diff: diff.clone(),
            way,
            part,
            needs,
            writeback,
            stage: Stage::Head(Vec::new()),
        })
    }

    /// Collects the head, which says what is to be made.
    fn take_head(&mut self, bytes: &[u8]) -> Result<()> {
        let Stage::Head(so_far) = &mut self.stage else {
            return Ok(());
        };
        so_far.extend_from_slice(bytes);
        let (head, length) = match Head::parse(so_far)? {
            Parsed::Needs(_) => return Ok(()),
            Parsed::Whole(head, length) => (head, length),
        };
        let rest = so_far.split_off(length);
        self.expect(&head)?;
        if builtin_receive::is_for_btrfs(self.local.options, &head) {
            self.publish_needed()?;
            let child = Child::start(self.local, &self.diff, &self.needs, &self.part)?;
            self.way = Way::Child(Box::new(child));
        }
        self.way.begin(&head, self.part.name())?;
        let mut check = CommandCheck::after(&head, length);
        check.feed(&rest)?;
        self.way.pass(&rest)?;
        self.stage = Stage::Rest {
            head: Box::new(head),
            check: Box::new(check),
        };
        Ok(())
    }

    /// Only our own receive takes a parent or a clone source that is held.
    fn publish_needed(&mut self) -> Result<()> {
        if self.local.received.held.is_empty() {
            return Ok(());
        }
        held::publish(self.local)?;
        self.needs = parent::find(self.local, &self.diff, self.part.will_be())?;
        Ok(())
    }

    /// The stream must be the one that was announced.
    fn expect(&self, head: &Head) -> Result<()> {
        let from = head.parent.map(|(uuid, _)| uuid);
        if (head.uuid, from) == (self.diff.to, self.diff.from) {
            return Ok(());
        }
        let name = |from: Option<Uuid>| from.map_or("nothing".to_owned(), |uuid| uuid.to_string());
        let said = format!(
            "the stream makes {} from {}, not {} from {}",
            head.uuid,
            name(from),
            self.diff.to,
            name(self.diff.from)
        );
        Err(Error::damaged(self.part.doing(), said))
    }
}

impl Receiving<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.stage {
            Stage::Head(_) => self.take_head(bytes),
            Stage::Rest { check, .. } => {
                check.feed(bytes)?;
                self.way.pass(bytes)?;
                self.writeback.passed(bytes.len() as u64);
                Ok(())
            }
        }
    }
}

impl Write for Receiving<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.take(bytes);
        taken.map_err(|error| with_way_out(error, &self.local.dir))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Receiving<'_> {
    fn finish(self: Box<Self>) -> Result<Receipt> {
        let (dir, id) = (self.local.dir.clone(), self.diff.to);
        let place = shown(dir.join(self.part.will_be()));
        match self.complete().map_err(|error| with_way_out(error, &dir)) {
            // It is told of when it is published.
            Ok(receipt) if receipt.held => Ok(receipt),
            done => transactions::change("receive", || format!("{place} {id}"), done),
        }
    }
}

impl Receiving<'_> {
    fn complete(mut self) -> Result<Receipt> {
        let Stage::Rest { head, check, .. } = &self.stage else {
            return Err(Error::damaged(
                self.part.doing(),
                "the stream ended before its first command",
            ));
        };
        check.complete()?;
        let (head, bytes) = (Head::clone(head), check.passed());
        let origin = self.local.run.coming.get(&self.diff.to).cloned();
        let told = SealNote {
            origin: self.local.signed(origin),
            uncompared: self.local.run.compares,
            bytes,
        };
        if let Way::Child(child) = &mut self.way {
            child.finish()?;
        }
        self.writeback.finish()?;
        let brought = self.needs.are_brought(self.local);
        let snapshot = match self.way {
            Way::Child(_) => {
                let parent = self.needs.parent.as_ref().map(|exact| exact.uuid);
                self.part.check(head.uuid, head.ctransid, parent)?;
                self.part.publish(told)?
            }
            Way::Builtin(quarantined) => {
                let held = Held::new(*quarantined, head, self.part, told)?;
                self.local.listed.notes.extend(held.notes());
                if self.local.run.holds {
                    self.local.received.note(held.uuid, brought);
                    self.local.held(held);
                    return Ok(Receipt {
                        held: true,
                        ..Receipt::of(bytes)
                    });
                }
                held::publish_one(held)?
            }
        };
        self.local.received.note(snapshot.uuid, brought);
        self.local.arrived(snapshot);
        Ok(Receipt::of(bytes))
    }
}
