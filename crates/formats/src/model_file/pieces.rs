//! a tensor of the table → the pieces that an inference program asks for
//!
//! ```text
//! layers.0.moe.w_in [e, 2·f, d] → layers.0.moe.{j}.gate [f, d]  layers.0.moe.{j}.up [f, d]    for each expert j
//! ```
//!
//! Files disagree on which matrices are stored as one, but all of them keep rows whole. So what is asked for by name are
//! runs of rows, which every file has without a copy.

use itera_config::{TensorRole, TensorSpec};

/// Some rows of a tensor of [`ModelConfig::tensors`](itera_config::ModelConfig::tensors).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Name by which it is asked for.
    pub(crate) name: String,
    /// Where it begins among the rows of the tensor, all leading dimensions taken together.
    pub(crate) first_row: usize,
    /// Its rows.
    pub(crate) rows: usize,
    /// Numbers in a row.
    pub(crate) cols: usize,
    /// Whether it is multiplied with as it is packed; otherwise it is small and is asked for as f32.
    pub(crate) is_matrix: bool,
}

/// The pieces of a tensor, in the order of its rows.
pub(crate) fn pieces_of(spec: TensorSpec) -> Vec<Piece> {
    let cols = spec.shape.last().copied().unwrap_or(1);
    let rows = spec.n_params() / cols;
    let names = names_of(&spec);
    let rows = rows / names.len();
    let is_matrix = spec.role.is_matrix();
    let piece = |(index, name)| Piece { name, first_row: index * rows, rows, cols, is_matrix };
    names.into_iter().enumerate().map(piece).collect()
}

fn names_of(spec: &TensorSpec) -> Vec<String> {
    let split = spec.name.rsplit_once('.');
    match (spec.role, split) {
        (TensorRole::Experts | TensorRole::Shared, Some((mlp, weight))) => {
            let parts: &[&str] = if weight == "w_in" { &["gate", "up"] } else { &["out"] };
            let of = |mlp: String| parts.iter().map(move |part| format!("{mlp}.{part}"));
            match spec.role {
                TensorRole::Experts => (0..spec.shape[0]).flat_map(|expert| of(format!("{mlp}.{expert}"))).collect(),
                _ => of(mlp.to_owned()).collect(),
            }
        }
        (TensorRole::Ssm, Some((mixer, "a_log"))) => vec![format!("{mixer}.a")],
        _ => vec![spec.name.clone()],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use itera_config::ModelConfig;

    use super::*;

    #[test]
    fn pieces_cover_each_tensor_and_share_no_name() {
        let model = ModelConfig { n_experts: 3, tie_embeddings: false, ..ModelConfig::default() };
        let mut names = HashSet::new();
        for spec in model.tensors() {
            let mut rows = 0;
            for piece in pieces_of(spec.clone()) {
                assert_eq!(piece.first_row, rows, "{piece:?}");
                rows += piece.rows;
                assert_eq!(Some(&piece.cols), spec.shape.last());
                assert!(names.insert(piece.name.clone()), "{piece:?}");
            }
            assert_eq!(rows * spec.shape.last().expect("a dimension"), spec.n_params(), "{spec:?}");
        }
        for name in ["layers.0.moe.2.up", "layers.3.shared.out", "layers.1.mamba.a", "layers.2.moe.router", "head"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
