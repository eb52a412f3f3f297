//! Which files a path, a glob or a directory means.

use std::{fs, path::Path};

use itera_data::DataError;
use tempfile::{TempDir, tempdir};

use crate::support::{all_texts, load, reading, source, texts};

/// Files with their own names as text.
fn directory_of(names: &[&str]) -> TempDir {
    let dir = tempdir().unwrap();
    for name in names {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    dir
}

fn all_of(dir: &Path, item: &str) -> Vec<String> {
    let corpus = load(&reading(&[source(dir, item)])).unwrap();
    all_texts(&corpus).into_iter().map(String::from).collect()
}

#[test]
fn globs_are_sorted_and_must_match() {
    let dir = directory_of(&["b.txt", "a.txt", "[c].txt"]);
    fs::create_dir(dir.path().join("d.txt")).unwrap();
    let mut config = reading(&[source(dir.path(), "?.txt")]);
    config.valid_source = vec![source(dir.path(), "[c].txt")];
    let corpus = load(&config).unwrap();
    assert_eq!(texts(&corpus.train), ["a.txt", "b.txt"]);
    assert_eq!(texts(&corpus.valid), ["[c].txt"], "a path that exists is taken literally");
    let error = load(&reading(&[source(dir.path(), "*.jsonl")])).unwrap_err();
    assert!(matches!(&error, DataError::NoMatch { pattern, .. } if pattern.ends_with("*.jsonl")), "{error}");
}

#[test]
fn globs_reach_into_directories() {
    let dir = directory_of(&["a.txt", "x/b.txt", "x/y/c.txt", "z/c.txt", "z/.h/c.txt"]);
    assert_eq!(all_of(dir.path(), "*/*.txt"), ["x/b.txt", "z/c.txt"]);
    assert_eq!(all_of(dir.path(), "**/c.txt"), ["x/y/c.txt", "z/c.txt"]);
    assert_eq!(all_of(dir.path(), "**/*.txt"), ["a.txt", "x/b.txt", "x/y/c.txt", "z/c.txt"]);
    assert_eq!(all_of(dir.path(), "x/../z/../*/[bc].txt"), ["x/b.txt", "z/c.txt"]);
}

#[test]
fn a_directory_is_all_files_in_it_and_below() {
    let dir = directory_of(&["b.txt", "a/1.txt", "a/deep/2.txt", "README.md", "a/3.bin", ".git/x.txt", "_tmp/y.txt"]);
    assert_eq!(all_of(dir.path(), ""), ["a/1.txt", "a/deep/2.txt", "b.txt"]);
    let mut config = reading(&[dir.path().display()]);
    config.valid_source = vec![source(dir.path(), "a/deep")];
    assert_eq!(texts(&load(&config).unwrap().train), ["a/1.txt", "b.txt"], "in the order of their paths");

    let none = directory_of(&["README.md", ".a.txt"]);
    let error = load(&reading(&[none.path().display()])).unwrap_err();
    assert!(matches!(error, DataError::NothingToRead { others: 1, .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_never_in_circles() {
    use std::os::unix::fs::symlink;
    let dir = directory_of(&["a/1.txt", "elsewhere/2.txt"]);
    symlink("..", dir.path().join("a/up")).unwrap();
    symlink("../elsewhere", dir.path().join("a/link")).unwrap();
    let corpus = load(&reading(&[source(dir.path(), "a")])).unwrap();
    assert_eq!(all_texts(&corpus), ["a/1.txt", "elsewhere/2.txt"]);
    assert_eq!(corpus.summary.duplicates_dropped, 1, "by `link`, and by `up`, which leads to no second `a`");
}

#[test]
fn hidden_files_are_left_out_unless_named() {
    let dir = directory_of(&["a.txt", "b.txt", "._a.txt", "_SUCCESS", ".hidden.txt", "_part.txt"]);
    assert_eq!(all_of(dir.path(), "*"), ["a.txt", "b.txt"]);
    assert_eq!(all_of(dir.path(), ".*.txt"), ["._a.txt", ".hidden.txt"]);
    let mut config = reading(&[source(dir.path(), "_*.txt")]);
    config.valid_source = vec![source(dir.path(), ".hidden.txt")];
    let corpus = load(&config).unwrap();
    assert_eq!((texts(&corpus.train), texts(&corpus.valid)), (vec!["_part.txt"], vec![".hidden.txt"]));
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_read() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let dir = directory_of(&["a.txt"]);
    fs::write(dir.path().join(OsStr::from_bytes(b"caf\xe9.txt")), "latin").unwrap();
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"d\xe9"))).unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"d\xe9/b.txt")), "below").unwrap();
    assert_eq!(all_of(dir.path(), "*.txt"), ["a.txt", "latin"]);
    assert_eq!(all_of(dir.path(), "**/*.txt"), ["a.txt", "below", "latin"]);
    assert_eq!(all_of(dir.path(), ""), ["a.txt", "below", "latin"]);
}

#[test]
fn an_empty_file_among_others_is_dropped_and_counted() {
    let dir = directory_of(&["shards/0.txt", "shards/2.txt", "shards/3.txt"]);
    fs::write(dir.path().join("shards/1.txt"), "").unwrap();
    fs::write(dir.path().join("shards/3.txt"), "\n \n").unwrap();
    for item in ["shards/*.txt", "shards"] {
        let corpus = load(&reading(&[source(dir.path(), item)])).unwrap();
        assert_eq!(all_texts(&corpus), ["shards/0.txt", "shards/2.txt"]);
        assert_eq!(corpus.summary.empty_files_dropped, 2, "{item}");
    }
    for name in ["0.txt", "2.txt"] {
        fs::write(dir.path().join("shards").join(name), "").unwrap();
    }
    let error = load(&reading(&[source(dir.path(), "shards/*.txt")])).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "nothing is left: {error}");
    let error = load(&reading(&[source(dir.path(), "shards/1.txt")])).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "it was named: {error}");
}
