//! What came before the rows of a forward pass.
//!
//! ```text
//! Steps    row 0 │ row 1 │ row 2        the next token of a text each
//! Chunks   rows of A │ rows of B │ …    the next tokens of a text, all of a text together
//! ```

use crate::{linear::Form, state::State};

/// The texts that rows continue; their states remember the rows.
pub(crate) enum Past<'a, 's> {
    /// A row is the next token of a text of its own.
    Steps(&'a mut [&'s mut State]),
    /// Rows are the next tokens of one text after the other.
    Chunks(&'a mut [Chunk<'s>]),
}

/// A text that several rows continue.
pub(crate) struct Chunk<'s> {
    pub(crate) state: &'s mut State,
    /// Rows, one at least.
    pub(crate) len: usize,
}

impl Past<'_, '_> {
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Steps(_) => Form::Steps,
            Self::Chunks(_) => Form::Chunk,
        }
    }

    /// Calls `each` with every row and its position in its text.
    pub(crate) fn positions(&self, mut each: impl FnMut(usize, usize)) {
        match self {
            Self::Steps(states) => states.iter().enumerate().for_each(|(row, state)| each(row, state.position())),
            Self::Chunks(chunks) => {
                let positions = chunks.iter().flat_map(|Chunk { state, len }| state.position()..state.position() + len);
                positions.enumerate().for_each(|(row, position)| each(row, position));
            }
        }
    }

    pub(crate) fn advance(&mut self) {
        match self {
            Self::Steps(states) => states.iter_mut().for_each(|state| state.advance(1)),
            Self::Chunks(chunks) => chunks.iter_mut().for_each(|chunk| chunk.state.advance(chunk.len)),
        }
    }
}
