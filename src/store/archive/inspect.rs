//! What is in an archive, held against its manifests: by the listing, by reading every chunk, or by
//! the checksums of a stream that can be made again elsewhere.

use super::ArchiveStore;
use super::index::{Archive, at_once};
use super::manifest::{self, Chunk, Manifest};
use crate::digest::Hasher;
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::proof::{Depth, Finding, Seen, Verdict};
use crate::s3::download::Source;
use crate::s3::objects::unquoted;
use crate::s3::remote_checksum::RemoteChecksum;
use crate::snapshot::{Uuid, shown};
use crate::stream::{Checked, Head};
use crate::text::counted;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;
/// Where the version of a stream stands in it.
const VERSION: usize = 13;

impl ArchiveStore {
    pub(super) fn inspect_all(
        &mut self,
        depth: Depth,
        watch: &mut dyn FnMut(&str),
    ) -> Result<Vec<Finding>> {
        let archive = self.archive()?.clone();
        let mut own: BTreeMap<&str, Verdict> = BTreeMap::new();
        for (key, manifest) in archive.in_order() {
            process::check("verifying")?;
            watch(&shown(&manifest.snapshot.name));
            let mut verdict = quick(&archive, key, manifest, depth);
            if depth == Depth::Download && verdict.rank() < 2 {
                verdict = self.read_through(&archive, key, manifest)?;
            }
            own.insert(key, verdict);
        }
        let mut findings: Vec<Finding> = archive
            .in_order()
            .into_iter()
            .map(|(key, manifest)| Finding {
                path: manifest.snapshot.name.clone().into(),
                id: archive.id(key).unwrap_or_default(),
                verdict: with_chain(&archive, key, &own),
            })
            .collect();
        findings.extend(not_backups(&archive));
        Ok(findings)
    }

    /// Every byte: the size and the SHA-256 of each chunk, each command's checksum, END, and names.
    fn read_through(&self, archive: &Archive, key: &str, manifest: &Manifest) -> Result<Verdict> {
        let frozen = at_once(&self.client, &manifest.chunks, |chunk| {
            self.client.beginning(&chunk.key, 1).map(|b| b.is_none())
        });
        for (chunk, frozen) in manifest.chunks.iter().zip(frozen) {
            if frozen? {
                let words = format!("frozen: {} must be thawed to be read", shown(&chunk.key));
                return Ok(Verdict::Unverifiable(words));
            }
        }
        Ok(match self.read(archive, key, manifest) {
            Ok(bytes) => Verdict::seen(
                Seen::Intact,
                format!(
                    "{bytes} bytes read: each chunk's SHA-256, each command's checksum, END and names are right"
                ),
            ),
            Err(error) => match error.kind {
                Kind::Interrupted => return Err(error),
                Kind::Damaged | Kind::Restarted => Verdict::Different(error.to_string()),
                _ => Verdict::Unverifiable(error.to_string()),
            },
        })
    }

    fn read(&self, archive: &Archive, key: &str, manifest: &Manifest) -> Result<u64> {
        let parent = manifest.parent_manifest.as_deref();
        let names = |head: &mut Head| {
            // What stands for a parent that nobody knows is in no stream.
            let told = head.parent.map(|(uuid, _)| uuid);
            let known = parent.is_none_or(|parent| archive.is_known(parent));
            match archive.diff(key) {
                Some(diff) => {
                    let from = if known { diff.from } else { told };
                    head.must_make(diff.to, from, "another snapshot's stream is there")
                }
                None => Ok(()),
            }
        };
        let mut stream = Checked::new(Self::stream(&self.client, manifest, archive), names)?;
        let mut bytes = 0;
        read_all(&mut stream, u64::MAX, &mut |piece| {
            bytes += piece.len() as u64;
        })?;
        Ok(bytes)
    }

