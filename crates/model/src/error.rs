//! What can be wrong with the tensors a model is built from.

/// Why a model could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A tensor has another number of values than its shape needs.
    #[error("tensor `{name}` has {found} values, but the configuration needs {expected} ({shape:?})")]
    ShapeMismatch {
        /// Name of the tensor.
        name: String,
        /// Its shape by the configuration.
        shape: Vec<usize>,
        /// Values that the shape needs.
        expected: usize,
        /// Values that were given.
        found: usize,
    },
}
