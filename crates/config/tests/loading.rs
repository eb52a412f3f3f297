//! What is refused, and how: every problem at once, each with its place and the nearest valid choice.

use std::error::Error;

use itera_config::{Config, ConfigError, Fault, Problem};
use proptest::prelude::*;

fn load(text: &str, overrides: &[&str]) -> Result<Config, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::from_toml(text, "run.toml", &overrides)
}

fn problems(text: &str, overrides: &[&str]) -> Vec<Problem> {
    match load(text, overrides) {
        Err(ConfigError::Invalid { problems }) => problems,
        other => panic!("expected problems, got {other:?}"),
    }
}

fn messages(text: &str, overrides: &[&str]) -> Vec<String> {
    problems(text, overrides).iter().map(ToString::to_string).collect()
}

/// `(table, key)` of every key there is.
fn keys() -> Vec<(String, String)> {
    let tables: toml::Table = Config::default().to_toml().parse().expect("the default is TOML");
    let keys_of = |(table, keys): (String, toml::Value)| {
        let keys = keys.as_table().expect("tables hold keys").keys().cloned().collect::<Vec<_>>();
        keys.into_iter().map(move |key| (table.clone(), key))
    };
    tables.into_iter().flat_map(keys_of).collect()
}

/// `name` without each of its letters in turn.
fn typos(name: &str) -> Vec<String> {
    (0..name.len()).map(|at| format!("{}{}", &name[..at], &name[at + 1..])).filter(|typo| !typo.is_empty()).collect()
}

#[test]
fn absent_keys_keep_their_defaults() {
    assert_eq!(load("", &[]).expect("an empty file is valid"), Config::default());
    let config = load("[train]\nlr = 1\n[model]\nattention_layers = []", &[]).expect("valid");
    let mut expected = Config::default();
    expected.train.lr = 1.0;
    expected.model.attention_layers.clear();
    assert_eq!(config, expected);
}

#[test]
fn overrides_win_over_the_file_and_the_last_over_the_first() {
    let overrides = [
        "train.lr=3e-4",
        "train.steps = 7",
        "train.warmup_steps=7",
        "train.steps=9",
        "run.dir=runs/x=y",
        "run.device=\"ndarray\"",
        "model.attention_layers=[1]",
        "tokenizer.kind=byte",
        "log={tensorboard=false}",
    ];
    let config = load("[train]\nlr = 5e-5\nseq_len = 8", &overrides).expect("valid");
    assert_eq!((config.train.lr, config.train.steps, config.train.seq_len), (3e-4, 9, 8));
    assert_eq!((config.run.dir.as_str(), config.run.device.as_str()), ("runs/x=y", "ndarray"));
    assert_eq!(config.model.attention_layers, [1]);
    assert_eq!(config.tokenizer.kind, itera_config::TokenizerKind::Byte);
    assert!(!config.log.tensorboard);
}

#[test]
fn an_override_of_a_string_needs_no_quotes_even_if_it_looks_like_a_number() {
    let config = load("", &["data.hub_revision=5e10", "run.dir=2024", "data.separator="]).expect("valid");
    assert_eq!((config.data.hub_revision.as_str(), config.run.dir.as_str()), ("5e10", "2024"));
    assert_eq!(config.data.separator, "");
}

#[test]
fn a_source_is_a_string_or_a_list() {
    let config = load("[data]\nsource = 'a.txt'\nvalid_source = ['b.txt', 'c.txt']", &[]).expect("valid");
    assert_eq!(config.data.source, ["a.txt"]);
    assert_eq!(config.data.valid_source, ["b.txt", "c.txt"]);
    assert_eq!(load("", &["data.source=x/*.txt"]).expect("valid").data.source, ["x/*.txt"]);
    assert_eq!(
        messages("[data]\nsource = 3", &[]),
        ["run.toml:2: `data.source` = 3: expected a string or a list of strings"]
    );
}

#[test]
fn messages_say_where_what_and_what_instead() {
    let text = [
        "stride = 'x'",
        "[train]",
        "lr = 'fast' # comment",
        "stepz = 3",
        "beta1 = 0.5",
        "",
        "[modle]",
        "[model]",
        "n_layers = -1",
        "eps.x = 1",
        "[tokenizer]",
        "kind = 'bbpe'",
        "[log]",
        "tensorboard = 1",
    ];
    assert_eq!(
        messages(&text.join("\n"), &["lr=2", "evla.tokens=1", "run=3", "train.learning_rate=1", "train.hidden_size=2"]),
        [
            "run.toml:1: unknown key `stride`; the nearest is `train.steps`",
            "run.toml:3: `train.lr` = \"fast\": expected a number",
            "run.toml:4: unknown key `train.stepz`; the nearest is `train.steps`",
            "run.toml:7: unknown table `modle`; the nearest is `model`",
            "run.toml:9: `model.n_layers` = -1: expected a whole number, 0 or more",
            "run.toml:10: unknown key `model.eps`; the nearest is `train.eps`",
            "run.toml:12: `tokenizer.kind` = \"bbpe\": expected `bpe` or `byte`",
            "run.toml:14: `log.tensorboard` = 1: expected true or false",
            "override lr=2: unknown key `lr`; the nearest is `train.lr`",
            "override evla.tokens=1: unknown key `evla.tokens`; the nearest is `eval.tokens`",
            "override run=3: `run` = 3: expected a table",
            "override train.learning_rate=1: unknown key `train.learning_rate`; the nearest is `train.lr`",
            "override train.hidden_size=2: unknown key `train.hidden_size`; the nearest is `model.d_model`",
        ]
    );
    assert_eq!(
        messages("[model]\ntop_k = 5", &["train.beta2=1"]),
        [
            "run.toml:2: `model.top_k` = 5: must be at most model.n_experts (4); the nearest valid value is 4",
            "override train.beta2=1: `train.beta2` = 1: must be finite in f32, at least 0, less than 1",
        ]
    );
}