    /// Whether a backup's chunks hold this stream.
    pub(super) fn compare_with(
        &mut self,
        manifest: &Manifest,
        stream: &mut dyn Read,
    ) -> Result<Verdict> {
        let objects = self.archive()?.objects.clone();
        let mut begin = vec![0; VERSION + 4];
        stream
            .read_exact(&mut begin)
            .map_err(|error| Error::io("cannot compare", error))?;
        if let Some(verdict) = self.another_protocol(manifest, begin[VERSION])? {
            return Ok(verdict);
        }
        let mut stream = begin.chain(stream);
        let (mut verdict, mut bytes): (Option<Verdict>, _) = (None, 0);
        for chunk in &manifest.chunks {
            let source = objects.get(&chunk.key).map(|object| Source {
                key: object.key.clone(),
                size: object.size,
                etag: object.etag.clone(),
            });
            let claim = match &source {
                Some(source) => self.client.remote_checksum(source)?,
                None => None,
            };
            let etag = source.map_or(String::new(), |source| source.etag);
            let (next, taken) = compare_chunk(chunk, claim, &etag, &mut stream)?;
            bytes += taken;
            verdict = Some(verdict.map_or(next.clone(), |so_far| so_far.and(next)));
        }
        bytes += read_all(&mut stream, u64::MAX, &mut |_| {})?;
        if bytes != manifest.total_bytes {
            let stored = manifest.total_bytes;
            let words =
                format!("the source makes a stream of {bytes} bytes, and {stored} are stored");
            return Ok(Verdict::Different(words));
        }
        Ok(verdict.unwrap_or_else(|| Verdict::Different("it is empty".to_owned())))
    }

    /// A stream of another version is another stream, of the same snapshot.
    fn another_protocol(&self, manifest: &Manifest, version: u8) -> Result<Option<Verdict>> {
        let Some(first) = manifest.chunks.first() else {
            return Ok(None);
        };
        let Some(head) = self.client.head(&first.key)? else {
            let words = format!("{} is missing", shown(&first.key));
            return Ok(Some(Verdict::Different(words)));
        };
        let stored = head.meta("protocol");
        let differs = !stored.is_empty() && stored != version.to_string();
        let words = format!(
            "it was uploaded in protocol {stored}, and the source makes protocol {version}; \
             --compressed-data chooses 2"
        );
        Ok(differs.then_some(Verdict::Unverifiable(words)))
    }
}

/// By the listing: what is there, how long, and whether it was replaced.
fn quick(archive: &Archive, key: &str, manifest: &Manifest, depth: Depth) -> Verdict {
    let complete = manifest.chunks.iter().find_map(|chunk| {
        let object = archive.objects.get(&chunk.key)?;
        let recorded = unquoted(chunk.etag.as_deref().unwrap_or_default());
        let replaced = !recorded.is_empty() && recorded != object.etag;
        (replaced && depth == Depth::Quick).then(|| {
            format!(
                "{} was replaced after it was uploaded: its ETag is another; --download tells \
                 whether its bytes are the same",
                shown(&chunk.key)
            )
        })
    });
    match archive.broken.get(key).cloned().or(complete) {
        Some(why) => Verdict::Different(why),
        None => by_listing(manifest),
    }
}

/// Lengths alone say nothing of the bytes; an ETag that is what it was says that nobody replaced them.
fn by_listing(manifest: &Manifest) -> Verdict {
    let chunks = counted(manifest.chunks.len(), "chunk");
    let bytes = format!("{} bytes in {chunks}", manifest.total_bytes);
    let has_etag = |chunk: &Chunk| chunk.etag.as_deref().is_some_and(|etag| !etag.is_empty());
    match manifest.chunks.iter().all(has_etag) {
        true => Verdict::seen(
            Seen::Intact,
            format!("{bytes}, with the sizes and the ETags that the manifest has"),
        ),
        false => Verdict::Unverifiable(format!(
            "{bytes}, of the lengths that the manifest says; it has no ETags to hold them against; \
             --download reads them"
        )),
    }
}

