//! What is written down beside the streams: sizes, checksums, and the markers of split streams. Knows
//! nothing of what is in the streams.

use super::Diffs;
use super::hints::{Hints, StreamRecord};
use super::name::Name;
use crate::digest::Digests;
use crate::error::{Error, Kind, Result};
use crate::objects::About;
use crate::snapshot::{Origin, shown};
use crate::store::bucket::Reach;
use crate::store::bucket::kept::Kept;
use crate::store::bucket::records::Records;
use crate::store::bucket::upload::Made;
use crate::text::json;

/// As many bytes as the hints of a place have together; one may have 64 MiB.
const HINTS: usize = 256 << 20;

/// As many values as a marker has, of a later release too, beside those of each object.
const MORE_VALUES: usize = 1000;

/// What the marker of a split stream says.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Marker {
    version: u32,
    bytes: u64,
    /// Only older ones have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Older ones have none.
    #[serde(default)]
    tree_hash: Option<String>,
    sizes: Vec<u64>,
    /// Older ones have none.
    #[serde(default)]
    pub(super) etags: Vec<String>,
    /// The stream is of a sender that mends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) mended: bool,
}

impl Marker {
    pub(super) fn digests(&self) -> Digests {
        Digests {
            sha256: self.sha256.clone(),
            tree_hash: self.tree_hash.clone(),
        }
    }
}

impl Diffs {
    /// The key of the hints about a path.
    pub(super) fn hints_key(&self, path: &str) -> String {
        format!("{}{path}.bs", self.prefix)
    }

    /// What the `.bs` file of a path says; nothing if there is none.
    pub(super) fn hints(&mut self, reach: &Reach, path: &str) -> Result<Hints> {
        if let Some(known) = self.hints.get(path) {
            return Ok(known.clone());
        }
        let mut hints = Hints::default();
        if self.index.hints.contains(path)
            && let Some(text) = reach.objects.get(&self.hints_key(path))?
        {
            hints = Hints::parse(&String::from_utf8_lossy(&text));
        }
        self.know(path, hints.clone());
        Ok(hints)
    }

    /// Streams are whole without hints; that some of them do not count is said.
    fn know(&mut self, path: &str, hints: Hints) {
        if hints.torn {
            let key = self.hints_key(path);
            let said = format!(
                "{}: its last line has no end, and does not count",
                shown(&key)
            );
            self.remarks.push(said);
        }
        self.hints.insert(path.to_owned(), hints);
    }

    /// The same, of what can be read: streams are whole without hints. What cannot is said once.
    pub(super) fn hints_read(&mut self, reach: &Reach, path: &str) -> Result<Hints> {
        if self.unread.contains(path) {
            return Ok(Hints::default());
        }
        match self.hints(reach, path) {
            Err(error) => self.leave_out(path, error).map(|()| Hints::default()),
            hints => hints,
        }
    }

    /// One that cannot be read keeps nobody from the others; a signal does.
    fn leave_out(&mut self, path: &str, error: Error) -> Result<()> {
        if error.kind == Kind::Interrupted {
            return Err(error);
        }
        // What is too long together is so of many.
        let said = error.to_string();
        if self.remarks.last() != Some(&said) {
            self.remarks.push(said);
        }
        self.unread.insert(path.to_owned());
        Ok(())
    }

    /// Fetches all `.bs` files that will be asked for, several at a time.
    pub(super) fn fetch_hints(&mut self, reach: &Reach) -> Result<()> {
        let mut paths: Vec<String> = self.index.hints.iter().cloned().collect();
        paths.retain(|path| !self.hints.contains_key(path));
        let keys: Vec<String> = paths.iter().map(|path| self.hints_key(path)).collect();
        let records = Records {
            what: "hints",
            most: HINTS,
            folder: &self.prefix,
        };
        let parse = |_: &String, text: &[u8]| Hints::parse(&String::from_utf8_lossy(text));
        let read = records.read(&*reach.objects, &keys, parse);
        for (path, hints) in paths.into_iter().zip(read) {
            match hints {
                Err(error) => self.leave_out(&path, error)?,
                Ok(hints) => self.know(&path, hints.unwrap_or_default()),
            }
        }
        Ok(())
    }

