//! a tensor of the table → the pieces that an inference program asks for
//!
//! ```text
//! layers.0.moe.w_in [e, 2·f, d] → layers.0.moe.*.gate [f, d]  layers.0.moe.*.up [f, d]      * an expert, of e
//! ```
//!
//! Files disagree on which matrices are stored as one, but all of them keep rows whole. So what is asked for by name are
//! runs of rows, which every file has without a copy. The pieces of all experts are described together: what a file says
//! of itself takes no more memory than the file.

use itera_shape::{TensorRole, TensorSpec};

/// Some rows of a tensor of [`ModelConfig::tensors`](itera_shape::ModelConfig::tensors), or of each expert in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Name by which it is asked for; [`ANY_EXPERT`] stands for the number of an expert.
    pub(crate) name: String,
    /// Where the first begins among the rows of the tensor, all leading dimensions taken together.
    pub(crate) first_row: usize,
    /// Rows of one.
    pub(crate) rows: usize,
    /// Numbers in a row.
    pub(crate) cols: usize,
    /// How many there are: one for each expert, or one.
    pub(crate) count: usize,
    /// Rows from where one begins to where the next does.
    pub(crate) stride: usize,
    /// Whether it is multiplied with as it is packed; otherwise it is small and is asked for as f32.
    pub(crate) is_matrix: bool,
}

impl Piece {
    /// The same piece in a tensor that holds nothing else.
    pub(crate) fn alone(self) -> Self {
        Self { first_row: 0, stride: self.rows, ..self }
    }

    /// The name of the one of an expert.
    pub(crate) fn name_of(&self, expert: usize) -> String {
        self.name.replace(ANY_EXPERT, &expert.to_string())
    }

    /// Where each begins among the rows of the tensor.
    pub(crate) fn first_rows(&self) -> impl Iterator<Item = usize> + use<> {
        let Self { first_row, stride, .. } = *self;
        (0..self.count).map(move |index| first_row + index * stride)
    }
}

/// Stands for the number of an expert in the name of a piece.
const ANY_EXPERT: &str = "*";

/// `layers.0.moe.12.gate` → `layers.0.moe.*.gate` and 12; `None` if it is not of an expert.
pub(super) fn split_expert(name: &str) -> Option<(String, usize)> {
    let (rest, weight) = name.rsplit_once('.')?;
    let (moe, expert) = rest.rsplit_once(".moe.")?;
    Some((format!("{moe}.moe.{ANY_EXPERT}.{weight}"), expert.parse().ok()?))
}

/// The pieces of a tensor; each of its rows is in one of them.
pub(crate) fn pieces_of(spec: &TensorSpec) -> Vec<Piece> {
    let cols = spec.shape.last().copied().unwrap_or(1);
    let count = if spec.role == TensorRole::Experts { spec.shape[0] } else { 1 };
    let stride = spec.n_params() / cols / count;
    let names = names_of(spec);
    let rows = stride / names.len();
    let is_matrix = spec.role.is_matrix();
    let piece = |(index, name)| Piece { name, first_row: index * rows, rows, cols, count, stride, is_matrix };
    names.into_iter().enumerate().map(piece).collect()
}

fn names_of(spec: &TensorSpec) -> Vec<String> {
    let split = spec.name.rsplit_once('.');
    match (spec.role, split) {
        (TensorRole::Experts | TensorRole::Shared, Some((mlp, weight))) => {
            let parts: &[&str] = if weight == "w_in" { &["gate", "up"] } else { &["out"] };
            let expert = if spec.role == TensorRole::Experts { format!(".{ANY_EXPERT}") } else { String::new() };
            parts.iter().map(|part| format!("{mlp}{expert}.{part}")).collect()
        }
        (TensorRole::Ssm, Some((mixer, "a_log"))) => vec![format!("{mixer}.a")],
        _ => vec![spec.name.clone()],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use itera_shape::ModelConfig;

    use super::*;

    #[test]
    fn pieces_cover_each_tensor_and_share_no_name() {
        let model = ModelConfig { n_experts: 3, tie_embeddings: false, ..ModelConfig::default() };
        let mut names = HashSet::new();
        for spec in model.tensors() {
            let mut rows = Vec::new();
            for piece in pieces_of(&spec) {
                assert_eq!(Some(&piece.cols), spec.shape.last());
                rows.extend(piece.first_rows().flat_map(|first| first..first + piece.rows));
                assert!(names.insert(piece.name.clone()), "{piece:?}");
            }
            rows.sort_unstable();
            let n_rows = spec.n_params() / spec.shape.last().expect("a dimension");
            assert_eq!(rows, (0..n_rows).collect::<Vec<_>>(), "{spec:?}");
        }
        for name in ["layers.0.moe.*.up", "layers.3.shared.out", "layers.1.mamba.a", "layers.2.moe.router", "head"] {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn names_of_experts_are_told_from_others() {
        assert_eq!(split_expert("layers.7.moe.12.up"), Some(("layers.7.moe.*.up".to_owned(), 12)));
        for name in ["layers.7.moe.router", "layers.7.moe.*.up", "layers.7.moe.-1.up", "layers.7.shared.up", "embed"] {
            assert_eq!(split_expert(name), None, "{name}");
        }
    }
}
