//! sources → documents → [`Corpus`]: split, copies dropped
//!
//! ```text
//! data.source ───────┬─ its own training split ──────────┐
//!                    ├─ documents by hash of content ────┤── not blank, not seen ──▶ train ≤ max_bytes
//! data.valid_source ─┴─ its own validation split ────────┴── not blank, not seen ──▶ valid
//! data.extra_source ──────────────────────────────────────── not blank, not seen ──▶ train
//! ```
//!
//! Whole documents are split, before anything is tokenised. Exact copies are dropped wherever they stand, so no
//! training document equals a held-out one.

use std::collections::{HashMap, hash_map::Entry};

use itera_config::DataConfig;
use itera_files::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::{
    DataError, Document, HubEnv,
    source::{Source, Split},
};

/// Documents of both splits.
#[derive(Clone, Debug, PartialEq)]
pub struct Corpus {
    /// Documents to learn from.
    pub train: Vec<Document>,
    /// Documents held out.
    pub valid: Vec<Document>,
    /// What was kept and what was dropped.
    pub summary: CorpusSummary,
}

/// What became of the documents that the sources held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CorpusSummary {
    /// Training documents kept.
    pub train: SplitSummary,
    /// Held-out documents kept.
    pub valid: SplitSummary,
    /// Exact copies dropped of a document in the same split.
    pub duplicates_dropped: u64,
    /// Training documents dropped because they are held out too (or the reverse).
    pub shared_dropped: u64,
    /// Documents dropped because they hold nothing but white space.
    pub blank_dropped: u64,
    /// Whether `data.max_bytes` left training text unread.
    pub is_capped: bool,
}

/// What a split holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SplitSummary {
    /// Number of documents.
    pub documents: u64,
    /// UTF-8 bytes of their texts.
    pub bytes: u64,
    /// Entropy of the texts under their own author in bits a byte, where that is known: no model scores below it,
    /// beyond chance.
    pub floor_bpb: Option<f64>,
    /// Hash of the documents in their order.
    pub sha256: String,
}

/// Seed of the builtin stories and of what is held out. It is not that of the run, so that runs that differ in their
/// seed are scored on the same bytes.
pub(crate) const CORPUS_SEED: u64 = 0;

/// Read, split and deduplicate the documents of a configuration.
///
/// The same configuration and files give the same corpus. Whether a document is held out by
/// `data.valid_fraction` depends on its content and the seed alone, so it stays where it is when files are reordered
/// or added. `data.max_bytes` ends the training text before the first document that no longer fits.
///
/// # Errors
///
/// If a source cannot be found or read, or leaves nothing to train on or to hold out.
pub fn load_corpus(config: &DataConfig) -> Result<Corpus, DataError> {
    load_corpus_from(config, CORPUS_SEED, &HubEnv::from_env())
}

/// All documents of `sources`, each an item of the forms that `data.source` takes, in their order: nothing is held out,
/// dropped or capped. Of a hub data set, its training split.
///
/// # Errors
///
/// If a source cannot be found or read.
pub fn load_documents(sources: &[String], config: &DataConfig) -> Result<Vec<Document>, DataError> {
    let hub = HubEnv::from_env();
    let mut documents = Vec::new();
    for item in sources {
        for document in Source::find(item, config, &hub)?.documents(Split::Train, config, CORPUS_SEED) {
            documents.push(document?);
        }
    }
    Ok(documents)
}