    /// What snapshots are of, as their hints say.
    pub(super) fn fill_origins(&mut self, reach: &Reach) -> Result<()> {
        self.fetch_hints(reach)?;
        for kept in &mut self.index.kept {
            let hints = self.hints.get(&kept.path);
            kept.origin = hints.and_then(|hints| hints.origin(kept.to));
        }
        Ok(())
    }

    /// Writes the hints about a path.
    pub(super) fn write_hints(&mut self, reach: &Reach, path: &str, hints: Hints) -> Result<()> {
        let key = self.hints_key(path);
        reach
            .objects
            .put(&key, hints.text().as_bytes(), &About::default())?;
        self.hints.insert(path.to_owned(), hints);
        self.index.hints.insert(path.to_owned());
        Ok(())
    }

    /// Writes down what is known about a diff. The diff is whole without it, so that a failure is
    /// a remark and no error.
    pub(super) fn hint(
        &mut self,
        reach: &Reach,
        kept: &Kept,
        digests: &Digests,
        mended: bool,
        origin: Option<&Origin>,
    ) {
        let etag = match &kept.objects[..] {
            [one] if kept.marker.is_none() => one.etag.as_str(),
            _ => "",
        };
        let record = StreamRecord {
            digests: digests.clone(),
            mended,
        };
        let written = self.hints(reach, &kept.path).and_then(|mut hints| {
            hints.add(&kept.diff(), kept.bytes(), etag, &record);
            if let Some(origin) = origin {
                hints.attribute(kept.to, origin.clone());
            }
            self.write_hints(reach, &kept.path, hints)
        });
        if let Err(error) = written {
            self.remarks.push(error.to_string());
        }
    }

    /// Writes down what is known of a new stream: in its marker, if it was split, and the hints.
    pub(super) fn record_new(
        &mut self,
        reach: &Reach,
        kept: &mut Kept,
        made: &Made,
        mended: bool,
    ) -> Result<()> {
        if made.split {
            let marker = Name::of(kept).marker(made.objects.len() as u64, made.bytes);
            let key = format!("{}{marker}", self.prefix);
            let marker = Marker {
                version: 1,
                bytes: made.bytes,
                sha256: made.digests.sha256.clone(),
                tree_hash: made.digests.tree_hash.clone(),
                sizes: kept.objects.iter().map(|object| object.size).collect(),
                etags: kept.objects.iter().map(|o| o.etag.clone()).collect(),
                mended,
            };
            write_marker(reach, &key, &marker)?;
            kept.marker = Some(key);
        }
        let origin = reach.coming.get(&kept.to);
        self.hint(reach, kept, &made.digests, mended, origin);
        Ok(())
    }

    /// The marker of a copied stream: its objects have other ETags.
    pub(super) fn copy_marker(
        &self,
        reach: &Reach,
        key: &str,
        kept: &Kept,
        copy: &Kept,
    ) -> Result<()> {
        let Some(old) = &kept.marker else {
            return Ok(());
        };
        let mut marker = self.marker(reach, old, kept)?;
        marker.etags = copy.objects.iter().map(|o| o.etag.clone()).collect();
        write_marker(reach, key, &marker)
    }

    /// What a marker says, which must be about the objects that are there.
    pub(super) fn marker(&self, reach: &Reach, key: &str, kept: &Kept) -> Result<Marker> {
        let doing = || format!("cannot read {}", reach.objects.url(key));
        let text = reach.objects.get(key)?.unwrap_or_default();
        let most = MORE_VALUES + 2 * kept.objects.len();
        let marker: Marker =
            json::read(&text, most).map_err(|error| Error::damaged(doing(), error.to_string()))?;
        let mut sizes = kept.objects.iter().map(|object| &object.size);
        if marker.version != 1 || !marker.sizes.iter().eq(&mut sizes) {
            let said = "it is not about the objects that are there";
            return Err(Error::damaged(doing(), said));
        }
        Ok(marker)
    }
}

fn write_marker(reach: &Reach, key: &str, marker: &Marker) -> Result<()> {
    let text = serde_json::to_vec(marker)
        .map_err(|error| Error::failed("cannot write a marker", error.to_string()))?;
    reach.objects.put(key, &text, &About::default())?;
    reach.must_be_listed(key, &[(key, text.len() as u64)])
}
