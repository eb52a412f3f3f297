//! What a story has settled so far: the row that each variable holds.

use super::lexicon::{VARIABLES, Variable};

/// Index of a variable by its name, capitals aside.
pub(super) fn variable(name: &str) -> usize {
    VARIABLES
        .iter()
        .position(|variable| variable.name.eq_ignore_ascii_case(name))
        .unwrap_or_else(|| unreachable!("a template mentions `{name}`, which is no variable"))
}

/// The rows held by [`VARIABLES`], each from its first mention on.
pub(super) struct Scene {
    held: [Option<usize>; VARIABLES.len()],
}

impl Scene {
    /// Nothing is settled.
    pub fn new() -> Self {
        Self { held: [None; VARIABLES.len()] }
    }

    /// The row that variable `at` holds.
    pub fn held(&self, at: usize) -> Option<usize> {
        self.held[at]
    }

    /// Settles variable `at`; a fresh one holds nothing.
    pub fn hold(&mut self, at: usize, row: usize) {
        if !VARIABLES[at].fresh {
            self.held[at] = Some(row);
        }
    }

    /// The rows that variable `at` may take: no other variable holds them, and they agree with the one they must.
    pub fn free_rows(&self, at: usize) -> FreeRows {
        let Variable { class, agrees, .. } = VARIABLES[at];
        let mut free = FreeRows { rows: [0; FreeRows::MOST], len: 0 };
        let mut taken = [false; FreeRows::MOST];
        for (held, other) in self.held.iter().zip(VARIABLES) {
            if let Some(row) = *held
                && std::ptr::eq(other.class, class)
            {
                taken[row] = true;
            }
        }
        let agreed = agrees.and_then(|(other, column)| {
            let other = variable(other);
            self.held[other].map(|row| (column, VARIABLES[other].class.cell(row, column)))
        });
        for (row, taken) in taken.iter().enumerate().take(class.rows.len()) {
            if !taken && agreed.is_none_or(|(column, cell)| class.cell(row, column) == cell) {
                free.rows[free.len] = row;
                free.len += 1;
            }
        }
        free
    }
}

/// The rows of a class that may be chosen.
pub(super) struct FreeRows {
    rows: [usize; FreeRows::MOST],
    len: usize,
}

impl FreeRows {
    /// Most rows of a class.
    pub const MOST: usize = 128;
}

impl std::ops::Deref for FreeRows {
    type Target = [usize];

    fn deref(&self) -> &[usize] {
        &self.rows[..self.len]
    }
}
