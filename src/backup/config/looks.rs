//! `verify = { every = "30d", sample = "1G" }`: how often what is somewhere is looked at again, and how much of
//! it is read. Looks at nothing.

use super::reader::ConfigReader;
use crate::backup::schedule::{Cycle, Every};
use crate::error::Result;
use crate::text;
use jiff::civil::Time;

/// How what is somewhere is looked at again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LookAgain {
    /// How often it is looked at.
    pub cycle: Cycle,
    /// Bytes of stored streams that are read and rehearsed; `None` for records only.
    pub sample: Option<u64>,
}

/// Reads it, if the section says it. Only what `keeps_streams` has something to rehearse.
pub(super) fn read(
    file: &mut ConfigReader,
    key: &'static str,
    at: Time,
    keeps_streams: bool,
) -> Result<Option<LookAgain>> {
    let Some([every, sample]) = file.texts_in(key, ["every", "sample"])? else {
        return Ok(None);
    };
    let every = every.ok_or_else(|| file.wrong(key, "lacks every: { every = \"30d\" }"))?;
    let every = Every::parse(&every);
    let every = every.map_err(|error| file.wrong(key, &format!("has a wrong every: {error}")))?;
    if sample.is_some() && !keeps_streams {
        let said = "has sample, which is for streams: archives, s3://…, raw:/… and raw+ssh://…";
        return Err(file.wrong(key, said));
    }
    let read = |sample: String| {
        let said = format!("has sample {sample:?}, and that is a size, such as \"1G\"");
        text::size(&sample, 0).ok_or_else(|| file.wrong(key, &said))
    };
    Ok(Some(LookAgain {
        sample: sample.map(read).transpose()?,
        cycle: Cycle { every, at },
    }))
}
