//! How much subvolumes hold: from quotas, if they are kept and right, or by reading the extents
//! of every file. Never turns quotas on.

use super::abi::{self, QuotaRescan, zeroed};
use super::search::{Search, SearchBuffer, key};
use super::subvolume::Subvolume;
use super::{Filesystem, number, sysfs};
use crate::error::{Doing, Error, Result};
use crate::snapshot::{Uuid, shown};
use crate::sys;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of everything that a subvolume refers to.
    pub referenced: u64,
    /// Of what no other subvolume refers to.
    pub exclusive: u64,
}

/// What reading extents found.
#[derive(Clone, Debug, Default)]
pub struct UsageByExtents {
    /// By the subvolume's number.
    pub usage: HashMap<u64, Usage>,
    /// Which could not be read, and why: any of them may refer to what others seem to have for themselves.
    pub unread: Vec<Error>,
}

/// Fills in the kernel's numbers, if quotas are on and right: consistent, not being counted, and full
/// accounting (simple quotas count for whoever wrote first). Only root can learn whether a count
/// is under way.
pub(super) fn fill_from_quotas(file: BorrowedFd, fsid: Uuid, subvolumes: &mut [Subvolume]) {
    let dir = sysfs(fsid).join("qgroups");
    let is_trustworthy = || is_right(&dir) && !is_counting(file);
    if !is_trustworthy() {
        return;
    }
    let groups = subvolumes.iter().map(|subvolume| group(&dir, subvolume.id));
    let groups: Vec<Option<Usage>> = groups.collect();
    // They may have become wrong while we read.
    if !is_trustworthy() {
        return;
    }
    for (subvolume, usage) in subvolumes.iter_mut().zip(groups) {
        subvolume.referenced = usage.map(|usage| usage.referenced);
        subvolume.exclusive = usage.map(|usage| usage.exclusive);
    }
}

/// The numbers of one subvolume; `None` if it has no quota group.
fn group(dir: &Path, id: u64) -> Option<Usage> {
    let dir = dir.join(format!("0_{id}"));
    Some(Usage {
        referenced: number(&dir.join("referenced"))?,
        exclusive: number(&dir.join("exclusive"))?,
    })
}

fn is_right(dir: &Path) -> bool {
    // The mode is told since Linux 6.7, which brought the other one.
    let mode = std::fs::read_to_string(dir.join("mode"));
    number(&dir.join("enabled")) == Some(1)
        && number(&dir.join("inconsistent")) == Some(0)
        && mode.map_or(true, |mode| mode.trim() == "qgroup")
}

/// Whether quotas are being counted afresh, so that the numbers are too small. Unknown is yes.
fn is_counting(file: BorrowedFd) -> bool {
    let mut status: QuotaRescan = zeroed();
    let answer = sys::ioctl(file, &abi::QUOTA_RESCAN_STATUS, &mut status);
    answer.is_err() || status.running != 0
}

impl Filesystem {
    /// The data on disk that each subvolume refers to, and that only it refers to, by reading the
    /// extents of all their files: no quotas needed, but root. Extents count in whole, as they
    /// are freed in whole. What lies in the metadata does not count: trees, names, and the content
    /// of small files that is kept inline. What is not written yet does not count either.
    ///
    /// One that cannot be read has no numbers, and is named.
    ///
    /// # Errors
    /// If none can be read, as when we are not root.
    pub fn usage_by_extents(&self, subvolumes: &[Subvolume]) -> Result<UsageByExtents> {
        let mut count = Count::default();
        let (mut buffer, mut unread) = (SearchBuffer::new(), BTreeMap::new());
        for subvolume in subvolumes {
            let (id, path) = (subvolume.id, shown(&subvolume.path));
            let counted = self.count(id, &mut count, &mut buffer);
            let doing = || format!("cannot read the extents of subvolume {id} ({path})");
            unread.extend(counted.doing(doing).err().map(|error| (id, error)));
        }
        if let Some((_, error)) = unread.first_key_value()
            && unread.len() == subvolumes.len()
        {
            return Err(error.clone());
        }
        let all = subvolumes.iter().map(|subvolume| subvolume.id);
        let mut usage: HashMap<u64, Usage> = all.zip(count.usage).collect();
        usage.retain(|id, _| !unread.contains_key(id));
        let unread = unread.into_values().collect();
        Ok(UsageByExtents { usage, unread })
    }

    fn count(&self, id: u64, count: &mut Count, buffer: &mut SearchBuffer) -> io::Result<()> {
        count.begin();
        let from = key(abi::FIRST_FREE, abi::EXTENT_DATA, 0);
        let to = key(abi::LAST_FREE, abi::EXTENT_DATA, u64::MAX);
        let mut search = Search::new(self.fd(), buffer, id, from, to);
        while let Some(item) = search.next()? {
            if item.key.kind == abi::EXTENT_DATA
                && let Some((address, bytes)) = abi::disk_extent(item.data)
            {
                count.add(address, bytes);
            }
        }
        Ok(())
    }
}

/// Adds up extents, subvolume by subvolume, with eight bytes of memory for each extent and its
/// address.
#[derive(Default)]
struct Count {
    usage: Vec<Usage>,
    extents: HashMap<u64, ExtentUse, BuildHasherDefault<Spread>>,
}

/// Who refers to an extent, as places in [`Count::usage`].
struct ExtentUse {
    /// The last one that was seen to.
    last: u32,
    /// Nobody else was seen to.
    alone: bool,
}

impl Count {
    /// What is added from now on belongs to the next subvolume.
    fn begin(&mut self) {
        self.usage.push(Usage::default());
    }

    fn add(&mut self, address: u64, bytes: u64) {
        let Some(now) = self.usage.len().checked_sub(1) else {
            return;
        };
        match self.extents.entry(address) {
            Entry::Vacant(new) => {
                new.insert(ExtentUse {
                    last: now as u32,
                    alone: true,
                });
                self.usage[now].exclusive += bytes;
            }
            Entry::Occupied(mut known) => {
                let extent = known.get_mut();
                if extent.last == now as u32 {
                    return;
                }
                if extent.alone {
                    self.usage[extent.last as usize].exclusive -= bytes;
                }
                *extent = ExtentUse {
                    last: now as u32,
                    alone: false,
                };
            }
        }
        self.usage[now].referenced += bytes;
    }
}

/// Spreads addresses of extents, which are multiples of the sector size, over a hash table.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, n: u64) {
        let product = u128::from(n) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_extents_are_nobodys_own() {
        let mut count = Count::default();
        count.begin();
        count.add(4096, 10);
        count.add(8192, 5);
        count.add(4096, 10); // the same extent in another place
        count.begin();
        count.add(4096, 10);
        count.begin();
        count.add(4096, 10);
        count.add(1 << 40, 7);
        let usage: Vec<(u64, u64)> = count
            .usage
            .iter()
            .map(|usage| (usage.referenced, usage.exclusive))
            .collect();
        assert_eq!(usage, [(15, 5), (10, 0), (17, 7)]);
    }
}