/// [`load_corpus`] with the seed and the hub's settings given.
pub fn load_corpus_from(config: &DataConfig, seed: u64, hub: &HubEnv) -> Result<Corpus, DataError> {
    let find = |items: &[String]| -> Result<Vec<Source>, DataError> {
        items.iter().map(|item| Source::find(item, config, hub)).collect()
    };
    let sources = find(&config.source)?;
    let valid_sources = find(&config.valid_source)?;
    let extra_sources = find(&config.extra_source)?;
    let mut gathered = Gathered::default();

    let holds_out_by_content = |source: &Source| valid_sources.is_empty() && !source.has_validation_split();
    let held_out = if valid_sources.is_empty() { &sources } else { &valid_sources };
    for source in held_out.iter().filter(|source| !holds_out_by_content(source)) {
        for document in source.documents(Split::Valid, config, seed) {
            gathered.add(document?, Split::Valid);
        }
    }
    let cap_bytes = if config.max_bytes == 0 { u64::MAX } else { config.max_bytes };
    'training: for source in &sources {
        let fraction = if holds_out_by_content(source) { config.valid_fraction } else { 0.0 };
        for document in source.documents(Split::Train, config, seed) {
            let document = document?;
            if lot(&document, seed) < fraction {
                gathered.add(document, Split::Valid);
            } else if gathered.train_bytes + document.text().len() as u64 > cap_bytes {
                gathered.summary.is_capped = true;
                break 'training;
            } else {
                gathered.add(document, Split::Train);
            }
        }
    }
    for source in &extra_sources {
        for document in source.documents(Split::Train, config, seed) {
            gathered.add(document?, Split::Train);
        }
    }
    gathered.finish(config, seed)
}

/// Number in [0, 1) drawn for a document by its content.
fn lot(document: &Document, seed: u64) -> f64 {
    Sha256Digest::of_parts([&b"held out"[..], &seed.to_le_bytes(), document.sha256().as_bytes()]).fraction()
}

/// Documents kept so far.
#[derive(Default)]
struct Gathered {
    train: Vec<Document>,
    valid: Vec<Document>,
    train_bytes: u64,
    seen: HashMap<Sha256Digest, Split>,
    summary: CorpusSummary,
}

impl Gathered {
    /// Keep a document unless it is blank or a copy; where copies meet, the first one stays.
    fn add(&mut self, document: Document, split: Split) {
        if document.text().trim().is_empty() {
            self.summary.blank_dropped += 1;
            return;
        }
        match self.seen.entry(document.sha256()) {
            Entry::Occupied(first) if *first.get() == split => {
                self.summary.duplicates_dropped += 1;
                return;
            }
            Entry::Occupied(_) => {
                self.summary.shared_dropped += 1;
                return;
            }
            Entry::Vacant(place) => place.insert(split),
        };
        match split {
            Split::Train => {
                self.train_bytes += document.text().len() as u64;
                self.train.push(document);
            }
            Split::Valid => self.valid.push(document),
        }
    }

    fn finish(mut self, config: &DataConfig, seed: u64) -> Result<Corpus, DataError> {
        if self.valid.is_empty() && self.train.len() == 1 {
            return Err(DataError::NothingHeldOut);
        }
        if self.valid.is_empty() && !self.train.is_empty() {
            // A small corpus in which every document drew a lot above the fraction: hold out the lowest.
            let lowest = |a: &usize, b: &usize| lot(&self.train[*a], seed).total_cmp(&lot(&self.train[*b], seed));
            if let Some(index) = (0..self.train.len()).min_by(lowest) {
                self.valid.push(self.train.remove(index));
            }
        }
        let Self { train, valid, mut summary, .. } = self;
        if train.is_empty() {
            let duplicates = summary.duplicates_dropped + summary.shared_dropped;
            let documents = valid.len() as u64 + duplicates + summary.blank_dropped + u64::from(summary.is_capped);
            return Err(DataError::NoTraining { documents, duplicates, max_bytes: config.max_bytes });
        }
        summary.train = SplitSummary::of(&train);
        summary.valid = SplitSummary::of(&valid);
        Ok(Corpus { train, valid, summary })
    }
}

impl SplitSummary {
    fn of(documents: &[Document]) -> Self {
        let bytes = documents.iter().map(|document| document.text().len() as u64).sum();
        let nats: Option<f64> = documents.iter().map(Document::nats).sum();
        let hashes: Vec<_> = documents.iter().map(Document::sha256).collect();
        Self {
            documents: documents.len() as u64,
            bytes,
            floor_bpb: nats.map(|nats| nats / std::f64::consts::LN_2 / bytes as f64),
            sha256: Sha256Digest::of_parts(hashes.iter().map(|hash| &hash.as_bytes()[..])).to_string(),
        }
    }
}
