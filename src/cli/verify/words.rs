//! What the options of `buttersink verify` mean together. Opens nothing.

use crate::cli::grammar::usage;
use crate::cli::options::Options;
use crate::error::Result;
use crate::proof::Depth;
use std::ffi::OsString;
use std::path::PathBuf;

/// How something is verified.
pub(super) struct VerifyTask {
    pub(super) depth: Depth,
    pub(super) against: Option<OsString>,
    pub(super) content: bool,
    /// Only what changed since the parent of each.
    pub(super) changed: bool,
    pub(super) drill: Option<Drill>,
}

/// How a drill is made.
pub(super) struct Drill {
    /// How many chains of each store.
    pub(super) sample: Option<usize>,
    /// Where the streams are received; `None` to rehearse them.
    pub(super) scratch: Option<PathBuf>,
}

impl VerifyTask {
    /// # Errors
    /// If one option needs or excludes another.
    pub(super) fn of(options: &Options) -> Result<VerifyTask> {
        let refused = |said: &str| -> Result<VerifyTask> { Err(usage("buttersink verify", said)) };
        if options.quick && options.download {
            return refused("--quick and --download exclude each other");
        }
        if options.content && options.against.is_none() {
            return refused("--content needs --against OTHER");
        }
        if options.changed && !options.content {
            return refused("--changed needs --content");
        }
        if !options.drill && (options.sample.is_some() || options.scratch.is_some()) {
            return refused("--sample and --scratch go with --drill");
        }
        Ok(VerifyTask {
            depth: match options.download {
                true => Depth::Download,
                false => Depth::Quick,
            },
            against: options.against.clone(),
            content: options.content,
            changed: options.changed,
            drill: options.drill.then(|| Drill {
                sample: options.sample,
                scratch: options.scratch.clone(),
            }),
        })
    }
}
