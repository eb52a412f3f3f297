//! How far the preparation of data has come.

/// What [`prepare_from`](crate::prepare_from) is doing; the numbers grow until the next kind of work begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Documents are read, split and compared.
    Reading {
        /// Documents so far.
        documents: u64,
        /// Bytes of their texts.
        bytes: u64,
    },
    /// A vocabulary is trained.
    Vocabulary {
        /// Entries so far.
        entries: usize,
        /// Entries asked for.
        of: usize,
    },
    /// Documents of a split become tokens.
    Tokenising {
        /// Documents so far.
        documents: usize,
        /// Documents of the split.
        of: usize,
    },
}

/// Whoever wants to know of [`Progress`].
pub type Watch<'w> = &'w mut dyn FnMut(Progress);
