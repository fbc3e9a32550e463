//! What is done to objects in memory, one verb after the other. Knows no layout.

use super::{Memory, MemoryState, MemoryUpload, StoredObject};
use crate::archive::Tier;
use crate::digest::{Algorithm, md5};
use crate::error::{Error, Result};
use crate::objects::{
    About, Cold, Counters, Head, Inventory, Limits, Object, Objects, Part, RangeBytes,
    RemoteChecksum, Source, ThawOutcome, Unfinished, UploadedPart,
};
use crate::prices::freezes;
use crate::text::{hex, shown};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn head_of(about: &About) -> Head {
    let meta = about.meta.iter();
    Head {
        class: about.class.clone().unwrap_or_default(),
        meta: meta.map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
        ..Head::default()
    }
}

pub(super) fn stored(bytes: &[u8], about: &About, modified: Timestamp) -> StoredObject {
    StoredObject {
        head: Head {
            size: bytes.len() as u64,
            etag: hex(&md5(bytes)),
            ..head_of(about)
        },
        bytes: Arc::new(bytes.to_vec()),
        parts: None,
        modified,
    }
}

fn listed(key: &str, stored: &StoredObject) -> Object {
    Object {
        key: key.to_owned(),
        size: stored.head.size,
        etag: stored.head.etag.clone(),
        modified: Some(stored.modified),
        class: stored.head.class.clone(),
    }
}

impl Objects for Memory {
    fn url(&self, key: &str) -> String {
        format!("memory://{}", shown(key))
    }

    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn now(&self) -> Timestamp {
        self.state().now()
    }

    fn inventory(&self, prefix: &str) -> Result<Inventory> {
        self.call("list", prefix, |state| {
            let objects = state.objects.iter();
            let objects = objects.map(|(key, stored)| (state.shown_as(key), stored));
            let objects = objects.filter(|(key, _)| key.starts_with(prefix));
            let hidden = |key: &str| state.unread.iter().any(|unread| unread.hides(key));
            let objects = objects.filter(|(key, _)| !hidden(key));
            let uploads = state.uploads.values().map(|upload| &upload.shown);
            let uploads = uploads.filter(|upload| upload.key.starts_with(prefix));
            Ok(Inventory {
                objects: objects.map(|(key, stored)| listed(&key, stored)).collect(),
                uploads: uploads.cloned().collect(),
                remark: None,
                unread: state
                    .unread
                    .iter()
                    .filter(|unread| unread.concerns(prefix))
                    .cloned()
                    .collect(),
            })
        })
    }

    fn head(&self, key: &str) -> Result<Option<Head>> {
        let head = |state: &mut MemoryState| Ok(state.objects.get(key).map(|s| s.head.clone()));
        self.call("look at", key, head)
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.call("read", key, |state| match state.is_frozen(key) {
            true => Err(self.frozen("read", key)),
            false => Ok(state.objects.get(key).map(|s| s.bytes.to_vec())),
        })
    }

    fn beginning(&self, key: &str, count: u64) -> Result<Option<Vec<u8>>> {
        self.call("read", key, |state| {
            if !state.objects.contains_key(key) {
                return Err(self.wrong("read", key, "it is missing"));
            }
            let found = state.readable(key);
            Ok(found.map(|s| s.bytes[..s.bytes.len().min(count as usize)].to_vec()))
        })
    }

    fn range(
        &self,
        source: &Source,
        start: u64,
        length: u64,
        _into: Vec<u8>,
        _stop: &AtomicBool,
    ) -> Result<RangeBytes> {
        let key = &source.key;
        self.call("download", key, |state| {
            let Some(stored) = state.readable(key) else {
                return Err(self.wrong("download", key, "it is missing, or frozen"));
            };
            let replaced = !source.etag.is_empty() && source.etag != stored.head.etag;
            if replaced || stored.head.size != source.size {
                let doing = format!("cannot download {}", self.url(key));
                let said = "it was replaced while it was being read";
                return Err(Error::damaged(doing, said));
            }
            Ok(RangeBytes {
                bytes: stored.bytes[start as usize..(start + length) as usize].to_vec(),
                sha256: stored.head.meta.get("sha256").cloned(),
            })
        })
    }

    fn put(&self, key: &str, bytes: &[u8], about: &About) -> Result<()> {
        self.call("write", key, |state| {
            let new = stored(bytes, about, state.now());
            state.objects.insert(key.to_owned(), new);
            Ok(())
        })
    }

    fn create(&self, key: &str, bytes: &[u8], about: &About) -> Result<Object> {
        self.call("create", key, |state| {
            let new = stored(bytes, about, state.now());
            if let Some(there) = state.objects.get(key) {
                return match there.head.meta.get("sha256") == new.head.meta.get("sha256") {
                    true => Ok(listed(key, there)),
                    false => Err(self.wrong("create", key, "it exists with other content")),
                };
            }
            let object = listed(key, &new);
            state.objects.insert(key.to_owned(), new);
            Ok(object)
        })
    }

    fn begin(&self, key: &str, part: u64, about: &About) -> Result<Unfinished> {
        self.call("begin", key, |state| {
            let shown = Unfinished {
                key: key.to_owned(),
                id: format!("{}-{}", Timestamp::now().as_nanosecond(), state.calls),
                started: Some(state.now()),
                class: about.class.clone().unwrap_or_default(),
                algorithm: String::new(),
            };
            let upload = MemoryUpload {
                shown: shown.clone(),
                part,
                head: head_of(about),
                parts: BTreeMap::new(),
            };
            state.uploads.insert(shown.id.clone(), upload);
            Ok(shown)
        })
    }

