//! Files of each kind, whole and broken.

use std::{fs, io::Write};

use itera_data::{DataError, Place, RecordFault};
use itera_files::FileError;
use parquet::basic::Compression;
use tempfile::tempdir;

use crate::support::{all_texts, load, reading, source, write_documents, write_parquet};

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
    fs::write(dir.path().join("b.txt"), "one\rmore\r<|endoftext|>\rtwo\r").unwrap();
    let corpus = load(&reading(&[source(dir.path(), "b.txt")])).unwrap();
    assert_eq!(all_texts(&corpus), ["one\rmore", "two"], "bare CR");
}

#[test]
fn a_document_may_be_a_line() {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join("a.txt"), "one\ntwo\r\n\nthree\rfour").unwrap();
    let mut config = reading(&[source(dir.path(), "a.txt")]);
    config.separator = "\n".into();
    let corpus = load(&config).unwrap();
    assert_eq!(all_texts(&corpus), ["four", "one", "three", "two"]);
    assert_eq!(corpus.summary.blank_dropped, 1);
    config.separator = "one\ntwo".into();
    assert!(matches!(load(&config).unwrap_err(), DataError::Separator { .. }));
}

#[test]
fn compressed_files_are_read_whatever_their_name() {
    let dir = tempdir().unwrap();
    let text = "one\n<|endoftext|>\ntwo\n<|endoftext|>\nthree\n";
    let lines = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n";
    let (first, second) = text.split_at(9);
    for (name, bytes) in [
        ("a.txt.gz", gzip(text)),
        ("two-members.txt.gz", [gzip(first), gzip(second)].concat()),
        ("a.jsonl", gzip(lines)),
        ("a.jsonl.zst", zstd(lines)),
        ("two-frames.txt.zst", [zstd(first), zstd(second)].concat()),
        ("unpacked.txt.gz", text.into()),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
        let corpus = load(&reading(&[source(dir.path(), name)])).unwrap();
        assert_eq!(all_texts(&corpus), ["one", "three", "two"], "{name}");
    }
    for (name, whole) in [("a.txt.gz", gzip(text)), ("a.txt.zst", zstd(text))] {
        let error = error_of(name, &whole[..whole.len() - 3]);
        assert!(matches!(error, DataError::Io(FileError { action: "decompress", .. })), "{name}, cut: {error}");
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zstd(text: &str) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn what_is_no_text_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2203239\n";
    for name in ["a.txt", "a.jsonl", "a.csv", "a.json", "a.parquet"] {
        assert!(matches!(error_of(name, pointer), DataError::LfsPointer { .. }), "{name}");
    }
    let dir = tempdir().unwrap();
    let parquet = dir.path().join("b.parquet");
    write_parquet(&parquet, &[Some("x")], Compression::SNAPPY, 1);
    for (bytes, named) in
        [(&b"PK\x03\x04\x14\0"[..], "zip"), (b"\xfd7zXZ\0\0\x04", "xz"), (&fs::read(&parquet).unwrap(), "parquet")]
    {
        let error = error_of("a.txt", bytes);
        assert!(matches!(error, DataError::Foreign { what, .. } if what.contains(named)), "{error}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_named_by_their_offset() {
    let error = error_of("a.txt", b"good line\nbad \xff byte\n");
    assert!(matches!(error, DataError::NotUtf8 { offset: 14, is_utf16: false, .. }), "{error}");
    assert!(error.to_string().contains("a.txt"), "{error}");
    let error = error_of("a.txt", b"\xef\xbb\xbfone\rt\xffo");
    assert!(matches!(error, DataError::NotUtf8 { offset: 8, .. }), "behind a byte order mark and a bare CR: {error}");
    assert!(matches!(error_of("a.txt", b"\xff\xfeh\0i\0"), DataError::NotUtf8 { offset: 0, is_utf16: true, .. }));
}

#[test]
fn files_without_text_are_refused() {
    for bytes in [&b""[..], b"\n \n", b"\xef\xbb\xbf"] {
        assert!(matches!(error_of("a.txt", bytes), DataError::Empty { .. }), "{bytes:?}");
    }
    assert!(matches!(error_of("a.jsonl", b"\n"), DataError::Empty { .. }));
}

#[test]
fn other_kinds_of_files_are_refused() {
    for name in ["a.md", "a.parquet.gz", "a.tar.gz", "txt"] {
        assert!(matches!(error_of(name, b"x"), DataError::FileKind { .. }), "{name}");
    }
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
    let error = load(&config).unwrap_err();
    assert!(matches!(&error, DataError::NoColumn { present, .. } if present == &["id", "text"]), "{error}");
}

#[test]
fn a_bad_row_is_named_by_its_number() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    write_parquet(&path, &[Some(&b"fine"[..]), None, None, Some(b"\xff")], Compression::SNAPPY, 3);
    let error = load(&reading(&[path.display()])).unwrap_err();
    assert!(matches!(error, DataError::Record { place: Place::Row(4), fault: RecordFault::NotUtf8, .. }), "{error}");
    write_parquet(&path, &[Some(&b"fine"[..]), None, Some(b"\xff"), None], Compression::SNAPPY, 4);
    let mut config = reading(&[path.display()]);
    assert!(matches!(load(&config).unwrap_err(), DataError::Record { place: Place::Row(3), .. }));
    write_parquet(&path, &[Some(&b"fine"[..]), Some(b"\xff"), Some(b"too")], Compression::SNAPPY, 2);
    config.skip_bad_records = true;
    let corpus = load(&config).unwrap();
    assert_eq!((all_texts(&corpus), corpus.summary.bad_records_skipped), (vec!["fine", "too"], 1));
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
