//! What is written down beside the streams: sizes, checksums, and the markers of split streams.

use super::S3Store;
use super::abreast::abreast;
use super::hints::{Hints, Recorded};
use super::index::Kept;
use super::layout::Name;
use super::sink;
use crate::digest::Digests;
use crate::error::{Error, Result};
use crate::s3::upload::Made;
use crate::snapshot::{Diff, Size};

/// What the marker of a split stream says.
#[derive(serde::Serialize, serde::Deserialize)]
struct Marker {
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
    etags: Vec<String>,
    /// The stream is of a sender that mends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    mended: bool,
}

impl Marker {
    fn digests(&self) -> Digests {
        Digests {
            sha256: self.sha256.clone(),
            tree_hash: self.tree_hash.clone(),
        }
    }

    fn recorded(&self) -> Recorded {
        Recorded {
            digests: self.digests(),
            mended: self.mended,
        }
    }
}

/// What was recorded of a stream when it was uploaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Its length.
    pub(super) bytes: Option<u64>,
    pub(super) digests: Digests,
    /// Of its objects, in order; none if they were not recorded.
    pub(super) etags: Vec<String>,
}

impl S3Store {
    /// What the `.bs` file of a path says; nothing if there is none.
    pub(super) fn hints(&mut self, path: &str) -> Result<Hints> {
        if let Some(known) = self.hints.get(path) {
            return Ok(known.clone());
        }
        let mut hints = Hints::default();
        if self.index()?.hints.contains(path)
            && let Some(text) = self.client.small(&format!("{}{path}.bs", self.prefix))?
        {
            hints = Hints::parse(&String::from_utf8_lossy(&text));
        }
        self.hints.insert(path.to_owned(), hints.clone());
        Ok(hints)
    }

    /// Fetches all `.bs` files that will be asked for, several at a time.
    pub(super) fn fetch_hints(&mut self) -> Result<()> {
        let mut paths: Vec<String> = self.index()?.hints.iter().cloned().collect();
        paths.retain(|path| !self.hints.contains_key(path));
        let (client, prefix) = (&self.client, &self.prefix);
        let fetch = |path: &String| client.small(&format!("{prefix}{path}.bs"));
        let texts = abreast(client.options.concurrency, &paths, fetch, |_| {})?;
        for (path, text) in paths.into_iter().zip(texts) {
            let text = text.unwrap_or_default();
            let hints = Hints::parse(&String::from_utf8_lossy(&text));
            self.hints.insert(path, hints);
        }
        Ok(())
    }

    /// Writes down what is known about a diff. The diff is whole without it, so that a failure is
    /// a remark and no error.
    pub(super) fn hint(
        &mut self,
        path: &str,
        diff: &Diff,
        bytes: u64,
        etag: &str,
        record: &Recorded,
    ) {
        let key = format!("{}{path}.bs", self.prefix);
        let written = self.hints(path).and_then(|mut hints| {
            hints.add(diff, bytes, etag, record);
            if let Some(origin) = self.coming.get(&diff.to) {
                hints.attribute(diff.to, origin.clone());
            }
            self.client.put(&key, hints.text().as_bytes(), Vec::new())?;
            self.hints.insert(path.to_owned(), hints);
            self.index()?.hints.insert(path.to_owned());
            Ok(())
        });
        if let Err(error) = written {
            self.remarks.push(error.to_string());
        }
    }

