//! What a person can choose about S3. Knows the choices, not what follows from them.

use super::config::Environment;
use crate::error::{Error, Result};
use crate::objects::Concurrency;
use crate::text::shown;
use jiff::Timestamp;
use std::str::FromStr;
use std::time::Duration;

/// What the server is to verify each part by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// `Content-MD5`, which every service knows.
    Md5,
    /// `x-amz-checksum-crc32c`, the cheapest.
    Crc32c,
    /// `x-amz-checksum-sha256`.
    Sha256,
}

/// Server-side encryption that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sse {
    /// AES256 where the service takes it.
    Usual,
    /// Nothing is asked for.
    None,
    /// AES256, or an error.
    Aes256,
    /// A key of AWS's key service; its usual one if none is named.
    Kms(Option<String>),
}

impl FromStr for Checksum {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "md5" => Ok(Checksum::Md5),
            "crc32c" => Ok(Checksum::Crc32c),
            "sha256" => Ok(Checksum::Sha256),
            _ => Err(unknown("checksum", text, "md5, crc32c and sha256")),
        }
    }
}

impl FromStr for Sse {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.strip_prefix("aws:kms") {
            Some("") => Ok(Sse::Kms(None)),
            Some(key) if key.len() > 1 && key.starts_with(':') => {
                Ok(Sse::Kms(Some(key[1..].to_owned())))
            }
            _ if text == "none" => Ok(Sse::None),
            _ if text == "AES256" => Ok(Sse::Aes256),
            _ => Err(unknown(
                "encryption",
                text,
                "none, AES256, aws:kms and aws:kms:KEY",
            )),
        }
    }
}

/// Whether parts may have so many bytes.
///
/// # Errors
/// If not.
pub fn check_part(bytes: u64) -> Result<()> {
    if (5 << 20..=5 << 30).contains(&bytes) {
        return Ok(());
    }
    let doing = format!("cannot use parts of {bytes} bytes");
    Err(Error::usage(doing, "S3 takes parts of 5 MiB to 5 GiB"))
}

fn unknown(what: &str, text: &str, known: &str) -> Error {
    let doing = format!("cannot use the {what} '{}'", shown(text));
    Error::usage(doing, format!("known are {known}"))
}

/// How to reach S3 and how to use it.
#[derive(Clone, Debug)]
pub struct S3Options {
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--part-size` in bytes; `None` lets the size of the stream decide.
    pub part_size: Option<u64>,
    /// `--concurrency`: requests at the same time in one transfer.
    pub concurrency: Concurrency,
    /// `--checksum`; `None` for the best that the service is known to take.
    pub checksum: Option<Checksum>,
    /// `--sse`.
    pub sse: Sse,
    /// `--storage-class`; `None` leaves it to the bucket.
    pub storage_class: Option<String>,
    /// `--s3-quirks`.
    pub quirks: Option<String>,
    /// Bytes per second in each direction, for all transfers of this client together.
    pub bwlimit: Option<u64>,
    /// How long a connection may be silent.
    pub silence: Duration,
    /// How long an answer may take to begin, and then, or what is sent, to bring 64 KiB or its end.
    pub term: Duration,
    /// How often one request is tried again.
    pub retries: u32,
    /// The longest object that is copied in one request.
    pub single_copy: u64,
    /// The variables that say where keys, region and endpoint are.
    pub environment: Environment,
    /// The clock.
    pub now: fn() -> Timestamp,
}

impl Default for S3Options {
    fn default() -> Self {
        S3Options {
            endpoint_url: None,
            region: None,
            profile: None,
            part_size: None,
            concurrency: Concurrency::of(4),
            checksum: None,
            sse: Sse::Usual,
            storage_class: None,
            quirks: None,
            bwlimit: None,
            silence: Duration::from_secs(60),
            term: Duration::from_secs(600),
            retries: 10,
            single_copy: 5 << 30,
            environment: Environment::process(),
            now: Timestamp::now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_parts_are_refused() {
        for part in [0, (5 << 20) - 1, (5 << 30) + 1] {
            assert_eq!(check_part(part).unwrap_err().exit_code(), 2);
        }
        assert!(check_part(5 << 20).is_ok());
    }
}
