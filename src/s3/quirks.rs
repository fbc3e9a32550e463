//! How services differ from each other, declared as data. The table is also in buttersink-s3(5). Asks
//! no service.

use crate::error::{Error, Result};

const GIB: u64 = 1 << 30;

/// What can be asked of a service. Parts are of equal size but for the last, and checksums are
/// headers and never trailers, everywhere: no service minds that, and some mind the opposite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// What `--s3-quirks` calls it.
    pub name: &'static str,
    /// The ends of the host names of its endpoints.
    pub hosts: &'static [&'static str],
    /// How the `Server` header of its answers begins; empty if that tells nothing.
    pub server: &'static str,
    /// How many parts an object may have.
    pub max_parts: u64,
    /// How many bytes an object may have.
    pub max_object: u64,
    /// It verifies `x-amz-checksum-crc32c` and `x-amz-checksum-sha256`.
    pub checksums: bool,
    /// Which of them it will be has to be declared when a multipart upload begins, and listing the
    /// unfinished uploads tells it. Otherwise parts may have any, and it is not declared.
    pub declared: bool,
    /// ETags follow from MD5: of the bytes, or of the parts' ETags.
    pub etag_md5: bool,
    /// Buckets stand in the path of URLs, not in the host name.
    pub path_style: bool,
    /// `If-None-Match: *` is honoured or ignored, and not an error.
    pub if_none_match: bool,
    /// It takes `x-amz-server-side-encryption: AES256` (or encrypts without being asked).
    pub sse: bool,
    /// What to sign with when nobody names a region; empty if the bucket can be asked.
    pub region: &'static str,
}

/// Services that are known, the first being AWS and the last the rest.
pub const TABLE: &[Quirks] = &[
    Quirks {
        name: "aws",
        hosts: &[".amazonaws.com", ".amazonaws.com.cn"],
        checksums: true,
        path_style: false,
        region: "",
        ..GENERIC
    },
    Quirks {
        name: "r2",
        hosts: &[".r2.cloudflarestorage.com"],
        max_object: 4995 * GIB,
        sse: false,
        region: "auto",
        ..GENERIC
    },
    Quirks {
        name: "b2",
        hosts: &[".backblazeb2.com"],
        if_none_match: false,
        ..GENERIC
    },
    Quirks {
        name: "gcs",
        hosts: &["storage.googleapis.com"],
        etag_md5: false,
        if_none_match: false,
        sse: false,
        region: "auto",
        ..GENERIC
    },
    Quirks {
        name: "scaleway",
        hosts: &[".scw.cloud"],
        max_parts: 1000,
        if_none_match: false,
        ..GENERIC
    },
    Quirks {
        name: "seaweedfs",
        server: "SeaweedFS",
        checksums: true,
        declared: false,
        ..GENERIC
    },
    Quirks {
        name: "ceph",
        hosts: &[],
        sse: false,
        ..GENERIC
    },
    GENERIC,
];

/// What nearly every service can do.
const GENERIC: Quirks = Quirks {
    name: "generic",
    hosts: &[],
    server: "",
    max_parts: 10_000,
    max_object: 5 * 1024 * GIB,
    checksums: false,
    declared: true,
    etag_md5: true,
    path_style: true,
    if_none_match: true,
    sse: true,
    region: "us-east-1",
};

impl Quirks {
    /// The service behind a host name.
    pub fn of_host(host: &str) -> Quirks {
        let host = host.to_ascii_lowercase();
        let known = TABLE.iter().find(|quirks| {
            let mut ends = quirks.hosts.iter();
            ends.any(|end| host.ends_with(end) || host == end.trim_start_matches('.'))
        });
        known.unwrap_or(&GENERIC).clone()
    }

    /// The service that calls itself so.
    pub(crate) fn of_server(server: &str) -> Option<Quirks> {
        let known =
            |quirks: &&Quirks| !quirks.server.is_empty() && server.starts_with(quirks.server);
        TABLE.iter().find(known).cloned()
    }

    /// Whether nothing is known of the service.
    pub(crate) fn is_generic(&self) -> bool {
        self.name == GENERIC.name
    }

    /// These quirks changed by the words of `--s3-quirks`: the name of a service, or single
    /// quirks, with commas between them.
    ///
    /// # Errors
    /// If a word is not known.
    pub fn adjusted(mut self, words: &str) -> Result<Quirks> {
        for word in words.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            match TABLE.iter().find(|quirks| quirks.name == word) {
                Some(quirks) => self = quirks.clone(),
                None => self.adjust(word)?,
            }
        }
        Ok(self)
    }

    fn adjust(&mut self, word: &str) -> Result<()> {
        match word {
            "checksums" => self.checksums = true,
            "no-checksums" => self.checksums = false,
            "etag-not-md5" => self.etag_md5 = false,
            "path-style" => self.path_style = true,
            "virtual-style" => self.path_style = false,
            "no-if-none-match" => self.if_none_match = false,
            "no-sse" => self.sse = false,
            _ => self.max_parts = max_parts(word).ok_or_else(|| unknown(word))?,
        }
        Ok(())
    }
}

fn max_parts(word: &str) -> Option<u64> {
    let number = word.strip_prefix("max-parts=")?.parse().ok()?;
    (1..=10_000).contains(&number).then_some(number)
}

fn unknown(word: &str) -> Error {
    let names: Vec<&str> = TABLE.iter().map(|quirks| quirks.name).collect();
    Error::usage(
        format!("cannot use --s3-quirks with '{}'", word.escape_default()),
        format!(
            "it takes a service ({}) or of checksums, no-checksums, etag-not-md5, path-style, \
             virtual-style, no-if-none-match, no-sse, max-parts=N, with commas between",
            names.join(", ")
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_by_host() {
        assert_eq!(Quirks::of_host("s3.eu-west-1.amazonaws.com").name, "aws");
        assert_eq!(Quirks::of_host("S3.fr-par.scw.cloud").max_parts, 1000);
        assert_eq!(Quirks::of_host("storage.googleapis.com").name, "gcs");
        assert_eq!(Quirks::of_host("amazonaws.com.example.org").name, "generic");
        assert_eq!(Quirks::of_host("127.0.0.1").name, "generic");
    }

    #[test]
    fn recognised_by_its_answers() {
        assert_eq!(
            Quirks::of_server("SeaweedFS 8000GB 4.48").map(|quirks| quirks.name),
            Some("seaweedfs")
        );
        assert_eq!(Quirks::of_server("nginx"), None);
    }

    #[test]
    fn changed_by_words() {
        let quirks = Quirks::of_host("x").adjusted("aws, max-parts=7,no-sse");
        let quirks = quirks.unwrap();
        assert!(quirks.checksums && !quirks.sse && quirks.max_parts == 7);
        let error = Quirks::of_host("x").adjusted("max-parts=0").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("max-parts=0"));
    }
}
