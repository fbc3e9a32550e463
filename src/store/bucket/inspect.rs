//! What is in a bucket, held against what was recorded when it was stored: by the listing, by asking
//! about each object, or by reading it.

use super::Bucket;
use super::chains::Chains;
use super::compare::read;
use super::kept::{Kept, Record};
use super::layout::Layout;
use crate::digest::Algorithm;
use crate::error::{Error, Kind, Result};
use crate::limiter::limited;
use crate::objects::{Objects, RemoteChecksum, Source};
use crate::parallel::try_map;
use crate::process;
use crate::proof::{Depth, Finding, Seen, Verdict, Watched};
use crate::snapshot::{Uuid, shown};
use crate::stream::{Checked, Head};
use crate::text::counted;
use std::collections::BTreeMap;

/// How many parts objects have, or what is wrong with them.
type ObjectLook = std::result::Result<u64, String>;

/// What the first commands say: the generation of each snapshot, and of the parent of each diff.
#[derive(Default)]
struct Heads {
    /// Otherwise nothing is remembered.
    strict: bool,
    generations: BTreeMap<Uuid, u64>,
    parents: BTreeMap<(Uuid, Uuid), u64>,
}

impl<L: Layout> Bucket<L> {
    pub(super) fn inspect_all(
        &mut self,
        depth: Depth,
        watch: &mut dyn FnMut(Watched),
    ) -> Result<Vec<Finding>> {
        let kept = self.known()?.kept().to_vec();
        self.layout.fetch(&self.reach)?;
        let all = self.judge_all(kept, depth, watch)?;
        let chains = Chains::of(&all, L::WORDS.links);
        let is_part = self.layout.is_part();
        let finding = |(kept, verdict): &(Kept, Verdict)| Finding {
            path: kept.path.clone().into(),
            id: kept.to,
            verdict: verdict.clone().and(match &kept.broken {
                Some(why) if kept.unknown => Verdict::Unverifiable(why.clone()),
                None if is_part => as_far_as_listed(chains.verdict(&kept.name)),
                _ => chains.verdict(&kept.name),
            }),
        };
        let mut findings: Vec<Finding> = all.iter().map(finding).collect();
        findings.extend(self.layout.absent(&self.reach)?);
        findings.extend(self.left());
        Ok(merged(findings))
    }

    /// The verdict on each stream alone.
    fn judge_all(
        &mut self,
        kept: Vec<Kept>,
        depth: Depth,
        watch: &mut dyn FnMut(Watched),
    ) -> Result<Vec<(Kept, Verdict)>> {
        let objects = &*self.reach.objects;
        let threads = objects.limits().concurrency.most;
        let ask = |one: &Kept| unless_stopped(look_at_all::<L>(objects, one));
        let looks = try_map("verifying", threads, &kept, ask, |one| {
            watch(watched(&one.path, 0, 0));
        })?;
        let total = kept.iter().map(Kept::bytes).fold(0, u64::saturating_add);
        let (mut before, mut all, mut heads) = (0_u64, Vec::new(), Heads::of::<L>());
        for (one, look) in kept.into_iter().zip(looks) {
            process::check("verifying")?;
            let (so_far, path) = (before, one.path.clone());
            before = before.saturating_add(one.bytes());
            let known = self.layout.record(&self.reach, &one);
            let known = known.and_then(|record| {
                let sound = quick::<L>(objects, &one, &record, look?, depth)?;
                Ok((record, sound))
            });
            let verdict = match unless_stopped(known)? {
                Err(error) if error.kind == Kind::Damaged => Verdict::Different(error.to_string()),
                Err(error) => Verdict::Unverifiable(error.to_string()),
                Ok((record, sound)) if depth == Depth::Download && sound.rank() < 2 => {
                    let far = &mut |bytes| watch(watched(&path, so_far + bytes, total));
                    let read = self.read_through(&one, record, &mut heads, far);
                    unless_stopped(read)?
                        .unwrap_or_else(|error| Verdict::Unverifiable(error.to_string()))
                }
                Ok((_, verdict)) => verdict,
            };
            all.push((one, verdict));
        }
        for (kept, verdict) in &mut all {
            if let Some(wrong) = kept.from.and_then(|from| heads.mismatch(kept.to, from)) {
                *verdict = Verdict::Different(wrong);
            }
        }
        Ok(all)
    }

    /// What runs left.
    fn left(&self) -> impl Iterator<Item = Finding> {
        let words = "left by a run that was interrupted; the next one goes on with it";
        let all = self.layout.leftovers().iter();
        all.map(move |(path, leftover)| Finding {
            path: path.into(),
            id: leftover.id,
            verdict: Verdict::Unverifiable(words.to_owned()),
        })
    }

