//! Records of JSON and CSV: which field holds the text, and what is no record.

use std::fs;

use itera_config::DataConfig;
use itera_data::{Corpus, DataError, Place, RecordFault};
use tempfile::tempdir;

use crate::support::{all_texts, load, reading, source};

/// What is loaded of a single file, its settings changed.
fn load_file(name: &str, content: impl AsRef<[u8]>, change: impl Fn(&mut DataConfig)) -> Result<Corpus, DataError> {
    let dir = tempdir().unwrap();
    fs::write(dir.path().join(name), content).unwrap();
    let mut config = reading(&[source(dir.path(), name)]);
    change(&mut config);
    load(&config)
}

#[test]
fn json_and_csv_hold_the_same_documents() {
    for (name, content) in [
        ("a.json", r#"[{"text": "one"}, {"text": "two\nlines"} ,{"text": "a, \"b\""}]"#),
        ("a.json", "\u{feff}{\"text\": \"one\"}\n{\"text\": \"two\\nlines\"} {\"text\": \"a, \\\"b\\\"\"}\n"),
        (
            "a.json",
            "[\n  {\n    \"text\": \"one\"\n  },\n  {\"text\": \"two\\nlines\"},\n {\"text\": \"a, \\\"b\\\"\"}\n]\n",
        ),
        ("a.ndjson", "{\"text\": \"one\"}\r{\"text\": \"two\\nlines\"}\r{\"text\": \"a, \\\"b\\\"\"}"),
        ("a.csv", "\u{feff}id,text\n1,one\n2,\"two\nlines\"\n3,\"a, \"\"b\"\"\"\n"),
        ("A.CSV", "text\r\none\r\n\"two\nlines\"\r\n\"a, \"\"b\"\"\"\r\n"),
    ] {
        let corpus = load_file(name, content, |_| {}).unwrap();
        assert_eq!(all_texts(&corpus), ["a, \"b\"", "one", "two\nlines"], "{content}");
    }
    for (name, content) in [("a.json", "[]"), ("a.json", " \n"), ("a.csv", ""), ("a.csv", "text\n"), ("a.jsonl", "\n")]
    {
        let error = load_file(name, content, |_| {}).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{name} {content:?}: {error}");
    }
}

#[test]
fn a_null_is_a_blank_document() {
    let lines = "{\"text\": \"one\"}\n{\"text\": null}\n{\"text\": \"two\"}\n";
    let corpus = load_file("a.jsonl", lines, |_| {}).unwrap();
    assert_eq!((all_texts(&corpus), corpus.summary.blank_dropped), (vec!["one", "two"], 1));
}

#[test]
fn a_dotted_field_lies_within_another() {
    let lines = r#"{"text": "x", "meta": {"a": {"text": "one"}}}
        {"meta": {"a": {"text": "two"}}}
        {"meta.a.text": "three"}
        {"meta": {"a.text": "four"}}"#;
    let corpus = load_file("a.jsonl", lines, |config| config.text_field = "meta.a.text".into()).unwrap();
    assert_eq!(all_texts(&corpus), ["four", "one", "three", "two"]);
    let error = load_file("a.jsonl", "{\"meta\": 3}", |config| config.text_field = "meta.text".into()).unwrap_err();
    let DataError::Record { fault: RecordFault::NoField { field, present }, .. } = &error else { panic!("{error}") };
    assert_eq!((&field[..], &present[..]), ("meta.text", &["meta".to_owned()][..]));
}

/// Lines, and what is wrong with them.
type Fault = fn(&RecordFault) -> bool;
const BAD: [(&[u8], Fault); 6] = [
    (b"{\"text\": 3}", |fault| matches!(fault, RecordFault::NotText { .. })),
    (b"{\"body\": \"x\"}", |fault| matches!(fault, RecordFault::NoField { .. })),
    (b"[]", |fault| matches!(fault, RecordFault::NotAnObject)),
    (b"{\"text\": \"x\"", |fault| matches!(fault, RecordFault::Json(error) if error.is_eof())),
    (b"{\"text\": \"x\"} y", |fault| matches!(fault, RecordFault::Json(_))),
    (b"{\"text\": \"\xc3\"}", |fault| matches!(fault, RecordFault::NotUtf8)),
];

#[test]
fn a_bad_record_is_named_by_its_line_and_its_fault() {
    for (line, is_fault) in BAD {
        let content = [b"{\"text\": \"fine\"}\n\n", line, b"\n{\"text\": \"too\"}\n"].concat();
        let error = load_file("a.jsonl", &content, |_| {}).unwrap_err();
        let DataError::Record { place, fault, path } = &error else { panic!("{error}") };
        assert_eq!((*place, path.file_name()), (Place::Line(3), Some("a.jsonl".as_ref())));
        assert!(is_fault(fault), "{fault}");
        assert!(!error.to_string().contains(&fault.to_string()), "the cause is told once: {error}");

        let corpus = load_file("a.jsonl", &content, |config| config.skip_bad_records = true).unwrap();
        assert_eq!((all_texts(&corpus), corpus.summary.bad_records_skipped), (vec!["fine", "too"], 1));
    }
}

#[test]
fn bad_records_of_other_files_are_skipped_too() {
    for (name, content, place) in [
        ("a.csv", "id,text\n1,fine\n2\n3,too\n", Place::Line(3)),
        ("a.json", "[{\"text\": \"fine\"}, {\"text\": 3}, {\"text\": \"too\"}]", Place::Record(2)),
    ] {
        let error = load_file(name, content, |_| {}).unwrap_err();
        assert!(matches!(error, DataError::Record { place: found, .. } if found == place), "{error}");
        let corpus = load_file(name, content, |config| config.skip_bad_records = true).unwrap();
        assert_eq!((all_texts(&corpus), corpus.summary.bad_records_skipped), (vec!["fine", "too"], 1));
    }
}

/// No record that is skipped takes those behind it along.
#[test]
fn json_that_breaks_off_is_an_error_even_if_records_may_be_bad() {
    for content in [
        "[{\"text\": \"a\"}, {\"text\": \"b\"},",
        "[{\"text\": \"a\"}, {\"te",
        "[{\"text\": \"a\"}",
        "{\"text\": \"a\"} y",
    ] {
        let error = load_file("a.json", content, |config| config.skip_bad_records = true).unwrap_err();
        assert!(matches!(error, DataError::Json { record: 2 | 3, .. }), "{content}: {error}");
    }
}

#[test]
fn a_table_without_the_column_lists_those_it_has() {
    let error = load_file("a.csv", "id,story\n1,x\n", |_| {}).unwrap_err();
    assert!(matches!(&error, DataError::NoColumn { present, .. } if present == &["id", "story"]), "{error}");
    assert!(error.to_string().contains("`text`") && error.to_string().contains("id, story"), "{error}");
}
