//! configuration → corpus → tokenizer → two shards on disk → [`Dataset`]
//!
//! ```text
//! <cache_dir>/<content hash>/
//!   tokenizer.json
//!   train.tokens  valid.tokens      shards
//!   summary.json                    written last: a directory without it is unfinished
//! ```
//!
//! The content hash covers everything that determines these files, so a directory never goes stale. What is found
//! damaged is rebuilt.

use std::{fs, path::Path};

use itera_config::{Config, Objective, TokenizerAlphabet, TokenizerConfig, TokenizerKind, Windows};
use itera_files::{Sha256Digest, failed_to, write_atomic};
use itera_tokenizer::{Alphabet, TokenId, Tokenizer};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    batch::TokenBatch,
    corpus::{CORPUS_SEED, Corpus, CorpusSummary, SplitSummary, load_corpus_from},
    document::Document,
    error::{Damage, DataError},
    hub::HubEnv,
    pairs::Pairs,
    progress::{Progress, Watch},
    sampler::Sampler,
    shard::{Shard, ShardWriter},
    validation::{document_batches, stream_batches},
};

/// Version of everything between a corpus and its shards; raise it when the same corpus would give other tokens.
const FORMAT: &str = "itera data 1";
/// Documents encoded between two appends, enough to keep every thread busy.
const ENCODED_AT_ONCE: usize = 1024;

/// Tokenised data, ready for a sampler.
#[derive(Debug)]
pub struct Dataset {
    /// What the tokens mean.
    pub tokenizer: Tokenizer,
    /// Tokens to learn from.
    pub train: Shard,
    /// Tokens held out.
    pub valid: Shard,
    /// Sizes and hashes.
    pub summary: DataSummary,
}

/// Sizes and hashes of a [`Dataset`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    content_hash: String,
    /// Documents of both splits and what was dropped.
    pub corpus: CorpusSummary,
    /// Where the tokenizer is from: `byte`, `bpe <entries asked for>`, `bpe <entries asked for> of the bytes of the text`, or
    /// the fingerprint of the given one.
    pub tokenizer: String,
    /// Entries of the tokenizer.
    pub vocab_size: usize,
    /// Fingerprint of the tokenizer.
    pub tokenizer_sha256: String,
    /// Training tokens.
    pub train: TokenSummary,
    /// Held-out tokens.
    pub valid: TokenSummary,
}

/// What the token stream of a split holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenSummary {
    /// Tokens of the documents, each with the eos that ends it.
    pub tokens: u64,
    /// Bytes of text a token stands for, on average.
    pub bytes_per_token: f64,
    /// Bytes of text without a token, each of which is the unknown one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown_bytes: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl DataSummary {
    /// Hash of everything that determines the tokens: documents, their order and their tokenizer.
    pub fn content_hash(&self) -> &str {
        &self.content_hash
    }
}

/// The data of a configuration: read, split, tokenised, or found in the cache as they would be.
///
/// # Errors
///
/// If the corpus cannot be read ([`load_corpus`](crate::load_corpus)), its tokenizer does not fit the model, a split
/// has less than one sequence of `train.seq_len` tokens, or the cache cannot be written.
pub fn prepare(config: &Config) -> Result<Dataset, DataError> {
    prepare_from(config, &HubEnv::from_env(), &mut |_| {})
}

/// [`prepare`] with the hub's settings given, and somebody to tell how far it is.
pub fn prepare_from(config: &Config, hub: &HubEnv, watch: Watch<'_>) -> Result<Dataset, DataError> {
    let dataset = Dataset::obtain(config, hub, watch)?;
    dataset.check(config)?;
    Ok(dataset)
}

impl Dataset {
    /// Read the corpus, and find its tokens in the cache or make them.
    fn obtain(config: &Config, hub: &HubEnv, watch: Watch<'_>) -> Result<Self, DataError> {
        let corpus = load_corpus_from(&config.data, CORPUS_SEED, hub, watch)?;
        let tokenizer = TokenizerSource::of(&config.tokenizer, config.model.vocab_size)?;
        let content_hash = content_hash(&corpus.summary, &tokenizer.identity());
        let directory = Path::new(&config.data.cache_dir).join(&content_hash);
        if directory.exists() {
            match Self::open(&directory) {
                Ok(stored) => return Ok(stored),
                Err(error) => tracing::warn!("rebuilding the token cache: {error}"),
            }
        }
        let identity = tokenizer.identity();
        let tokenizer = tokenizer.obtain(&corpus.train, watch)?;
        Self::build(corpus, identity, tokenizer, content_hash, &directory, watch)
            .map_err(|source| DataError::Cache { directory, source: source.into() })
    }