    /// Every byte: commands and their checksums, END, names, and the digests that were recorded.
    fn read_through(
        &self,
        kept: &Kept,
        record: Record,
        heads: &mut Heads,
        far: &mut dyn FnMut(u64),
    ) -> Result<Verdict> {
        if let Some(frozen) = self.frozen(kept)? {
            let words = format!("frozen: {} must be thawed to be read", shown(frozen));
            return Ok(Verdict::Unverifiable(words));
        }
        let digests = self.recorded(kept, &record)?;
        match self.read(kept, record, heads, far) {
            Ok(bytes) => Ok(Verdict::seen(
                Seen::Intact,
                format!(
                    "{bytes} bytes read: each command's checksum, END and names are right, and {digests}"
                ),
            )),
            Err(error) => match error.kind {
                Kind::Interrupted => Err(error),
                Kind::Damaged | Kind::Restarted => Ok(Verdict::Different(error.to_string())),
                _ => Ok(Verdict::Unverifiable(error.to_string())),
            },
        }
    }

    /// The key of an object that cannot be read before it is thawed.
    pub(super) fn frozen<'a>(&self, kept: &'a Kept) -> Result<Option<&'a String>> {
        let objects = &self.reach.objects;
        let ask = |object: &Source| match object.size {
            0 => Ok(false),
            _ => Ok(objects.beginning(&object.key, 1)?.is_none()),
        };
        let threads = objects.limits().concurrency.most;
        let frozen = try_map("verifying", threads, &kept.objects, ask, |_| {})?;
        let mut all = kept.objects.iter().zip(frozen);
        Ok(all.find_map(|(object, frozen)| frozen.then_some(&object.key)))
    }

    /// Which digests the bytes are held against, in words.
    fn recorded(&self, kept: &Kept, record: &Record) -> Result<String> {
        if let Some((kind, _)) = record.each.iter().find_map(|digests| digests.quickest()) {
            let (kind, piece) = (kind.name(), L::WORDS.piece);
            return Ok(format!("each {piece}'s {kind} is the recorded one"));
        }
        let told = match &kept.objects[..] {
            [one] if kept.marker.is_none() => self.reach.objects.head(&one.key)?,
            _ => None,
        };
        let told = told.filter(|head| !head.meta("sha256").is_empty());
        let told = told.map(|_| Algorithm::Sha256);
        let kind = record.whole.quickest().map(|(kind, _)| kind).or(told);
        Ok(kind.map_or("no SHA-256 was recorded".to_owned(), |kind| {
            format!("the {} is the recorded one", kind.name())
        }))
    }

    fn read(
        &self,
        kept: &Kept,
        record: Record,
        heads: &mut Heads,
        far: &mut dyn FnMut(u64),
    ) -> Result<u64> {
        let record = Record {
            binding: true,
            ..record
        };
        let stream = super::send::stream(&self.reach.objects, kept, record);
        let stream = limited(stream, self.reach.limiter.clone());
        let mut stream = Checked::new(stream, |head: &mut Head| heads.take(kept, head))?;
        let mut bytes = 0;
        far(bytes);
        read(&mut stream, u64::MAX, |piece| {
            bytes += piece.len() as u64;
            far(bytes);
        })
    }
}

/// What is missing may be among what could not be listed.
fn as_far_as_listed(verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Different(why) => {
            Verdict::Unverifiable(format!("{why}, as far as it could be listed"))
        }
        other => other,
    }
}

fn watched(path: &str, bytes: u64, total: u64) -> Watched {
    let what = shown(path);
    Watched { what, bytes, total }
}

/// By what the service says of the objects, and what was recorded of them. When all is read anyway,
/// that an object was replaced says nothing of its bytes.
fn quick<L: Layout>(
    objects: &dyn Objects,
    kept: &Kept,
    record: &Record,
    look: ObjectLook,
    depth: Depth,
) -> Result<Verdict> {
    let bytes = kept.bytes();
    if let Some(why) = kept.broken.as_ref().filter(|_| !kept.unknown) {
        return Ok(Verdict::Different(why.clone()));
    }
    if let Some(recorded) = record.bytes.filter(|&recorded| recorded != bytes) {
        let words = format!("it has {bytes} bytes, and {recorded} were recorded");
        return Ok(Verdict::Different(words));
    }
    let parts = match look {
        Ok(count) => count,
        Err(wrong) => return Ok(Verdict::Different(wrong)),
    };
    let mut pairs = kept.objects.iter().zip(&record.etags);
    let replaced = pairs.find(|(object, etag)| !etag.is_empty() && object.etag != **etag);
    let by_time = kept.objects.iter().any(Source::is_known_by_time);
    if let Some((object, etag)) = replaced.filter(|_| depth == Depth::Quick && !by_time) {
        return another(objects, object, etag);
    }
    let etag = objects.keeper().etag();
    let unrecorded = record.etags.iter().any(String::is_empty) || by_time;
    if record.etags.len() != kept.objects.len() || unrecorded {
        return Ok(Verdict::Unverifiable(format!(
            "{bytes} bytes; nothing was recorded of them, there are no {etag}s to hold them against; \
             --download reads them"
        )));
    }
    let pieces = counted(parts, L::WORDS.piece);
    Ok(Verdict::seen(
        Seen::Intact,
        format!(
            "{bytes} bytes in {pieces}, with the sizes and the {etag}s recorded when they were stored"
        ),
    ))
}