#[test]
fn a_typo_in_any_key_or_table_finds_it_again() {
    let keys = keys();
    for (table, key) in &keys {
        for typo in typos(key) {
            if keys.contains(&(table.clone(), typo.clone())) {
                continue;
            }
            let place = format!("override {table}.{typo}=1");
            let found = problems("", &[&format!("{table}.{typo}=1")]);
            let Fault::Unknown { nearest } = &found[0].fault else { panic!("{found:?}") };
            // not always the same key: `beta` is as near to beta1 as to beta2
            let (nearest_table, nearest_key) = nearest.split_once('.').expect("a key has a table");
            assert!(nearest_table == table && strsim::osa_distance(nearest_key, &typo) == 1, "{found:?}");
            assert_eq!(found[0].place.as_deref(), Some(place.as_str()));
        }
        for typo in typos(table) {
            let found = problems(&format!("\n[{typo}]\n{key} = 1"), &[]);
            let [Problem { key: found_key, place, fault: Fault::Unknown { nearest } }] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert_eq!((found_key, place.as_deref(), nearest), (&typo, Some("run.toml:2"), table));
        }
    }
}

#[test]
fn a_value_of_another_type_is_refused_for_every_key() {
    for (table, key) in keys() {
        let found = problems(&format!("[{table}]\n\n{key} = {{}}"), &[]);
        let [Problem { key: found_key, place, fault: Fault::WrongType { value, expected } }] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!((found_key, place.as_deref()), (&format!("{table}.{key}"), Some("run.toml:3")));
        assert_eq!(value, "{}");
        assert!(!expected.contains("usize") && !expected.contains("u64") && !expected.contains("f64"), "{expected}");
    }
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    for (text, line) in [
        ("[train]\nlr = = 3", "line 2"),
        ("[train]\nlr = 1\nlr = 2", "line 3"),
        ("[run]\n[run]", "line 2"),
        ("\n\n\nrun.seed = 99999999999999999999", "line 4"),
    ] {
        let error = load(text, &[]).expect_err(text);
        let cause = error.source().expect("the answer of the parser").to_string();
        assert!(error.to_string().starts_with("run.toml ") && cause.contains(line), "{error}: {cause}");
    }
    let message = load("", &["train.lr"]).expect_err("no value").to_string();
    assert!(message.contains("`train.lr`") && message.contains("table.key=value"), "{message}");
}

#[test]
fn files_that_cannot_be_configurations_are_refused() {
    let missing = std::path::Path::new("no/such/file.toml");
    let message = Config::load(missing, &[]).expect_err("there is no such file").to_string();
    assert!(message.contains("no/such/file.toml"), "{message}");
    assert!(matches!(Config::load(std::path::Path::new("/dev/zero"), &[]), Err(ConfigError::TooLarge { .. })));
}

#[test]
fn deserialising_keeps_the_rules() {
    let valid = serde_json::to_value(Config::default()).expect("a configuration is JSON");
    assert_eq!(serde_json::from_value::<Config>(valid.clone()).expect("valid"), Config::default());
    for (table, key, value) in [("model", "top_k", 9), ("train", "warmup_steps", 2000), ("model", "typo", 1)] {
        let mut wrong = valid.clone();
        wrong[table][key] = value.into();
        let message = serde_json::from_value::<Config>(wrong).expect_err(key).to_string();
        assert!(message.contains(key), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn resolved_configurations_read_back_equal(
        seed in 0..=i64::MAX as u64,
        lr in (1e-30..1e30_f64).prop_union(1e-5..1.0),
        beta1 in 0.0..1.0_f64,
        texts in proptest::collection::vec(any::<String>(), 0..4),
        separator in any::<String>(),
        layers in proptest::sample::subsequence((0..4).collect::<Vec<usize>>(), 0..4).prop_shuffle(),
    ) {
        let mut config = Config::default();
        config.run.seed = seed;
        config.train.lr = lr;
        config.train.beta1 = beta1;
        config.eval.prompts = texts;
        config.data.separator = separator;
        config.model.attention_layers = layers;
        let text = config.to_toml();
        prop_assert_eq!(load(&text, &[]).expect(&text), config);
    }

    #[test]
    fn no_text_panics(text in any::<String>(), key in any::<String>(), value in any::<String>()) {
        let _ = load(&text, &[]);
        let _ = load("", &[&format!("{key}={value}")]);
        let _ = load("", &[&format!("data.source={value}")]);
    }
}
