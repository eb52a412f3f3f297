//! Why a recipe does not fit a model.

use itera_config::ConfigError;
use itera_shape::InvalidModel;

/// What a stage asks for, and the model lacks or cannot be.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// A key of `kinds` is neither a tensor nor a role.
    #[error("the model has no tensor `{key}`; its roles are {roles}")]
    NoTensor {
        /// The key.
        key: String,
        /// Roles of the model's tensors, with commas.
        roles: String,
    },
    /// Files hold the tensor in no kind but f32.
    #[error("`{tensor}` stays f32: GGUF has it in no other kind, it cannot be {kind}")]
    StaysF32 {
        /// The tensor, as the tensor table has it.
        tensor: String,
        /// The kind that the stage gives it.
        kind: &'static str,
    },
    /// Rows of the tensor are no whole blocks.
    #[error("`{tensor}` has rows of {cols} numbers, which are no whole blocks of {block_len} of {kind}")]
    Rows {
        /// The tensor, as the tensor table has it.
        tensor: String,
        /// Numbers of a row.
        cols: usize,
        /// Numbers of a block.
        block_len: usize,
        /// The kind that the stage gives it.
        kind: &'static str,
    },
    /// The kinds to choose from take more bytes than there are.
    #[error("its budget is {budget_bytes} bytes for matrices, and {least_bytes} is the least that its kinds take")]
    Budget {
        /// Most bytes that matrices may take.
        budget_bytes: usize,
        /// Bytes that they take at the least.
        least_bytes: usize,
    },
    /// No shape of a student is as small as its budget.
    #[error("distill: its budget is {budget} bytes for the file, and {least_bytes} is the least that a shape takes")]
    FileBudget {
        /// Most bytes of the file.
        budget: u64,
        /// Bytes of the smallest one.
        least_bytes: u64,
    },
    /// A budget for a file whose kinds are not known.
    #[error("distill: a budget is for a file whose kinds the last stage names, with do = \"quantize\"")]
    UnknownKinds,
    /// The student's tokenizer is not the beginning of its teacher's.
    #[error(
        "a model can learn from another if its tokens are the first of the other's, so `vocab_size` must not be larger and \
         the other's tokenizer one that was trained on the run's text"
    )]
    Teacher,
    /// There are fewer documents than folds.
    #[error("the training text has {documents} documents, too few for {folds} folds")]
    Folds {
        /// Documents to train on.
        documents: u64,
        /// Folds to deal them into.
        folds: usize,
    },
    /// There are too few held-out documents to find a temperature on some of them.
    #[error("calibrate: the run holds out {documents} documents, of which half can be calibrated on")]
    HeldOut {
        /// How many there are.
        documents: u64,
    },
    /// The tokenizer that is left is not the beginning of the run's.
    #[error("prune vocabulary: the tokenizer is not one that was trained on the run's text")]
    Vocabulary,
    /// All units of a sort would be removed.
    #[error("prune {units} = {fraction} leaves none of {total}, in multiples of {multiple}")]
    LeavesNone {
        /// The key of the stage.
        units: &'static str,
        /// The fraction to remove.
        fraction: f64,
        /// Units that there are.
        total: usize,
        /// What their number stays a multiple of.
        multiple: usize,
    },
    /// No unit of a sort would be removed.
    #[error("prune {units} = {fraction} takes none of {total}, in multiples of {multiple}")]
    TakesNone {
        /// The key of the stage.
        units: &'static str,
        /// The fraction to remove.
        fraction: f64,
        /// Units that there are.
        total: usize,
        /// What their number stays a multiple of.
        multiple: usize,
    },
    /// Channels and dimensions of the state are not enough to remove.
    #[error(
        "prune parameters = {fraction}: with the fewest channels {least} of {total} parameters are left; experts, layers or \
         vocabulary must go too"
    )]
    Parameters {
        /// The fraction to remove.
        fraction: f64,
        /// Parameters that are left at the least.
        least: usize,
        /// Parameters that there are.
        total: usize,
    },
    /// SSM heads can only be removed until d_inner is the next whole multiple of d_model.
    #[error("prune ssm_heads = {fraction}: model.expand, which is {expand}, must stay a whole number")]
    SsmHeads {
        /// The fraction to remove.
        fraction: f64,
        /// d_inner over d_model.
        expand: usize,
    },
    /// The model has no attention layer.
    #[error("prune attention_heads: the model has no attention")]
    NoAttention,
    /// The model is dense.
    #[error("prune experts: the model has none")]
    NoExperts,
    /// The model has fewer layers.
    #[error("prune layers: there is no layer {layer}, the last is {last}")]
    NoLayer {
        /// The index that the stage names.
        layer: usize,
        /// The largest index.
        last: usize,
    },
    /// The shape that is left is none of the family.
    #[error("{0}")]
    Shape(Box<InvalidModel>),
    /// The configuration of the model that is left is not valid.
    #[error("{0}")]
    Config(Box<ConfigError>),
}
