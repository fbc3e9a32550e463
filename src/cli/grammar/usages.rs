//! The ways in which a command is used, each a line in its table. Knows no command.

/// One of the ways in which a command is used: each has options of its own.
pub(in crate::cli) struct Usage<F> {
    pub(in crate::cli) form: F,
    /// The option that chooses it; `None` for what holds otherwise.
    pub(in crate::cli) when: Option<&'static str>,
    /// What follows the name of the command.
    pub(in crate::cli) words: &'static str,
    /// How many words that are no options there can be, at least and at most.
    pub(in crate::cli) count: (usize, usize),
}

impl<F> Usage<F> {
    /// What holds unless an option chooses another one.
    pub(in crate::cli) const fn of(
        form: F,
        words: &'static str,
        count: (usize, usize),
    ) -> Usage<F> {
        Usage {
            form,
            when: None,
            words,
            count,
        }
    }

    /// What this option chooses.
    pub(in crate::cli) const fn when(
        option: &'static str,
        form: F,
        words: &'static str,
        count: (usize, usize),
    ) -> Usage<F> {
        Usage {
            form,
            when: Some(option),
            words,
            count,
        }
    }
}
