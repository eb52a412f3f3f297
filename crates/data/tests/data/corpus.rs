//! What is held out, what is dropped, what is capped.

use std::{collections::HashSet, fs};

use itera_data::{Corpus, DataError, Progress, load_corpus_from};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::support::{load, no_hub, reading, source, texts, write_documents};

fn load_documents(documents: &[impl AsRef<str>], valid_fraction: f64) -> Result<Corpus, DataError> {
    let dir = tempdir().unwrap();
    write_documents(&dir.path().join("a.txt"), documents);
    let mut config = reading(&[source(dir.path(), "a.txt")]);
    config.valid_fraction = valid_fraction;
    load(&config)
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("document {i}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_held_out_document_and_no_copy_of_it_is_learnt_from(
        picks in prop::collection::vec(0usize..30, 2..200),
        fraction in 0.0f64..0.9,
    ) {
        prop_assume!(picks.iter().collect::<HashSet<_>>().len() > 3);
        let documents: Vec<_> = picks.iter().map(|i| format!("document {i}")).collect();
        let corpus = match load_documents(&documents, fraction) {
            Err(DataError::NoTraining { .. }) => return Err(TestCaseError::reject("everything was held out")),
            corpus => corpus.unwrap(),
        };
        let train: HashSet<_> = texts(&corpus.train).into_iter().collect();
        let valid: HashSet<_> = texts(&corpus.valid).into_iter().collect();
        prop_assert!(train.is_disjoint(&valid));
        prop_assert!(!valid.is_empty());
        prop_assert_eq!(train.len(), corpus.train.len(), "copies within the training split");
        let kept = (train.len() + valid.len()) as u64;
        prop_assert_eq!(kept + corpus.summary.duplicates_dropped, documents.len() as u64);
    }
}

#[test]
fn what_is_held_out_depends_on_content_alone() {
    let documents = numbered(400);
    let held_out = |documents: &[String]| -> HashSet<String> {
        load_documents(documents, 0.1).unwrap().valid.iter().map(|document| document.text().into()).collect()
    };
    let first = held_out(&documents);
    assert!((20..80).contains(&first.len()), "about a tenth of 400, got {}", first.len());
    let reversed: Vec<_> = documents.iter().rev().cloned().collect();
    assert_eq!(held_out(&reversed), first, "after reordering");
    assert!(held_out(&numbered(500)).is_superset(&first), "after adding documents");
}

#[test]
fn the_seed_chooses_other_documents() {
    let dir = tempdir().unwrap();
    write_documents(&dir.path().join("a.txt"), &numbered(400));
    let config = reading(&[source(dir.path(), "a.txt")]);
    let valid = |seed| texts(&load_corpus_from(&config, seed, &no_hub(), &mut |_| {}).unwrap().valid).join(",");
    assert_eq!(valid(1), valid(1));
    assert_ne!(valid(1), valid(2));
}

#[test]
fn a_corpus_of_two_holds_one_out() {
    let corpus = load_documents(&["one", "two"], 1e-9).unwrap();
    assert_eq!((corpus.train.len(), corpus.valid.len()), (1, 1));
}

#[test]
fn a_corpus_of_one_document_can_hold_nothing_out() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "one long text\n\nof two paragraphs\n").unwrap();
    let mut config = reading(&[source(dir.path(), "a.txt")]);
    assert!(matches!(load(&config).unwrap_err(), DataError::NothingHeldOut { copies: 0, holds_separator: false }));
    for separator in ["", "\n\n"] {
        config.separator = separator.into();
        assert_eq!(load(&config).unwrap().train.len(), 1, "{separator:?}");
    }
}

#[test]
fn a_separator_within_lines_is_told_from_none() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "one<|endoftext|>two<|endoftext|>\nthree<|endoftext|>").unwrap();
    let error = load(&reading(&[source(dir.path(), "a.txt")])).unwrap_err();
    assert!(matches!(error, DataError::NothingHeldOut { copies: 0, holds_separator: true }), "{error}");
}