    /// Open what [`prepare`] stored in a directory.
    ///
    /// # Errors
    ///
    /// If it is unfinished or damaged.
    fn open(directory: &Path) -> Result<Self, DataError> {
        let path = directory.join("summary.json");
        let damaged = |damage| DataError::Damaged { path: path.clone(), damage };
        let summary = fs::read(&path).map_err(failed_to("read", &path))?;
        let summary: DataSummary = serde_json::from_slice(&summary).map_err(|error| damaged(error.into()))?;
        let tokenizer = Tokenizer::load_dir(directory)?;
        let train = Shard::open(&directory.join("train.tokens"))?;
        let valid = Shard::open(&directory.join("valid.tokens"))?;
        let dataset = Self { tokenizer, train, valid, summary };
        if dataset.is_consistent() && directory.ends_with(dataset.summary.content_hash()) {
            Ok(dataset)
        } else {
            Err(damaged(Damage::Summary))
        }
    }

    /// Whether each number of the summary is the one that the data, or the content hash, demand.
    fn is_consistent(&self) -> bool {
        let summary = &self.summary;
        summary.content_hash == content_hash(&summary.corpus, &summary.tokenizer)
            && summary.vocab_size == self.tokenizer.vocab_size()
            && summary.tokenizer_sha256 == self.tokenizer.fingerprint()
            && summary.train == TokenSummary::of(&self.train, summary.corpus.train.bytes)
            && summary.valid == TokenSummary::of(&self.valid, summary.corpus.valid.bytes)
    }

    /// Tokenise a corpus into a directory.
    fn build(
        corpus: Corpus,
        identity: String,
        tokenizer: Tokenizer,
        content_hash: String,
        directory: &Path,
        watch: Watch<'_>,
    ) -> Result<Self, DataError> {
        fs::create_dir_all(directory).map_err(failed_to("create", directory))?;
        let store = |name: &str, bytes: &[u8]| write_atomic(&directory.join(name), bytes);
        let mut tokenise = |documents: &[Document], name: &str| {
            let path = directory.join(name);
            tokenise(documents, &tokenizer, watch).finish(&path)?;
            Shard::open(&path)
        };
        store("tokenizer.json", tokenizer.to_json().as_bytes())?;
        let train = tokenise(&corpus.train, "train.tokens")?;
        let valid = tokenise(&corpus.valid, "valid.tokens")?;
        let summary = DataSummary {
            content_hash,
            tokenizer: identity,
            vocab_size: tokenizer.vocab_size(),
            tokenizer_sha256: tokenizer.fingerprint(),
            train: TokenSummary::of(&train, corpus.summary.train.bytes),
            valid: TokenSummary::of(&valid, corpus.summary.valid.bytes),
            corpus: corpus.summary,
        };
        store("summary.json", &serde_json::to_vec_pretty(&summary).expect("a summary is representable as JSON"))?;
        Ok(Self { tokenizer, train, valid, summary })
    }

    /// Refuse data that the configured model cannot be trained on.
    ///
    /// # Errors
    ///
    /// If the vocabulary of `config` has no room for the tokens, or a split has less than one of its sequences.
    pub fn check(&self, config: &Config) -> Result<(), DataError> {
        let (tokens, vocab_size) = (self.tokenizer.vocab_size(), config.model.vocab_size);
        if tokens > vocab_size {
            return Err(DataError::Vocabulary { tokens, vocab_size });
        }
        if config.train.objective == Objective::Contrast {
            let needed = config.train.batch_size / 2;
            for (split, pairs) in [("training", self.pairs(config)), ("validation", self.validation_pairs(config))] {
                if pairs.len() < needed {
                    return Err(DataError::TooFew { split, documents: pairs.len(), needed });
                }
            }
            return Ok(());
        }
        for (split, shard) in [("training", &self.train), ("validation", &self.valid)] {
            if shard.len() <= config.train.seq_len {
                return Err(DataError::TooShort { split, tokens: shard.len(), needed: config.train.seq_len + 1 });
            }
        }
        Ok(())
    }

    /// The order in which a run of `config` reads the training split.
    ///
    /// # Panics
    ///
    /// If the split has not one sequence of `train.seq_len` tokens and the token after it, which [`prepare`] refuses.
    pub fn sampler(&self, config: &Config) -> Sampler<'_> {
        let (eos, seq_len) = (self.tokenizer.eos(), config.train.seq_len);
        Sampler::new(&self.train, eos, config.data.windows, seq_len, config.run.seed)
    }

    /// The pairs that a run of `config` learns from.
    pub fn pairs(&self, config: &Config) -> Pairs<'_> {
        Pairs::new(&self.train, self.tokenizer.eos(), config.train.seq_len, Some(config.run.seed))
    }

    /// The pairs that such a run is validated on, always the same.
    pub fn validation_pairs(&self, config: &Config) -> Pairs<'_> {
        Pairs::new(&self.valid, self.tokenizer.eos(), config.train.seq_len, None)
    }

    /// The batches that a run of `config` is validated on, always the same: about `max_tokens` tokens from the start of the
    /// held-out split on; 0 takes all.
    pub fn validation_batches(&self, config: &Config, max_tokens: usize) -> Box<dyn Iterator<Item = TokenBatch> + '_> {
        let (batch_size, seq_len) = (config.train.batch_size, config.train.seq_len);
        match config.data.windows {
            Windows::Stream => Box::new(stream_batches(&self.valid, max_tokens, batch_size, seq_len)),
            Windows::Documents => {
                Box::new(document_batches(&self.valid, self.tokenizer.eos(), max_tokens, batch_size, seq_len))
            }
        }
    }

    /// Texts of the first `count` training documents.
    pub fn samples(&self, count: usize) -> Vec<String> {
        let documents = self.train.documents(self.tokenizer.eos()).take(count);
        let ids = documents.map(|range| range.map(|at| self.train.token(at)).collect::<Vec<_>>());
        ids.map(|ids| self.tokenizer.decode(&ids)).collect()
    }
}

