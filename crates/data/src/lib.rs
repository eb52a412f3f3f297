//! Corpora, token shards and the resumable sampler.
//!
//! ```text
//! source ──▶ Document ──split, drop copies──▶ Corpus ──tokenizer──▶ Shard ──Sampler──▶ TokenBatch
//! builtin stories │ hub │ files                                   on disk     one integer of state
//! ```
//!
//! Invariants: whole documents are split before anything is tokenised; no training document equals a held-out one;
//! the tokenizer sees training text only; labels are shifted in exactly one place, [`TokenBatch`]; nothing here
//! depends on the number of threads.

mod batch;
mod best_fit;
mod corpus;
mod dataset;
mod document;
mod document_order;
mod error;
mod files;
mod hub;
mod pairs;
mod permutation;
mod progress;
mod sampler;
mod shard;
mod source;
mod splitmix;
pub mod stories;
mod stream_order;
mod validation;

pub use batch::TokenBatch;
pub use corpus::{Corpus, CorpusSummary, SplitSummary, load_corpus, load_corpus_from, load_documents};
pub use dataset::{DataSummary, Dataset, TokenSummary, prepare, prepare_from};
pub use document::Document;
pub use error::{Damage, DataError, Place, RecordFault, SourceProblem};
pub use hub::{HubEnv, HubError, HubFault};
pub use pairs::Pairs;
pub use progress::{Progress, Watch};
pub use sampler::Sampler;
pub use shard::{Shard, ShardWriter};
pub use validation::{document_batches, stream_batches};
