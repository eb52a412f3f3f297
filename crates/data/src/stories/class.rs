//! A class of words: a table, one row a word.
//!
//! Cells of a row are separated by `/`, columns are named. The first column is the word itself and has the empty name:
//!
//! ```text
//! columns  ""       "group"  "he"
//! row      "Lily  / girl   / she"
//! ```

/// A table of words.
pub(super) struct Class {
    pub columns: &'static [&'static str],
    pub rows: &'static [&'static str],
    /// One of these goes before the word at its first mention, if there are any.
    pub adjectives: &'static [&'static str],
}

impl Class {
    /// A class with no columns but the word.
    pub const fn plain(rows: &'static [&'static str]) -> Self {
        Self::table(&[""], rows)
    }

    /// A class with several columns.
    pub const fn table(columns: &'static [&'static str], rows: &'static [&'static str]) -> Self {
        Self { columns, rows, adjectives: &[] }
    }

    /// The same class with adjectives.
    pub const fn with(self, adjectives: &'static [&'static str]) -> Self {
        Self { adjectives, ..self }
    }

    /// The cell of `row` under `column`. The forms of a pronoun are derived from column `he`.
    pub fn cell(&self, row: usize, column: &str) -> &'static str {
        match column {
            "him" | "his" | "himself" => pronoun(self.cell(row, "he"), column),
            _ => self
                .columns
                .iter()
                .position(|name| *name == column)
                .and_then(|at| self.rows[row].split('/').nth(at))
                .unwrap_or_else(|| unreachable!("row {row:?} {} has no column `{column}`", self.rows[row])),
        }
    }
}

fn pronoun(he: &str, form: &str) -> &'static str {
    match (he, form) {
        ("he", "him") => "him",
        ("he", "his") => "his",
        ("he", _) => "himself",
        ("she", "himself") => "herself",
        _ => "her",
    }
}
