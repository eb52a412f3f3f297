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

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::ControlFlow::{self, Break, Continue},
};

use itera_config::{DataConfig, Separator};
use itera_files::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::{
    document::Document,
    error::DataError,
    hub::HubEnv,
    progress::{Progress, Watch},
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
    /// Records without a text left out, as `data.skip_bad_records` asks.
    #[serde(default)]
    pub bad_records_skipped: u64,
    /// Files without any text, of sources in which others have some.
    #[serde(default)]
    pub empty_files_dropped: u64,
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
/// Documents read between two words about it.
const READ_AT_ONCE: u64 = 1024;

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
    load_corpus_from(config, CORPUS_SEED, &HubEnv::from_env(), &mut |_| {})
}

/// The documents to score of `sources`, each an item of the forms that `data.source` takes: those that
/// [`load_corpus`] would hold out with `data.valid_source` of these. There is no training text beside them.
///
/// # Errors
///
/// If a source cannot be found or read, or there is no text in it.
pub fn load_documents(sources: &[String], config: &DataConfig) -> Result<Corpus, DataError> {
    let hub = HubEnv::from_env();
    let mut unwatched = |_| {};
    let mut gathered = Gathered::new(config, CORPUS_SEED, &mut unwatched);
    for item in sources {
        gathered.read(&Source::find(item, config, &hub)?, Split::Valid, |gathered, document| {
            gathered.add(document, Split::Valid)
        })?;
    }
    match gathered.valid.is_empty() {
        true => Err(DataError::NoDocuments { blank: gathered.summary.blank_dropped }),
        false => Ok(gathered.into_corpus()),
    }
}

/// [`load_corpus`] with the seed and the hub's settings given, and somebody to tell.
pub fn load_corpus_from(config: &DataConfig, seed: u64, hub: &HubEnv, watch: Watch<'_>) -> Result<Corpus, DataError> {
    let find = |items: &[String]| -> Result<Vec<Source>, DataError> {
        items.iter().map(|item| Source::find(item, config, hub)).collect()
    };
    let sources = find(&config.source)?;
    let valid_sources = find(&config.valid_source)?;
    let extra_sources = find(&config.extra_source)?;
    let mut gathered = Gathered::new(config, seed, watch);

    let holds_out_by_content = |source: &Source| valid_sources.is_empty() && !source.has_validation_split();
    let held_out = if valid_sources.is_empty() { &sources } else { &valid_sources };
    for source in held_out.iter().filter(|source| !holds_out_by_content(source)) {
        gathered.read(source, Split::Valid, |gathered, document| gathered.add(document, Split::Valid))?;
    }
    let cap_bytes = if config.max_bytes == 0 { u64::MAX } else { config.max_bytes };
    for source in &sources {
        let fraction = if holds_out_by_content(source) { config.valid_fraction } else { 0.0 };
        gathered.read(source, Split::Train, |gathered, document| {
            if lot(&document, seed) < fraction {
                gathered.add(document, Split::Valid)
            } else if gathered.train_bytes + document.text().len() as u64 > cap_bytes {
                gathered.summary.is_capped = true;
                Break(())
            } else {
                gathered.add(document, Split::Train)
            }
        })?;
        if gathered.summary.is_capped {
            break;
        }
    }
    for source in &extra_sources {
        gathered.read(source, Split::Train, |gathered, document| gathered.add(document, Split::Train))?;
    }
    gathered.hold_one_out()?;
    Ok(gathered.into_corpus())
}

/// Number in [0, 1) drawn for a document by its content.
fn lot(document: &Document, seed: u64) -> f64 {
    Sha256Digest::of_parts([&b"held out"[..], &seed.to_le_bytes(), document.sha256().as_bytes()]).fraction()
}

/// Documents kept so far.
struct Gathered<'a> {
    config: &'a DataConfig,
    seed: u64,
    watch: Watch<'a>,
    train: Vec<Document>,
    valid: Vec<Document>,
    train_bytes: u64,
    read_documents: u64,
    read_bytes: u64,
    seen: HashMap<Sha256Digest, Split>,
    summary: CorpusSummary,
}

