//! From a configuration to stored tokens, and back after an interruption.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use itera_config::{Config, TokenizerAlphabet, TokenizerKind};
use itera_data::{DataError, Dataset, Progress, prepare_from};
use itera_files::{FileError, Sha256Digest};
use itera_tokenizer::{Tokenizer, TokenizerError};
use tempfile::{TempDir, tempdir};

use crate::support::{no_hub, source, write_documents};

/// A configuration over 200 small documents, with everything in one temporary directory.
struct Fixture {
    dir: TempDir,
    config: Config,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempdir().unwrap();
        let documents: Vec<_> = (0..200).map(|i| format!("The {i}th cat sat on mat {}.", i * i)).collect();
        write_documents(&dir.path().join("train.txt"), &documents);
        write_documents(&dir.path().join("valid.txt"), &["A held-out dog sat on the mat.", "Another one slept."]);
        let mut config = Config::default();
        config.data.source = vec![source(dir.path(), "train.txt")];
        config.data.valid_source = vec![source(dir.path(), "valid.txt")];
        config.data.cache_dir = source(dir.path(), "cache");
        config.model.vocab_size = 300;
        config.train.seq_len = 16;
        Self { dir, config }
    }

    fn prepare(&self) -> Result<Dataset, DataError> {
        prepare_from(&self.config, &no_hub(), &mut |_| {})
    }

    fn stored(&self, dataset: &Dataset) -> PathBuf {
        Path::new(&self.config.data.cache_dir).join(dataset.summary.content_hash())
    }
}

/// Hash of every file of a directory.
fn contents(directory: &Path) -> BTreeMap<String, Sha256Digest> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), Sha256Digest::of(&fs::read(&path).unwrap())))
        .collect()
}

fn all_text(dataset: &Dataset) -> String {
    let ids: Vec<_> = (0..dataset.train.len()).map(|at| dataset.train.token(at)).collect();
    dataset.tokenizer.decode(&ids)
}

#[test]
fn shards_hold_the_documents_with_eos_around_each() {
    let fixture = Fixture::new();
    let dataset = fixture.prepare().unwrap();
    let eos = dataset.tokenizer.eos();
    assert_eq!(dataset.train.token(0), eos);
    assert_eq!(dataset.train.documents(eos).count(), 200);
    assert_eq!(dataset.samples(2), ["The 0th cat sat on mat 0.", "The 1th cat sat on mat 1."]);
    let summary = &dataset.summary;
    assert_eq!(summary.corpus.train.documents, 200);
    assert_eq!(summary.corpus.train.bytes, all_text(&dataset).len() as u64);
    assert_eq!(summary.train.tokens, dataset.train.len() as u64 - 1);
    assert_eq!(summary.train.bytes_per_token, summary.corpus.train.bytes as f64 / summary.train.tokens as f64);
    assert_eq!(dataset.valid.documents(eos).count(), 2);
}

#[test]
fn a_byte_tokenizer_spends_a_token_a_byte() {
    let mut fixture = Fixture::new();
    fixture.config.tokenizer.kind = TokenizerKind::Byte;
    let summary = fixture.prepare().unwrap().summary;
    assert_eq!(summary.valid.tokens, summary.corpus.valid.bytes + summary.corpus.valid.documents);
}

#[test]
fn threads_do_not_change_a_byte() {
    let stored = |threads| {
        let fixture = Fixture::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let dataset = pool.install(|| fixture.prepare()).unwrap();
        contents(&fixture.stored(&dataset))
    };
    let one = stored(1);
    assert_eq!(one.keys().collect::<Vec<_>>(), ["summary.json", "tokenizer.json", "train.tokens", "valid.tokens"]);
    assert_eq!(stored(4), one);
}

#[test]
fn what_is_stored_is_found_again() {
    let fixture = Fixture::new();
    let first = fixture.prepare().unwrap();
    let directory = fixture.stored(&first);
    let written = |name: &str| fs::metadata(directory.join(name)).unwrap().modified().unwrap();
    let before = written("train.tokens");
    let second = fixture.prepare().unwrap();
    assert_eq!(written("train.tokens"), before, "the shard was written again");
    assert_eq!(second.summary, first.summary);
    assert_eq!(all_text(&second), all_text(&first));
}

#[test]
fn whatever_is_damaged_is_rebuilt() {
    let fixture = Fixture::new();
    let directory = fixture.stored(&fixture.prepare().unwrap());
    let whole = contents(&directory);
    for name in whole.keys() {
        let path = directory.join(name);
        let bytes = fs::read(&path).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        for damaged in [None, Some(&bytes[..bytes.len() / 2]), Some(&flipped)] {
            match damaged {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            fixture.prepare().unwrap();
            assert_eq!(contents(&directory), whole, "after damage to {name}");
        }
    }
}

#[test]
fn every_change_of_data_or_tokenizer_has_its_own_hash() {
    let hash = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = Fixture::new();
        change(&mut fixture);
        fixture.prepare().unwrap().summary.content_hash().to_owned()
    };
    let same = hash(&|_| {});
    assert_eq!(hash(&|_| {}), same, "wherever the files are");
    assert_eq!(hash(&|fixture| fixture.config.run.seed = 7), same, "seeds are compared on the same bytes");
    let hashes = [
        same,
        hash(&|fixture| fixture.config.tokenizer.kind = TokenizerKind::Byte),
        hash(&|fixture| fixture.config.tokenizer.alphabet = TokenizerAlphabet::Text),
        hash(&|fixture| fixture.config.model.vocab_size = 290),
        hash(&|fixture| fixture.config.data.max_bytes = 1000),
        hash(&|fixture| write_documents(&fixture.dir.path().join("valid.txt"), &["A quite different held-out text."])),
    ];
    assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len(), "{hashes:?}");
}

