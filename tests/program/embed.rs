//! Vectors of texts, what they are worth, and texts in the order in which they fit.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{Workplace, borrowed};

fn encoder() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encoder").to_string_lossy().into_owned()
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const TEXTS: &str = "the cat sat\n\na dog ran\nthe cat sat\n";

#[test]
fn every_line_has_a_vector_in_its_order_and_in_every_form() {
    let here = Workplace::new();
    fs::write(here.path("texts.txt"), TEXTS).expect("written");
    let found = json_lines(&here.ok(&["embed", &encoder(), "texts.txt"]));
    assert_eq!(found.len(), 4);
    assert_eq!((&found[1]["text"], &found[0]["vector"]), (&"".into(), &found[3]["vector"]));
    assert_eq!(found[0]["vector"].as_array().expect("numbers").len(), 32);
    here.ok(&["embed", &encoder(), "texts.txt", "-o", "v.npy", "--dims", "20"]);
    let npy = fs::read(here.path("v.npy")).expect("read");
    assert!(String::from_utf8_lossy(&npy[..128]).contains("'<f4'") && npy.len() == 128 + 4 * 4 * 20);
    here.ok(&["embed", &encoder(), "texts.txt", "-o", "v.npy", "--dims", "20", "--binary"]);
    let bits = fs::read(here.path("v.npy")).expect("read");
    assert!(String::from_utf8_lossy(&bits[..128]).contains("(4, 3)") && bits.len() == 128 + 4 * 3);
    here.ok(&["embed", &encoder(), "texts.txt", "-o", "v.jsonl", "--int8"]);
    let codes = json_lines(&fs::read_to_string(here.path("v.jsonl")).expect("read"));
    let largest = |vector: &Value| {
        vector["vector"].as_array().expect("codes").iter().map(|x| x.as_i64().expect("whole").abs()).max()
    };
    assert!(codes.len() == 4 && codes.iter().all(|line| largest(line) == Some(127)));
    // the bits are the signs of the numbers
    let first: Vec<bool> =
        found[0]["vector"].as_array().expect("numbers").iter().map(|x| x.as_f64().expect("a number") > 0.0).collect();
    let expected = first[..8].iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit));
    assert_eq!(bits[128], expected);

    let stderr = here.fails(1, &["embed", &encoder(), "texts.txt", "--dims", "33"]);
    assert!(stderr.contains("hint: it has 32"), "{stderr}");
    let stderr = here.fails(1, &["embed", &encoder(), "texts.txt", "-o", "v.txt"]);
    assert!(stderr.contains("neither .npy nor .jsonl"), "{stderr}");
    let stderr = here.fails(1, &["embed", &encoder(), "none.txt"]);
    assert!(stderr.contains("none.txt"), "{stderr}");
}

#[test]
fn pairs_and_retrieval_are_scored() {
    let here = Workplace::new();
    let sts = "a\tb\tc\td\t5.0\tthe cat sat\tthe cat sat\na\tb\tc\td\t1.0\tthe cat\ta dog ran 99!\na\tb\tc\td\t3\tthe cat sat\tthe cat sat on";
    fs::write(here.path("sts.tsv"), sts).expect("written");
    fs::write(
        here.path("short.tsv"),
        "5\tthe cat sat\tthe cat sat\n1\tthe cat\ta dog ran 99!\n3\tthe cat sat\tthe cat sat on\n",
    )
    .expect("written");
    let score = |file: &str| -> Value {
        serde_json::from_str(&here.ok(&["eval", &encoder(), "--pairs", file, "--json"])).expect("JSON")
    };
    let found = score("sts.tsv");
    assert_eq!((&found["pairs"], &found["dims"], &found["spearman"]), (&3.into(), &32.into(), &1.0.into()));
    assert_eq!(score("short.tsv")["pearson"], found["pearson"]);
    fs::write(here.path("none.tsv"), "the cat\tthe dog\n").expect("written");
    let stderr = here.fails(1, &["eval", &encoder(), "--pairs", "none.tsv"]);
    assert!(stderr.contains("line 1 of none.tsv") && stderr.contains("hint: "), "{stderr}");

    let lines: String = (0..40).map(|i| format!("cat {i} sat {}\tcat {i} sat {} on\n", i * 7, i * 7)).collect();
    fs::write(here.path("pairs.tsv"), lines).expect("written");
    let found: Value =
        serde_json::from_str(&here.ok(&["eval", &encoder(), "--retrieval", "pairs.tsv", "--json"])).expect("JSON");
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!((rows.len(), &found["texts"]), (12, &40.into()));
    assert_eq!(
        (&rows[0]["storage"], &rows[0]["kept_at_10"], &rows[0]["vector_bytes"]),
        (&"f32".into(), &1.0.into(), &128.into())
    );
    assert!(rows[0]["recall_at_10"].as_f64().expect("a share") > 0.8, "{found}");
    let stderr = here.fails(1, &["eval", &encoder(), "--dims", "3"]);
    assert!(stderr.contains("--pairs or --retrieval"), "{stderr}");
}

#[test]
fn a_model_of_ours_makes_vectors_and_ranks_texts() {
    let here = Workplace::new();
    here.ok(&borrowed(&here.train("run", &["--set", "train.steps=5"])));
    fs::write(here.path("texts.txt"), TEXTS).expect("written");
    for pool in ["mean", "last"] {
        let found = json_lines(&here.ok(&["embed", "run", "texts.txt", "--pool", pool]));
        assert_eq!(found.len(), 4);
        let length: f64 =
            found[1]["vector"].as_array().expect("numbers").iter().map(|x| x.as_f64().expect("a number").powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5 && found[0]["vector"] == found[3]["vector"]);
    }
    let args = ["rerank", "run", "--query", "Once upon a time", "texts.txt"];
    let found: Value = serde_json::from_str(&here.ok(&[&args[..], &["--json"]].concat())).expect("JSON");
    let texts = found["texts"].as_array().expect("texts");
    // a blank line is no text, and the same text has the same score
    assert_eq!(texts.len(), 3);
    let score = |at: usize| texts[at]["score"].as_f64().expect("nats");
    assert!(score(0) >= score(1) && score(1) >= score(2));
    let lines = |text: &str| {
        texts.iter().filter(|found| found["text"] == text).map(|found| found["line"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(lines("the cat sat"), [1, 4]);
    assert_eq!(here.ok(&[&args[..], &["--top", "1"]].concat()).lines().count(), 1);
}
