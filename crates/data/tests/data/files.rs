//! Files of each kind, whole and broken.

use std::fs;

use itera_data::DataError;
use parquet::basic::Compression;
use tempfile::tempdir;

use crate::support::{all_texts, load, reading, source, texts, write_documents, write_parquet};

/// The error that a single file of these bytes leads to.
fn error_of(name: &str, bytes: &[u8]) -> DataError {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    load(&reading(&[source(dir.path(), name)])).unwrap_err()
}

#[test]
fn text_jsonl_and_parquet_hold_the_same_documents() {
    let dir = tempdir().unwrap();
    let documents = ["one", "two\nlines", "three 🎩", "four"];
    write_documents(&dir.path().join("a.txt"), &documents);
    let lines = documents.map(|text| serde_json::json!({"id": 1, "text": text}).to_string());
    fs::write(dir.path().join("b.jsonl"), lines.join("\n\n")).unwrap();
    write_parquet(&dir.path().join("c.parquet"), &documents.map(Some), Compression::SNAPPY, 3);
    for name in ["a.txt", "b.jsonl", "c.parquet"] {
        let corpus = load(&reading(&[source(dir.path(), name)])).unwrap();
        assert_eq!(all_texts(&corpus), ["four", "one", "three 🎩", "two\nlines"], "{name}");
    }
}

#[test]
fn line_endings_do_not_hide_separators() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "\u{feff}one\r\n<|endoftext|>\r\ntwo\r\n<|endoftext|>\r\n").unwrap();
    let corpus = load(&reading(&[source(dir.path(), "a.txt")])).unwrap();
    assert_eq!(all_texts(&corpus), ["one", "two"], "and the byte order mark is not part of the text");
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_their_offset() {
    let error = error_of("a.txt", b"good line\nbad \xff byte\n");
    assert!(matches!(error, DataError::NotUtf8 { offset: 14, .. }), "{error}");
    assert!(error.to_string().contains("a.txt"), "{error}");
    assert!(matches!(error_of("a.jsonl", b"\n{\"text\": \"\xc3\"}"), DataError::NotUtf8 { offset: 11, .. }));
    let error = error_of("a.txt", b"\xff\xfeh\0i\0").to_string();
    assert!(error.contains("byte 0 ") && error.contains("UTF-16"), "{error}");
}

#[test]
fn files_without_text_are_refused() {
    for bytes in [&b""[..], b"\n \n", b"\xef\xbb\xbf"] {
        assert!(matches!(error_of("a.txt", bytes), DataError::Empty { .. }), "{bytes:?}");
    }
    assert!(matches!(error_of("a.jsonl", b"\n"), DataError::Empty { .. }));
}

#[test]
fn a_bad_record_is_named_by_its_line() {
    let cases = [
        ("{\"text\": 3}", "field `text` is not a string"),
        ("{\"body\": \"x\"}", "no field `text` among `body`"),
        ("[]", "not a JSON object"),
        ("{\"text\": \"x\"", "not JSON"),
    ];
    for (line, problem) in cases {
        let error = error_of("a.jsonl", format!("{{\"text\": \"fine\"}}\n\n{line}\n").as_bytes()).to_string();
        assert!(error.contains("line 3") && error.contains(problem), "{error}");
    }
}

#[test]
fn other_kinds_of_files_are_refused() {
    assert!(matches!(error_of("a.csv", b"x"), DataError::FileKind { .. }));
    let dir = tempdir().unwrap();
    let error = load(&reading(&[dir.path().display()])).unwrap_err();
    assert!(matches!(error, DataError::FileKind { .. }), "a directory: {error}");
}

#[test]
fn globs_are_sorted_and_must_match() {
    let dir = tempdir().unwrap();
    for name in ["b.txt", "a.txt", "[c].txt"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    fs::create_dir(dir.path().join("d.txt")).unwrap();
    let mut config = reading(&[source(dir.path(), "?.txt")]);
    config.valid_source = vec![source(dir.path(), "[c].txt")];
    let corpus = load(&config).unwrap();
    assert_eq!(texts(&corpus.train), ["a.txt", "b.txt"]);
    assert_eq!(texts(&corpus.valid), ["[c].txt"], "a path that exists is taken literally");
    let error = load(&reading(&[source(dir.path(), "*.jsonl")])).unwrap_err();
    assert!(error.to_string().contains("*.jsonl"), "{error}");
    assert!(matches!(error, DataError::NoMatch { .. }));
}

#[test]
fn parquet_survives_every_codec_null_and_batch_boundary() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let texts: Vec<String> = (0..2500).map(|i| format!("document {i}")).collect();
    let rows: Vec<_> = texts.iter().enumerate().map(|(i, text)| (i % 7 != 3).then_some(text.as_str())).collect();
    let mut expected: Vec<_> = rows.iter().copied().flatten().collect();
    expected.sort_unstable();
    let codecs = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::LZ4_RAW,
        #[cfg(feature = "hub")]
        Compression::ZSTD(Default::default()),
    ];
    for codec in codecs {
        write_parquet(&path, &rows, codec, 1500);
        let corpus = load(&reading(&[path.display()])).unwrap();
        assert_eq!(all_texts(&corpus), expected, "{codec:?}");
        assert_eq!(corpus.summary.blank_dropped, 2500 - expected.len() as u64, "a null is a blank document");
    }
}

#[test]
fn parquet_without_the_column_lists_those_it_has() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_parquet(&path, &[Some("x")], Compression::SNAPPY, 1);
    let mut config = reading(&[path.display()]);
    config.text_field = "story".into();
    let error = load(&config).unwrap_err().to_string();
    assert!(error.contains("`story`") && error.contains("id, text"), "{error}");
}

#[test]
fn a_bad_row_is_named_by_its_number() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_parquet(&path, &[Some(&b"fine"[..]), None, None, Some(b"\xff")], Compression::SNAPPY, 3);
    let error = load(&reading(&[path.display()])).unwrap_err().to_string();
    assert!(error.contains("row 4") && error.contains("UTF-8"), "{error}");
    write_parquet(&path, &[Some(&b"fine"[..]), None, Some(b"\xff"), None], Compression::SNAPPY, 4);
    let error = load(&reading(&[path.display()])).unwrap_err().to_string();
    assert!(error.contains("row 3"), "{error}");
}

#[test]
fn a_parquet_file_that_breaks_off_is_refused() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_parquet(&path, &[Some("x"), Some("y")], Compression::SNAPPY, 2);
    let whole = fs::read(&path).unwrap();
    for length in [0, 3, whole.len() / 2, whole.len() - 1] {
        let error = error_of("b.parquet", &whole[..length]);
        assert!(matches!(error, DataError::Parquet { .. }), "{length} bytes: {error}");
    }
}

#[test]
fn rows_of_wikitext_are_joined_into_articles() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let rows = ["", " = Lobster = \n", "", " It lives . \n", " = = Food = = \n", " = Crab = \n", " It too . \n"];
    write_parquet(&path, &rows.map(Some), Compression::SNAPPY, 2);
    let corpus = load(&reading(&[path.display()])).unwrap();
    assert_eq!(all_texts(&corpus), [" = Crab = \n It too . ", " = Lobster = \n It lives . \n = = Food = = "]);
}