/// A backup is as good as the worst that it builds on.
fn with_chain(archive: &Archive, key: &str, own: &BTreeMap<&str, Verdict>) -> Verdict {
    let verdict = |key: &str| own.get(key).cloned();
    let Some(mine) = verdict(key) else {
        return Verdict::Unverifiable("it was not looked at".to_owned());
    };
    let Ok(chain) = manifest::chain(&archive.manifests, key) else {
        return mine;
    };
    let below = chain.iter().filter(|link| **link != key);
    let worst = below
        .filter_map(|link| Some((*link, verdict(link)?)))
        .max_by_key(|(_, verdict)| verdict.rank());
    let links = chain.len();
    match worst {
        Some((link, worst)) if worst.rank() > mine.rank() => {
            worst.reworded(|words| format!("it builds on {}: {words}", shown(link)))
        }
        _ if links == 1 => mine,
        _ => mine.reworded(|words| format!("{words}; chain of {links} backups to a full one")),
    }
}

/// Manifests that cannot be understood, and what runs left.
fn not_backups(archive: &Archive) -> Vec<Finding> {
    let broken = archive.broken.iter();
    let unread = broken.filter(|(key, _)| !archive.manifests.contains_key(*key));
    let mut findings: Vec<Finding> = unread
        .map(|(key, why)| Finding {
            path: key.strip_prefix(&archive.folder).unwrap_or(key).into(),
            id: Uuid::default(),
            verdict: Verdict::Different(why.clone()),
        })
        .collect();
    let words = "left by an interrupted upload; the next run goes on with it";
    findings.extend(archive.leftovers.keys().map(|name| Finding {
        path: name.into(),
        id: Uuid(super::identity::digest(name)),
        verdict: Verdict::Unverifiable(words.to_owned()),
    }));
    findings
}

/// The next chunk of a stream against what is stored, and how many bytes it had.
fn compare_chunk(
    chunk: &Chunk,
    claim: Option<RemoteChecksum>,
    etag: &str,
    stream: &mut dyn Read,
) -> Result<(Verdict, u64)> {
    let (kind, recorded) = chunk.recorded();
    let mut sum = Hasher::new(kind, None);
    let mut hasher = claim.as_ref().map(RemoteChecksum::hasher);
    let taken = read_all(stream, chunk.size, &mut |piece| {
        sum.update(piece);
        if let Some(hasher) = &mut hasher {
            hasher.update(piece);
        }
    })?;
    let found = sum.hex();
    if !found.eq_ignore_ascii_case(recorded) {
        let words = format!(
            "the {} of {} is {recorded} by its manifest, and that of the stream made again is {found}",
            kind.name(),
            shown(&chunk.key),
        );
        return Ok((Verdict::Different(words), taken));
    }
    let recorded = unquoted(chunk.etag.as_deref().unwrap_or_default());
    let verdict = match claim.zip(hasher) {
        Some((claim, hasher)) => {
            let written = claim.written(hasher);
            claim.judge(&written)
        }
        None if !recorded.is_empty() && recorded == etag => Verdict::seen(
            Seen::Regenerated,
            "its chunks' ETags are unchanged, and their SHA-256s are those of the stream made again",
        ),
        None => crate::s3::remote_checksum::no_remote_checksum(),
    };
    Ok((verdict, taken))
}

/// Reads so many bytes, or all if there are fewer.
fn read_all(stream: &mut dyn Read, mut left: u64, each: &mut dyn FnMut(&[u8])) -> Result<u64> {
    let (mut piece, mut bytes) = (vec![0; PIECE], 0);
    while left > 0 {
        process::check("verifying")?;
        let want = left.min(PIECE as u64) as usize;
        match stream.read(&mut piece[..want]) {
            Ok(0) => break,
            Ok(n) => {
                each(&piece[..n]);
                (bytes, left) = (bytes + n as u64, left - n as u64);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("cannot read the stream", error)),
        }
    }
    Ok(bytes)
}
