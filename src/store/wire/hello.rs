//! The greeting: who speaks, which version, and what the machine can do with send streams. Does no
//! input or output.

use super::{OLDEST, PROTOCOL, plain};
use crate::btrfs;
use crate::error::{Error, Result};
use crate::process;
use crate::snapshot::{Listing, State};
use crate::store::{Access, ReceiveWith};
use serde::{Deserialize, Serialize};
use std::process::Command;
use std::sync::OnceLock;

/// The first frame of each side.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Hello {
    /// The program's release.
    pub program: String,
    /// The version of this protocol: from a client the one that it wants, from a server the one
    /// that it goes on in, which is no higher.
    pub protocol: u32,
    /// What it can beyond that version: see `WORDS`.
    #[serde(default)]
    pub words: Vec<String>,
    /// The kernel's release.
    #[serde(default)]
    pub kernel: String,
    /// The release of btrfs-progs; empty if there are none.
    #[serde(default)]
    pub progs: String,
    /// The highest send stream protocol that the kernel can produce.
    #[serde(default)]
    pub sends: u32,
    /// What a server grants; `None` from a client.
    #[serde(default)]
    pub mode: Option<Access>,
    /// From a client: its streams have compressed extents as they are, in protocol 2.
    #[serde(default)]
    pub compressed: bool,
    /// From a client: the work has priority over nothing.
    #[serde(default)]
    pub background: bool,
    /// How the server receives snapshots: from a client a wish, from a server what it does whatever is
    /// wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_with: Option<ReceiveWith>,
    /// From a client: it wants streams to be kept in the directory, and no files made of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

/// A word for each thing that was added since version 3 was new. A request that needs one, and an
/// optional member of a request, is said only to who has the word.
const WORDS: &[&str] = &[
    "digest", "exchange", "mend", ORIGIN, "adopt", BUILTIN, RAW, HEARTBEAT, WATCH, HOLD, CLONES,
    BOUND,
];
/// A request to receive may say what the snapshot is of.
pub(crate) const ORIGIN: &str = "origin";
/// It receives by itself where nobody wishes otherwise.
const BUILTIN: &str = "builtin";
/// It says that it is there, and gives up who does not.
pub(crate) const HEARTBEAT: &str = "heartbeat";
/// It tells how far it is while it verifies, to who wants to hear of it.
pub(crate) const WATCH: &str = "watch";
/// What it receives may wait for others, and is published with them.
pub(crate) const HOLD: &str = "hold";
/// A diff may have clone sources.
pub(crate) const CLONES: &str = "clones";
/// It can tell whether a diff is certain to be shorter than the whole.
pub(crate) const BOUND: &str = "bound";
/// A client may want streams to be kept, and no files made of them.
const RAW: &str = "raw";

/// Asked for once: a process has no time to be told of upgrades.
static PROGS: OnceLock<String> = OnceLock::new();

/// The version of btrfs-progs; empty if there are none, for buckets can be had without.
fn progs_version() -> String {
    let mut command = Command::new("btrfs");
    command.arg("--version");
    let text = process::run(command, "asking for its version").unwrap_or_default();
    let version = text.split_whitespace().nth(1).unwrap_or_default();
    version.trim_start_matches('v').to_owned()
}

impl Hello {
    /// What this machine says of itself.
    pub fn here() -> Hello {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        let builtin = ReceiveWith::Builtin.is_possible();
        let words = WORDS.iter().filter(|&&word| word != BUILTIN || builtin);
        Hello {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL,
            words: words.map(|&word| word.to_owned()).collect(),
            kernel: kernel.unwrap_or_default().trim().to_owned(),
            progs: PROGS.get_or_init(progs_version).clone(),
            sends: btrfs::highest_send_protocol(),
            ..Hello::default()
        }
    }

    /// Whether this side has a word of [`WORDS`].
    pub(crate) fn can(&self, word: &str) -> bool {
        self.words.iter().any(|known| known == word)
    }

    /// A listing in words that this side knows: to who never compares, what is still to be compared is
    /// nothing to build on.
    pub(crate) fn understands(&self, mut listing: Listing) -> Listing {
        let all = listing.snapshots.iter_mut();
        for snapshot in all.filter(|s| s.state == State::Uncompared && !self.can("digest")) {
            snapshot.state = State::Altered;
        }
        listing
    }

    /// The version in which to go on with who greets so: the lower one, if that is still known.
    pub(crate) fn common(&self, far: &Hello) -> u32 {
        match far.protocol {
            known @ OLDEST.. => known.min(self.protocol),
            _ => self.protocol,
        }
    }

    /// Whether its btrfs-progs unpack what `--compressed-data` sends: 6.2 or later. Where there are
    /// none, or it does without, the kernel takes it as it is: one that sends it.
    fn takes_compressed(&self, client: &Hello) -> bool {
        let own = self.can(BUILTIN).then_some(ReceiveWith::Builtin);
        let way = self.receive_with.or(client.receive_with).or(own);
        if way == Some(ReceiveWith::Builtin) || self.progs.is_empty() {
            return self.sends >= 2;
        }
        let digits = |n: &str| n.split_once('-').map_or(n, |(n, _)| n).parse::<u32>().ok();
        let mut numbers = self.progs.split('.').map_while(digits);
        (numbers.next(), numbers.next().or(Some(0))) >= (Some(6), Some(2))
    }

    /// Whether the streams that `client` wants can be made or taken here.
    pub(crate) fn can_do(&self, client: &Hello, access: Access, place: &str) -> Result<()> {
        if client.raw && !self.can(RAW) {
            let said = format!(
                "buttersink {} there keeps no streams: upgrade it",
                plain(&self.program)
            );
            return Err(Error::failed(
                format!("cannot use raw+ssh:// at {place}"),
                said,
            ));
        }
        let (what, able) = match access {
            _ if client.raw => return Ok(()),
            Access::Read => ("send", self.sends >= 2),
            _ => ("receive", self.takes_compressed(client)),
        };
        if able || !client.compressed {
            return Ok(());
        }
        let said = format!(
            "Linux {} and btrfs-progs {} there are too old (6.0 and 6.2 can): leave out --compressed-data",
            plain(&self.kernel),
            plain(&self.progs),
        );
        Err(Error::failed(
            format!("{place} cannot {what} compressed data"),
            said,
        ))
    }

    /// Whether the two can talk; if not, who has to upgrade.
    pub(crate) fn agrees(&self, far: &Hello, place: &str) -> Result<()> {
        let older = match self.protocol.cmp(&far.protocol) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Less => "this machine",
            std::cmp::Ordering::Greater => place,
        };
        let said = format!(
            "it is buttersink {} and speaks protocol {}, and this is {} with protocol {}: upgrade buttersink on {older}",
            plain(&far.program),
            far.protocol,
            self.program,
            self.protocol,
        );
        Err(Error::failed(format!("cannot talk to {place}"), said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_tools_are_known_by_their_version() {
        let takes = |progs: &str| {
            let progs = progs.to_owned();
            let hello = Hello {
                progs,
                ..Hello::default()
            };
            hello.takes_compressed(&hello)
        };
        for new in ["6.2", "6.2.1", "6.10", "7.0", "6.12-rc1.2"] {
            assert!(takes(new), "{new}");
        }
        for old in ["", "6.1.3", "5.16", "6.", "x"] {
            assert!(!takes(old), "{old}");
        }
        let here = Hello::here();
        assert!(here.kernel.contains('.') && here.can_do(&here, Access::Read, "x").is_ok());
    }
}
