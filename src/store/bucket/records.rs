//! Records of a place that are read all at once, several at a time, each into what it says as soon as it has come.
//! Knows how long they may be together, and not what they say.

use crate::error::{Error, Result};
use crate::objects::Objects;
use crate::parallel::map;
use crate::text::human;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Records of one kind.
pub(super) struct Records<'a> {
    /// What they are, in words.
    pub(super) what: &'a str,
    /// Bytes that they may have together: whoever writes to a bucket can put any number there.
    pub(super) most: usize,
    /// Where they are.
    pub(super) folder: &'a str,
}

impl Records<'_> {
    /// What each says, in the order of the keys; `None` of what is not there.
    pub(super) fn read<K: AsRef<str> + Sync, T: Send>(
        &self,
        objects: &dyn Objects,
        keys: &[K],
        parse: impl Fn(&K, &[u8]) -> T + Sync,
    ) -> Vec<Result<Option<T>>> {
        let total = AtomicUsize::new(0);
        let read = |key: &K| {
            let Some(body) = objects.get(key.as_ref())? else {
                return Ok(None);
            };
            match total.fetch_add(body.len(), Ordering::Relaxed) + body.len() > self.most {
                true => Err(self.too_long(objects)),
                false => Ok(Some(parse(key, &body))),
            }
        };
        let threads = objects.limits().concurrency.most;
        map(&format!("reading {}", self.what), threads, keys, read)
    }

    fn too_long(&self, objects: &dyn Objects) -> Error {
        let doing = format!(
            "cannot read the {} in {}",
            self.what,
            objects.url(self.folder)
        );
        let said = format!("together they are longer than {}", human(self.most as u64));
        Error::refused(doing, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::About;
    use crate::objects::memory::Memory;

    #[test]
    fn no_more_is_read_than_was_agreed_on() {
        let memory = Memory::new(1000);
        for key in ["a", "b", "c"] {
            memory.put(key, &[b'x'; 40], &About::default()).unwrap();
        }
        let records = Records {
            what: "hints",
            most: 100,
            folder: "",
        };
        let parsed = AtomicUsize::new(0);
        let parse = |_: &&str, body: &[u8]| {
            parsed.fetch_add(1, Ordering::Relaxed);
            body.len()
        };
        let read = records.read(&memory, &["a", "none", "b", "c"], parse);
        assert!(matches!(read[1], Ok(None)));
        let refused: Vec<&Error> = read.iter().filter_map(|one| one.as_ref().err()).collect();
        assert_eq!((refused.len(), parsed.into_inner()), (1, 2));
        assert!(
            refused[0].said.contains("longer than 100 B"),
            "{}",
            refused[0]
        );
    }
}