impl TokenSummary {
    /// Every token of the stream but the eos at its very start is predicted, so that one does not count.
    fn of(shard: &Shard, bytes: u64) -> Self {
        let tokens = shard.len().saturating_sub(1) as u64;
        Self { tokens, bytes_per_token: bytes as f64 / tokens as f64, unknown_bytes: shard.n_unknown() }
    }
}

/// How a tokenizer comes about.
enum TokenizerSource {
    Given(Box<Tokenizer>),
    Byte,
    TrainBpe { vocab_size: usize, alphabet: Alphabet },
}

impl TokenizerSource {
    fn of(config: &TokenizerConfig, vocab_size: usize) -> Result<Self, DataError> {
        Ok(match config.kind {
            _ if !config.path.is_empty() => Self::Given(Tokenizer::from_file(Path::new(&config.path))?.into()),
            TokenizerKind::Byte => Self::Byte,
            TokenizerKind::Bpe => {
                let alphabet = match config.alphabet {
                    TokenizerAlphabet::Bytes => Alphabet::Bytes,
                    TokenizerAlphabet::Text => Alphabet::Text,
                };
                Self::TrainBpe { vocab_size, alphabet }
            }
        })
    }

    fn obtain(self, documents: &[Document], watch: Watch<'_>) -> Result<Tokenizer, DataError> {
        Ok(match self {
            Self::Given(tokenizer) => *tokenizer,
            Self::Byte => Tokenizer::byte(),
            Self::TrainBpe { vocab_size, alphabet } => {
                let mut tell = |entries| watch(Progress::Vocabulary { entries, of: vocab_size });
                Tokenizer::train_bpe_watched(documents.iter().map(Document::text), vocab_size, alphabet, &mut tell)?
            }
        })
    }

    /// What tells one tokenizer from another before it exists.
    fn identity(&self) -> String {
        match self {
            Self::Given(tokenizer) => tokenizer.fingerprint(),
            Self::Byte => "byte".into(),
            Self::TrainBpe { vocab_size, alphabet: Alphabet::Bytes } => format!("bpe {vocab_size}"),
            Self::TrainBpe { vocab_size, alphabet: Alphabet::Text } => {
                format!("bpe {vocab_size} of the bytes of the text")
            }
        }
    }
}

/// Hash of all that determines the tokens. The corpus is in it by the hashes of its splits.
fn content_hash(corpus: &CorpusSummary, tokenizer: &str) -> String {
    /// What is hashed, in this order. Nothing can be added without taking their data from all runs there are.
    #[derive(Serialize)]
    struct Hashed<'a> {
        train: &'a SplitSummary,
        valid: &'a SplitSummary,
        duplicates_dropped: u64,
        shared_dropped: u64,
        blank_dropped: u64,
        is_capped: bool,
    }
    let CorpusSummary { train, valid, duplicates_dropped, shared_dropped, blank_dropped, is_capped, .. } = corpus;
    let (duplicates_dropped, shared_dropped) = (*duplicates_dropped, *shared_dropped);
    let (blank_dropped, is_capped) = (*blank_dropped, *is_capped);
    let hashed = Hashed { train, valid, duplicates_dropped, shared_dropped, blank_dropped, is_capped };
    let corpus = serde_json::to_vec(&hashed).expect("a summary is representable as JSON");
    Sha256Digest::of_parts([FORMAT.as_bytes(), &corpus, tokenizer.as_bytes()]).to_string()
}

/// eos, then each document and its eos. Documents are encoded in parallel and kept in order.
fn tokenise(documents: &[Document], tokenizer: &Tokenizer, watch: Watch<'_>) -> ShardWriter {
    let mut shard = ShardWriter::new(tokenizer.vocab_size(), tokenizer.unknown());
    shard.extend([tokenizer.eos()]);
    let of = documents.len();
    for (chunk, documents) in documents.chunks(ENCODED_AT_ONCE).enumerate() {
        watch(Progress::Tokenising { documents: chunk * ENCODED_AT_ONCE, of });
        let encoded: Vec<Vec<TokenId>> =
            documents.par_iter().map(|document| tokenizer.encode(document.text())).collect();
        for ids in encoded {
            shard.extend_text(ids);
            shard.extend([tokenizer.eos()]);
        }
    }
    shard
}
