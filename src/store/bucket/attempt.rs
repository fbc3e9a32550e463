//! Whether a bucket takes what backups ask of it: tried with one small object, which is removed again.

use super::keys::top;
use super::must_be_listed;
use crate::error::Result;
use crate::objects::directory::Directory;
use crate::objects::{About, Objects};
use crate::s3::{Client, S3Options};
use crate::text::shown;
use std::path::Path;

const TEXT: &[u8] = b"buttersink config check --write wrote this, and removes it.\n";

/// Tries a prefix of a bucket at S3, with a storage class; what came of it, in words.
pub(in crate::store) fn at_s3(
    bucket: &str,
    prefix: &str,
    class: Option<&str>,
    options: S3Options,
) -> Result<String> {
    attempt(&Client::new(bucket, options)?, prefix, class)
}

/// Tries a directory that streams are kept in; there are no storage classes.
pub(in crate::store) fn in_directory(dir: &Path, prefix: &str) -> Result<String> {
    let (objects, above) = Directory::open(dir, true, None)?;
    attempt(&objects, &format!("{above}{prefix}"), None)
}

/// The object is as chunks are: of their class, encrypted as they are, and refused if it is there already.
///
/// # Errors
/// If it cannot be written, or is not listed then. That it cannot be removed is no error: a lock may
/// keep what was written, and backups too.
fn attempt(objects: &dyn Objects, prefix: &str, class: Option<&str>) -> Result<String> {
    let now = objects.now().as_nanosecond();
    let key = format!("{}config-check-{now}", top(prefix));
    let about = About {
        class: class.map(str::to_owned),
        content_type: "text/plain",
        ..About::default()
    };
    objects.create(&key, TEXT, &about)?;
    let listed = must_be_listed(objects, &key, &[(&key, TEXT.len() as u64)]);
    let removed = objects.remove(std::slice::from_ref(&key));
    listed?;
    let of_class = class.map_or(String::new(), |class| {
        format!(", in the class {}", shown(class))
    });
    let written = format!(
        "one object of {} bytes was written{of_class}, and found again",
        TEXT.len()
    );
    Ok(match removed {
        Ok(()) => format!("{written}; it is removed"),
        Err(error) => format!("{written}; it stays: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::memory::{Break, Memory};

    #[test]
    fn what_is_written_is_found_and_removed() {
        let memory = Memory::new(100);
        let said = attempt(&memory, "p", Some("DEEP_ARCHIVE")).unwrap();
        assert!(
            said.contains("DEEP_ARCHIVE") && said.ends_with("it is removed"),
            "{said}"
        );
        assert!(memory.keys().is_empty());
        memory.break_if(|verb, _, _| (verb == "create").then_some(Break::Fails));
        attempt(&memory, "p", Some("STANDARD")).unwrap_err();
        memory.break_if(|verb, _, _| (verb == "remove").then_some(Break::Fails));
        let said = attempt(&memory, "p", Some("STANDARD")).unwrap();
        assert!(said.contains("it stays: cannot remove"), "{said}");
        memory.mend();
        memory.show_as(|key| key.trim_start_matches('/').to_owned());
        attempt(&memory, "/p", Some("STANDARD")).unwrap_err();
        assert_eq!(memory.keys().len(), 1, "only what could not be removed");
    }
}
