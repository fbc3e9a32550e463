//! What is written down beside the streams: sizes, checksums, and the markers of split streams.

use super::S3Store;
use super::hints::Hints;
use super::index::Kept;
use super::layout::Name;
use super::sink;
use crate::error::{Error, Result};
use crate::s3::upload::Made;
use crate::snapshot::Diff;

/// What the marker of a split stream says.
#[derive(serde::Serialize, serde::Deserialize)]
struct Marker {
    version: u32,
    bytes: u64,
    sha256: String,
    sizes: Vec<u64>,
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

    /// Writes down what is known about a diff. The diff is whole without it, so that a failure is
    /// a remark and no error.
    pub(super) fn hint(&mut self, path: &str, diff: &Diff, bytes: u64, etag: &str, sum: &str) {
        let key = format!("{}{path}.bs", self.prefix);
        let written = self.hints(path).and_then(|mut hints| {
            hints.add(diff, bytes, etag, sum);
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
    pub(super) fn keep(&mut self, name: Name, made: &Made) -> Result<()> {
        let mut marker = None;
        if made.split {
            let key = format!(
                "{}{}",
                self.prefix,
                name.marker(made.objects.len() as u64, made.bytes)
            );
            let text = serde_json::to_vec(&Marker {
                version: 1,
                bytes: made.bytes,
                sha256: made.sha256.clone(),
                sizes: made.objects.iter().map(|(_, size, _)| *size).collect(),
            });
            let text =
                text.map_err(|error| Error::failed("cannot write a marker", error.to_string()))?;
            self.client.put(&key, &text, Vec::new())?;
            marker = Some(key);
        }
        let etag = match &made.objects[..] {
            [(_, _, etag)] if !made.split => etag.clone(),
            _ => String::new(),
        };
        let diff = sink::diff(&name, made.bytes);
        self.hint(&name.path.clone(), &diff, made.bytes, &etag, &made.sha256);
        let index = self.index()?;
        index.leftovers.remove(&name);
        index.kept.push(sink::kept(name, made, marker));
        Ok(())
    }

    /// The SHA-256 that was recorded for a diff outside of its object.
    pub(super) fn recorded(&mut self, kept: &Kept) -> Result<Option<String>> {
        let Some(key) = &kept.marker else {
            let etag = kept
                .objects
                .first()
                .map_or("", |object| &object.etag)
                .to_owned();
            return Ok(self.hints(&kept.name.path)?.sha256(&kept.diff(), &etag));
        };
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
        Ok(Some(marker.sha256))
    }
}