#[test]
fn copies_are_named_where_they_leave_nothing() {
    let none_held_out = load_documents(&["the same"; 50], 1e-9).unwrap_err();
    assert!(matches!(none_held_out, DataError::NothingHeldOut { copies: 49, .. }), "{none_held_out}");
    let all_held_out = load_documents(&["the same"; 50], 1.0 - 1e-9).unwrap_err();
    let counts = DataError::NoTraining { documents: 50, copies: 49, blank: 0, held_out: 1, max_bytes: 0 };
    assert_eq!(all_held_out.to_string(), counts.to_string());
}

#[test]
fn who_watches_sees_documents_being_read() {
    let dir = tempdir().unwrap();
    let documents = numbered(2500);
    write_documents(&dir.path().join("a.txt"), &documents);
    let mut seen = vec![];
    let config = reading(&[source(dir.path(), "a.txt")]);
    load_corpus_from(&config, 0, &no_hub(), &mut |progress| seen.push(progress)).unwrap();
    let bytes = |count: usize| documents[..count].iter().map(|text| text.len() as u64).sum();
    let expected = [1024, 2048].map(|count| Progress::Reading { documents: count as u64, bytes: bytes(count) });
    assert_eq!(seen, expected);
}

/// `valid_source = F` in training and `eval --data F` afterwards score the same documents.
#[test]
fn what_is_scored_is_what_is_held_out() {
    let dir = tempdir().unwrap();
    write_documents(&dir.path().join("train.txt"), &["a", "b", "held"]);
    write_documents(&dir.path().join("valid.txt"), &["held", " ", "held", "other", "", "a"]);
    let mut config = reading(&[source(dir.path(), "train.txt")]);
    config.valid_source = vec![source(dir.path(), "valid.txt")];
    let trained = load(&config).unwrap();
    let scored = itera_data::load_documents(&config.valid_source, &config).unwrap();
    assert_eq!(texts(&scored.valid), ["held", "other", "a"]);
    assert_eq!(scored.valid, trained.valid);
    assert_eq!(scored.summary.valid, trained.summary.valid);
    assert_eq!((scored.summary.blank_dropped, scored.summary.duplicates_dropped), (2, 1));

    fs::write(dir.path().join("blank.jsonl"), "{\"text\": null}\n{\"text\": \" \"}\n").unwrap();
    let error = itera_data::load_documents(&[source(dir.path(), "blank.jsonl")], &config).unwrap_err();
    assert!(matches!(error, DataError::NoDocuments { blank: 2 }), "{error}");
}

#[test]
fn copies_are_dropped_within_and_across_splits() {
    let dir = tempdir().unwrap();
    write_documents(&dir.path().join("train.txt"), &["a", "b", "a", "held", " ", "b"]);
    write_documents(&dir.path().join("valid.txt"), &["held", "held", "other"]);
    let mut config = reading(&[source(dir.path(), "train.txt")]);
    config.valid_source = vec![source(dir.path(), "valid.txt")];
    let corpus = load(&config).unwrap();
    assert_eq!(texts(&corpus.train), ["a", "b"]);
    assert_eq!(texts(&corpus.valid), ["held", "other"]);
    let summary = &corpus.summary;
    assert_eq!((summary.duplicates_dropped, summary.shared_dropped, summary.blank_dropped), (3, 1, 1));
    assert_eq!((summary.train.documents, summary.train.bytes), (2, 2));
    assert_eq!(summary.valid.bytes, 9);

    config.valid_source = config.source.clone();
    assert!(matches!(load(&config).unwrap_err(), DataError::NoTraining { .. }), "held out what is learnt from");
}

