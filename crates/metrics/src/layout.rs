//! The experts of a model, as the columns of a table.

use std::fmt;

/// How many experts are counted: fixes the columns of the CSV file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpertLayout {
    /// Layers with experts; 0 in a dense model.
    pub n_layers: usize,
    /// Experts of each such layer (e).
    pub n_experts: usize,
}

impl fmt::Display for ExpertLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers of {} experts", self.n_layers, self.n_experts)
    }
}