impl<'a> Gathered<'a> {
    fn new(config: &'a DataConfig, seed: u64, watch: Watch<'a>) -> Self {
        let (train, valid, seen, summary) = Default::default();
        Self { config, seed, watch, train, valid, train_bytes: 0, read_documents: 0, read_bytes: 0, seen, summary }
    }

    /// Hand the documents of a source to `take`, until that has enough.
    ///
    /// A file without text is counted if another one of the source has some, a record without text if the configuration
    /// allows it.
    fn read(
        &mut self,
        source: &Source,
        split: Split,
        mut take: impl FnMut(&mut Self, Document) -> ControlFlow<()>,
    ) -> Result<(), DataError> {
        let (mut empty, mut holds_text) = (None, false);
        for found in source.documents(split, self.config, self.seed) {
            match found {
                Err(error @ DataError::Empty { .. }) => {
                    self.summary.empty_files_dropped += 1;
                    empty = Some(error);
                }
                Err(DataError::Record { .. }) if self.config.skip_bad_records => self.summary.bad_records_skipped += 1,
                found => {
                    let document = found?;
                    holds_text = true;
                    self.tell(&document);
                    if take(self, document).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        match empty.filter(|_| !holds_text) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn tell(&mut self, document: &Document) {
        self.read_documents += 1;
        self.read_bytes += document.text().len() as u64;
        if self.read_documents.is_multiple_of(READ_AT_ONCE) {
            (self.watch)(Progress::Reading { documents: self.read_documents, bytes: self.read_bytes });
        }
    }

    /// Keep a document unless it is blank or a copy; where copies meet, the first one stays.
    fn add(&mut self, document: Document, split: Split) -> ControlFlow<()> {
        if document.text().trim().is_empty() {
            self.summary.blank_dropped += 1;
            return Continue(());
        }
        match self.seen.entry(document.sha256()) {
            Entry::Occupied(first) if *first.get() == split => self.summary.duplicates_dropped += 1,
            Entry::Occupied(_) => self.summary.shared_dropped += 1,
            Entry::Vacant(place) => {
                place.insert(split);
                match split {
                    Split::Train => {
                        self.train_bytes += document.text().len() as u64;
                        self.train.push(document);
                    }
                    Split::Valid => self.valid.push(document),
                }
            }
        }
        Continue(())
    }

    /// Refuse a corpus that cannot be trained on. In a small one, every document may have drawn a lot above the fraction:
    /// hold out the lowest.
    fn hold_one_out(&mut self) -> Result<(), DataError> {
        let copies = self.summary.duplicates_dropped + self.summary.shared_dropped;
        if let ([only], []) = (&self.train[..], &self.valid[..]) {
            return Err(DataError::NothingHeldOut { copies, holds_separator: self.holds_separator(only) });
        }
        if self.train.is_empty() {
            let (held_out, blank) = (self.valid.len() as u64, self.summary.blank_dropped);
            let documents = held_out + copies + blank + u64::from(self.summary.is_capped);
            let max_bytes = self.config.max_bytes;
            return Err(DataError::NoTraining { documents, copies, blank, held_out, max_bytes });
        }
        if self.valid.is_empty() {
            let lowest =
                |a: &usize, b: &usize| lot(&self.train[*a], self.seed).total_cmp(&lot(&self.train[*b], self.seed));
            if let Some(index) = (0..self.train.len()).min_by(lowest) {
                self.valid.push(self.train.remove(index));
            }
        }
        Ok(())
    }

    /// Whether a document holds the separator, which then is no line of its own.
    fn holds_separator(&self, document: &Document) -> bool {
        match Separator::of(&self.config.separator) {
            Some(Separator::Line(line)) => document.text().contains(&line),
            _ => false,
        }
    }

    fn into_corpus(mut self) -> Corpus {
        for (name, documents) in [("training", &self.train), ("held-out", &self.valid)] {
            if let [only] = &documents[..]
                && self.holds_separator(only)
            {
                let separator = &self.config.separator;
                tracing::warn!(
                    "the {name} text is one document, which holds {separator:?}, but not as a line of its own"
                );
            }
        }
        self.summary.train = SplitSummary::of(&self.train);
        self.summary.valid = SplitSummary::of(&self.valid);
        Corpus { train: self.train, valid: self.valid, summary: self.summary }
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