#[test]
fn extra_text_is_trained_on_and_never_held_out_or_capped() {
    let dir = tempdir().unwrap();
    let documents: Vec<String> = (0..200).map(|i| format!("document {i}")).collect();
    let extra: Vec<String> = (150..400).map(|i| format!("document {i}")).collect();
    let write = |name: &str, texts: &[String]| {
        write_documents(&dir.path().join(name), &texts.iter().map(String::as_str).collect::<Vec<_>>());
    };
    write("a.txt", &documents);
    write("b.txt", &extra);
    let mut config = reading(&[source(dir.path(), "a.txt")]);
    config.valid_fraction = 0.3;
    let alone = load(&config).unwrap();
    config.extra_source = vec![source(dir.path(), "b.txt")];
    let both = load(&config).unwrap();
    assert_eq!(both.valid, alone.valid);
    assert_eq!(both.train[..alone.train.len()], alone.train);
    assert_eq!(texts(&both.train[alone.train.len()..]), extra[50..], "copies of either split are dropped");

    config.max_bytes = 1000;
    let capped = load(&config).unwrap();
    let from_extra = |corpus: &Corpus| {
        corpus.train.iter().filter(|document| extra[50..].contains(&document.text().to_owned())).count()
    };
    assert!(capped.summary.is_capped);
    assert_eq!(from_extra(&capped), 200);
}

#[test]
fn training_text_is_capped_before_the_document_that_does_not_fit() {
    let dir = tempdir().unwrap();
    write_documents(&dir.path().join("a.txt"), &["aaaa", "bbbb", "cccc", "d"]);
    write_documents(&dir.path().join("v.txt"), &["a held-out document counts nothing"]);
    let mut config = reading(&[source(dir.path(), "a.txt")]);
    config.valid_source = vec![source(dir.path(), "v.txt")];
    for (max_bytes, kept) in [(0, 4), (4, 1), (7, 1), (8, 2), (9, 2), (13, 4), (100, 4)] {
        config.max_bytes = max_bytes;
        let corpus = load(&config).unwrap();
        assert_eq!(corpus.train.len(), kept, "{max_bytes} bytes");
        assert_eq!(corpus.summary.is_capped, kept < 4);
    }
    config.max_bytes = 3;
    assert!(matches!(load(&config).unwrap_err(), DataError::NoTraining { max_bytes: 3, .. }));
}

#[test]
fn builtin_stories_know_their_floor_and_keep_their_held_out_stories() {
    let mut config = reading(&["builtin:stories"]);
    config.valid_fraction = 0.1;
    let mut held_out = None;
    for builtin_bytes in [20_000, 60_000] {
        config.builtin_bytes = builtin_bytes;
        let corpus = load(&config).unwrap();
        assert!((builtin_bytes..builtin_bytes + 5000).contains(&corpus.summary.train.bytes));
        assert!(corpus.summary.valid.bytes >= builtin_bytes / 10);
        let valid = &corpus.valid;
        let nats: f64 = valid.iter().map(|document| document.nats().unwrap()).sum();
        let bytes: usize = valid.iter().map(|document| document.text().len()).sum();
        let floor = corpus.summary.valid.floor_bpb.unwrap();
        assert!((floor - nats / 2f64.ln() / bytes as f64).abs() < 1e-12);
        let first = valid[0].text().to_owned();
        assert_eq!(*held_out.get_or_insert(first.clone()), first, "more training text, same held-out stories");
    }
}

#[test]
fn texts_of_unknown_authors_have_no_floor() {
    let corpus = load_documents(&numbered(10), 0.2).unwrap();
    assert_eq!(corpus.summary.train.floor_bpb, None);
}

#[test]
fn an_unknown_source_is_named() {
    for item in ["builtin:tales", "hub:a/b/c", "hub:", "[", "nowhere.txt"] {
        let error = load(&reading(&[item])).unwrap_err();
        assert!(error.to_string().contains(item), "{item}: {error}");
        #[cfg(feature = "hub")]
        assert!(matches!(error, DataError::Source { .. } | DataError::NoMatch { .. }), "{item}: {error}");
    }
}
