//! Sizes of chunks and parts that no service takes, or that cost more than they look. Pure arithmetic.

use crate::backup::config::{ArchiveConfig, Config};
use crate::event::{Fault, FaultKind};
use crate::store::check_part;
use crate::text::human;

/// As many parts as an object may have at any service.
const PARTS: u64 = 10_000;
/// Below this, a chunk has a request of its own for a few bytes.
const SMALL: u64 = 64 << 20;

pub(super) fn faults(config: &Config) -> Vec<Fault> {
    let at_services = config.archives.iter().filter(|one| !one.is_in_directory());
    at_services.flat_map(of_archive).collect()
}

fn of_archive(one: &ArchiveConfig) -> Vec<Fault> {
    let (chunk, part) = (one.chunk_size_bytes, one.part_size_bytes);
    let small = (chunk < SMALL).then(|| {
        let objects = (1 << 40) / chunk;
        let words = format!("chunks of {} make {objects} objects of a TiB", human(chunk));
        Fault::harmful(FaultKind::Sizes, &one.key("chunk_size_bytes"), &words)
    });
    let key = one.key("part_size_bytes");
    let refused = part.and_then(|part| check_part(part).err());
    let refused = refused.map(|error| Fault::failing(FaultKind::Sizes, key.as_str(), &error));
    let few = part.filter(|part| part.saturating_mul(PARTS) < chunk).map(|part| {
        let (part, chunk) = (human(part), human(chunk));
        let words = format!(
            "parts of {part} are too short for chunks of {chunk}, which may have {PARTS}: longer ones are used"
        );
        Fault::harmful(FaultKind::Sizes, &key, &words)
    });
    small.into_iter().chain(refused).chain(few).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::config::OwnFiles;
    use std::path::Path;

    fn said(chunk: u64, part: u64) -> Vec<(Option<String>, bool)> {
        let text = format!(
            "subvolumes.paths = ['/a']\n[s3]\nbucket = 'b'\nregion = 'r'\nprefix = 'p'\n\
             chunk_size_bytes = {chunk}\npart_size_bytes = {part}\n"
        );
        let places = OwnFiles::of(Path::new("/etc/x.toml"));
        let config = Config::parse("x", &text, &places).unwrap();
        faults(&config)
            .into_iter()
            .map(|fault| (fault.key, fault.fails))
            .collect()
    }

    #[test]
    fn sizes_that_hurt_are_named() {
        let part = |fails| (Some("s3.part_size_bytes".to_owned()), fails);
        assert_eq!(said(200 << 30, 64 << 20), []);
        assert_eq!(
            said(1 << 20, 5 << 20),
            [(Some("s3.chunk_size_bytes".to_owned()), false)]
        );
        assert_eq!(said(200 << 30, 5 << 20), [part(false)]);
        assert_eq!(said(200 << 30, 6 << 30), [part(true)]);
    }
}