#[test]
fn the_tokenizer_is_trained_on_the_training_split_alone() {
    let mut fixture = Fixture::new();
    let first = fixture.prepare().unwrap();
    write_documents(&fixture.dir.path().join("valid.txt"), &["zyx zyx zyx zyx zyx zyx zyx"; 1]);
    let second = fixture.prepare().unwrap();
    assert_ne!(first.summary.content_hash(), second.summary.content_hash());
    assert_eq!(first.tokenizer.fingerprint(), second.tokenizer.fingerprint());
    fixture.config.data.max_bytes = 300;
    assert_ne!(fixture.prepare().unwrap().tokenizer.fingerprint(), first.tokenizer.fingerprint());
}

#[test]
fn a_given_tokenizer_is_used() {
    let mut fixture = Fixture::new();
    Tokenizer::byte().write_dir(fixture.dir.path(), 64).unwrap();
    fixture.config.tokenizer.path = source(fixture.dir.path(), "tokenizer.json");
    assert_eq!(fixture.prepare().unwrap().tokenizer.fingerprint(), Tokenizer::byte().fingerprint());
    fixture.config.model.vocab_size = 100;
    let error = fixture.prepare().unwrap_err();
    assert!(matches!(error, DataError::Vocabulary { vocab_size: 100, .. }), "{error}");
}

/// Of the held-out text, `A`, `g`, `r`, `l`, `u`, `p` and more are bytes that the training text lacks.
#[test]
fn an_alphabet_of_the_text_counts_the_bytes_that_it_lacks() {
    let mut fixture = Fixture::new();
    fixture.config.tokenizer.alphabet = TokenizerAlphabet::Text;
    fixture.config.model.vocab_size = 60;
    for _ in ["made", "found in the cache"] {
        let dataset = fixture.prepare().unwrap();
        let summary = &dataset.summary;
        assert_eq!((dataset.tokenizer.vocab_size(), summary.train.unknown_bytes), (60, 0));
        let (eos, valid) = (dataset.tokenizer.eos(), &dataset.valid);
        assert_eq!(valid.documents(eos).count(), 2);
        let text = "A held-out dog sat on the mat.Another one slept.";
        let (_, n_unknown) = dataset.tokenizer.unknown_in(text);
        assert!(n_unknown > 5);
        assert_eq!(summary.valid.unknown_bytes, n_unknown as u64);
        let known: usize = (0..valid.len()).map(|at| dataset.tokenizer.token_bytes(valid.token(at))).sum();
        assert_eq!(known + n_unknown, text.len());
    }
    // given with its text, it is the same
    let dataset = fixture.prepare().unwrap();
    dataset.tokenizer.write_dir(fixture.dir.path(), 64).unwrap();
    fixture.config.tokenizer.path = source(fixture.dir.path(), "tokenizer.json");
    assert_eq!(fixture.prepare().unwrap().summary.valid, dataset.summary.valid);

    fixture.config.tokenizer.path.clear();
    fixture.config.model.vocab_size = 20;
    let error = fixture.prepare().unwrap_err();
    assert!(matches!(error, DataError::Tokenizer(TokenizerError::VocabSize { min, .. }) if min > 20), "{error}");
}

#[test]
fn a_split_shorter_than_a_sequence_is_refused() {
    let mut fixture = Fixture::new();
    fixture.config.tokenizer.kind = TokenizerKind::Byte;
    let longest = fixture.prepare().unwrap().valid.len() - 1;
    fixture.config.train.seq_len = longest;
    fixture.prepare().unwrap();
    fixture.config.train.seq_len = longest + 1;
    let error = fixture.prepare().unwrap_err();
    assert!(matches!(error, DataError::TooShort { split: "validation", .. }), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let mut fixture = Fixture::new();
    fixture.config.data.cache_dir = source(fixture.dir.path(), "train.txt/cache");
    let error = fixture.prepare().unwrap_err();
    let DataError::Cache { directory, source } = &error else { panic!("{error}") };
    assert!(directory.starts_with(&fixture.config.data.cache_dir), "{error}");
    assert!(matches!(**source, DataError::Io(FileError { action: "create", .. })), "{source}");
}

#[test]
fn who_watches_sees_the_vocabulary_grow() {
    let fixture = Fixture::new();
    let mut seen = vec![];
    prepare_from(&fixture.config, &no_hub(), &mut |progress| seen.push(progress)).unwrap();
    for expected in [
        Progress::Vocabulary { entries: 258, of: 300 },
        Progress::Vocabulary { entries: 300, of: 300 },
        Progress::Tokenising { documents: 0, of: 200 },
        Progress::Tokenising { documents: 0, of: 2 },
    ] {
        assert!(seen.contains(&expected), "{expected:?} in {seen:?}");
    }
}

/// A run names its data by this hash, so that it stays as it was in the first release.
#[test]
fn the_content_hash_is_that_of_earlier_releases() {
    let mut fixture = Fixture::new();
    fixture.config.tokenizer.kind = TokenizerKind::Byte;
    assert_eq!(
        fixture.prepare().unwrap().summary.content_hash(),
        "67a2a895fe5ceb220a9a3de59c2c35ab5365e79ff139565e642ed7cad2784d2d"
    );
}
