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

mod corpus;
mod dataset;
mod document;
mod error;
mod files;
mod hub;
mod permutation;
mod progress;
mod sampler;
mod shard;
mod source;
mod splitmix;
pub mod stories;

pub use corpus::{Corpus, CorpusSummary, SplitSummary, load_corpus, load_corpus_from, load_documents};
pub use dataset::{DataSummary, Dataset, TokenSummary, prepare, prepare_from};
pub use document::Document;
pub use error::{DataError, Place, RecordFault};
pub use hub::{HubEnv, HubError, HubFault};
pub use progress::{Progress, Watch};
pub use sampler::{Sampler, TokenBatch, validation_batches};
pub use shard::{Shard, ShardWriter};