    fn goes_on(&self, upload: &Unfinished) -> bool {
        self.limits.class.clone().unwrap_or_default() == upload.class
    }

    fn parts(&self, upload: &Unfinished) -> Result<Option<Vec<UploadedPart>>> {
        self.call("list the parts of", &upload.key, |state| {
            let found = state.uploads.get(&upload.id);
            Ok(found.map(|found| found.parts.values().map(|(part, _)| part.clone()).collect()))
        })
    }

    fn send_part(
        &self,
        upload: &Unfinished,
        part: &Part,
        known: Option<&UploadedPart>,
        _stop: &AtomicBool,
    ) -> Result<(UploadedPart, bool)> {
        let Part { number, bytes, .. } = *part;
        let part = UploadedPart {
            number,
            size: bytes.len() as u64,
            etag: hex(&md5(bytes)),
            ..UploadedPart::default()
        };
        let same = |known: &&UploadedPart| (known.size, &known.etag) == (part.size, &part.etag);
        if let Some(known) = known.filter(same) {
            return Ok((known.clone(), true));
        }
        self.call("send a part of", &upload.key, |state| {
            let modified = Some(state.now());
            let Some(found) = state.uploads.get_mut(&upload.id) else {
                return Err(self.wrong("send a part of", &upload.key, "there is no such upload"));
            };
            let part = UploadedPart { modified, ..part };
            let kept = (part.clone(), bytes.to_vec());
            found.parts.insert(number, kept);
            Ok((part, false))
        })
    }

    fn complete(&self, upload: &Unfinished, parts: &[UploadedPart], new: bool) -> Result<Object> {
        let key = &upload.key;
        self.call("complete", key, |state| {
            let wrong = |said| Err(self.wrong("complete", key, said));
            let Some(found) = state.uploads.get(&upload.id) else {
                return wrong("there is no such upload");
            };
            if new && state.objects.contains_key(key) {
                return wrong("it exists with other content");
            }
            let there = found
                .parts
                .values()
                .map(|(part, _)| (part.number, &part.etag));
            let named = parts.iter().map(|part| (part.number, &part.etag));
            let equal = found.parts.values().rev().skip(1);
            if !there.eq(named) || !equal.map(|(part, _)| part.size).all(|s| s == found.part) {
                return wrong("its parts are not those that are there");
            }
            let all = found.parts.values();
            let sums: Vec<_> = all.clone().map(|(_, bytes)| md5(bytes)).collect();
            let bytes = all
                .flat_map(|(_, bytes)| bytes.clone())
                .collect::<Vec<u8>>();
            let made = StoredObject {
                head: Head {
                    size: bytes.len() as u64,
                    etag: format!("{}-{}", hex(&md5(&sums.concat())), sums.len()),
                    ..found.head.clone()
                },
                bytes: Arc::new(bytes),
                parts: Some((found.part, sums.len() as u64)),
                modified: state.now(),
            };
            let object = listed(key, &made);
            state.uploads.remove(&upload.id);
            state.objects.insert(key.clone(), made);
            Ok(object)
        })
    }

    fn abort(&self, upload: &Unfinished) -> Result<()> {
        self.call("abort", &upload.key, |state| {
            state.uploads.remove(&upload.id);
            Ok(())
        })
    }

    fn copy(&self, from: &str, to: &str) -> Result<String> {
        self.call("copy", from, |state| {
            if state.is_frozen(from) {
                return Err(self.frozen("copy", from));
            }
            let Some(copy) = state.objects.get(from).cloned() else {
                return Err(self.wrong("copy", from, "it does not exist"));
            };
            let etag = copy.head.etag.clone();
            state.objects.insert(to.to_owned(), copy);
            Ok(etag)
        })
    }

    fn remove(&self, keys: &[String]) -> Result<()> {
        let first = keys.first().map_or("", String::as_str);
        self.call("remove", first, |state| {
            state.objects.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    fn remote_checksum(&self, object: &Source) -> Result<Option<RemoteChecksum>> {
        self.call("look at", &object.key, |state| {
            let found = state.objects.get(&object.key);
            let found = found.filter(|stored| stored.head.etag == object.etag);
            Ok(found.map(|stored| RemoteChecksum {
                algorithm: Algorithm::Md5,
                value: stored.head.etag.clone(),
                part: stored.parts.map(|(part, _)| part),
                sure: true,
            }))
        })
    }

    fn part_count(&self, object: &Source) -> Result<(u64, Option<u64>)> {
        self.call("look at", &object.key, |state| {
            let found = state.objects.get(&object.key);
            let count = found.and_then(|stored| stored.parts.map(|(_, count)| count));
            Ok((count.unwrap_or(1), count))
        })
    }

    fn cold(&self, keys: &[&str]) -> Result<BTreeMap<String, Cold>> {
        self.call("list", "", |state| {
            let cold = |key: &&str| {
                let stored = state.objects.get(*key)?;
                let class = match stored.head.class.as_str() {
                    "" => "STANDARD".to_owned(),
                    class => class.to_owned(),
                };
                let state = state.state_of(key, stored);
                Some(((*key).to_owned(), Cold { class, state }))
            };
            Ok(keys.iter().filter_map(cold).collect())
        })
    }

    fn thaw(&self, key: &str, class: &str, _tier: Tier, _days: u32) -> Result<ThawOutcome> {
        self.call("thaw", key, |state| {
            if !freezes(class) {
                return Ok(ThawOutcome::NotFrozen);
            }
            Ok(match state.thawed.get(key) {
                None => {
                    state.thawed.insert(key.to_owned(), false);
                    ThawOutcome::Accepted
                }
                Some(false) => ThawOutcome::Underway,
                Some(true) => ThawOutcome::Longer,
            })
        })
    }
}
