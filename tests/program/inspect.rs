//! `itera inspect` of files that no one of the family wrote.

use std::fs;

use crate::support::Workplace;

/// A GGUF file of one metadata entry, a text, and one tensor of 256 numbers of a type that takes `n_bytes` for them.
fn foreign(key: &str, value: &str, tensor: &str, code: u32, n_bytes: usize) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let mut file = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &1_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
    file.extend([text(key), 8_u32.to_le_bytes().to_vec(), text(value), text(tensor)].concat());
    file.extend([&1_u32.to_le_bytes()[..], &256_u64.to_le_bytes(), &code.to_le_bytes(), &[0; 8]].concat());
    file.resize(file.len().next_multiple_of(32) + n_bytes, 0);
    file
}

#[test]
fn every_type_is_listed_by_its_name() {
    let here = Workplace::new();
    for (code, n_bytes, name) in [(12, 144, "q4_K"), (26, 1024, "i32"), (28, 2048, "f64"), (99, 96, "type 99")] {
        fs::write(here.path("foreign.gguf"), foreign("general.name", "x", "w", code, n_bytes)).expect("written");
        let shown = here.ok(&["inspect", "foreign.gguf"]);
        let row = shown.lines().find(|line| line.starts_with("w ")).expect("the tensor is listed");
        assert!(row.contains(name) && row.ends_with(&format!(" {n_bytes}")), "{row}");
        assert!(shown.contains("model    none that `itera` runs: "), "{shown}");
        let json: serde_json::Value =
            serde_json::from_str(&here.ok(&["inspect", "foreign.gguf", "--json"])).expect("JSON");
        assert_eq!((&json["tensors"][0]["kind"], &json["tensors"][0]["bytes"]), (&name.into(), &n_bytes.into()));
        here.fails(1, &["generate", "foreign.gguf"]);
    }
    // a vocabulary alone
    let nothing = [b"GGUF".as_slice(), &3_u32.to_le_bytes(), &[0; 16]].concat();
    fs::write(here.path("foreign.gguf"), [nothing, vec![0; 8]].concat()).expect("written");
    let shown = here.ok(&["inspect", "foreign.gguf"]);
    assert!(!shown.contains("NaN") && shown.contains("on disk  32 bytes"), "{shown}");
}

#[test]
fn nothing_in_a_file_reaches_the_terminal_raw() {
    let here = Workplace::new();
    let evil = "a\u{1b}[2J\u{9b}31m\n\u{202e}b";
    let file = foreign(evil, evil, evil, 12, 144);
    fs::write(here.path("evil.gguf"), &file).expect("written");
    fs::write(here.path("cut.gguf"), &file[..file.len() - 33]).expect("written");
    let raw = |text: &str| text.contains(['\u{1b}', '\u{9b}', '\u{202e}']) || text.contains("31m\n");
    let shown = here.ok(&["inspect", "evil.gguf"]);
    assert!(!raw(&shown) && shown.matches("a\\u{1b}[2J\\u{9b}31m\\n\\u{202e}b").count() == 3, "{shown}");
    let error = here.fails(1, &["inspect", "cut.gguf"]);
    assert!(!raw(&error) && error.contains("tensor `a\\u{1b}[2J"), "{error}");

    let evil_dir = here.path("evil");
    fs::create_dir(&evil_dir).expect("created");
    let json = serde_json::json!({ evil: evil, "nested": { evil: [evil] } });
    fs::write(evil_dir.join("config.json"), json.to_string()).expect("written");
    let header = serde_json::json!({ evil: { "dtype": "I64", "shape": [1], "data_offsets": [0, 8] } }).to_string();
    let weights = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 8]].concat();
    fs::write(evil_dir.join("model.safetensors"), weights).expect("written");
    let shown = here.ok(&["inspect", "evil"]);
    assert!(!raw(&shown) && shown.contains("I64"), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_path_that_is_not_unicode_is_no_obstacle() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    let here = Workplace::new();
    let args = here.train("run", &[]);
    here.ok(&crate::support::borrowed(&args));
    let name = OsStr::from_bytes(b"r\xfcn");
    fs::rename(here.path("run"), here.path("").join(name)).expect("renamed");
    let out = OsStr::from_bytes(b"m\xfcodel.gguf");
    for (command, args) in [
        ("inspect", vec![name, "--json".as_ref()]),
        ("eval", vec![name, "--json".as_ref()]),
        ("export", vec![name, "--json".as_ref(), "-o".as_ref(), out]),
        ("inspect", vec![out, "--json".as_ref()]),
    ] {
        let output = here.command(&[command]).args(&args).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {stderr}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("one JSON object");
    }
}