    /// The stream is there: what remains is the marker of a split one, the hints, and our index.
    pub(super) fn keep(&mut self, name: Name, made: &Made, mended: bool) -> Result<()> {
        let mut marker = None;
        if made.split {
            let key = format!(
                "{}{}",
                self.prefix,
                name.marker(made.objects.len() as u64, made.bytes)
            );
            self.write_marker(
                &key,
                &Marker {
                    version: 1,
                    bytes: made.bytes,
                    sha256: made.digests.sha256.clone(),
                    tree_hash: made.digests.tree_hash.clone(),
                    sizes: made.objects.iter().map(|(_, size, _)| *size).collect(),
                    etags: made
                        .objects
                        .iter()
                        .map(|(_, _, etag)| etag.clone())
                        .collect(),
                    mended,
                },
            )?;
            marker = Some(key);
        }
        let etag = match &made.objects[..] {
            [(_, _, etag)] if !made.split => etag.clone(),
            _ => String::new(),
        };
        let diff = sink::diff(&name, made.bytes);
        let record = Recorded {
            digests: made.digests.clone(),
            mended,
        };
        self.hint(&name.path.clone(), &diff, made.bytes, &etag, &record);
        let index = self.index()?;
        index.leftovers.remove(&name);
        index.kept.push(sink::kept(name, made, marker));
        Ok(())
    }

    /// What was recorded of a diff, beside its objects and in their metadata.
    pub(super) fn recorded_all(&mut self, kept: &Kept) -> Result<Recorded> {
        if let Some(key) = &kept.marker {
            return Ok(self.read_marker(key, kept)?.recorded());
        }
        let digests = self.recorded(kept)?;
        let object = kept.objects.first();
        let (key, etag) = object.map_or(("", ""), |object| (&object.key, &object.etag));
        let mut mended = self.hints(&kept.name.path)?.is_mended(&kept.diff(), etag);
        if !mended {
            let head = self.client.head(key)?;
            mended = head.is_some_and(|head| head.meta("mended") == "1");
        }
        Ok(Recorded { digests, mended })
    }

    /// The digests that were recorded for a diff outside of its object.
    pub(super) fn recorded(&mut self, kept: &Kept) -> Result<Digests> {
        let Some(key) = &kept.marker else {
            let etag = kept
                .objects
                .first()
                .map_or("", |object| &object.etag)
                .to_owned();
            return Ok(self.hints(&kept.name.path)?.digests(&kept.diff(), &etag));
        };
        Ok(self.read_marker(key, kept)?.digests())
    }

    /// All that was recorded of a diff, whether its objects are the same by now or not.
    pub(super) fn record(&mut self, kept: &Kept) -> Result<Record> {
        let hints = self.hints(&kept.name.path)?;
        let bytes = hints.size(&kept.diff()).and_then(Size::bytes);
        if let Some(key) = &kept.marker {
            let marker = self.read_marker(key, kept)?;
            return Ok(Record {
                bytes,
                digests: marker.digests(),
                etags: marker.etags,
            });
        }
        let uploaded = hints.uploaded(&kept.diff());
        let (etag, digests) = uploaded.unzip();
        Ok(Record {
            bytes,
            digests: digests.unwrap_or_default(),
            etags: etag.into_iter().collect(),
        })
    }

    /// The marker of a copied stream: its objects have other ETags.
    pub(super) fn copy_marker(&mut self, key: &str, kept: &Kept, copy: &Kept) -> Result<()> {
        let Some(old) = &kept.marker else {
            return Ok(());
        };
        let mut marker = self.read_marker(old, kept)?;
        marker.etags = copy
            .objects
            .iter()
            .map(|object| object.etag.clone())
            .collect();
        self.write_marker(key, &marker)
    }

    fn write_marker(&self, key: &str, marker: &Marker) -> Result<()> {
        let text = serde_json::to_vec(marker)
            .map_err(|error| Error::failed("cannot write a marker", error.to_string()))?;
        self.client.put(key, &text, Vec::new())?;
        Ok(())
    }

    fn read_marker(&self, key: &str, kept: &Kept) -> Result<Marker> {
        let doing = || format!("cannot read {}", self.client.url(key));
        let text = self.client.small(key)?.unwrap_or_default();
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|error| Error::damaged(doing(), error.to_string()))?;
        let sizes: Vec<u64> = kept.objects.iter().map(|object| object.size).collect();
        if marker.version != 1 || marker.sizes != sizes {
            return Err(Error::damaged(
                doing(),
                "it is not about the objects that are there",
            ));
        }
        Ok(marker)
    }
}