/// An object whose ETag is not the recorded one. Only ETags that are digests of the whole tell that its bytes
/// are others: those of parts and of encrypted objects change when a bucket is copied.
fn another(objects: &dyn Objects, object: &Source, recorded: &str) -> Result<Verdict> {
    let (key, etag) = (shown(&object.key), objects.keeper().etag());
    let words = format!(
        "{key} was replaced after it was stored: its {etag} is another; --download tells whether its bytes are \
         the same"
    );
    let told = objects.remote_checksum(object)?;
    let digest = |told: RemoteChecksum| {
        let is_etag = matches!(told.algorithm, Algorithm::Md5 | Algorithm::TreeHash);
        is_etag && told.part.is_none()
    };
    Ok(match !recorded.contains('-') && told.is_some_and(digest) {
        true => Verdict::Different(words),
        false => Verdict::Unverifiable(words),
    })
}

/// What cannot be looked at of one stream keeps no other from being looked at; a signal does.
fn unless_stopped<T>(done: Result<T>) -> Result<Result<T>> {
    match done {
        Err(error) if error.kind == Kind::Interrupted => Err(error),
        done => Ok(done),
    }
}

/// All objects of a stream; those of other layouts are as they were listed.
fn look_at_all<L: Layout>(objects: &dyn Objects, kept: &Kept) -> Result<ObjectLook> {
    if !L::STRICT {
        return Ok(Ok(kept.objects.len() as u64));
    }
    let mut parts = 0;
    for object in &kept.objects {
        match look(objects, object)? {
            Ok(count) => parts += count,
            wrong => return Ok(wrong),
        }
    }
    Ok(Ok(parts))
}

/// The object must be the listed one.
fn look(objects: &dyn Objects, object: &Source) -> Result<ObjectLook> {
    let url = objects.url(&object.key);
    let Some(head) = objects.head(&object.key)? else {
        return Ok(Err(format!("{url} is missing")));
    };
    if (head.size, &head.etag) != (object.size, &object.etag) {
        return Ok(Err(format!("{url} is not what the listing says it is")));
    }
    Ok(match objects.part_count(object)? {
        (made, Some(there)) if made != there => Err(format!(
            "{url} has {}, and was made of {made} by its {}",
            counted(there, "part"),
            objects.keeper().etag()
        )),
        (parts, _) => Ok(parts),
    })
}

/// One for each path and UUID, in their order.
fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut merged: BTreeMap<_, Verdict> = BTreeMap::new();
    for Finding { path, id, verdict } in findings {
        let at = (path, id);
        let verdict = match merged.remove(&at) {
            Some(other) => other.and(verdict),
            None => verdict,
        };
        merged.insert(at, verdict);
    }
    let all = merged.into_iter();
    all.map(|((path, id), verdict)| Finding { path, id, verdict })
        .collect()
}

impl Heads {
    fn of<L: Layout>() -> Heads {
        let strict = L::STRICT;
        Heads {
            strict,
            ..Heads::default()
        }
    }

    /// The stream must be what it is listed as.
    fn take(&mut self, kept: &Kept, head: &Head) -> Result<()> {
        let told = head.parent.map(|(uuid, _)| uuid);
        let from = if kept.hidden_parent { told } else { kept.from };
        head.must_make(kept.to, from, "another snapshot's stream is there")?;
        if !self.strict {
            return Ok(());
        }
        let known = *self.generations.entry(kept.to).or_insert(head.ctransid);
        if known != head.ctransid {
            let said = format!("{known} and {}", head.ctransid);
            return Err(Error::damaged("its streams have two generations", said));
        }
        if let Some((parent, generation)) = head.parent {
            self.parents.insert((kept.to, parent), generation);
        }
        Ok(())
    }

    /// Whether a diff wants another generation of its parent than there is.
    fn mismatch(&self, to: Uuid, from: Uuid) -> Option<String> {
        let (wanted, there) = (self.parents.get(&(to, from))?, self.generations.get(&from)?);
        (wanted != there).then(|| {
            format!("it builds on generation {wanted} of its parent, and {there} is stored")
        })
    }
}
