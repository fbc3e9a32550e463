//! How loud a run is. Says nothing itself.

/// How much a run says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verbosity {
    /// Errors only (`-qq`).
    Errors,
    /// Results, but no progress (`-q`).
    Results,
    /// Everything.
    Full,
}
