//! What is in a bucket, held against what was recorded when it was uploaded: by asking about each
//! object, or by reading it.

use super::S3Store;
use super::abreast::abreast;
use super::chains::Chains;
use super::index::Kept;
use super::records::Record;
use crate::digest::Algorithm;
use crate::error::{Error, Kind, Result};
use crate::process;
use crate::proof::{Depth, Finding, Seen, Verdict};
use crate::s3::download::{Download, Source};
use crate::s3::remote_checksum::parts_in;
use crate::snapshot::{Uuid, shown};
use crate::stream::{Checked, Head};
use crate::text::counted;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// How many parts objects have, or what is wrong with them.
type Look = std::result::Result<u64, String>;

/// What the first commands say: the generation of each snapshot, and of the parent of each diff.
#[derive(Default)]
struct Heads {
    generations: BTreeMap<Uuid, u64>,
    parents: BTreeMap<(Uuid, Uuid), u64>,
}

impl S3Store {
    pub(super) fn inspect_all(
        &mut self,
        depth: Depth,
        watch: &mut dyn FnMut(&str),
    ) -> Result<Vec<Finding>> {
        let kept = self.index()?.kept.clone();
        self.fetch_hints()?;
        let (store, threads) = (&*self, self.client.options.concurrency);
        let looks = abreast(
            threads,
            &kept,
            |one| store.look_at_all(one),
            |one| watch(&shown(one.name.to_string())),
        )?;
        let (mut diffs, mut heads) = (Vec::new(), Heads::default());
        for (one, looks) in kept.iter().zip(looks) {
            process::check("verifying")?;
            let mut verdict = self.quick(one, depth, looks)?;
            if depth == Depth::Download && verdict.rank() < 2 {
                watch(&shown(one.name.to_string()));
                verdict = self.read_through(one, &mut heads)?;
            }
            diffs.push((one.name.clone(), verdict));
        }
        for (name, verdict) in &mut diffs {
            if let Some(wrong) = name.from.and_then(|from| heads.mismatch(name.to, from)) {
                *verdict = Verdict::Different(wrong);
            }
        }
        let mut found: BTreeMap<(String, Uuid), Verdict> = BTreeMap::new();
        for (name, verdict) in &diffs {
            merge(&mut found, (name.path.clone(), name.to), verdict.clone());
        }
        let chains = Chains::of(diffs);
        for ((_, id), verdict) in &mut found {
            *verdict = verdict.clone().and(chains.verdict(*id));
        }
        self.not_there(&kept, &mut found)?;
        let finding = |((path, id), verdict): ((String, Uuid), Verdict)| Finding {
            path: path.into(),
            id,
            verdict,
        };
        Ok(found.into_iter().map(finding).collect())
    }

    /// What should be there and is not, or not as a whole.
    fn not_there(
        &mut self,
        kept: &[Kept],
        found: &mut BTreeMap<(String, Uuid), Verdict>,
    ) -> Result<()> {
        let index = self.index()?;
        for name in index.leftovers.keys() {
            let words = "left by an interrupted upload; the next run goes on with it";
            let key = (name.to_string(), name.to);
            found.insert(key, Verdict::Unverifiable(words.to_owned()));
        }
        let paths: Vec<String> = index.hints.iter().cloned().collect();
        for path in paths {
            let there: BTreeSet<_> = kept
                .iter()
                .filter(|kept| kept.name.path == path)
                .map(|kept| (kept.name.to, kept.name.from))
                .collect();
            let gone: Vec<_> = self.hints(&path)?.all_uploaded().collect();
            for (to, from) in gone.into_iter().filter(|pair| !there.contains(pair)) {
                let from = from.map_or("None".to_owned(), |uuid| uuid.to_string());
                let words = format!("{to}_{from} was uploaded and is missing");
                merge(found, (path.clone(), to), Verdict::Different(words));
            }
        }
        Ok(())
    }

    /// By what the service says of the objects, and what was recorded of them. When all is read
    /// anyway, that an object was replaced says nothing of its bytes.
    fn quick(&mut self, kept: &Kept, depth: Depth, looks: Look) -> Result<Verdict> {
        let record = match self.record(kept) {
            Err(error) if error.kind == Kind::Damaged => {
                return Ok(Verdict::Different(error.to_string()));
            }
            record => record?,
        };
        let bytes = kept.bytes();
        if let Some(recorded) = record.bytes.filter(|&recorded| recorded != bytes) {
            let words = format!("it has {bytes} bytes, and {recorded} were recorded");
            return Ok(Verdict::Different(words));
        }
        let parts = match looks {
            Ok(count) => count,
            Err(wrong) => return Ok(Verdict::Different(wrong)),
        };
        let etags: Vec<_> = kept.objects.iter().map(|object| &object.etag).collect();
        Ok(if record.etags.is_empty() {
            Verdict::Unverifiable(
                "nothing was recorded of its bytes; --download reads them".to_owned(),
            )
        } else if depth == Depth::Quick && record.etags.iter().ne(etags) {
            Verdict::Different(
                "it was replaced after it was uploaded: its ETag is another; --download tells \
                 whether its bytes are the same"
                    .to_owned(),
            )
        } else {
            Verdict::seen(
                Seen::Intact,
                format!(
                    "{bytes} bytes in {}, with the size and the ETag recorded when they were uploaded",
                    counted(parts, "part")
                ),
            )
        })
    }

