//! `[s3]`: the bucket of a configuration, or the directory that is in its place. Knows its keys, and no other
//! section's.

use super::policy;
use super::reader::ConfigReader;
use super::{BucketConfig, ChainPolicy, GIB_200, SMALLEST_PART};
use crate::error::{Error, Result};
use crate::store::{self, Concurrency, Location, Sse};

/// What is no bucket at a service has none.
fn region(file: &mut ConfigReader) -> Result<String> {
    let bucket = file.required("s3.bucket")?;
    let directory = Location::directory(bucket.as_ref());
    match directory
        .is_ok_and(|location| location.place.keeps_streams() && !location.place.is_at_a_service())
    {
        true => Ok(file.optional("s3.region")?.unwrap_or_default()),
        false => file.required("s3.region"),
    }
}

/// A number of requests, or `auto`.
fn concurrency(file: &mut ConfigReader) -> Result<Concurrency> {
    const KEY: &str = "s3.concurrency";
    if file.says(KEY, "auto") {
        return Ok(Concurrency::AUTO);
    }
    let number = file.number(KEY, 4, 1)?;
    Ok(Concurrency::of(
        usize::try_from(number).unwrap_or(usize::MAX),
    ))
}

/// Where backups go, and how they are kept there; nothing if the file has no such section.
pub(super) fn read(file: &mut ConfigReader) -> Result<Option<BucketConfig>> {
    if !file.has("s3") {
        return Ok(None);
    }
    Ok(Some(BucketConfig {
        bucket: file.required("s3.bucket")?,
        region: region(file)?,
        prefix: prefix(file)?,
        endpoint_url: file.optional("s3.endpoint_url")?,
        chunk_size_bytes: file.number("s3.chunk_size_bytes", GIB_200, 1)?,
        part_size_bytes: file.optional_number("s3.part_size_bytes", SMALLEST_PART)?,
        storage_class_chunks: class(file.text("s3.storage_class_chunks", "DEEP_ARCHIVE")?),
        storage_class_manifest: class(file.text("s3.storage_class_manifest", "STANDARD")?),
        concurrency: concurrency(file)?,
        spool_enabled: file.flag("s3.spool_enabled", false)?,
        sse: encryption(file)?,
        keeps: ChainPolicy {
            newest: file.optional_number("s3.retain_full_chains", 1)?,
            days: file.optional_number("s3.retain_days", 1)?,
        },
        max_age: policy::age(file, "s3.max_age")?,
    }))
}

/// The storage classes of AWS.
const AWS: &[&str] = &[
    "STANDARD",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "GLACIER_IR",
    "DEEP_ARCHIVE",
    "REDUCED_REDUNDANCY",
];

/// A class of AWS by its name; other services may have classes that differ by their case only.
pub(super) fn class(text: String) -> String {
    let known = AWS.iter().find(|word| word.eq_ignore_ascii_case(&text));
    known.map_or(text, |word| (*word).to_owned())
}

/// Whether AWS has such a class.
pub fn is_known_class(class: &str) -> bool {
    AWS.contains(&class)
}

fn prefix(file: &mut ConfigReader) -> Result<String> {
    let prefix = file.required("s3.prefix")?;
    match store::refuse_folder(&prefix) {
        Some(said) => Err(file.wrong("s3.prefix", &format!("is {prefix:?}: {said}"))),
        None => Ok(prefix),
    }
}

/// Of what is not said, AES256 is what every service but a few takes.
fn encryption(file: &mut ConfigReader) -> Result<Sse> {
    let Some(text) = file.optional("s3.sse")? else {
        file.text("s3.sse", "AES256")?;
        return Ok(Sse::Usual);
    };
    let wrong = |error: Error| file.wrong("s3.sse", &format!("is wrong: {error}"));
    text.parse().map_err(wrong)
}