    /// All objects of a diff.
    fn look_at_all(&self, kept: &Kept) -> Result<Look> {
        let mut parts = 0;
        for object in &kept.objects {
            match self.look(object)? {
                Ok(count) => parts += count,
                wrong => return Ok(wrong),
            }
        }
        Ok(Ok(parts))
    }

    /// The object must be the listed one.
    fn look(&self, object: &Source) -> Result<Look> {
        let url = self.client.url(&object.key);
        let Some(head) = self.client.head(&object.key)? else {
            return Ok(Err(format!("{url} is missing")));
        };
        if (head.size, &head.etag) != (object.size, &object.etag) {
            return Ok(Err(format!("{url} is not what the listing says it is")));
        }
        let Some(parts) = parts_in(&object.etag) else {
            return Ok(Ok(1));
        };
        let first = self.client.head_of_part(&object.key)?;
        let count = first.map(|first| first.header("x-amz-mp-parts-count").parse::<u64>());
        Ok(match count {
            Some(Ok(count)) if count != parts => Err(format!(
                "{url} has {count} parts, and was made of {parts} by its ETag"
            )),
            _ => Ok(parts),
        })
    }

    /// Every byte: commands and their checksums, END, names, and the SHA-256 that was recorded.
    fn read_through(&mut self, kept: &Kept, heads: &mut Heads) -> Result<Verdict> {
        let record = self.record(kept)?;
        let told = match &kept.objects[..] {
            [one] if kept.marker.is_none() => self.client.head(&one.key)?,
            _ => None,
        };
        let told = told.map_or(String::new(), |head| head.meta("sha256").to_owned());
        let told = (!told.is_empty()).then_some(Algorithm::Sha256);
        let recorded = record.digests.quickest().map(|(kind, _)| kind).or(told);
        match self.read(kept, record, heads) {
            Ok(bytes) => Ok(Verdict::seen(
                Seen::Intact,
                format!(
                    "{bytes} bytes read: each command's checksum, END and names are right, and {}",
                    recorded.map_or("no SHA-256 was recorded".to_owned(), |kind| {
                        format!("the {} is the recorded one", kind.name())
                    })
                ),
            )),
            Err(error) => match error.kind {
                Kind::Interrupted => Err(error),
                Kind::Damaged | Kind::Restarted => Ok(Verdict::Different(error.to_string())),
                _ => Ok(Verdict::Unverifiable(error.to_string())),
            },
        }
    }

    fn read(&self, kept: &Kept, record: Record, heads: &mut Heads) -> Result<u64> {
        let objects = kept.objects.clone();
        let download = Download::new(Arc::clone(&self.client), objects, record.digests);
        let expected = |head: &mut Head| heads.take(kept, head);
        let mut stream = Checked::new(download, expected)?;
        let (mut piece, mut bytes) = (vec![0; PIECE], 0);
        loop {
            process::check("verifying")?;
            match stream.read(&mut piece) {
                Ok(0) => return Ok(bytes),
                Ok(n) => bytes += n as u64,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("cannot read the stream", error)),
            }
        }
    }
}

fn merge(found: &mut BTreeMap<(String, Uuid), Verdict>, key: (String, Uuid), verdict: Verdict) {
    let verdict = match found.remove(&key) {
        Some(other) => other.and(verdict),
        None => verdict,
    };
    found.insert(key, verdict);
}

impl Heads {
    /// The stream must be what its key says.
    fn take(&mut self, kept: &Kept, head: &Head) -> Result<()> {
        let (to, from) = (kept.name.to, kept.name.from);
        if (head.uuid, head.parent.map(|(uuid, _)| uuid)) != (to, from) {
            let parent = head
                .parent
                .map_or("nothing".to_owned(), |(uuid, _)| uuid.to_string());
            let said = format!("it makes {} out of {parent}", head.uuid);
            return Err(Error::damaged("another snapshot's stream is there", said));
        }
        let known = *self.generations.entry(to).or_insert(head.ctransid);
        if known != head.ctransid {
            let said = format!("{known} and {}", head.ctransid);
            return Err(Error::damaged("its streams have two generations", said));
        }
        if let Some((parent, generation)) = head.parent {
            self.parents.insert((to, parent), generation);
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
