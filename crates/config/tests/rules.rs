//! The rules: each can be broken, all are reported at once, and the nearest valid value is valid.

use itera_config::{Config, ConfigError, Fault, Problem, WeightDecay};
use itera_shape::{BrokenRule, ModelConfig};
use proptest::prelude::*;

/// Overrides, of which the last breaks the rule of its key.
const BROKEN: &[&[&str]] = &[
    &["run.dir="],
    &["run.device=cuda0"],
    &["data.source=[]"],
    &["data.source=builtin:storys"],
    &["data.source=hub:TinyStories"],
    &["data.source=hub:../../etc"],
    &["data.source=hub:a/b:"],
    &["data.source=[\"a.txt\", \" \"]"],
    &["data.valid_source=hub:/x"],
    &["data.extra_source=hub:/x"],
    &["data.valid_fraction=0"],
    &["data.valid_fraction=1"],
    &["data.valid_source=x.txt", "data.valid_fraction=-0.1"],
    &["data.builtin_bytes=0"],
    &["data.separator=\"a\\nb\""],
    &["data.separator=\"\\n\\n\\n\""],
    &["data.text_field="],
    &["data.hub_revision= "],
    &["data.cache_dir="],
    &["tokenizer.kind=byte", "tokenizer.alphabet=text"],
    &["model.vocab_size=257"],
    &["tokenizer.alphabet=text", "model.vocab_size=1"],
    &["tokenizer.path=mine.json", "model.vocab_size=1"],
    &["model.d_model=0"],
    &["model.n_layers=0"],
    &["model.n_layers=1025"],
    &["model.attention_layers=[1, 1]"],
    &["model.attention_layers=[4]"],
    &["model.d_state=0"],
    &["model.d_state=1048576"],
    &["model.d_conv=1"],
    &["model.expand=0"],
    &["model.d_head=0"],
    &["model.d_head=48"],
    &["model.n_groups=3"],
    &["model.n_groups=9"],
    &["model.chunk_len=0"],
    &["model.n_attention_heads=3"],
    &["model.n_attention_heads=0"],
    &["model.d_model=96", "model.position_embedding=rope", "model.n_attention_heads=32"],
    &["model.attention_head_dim=9999999"],
    &["model.position_embedding=rope", "model.attention_head_dim=7"],
    &["model.n_kv_heads=3"],
    &["model.n_kv_heads=0"],
    &["model.rope_theta=0"],
    &["model.n_experts=9999999"],
    &["model.top_k=5"],
    &["model.n_experts=0", "model.top_k=0"],
    &["model.d_expert=0"],
    &["model.d_shared=0"],
    &["model.rms_norm_eps=0"],
    &["model.embedding_multiplier=-1"],
    &["model.residual_multiplier=nan"],
    &["model.attention_multiplier=-0.5"],
    &["model.logits_scaling=0"],
    &["model.init_std=1e39"],
    &["model.dropout=1"],
    &["model.max_seq_len=0"],
    &["train.steps=0"],
    &["train.batch_size=0"],
    &["train.seq_len=0"],
    &["train.seq_len=4097"],
    &["train.grad_accum_steps=0"],
    &["train.contrast_temperature=0"],
    &["train.objective=contrast", "train.batch_size=3"],
    &["train.objective=contrast", "train.batch_size=2"],
    &["train.objective=contrast", "train.seq_len=1"],
    &["train.objective=contrast", "train.replace_inputs=0.1"],
    &["train.replace_inputs=1"],
    &["train.replace_inputs=-0.1"],
    &["train.replace_inputs_until=1.01"],
    &["train.lr=0"],
    &["train.lr=inf"],
    &["train.min_lr_ratio=1.5"],
    &["train.warmup_steps=1001"],
    &["train.decay_fraction=0"],
    &["train.decay_fraction=1.1"],
    &["train.momentum=1"],
    &["train.weight_decay_end_ratio=-1"],
    &["train.ema=1"],
    &["train.replicas=0"],
    &["train.replicas=2"],
    &["train.sync_every=0"],
    &["train.sync_every=2"],
    &["train.sync_moments=true"],
    &["train.grad_accum_steps=2", "train.replicas=2", "train.sync_every=3", "train.steps=1000"],
    &["train.grad_accum_steps=2", "train.replicas=2", "train.sync_every=3", "eval.every_steps=100"],
    &["train.grad_accum_steps=2", "train.replicas=2", "train.ema=0.9"],
    &["train.outer_lr=0"],
    &["train.outer_momentum=1"],
    &["train.beta1=1"],
    &["train.beta2=-0.1"],
    &["train.eps=0"],
    &["train.weight_decay=-1"],
    &["train.grad_clip_norm=-1"],
    &["train.load_balance_coef=-1"],
    &["train.z_loss_coef=-1"],
    &["train.max_skipped_steps=0"],
    &["eval.every_steps=0"],
    &["eval.min_delta=-1"],
    &["eval.sample_temperature=-1"],
    &["checkpoint.every_steps=0"],
    &["checkpoint.keep_last=0"],
    &["run.threads=9999999"],
    &["data.builtin_bytes=2000000000000"],
    &["train.steps=2000000000000"],
    &["eval.tokens=2000000000000"],
    &["eval.patience=2000000000000"],
    &["eval.sample_tokens=9999999"],
    &["checkpoint.keep_best=9999999"],
    &["log.every_steps=0"],
];

fn broken(overrides: &[String]) -> Vec<Problem> {
    match Config::from_toml("", "", overrides) {
        Ok(_) => vec![],
        Err(ConfigError::Invalid { problems }) => problems,
        Err(other) => panic!("{other}"),
    }
}

fn owned(overrides: &[&str]) -> Vec<String> {
    overrides.iter().map(ToString::to_string).collect()
}

#[test]
fn each_rule_can_be_broken_and_its_nearest_value_mends_it() {
    for case in BROKEN {
        let mut overrides = owned(case);
        let last = overrides.last().expect("a case has overrides").clone();
        let (key, _) = last.split_once('=').expect("key=value");
        let problem = broken(&overrides).into_iter().find(|problem| problem.key == key);
        let Some(Problem { place, fault: Fault::BrokenRule(BrokenRule { rule, nearest, .. }), .. }) = problem else {
            panic!("{case:?} breaks no rule of {key}")
        };
        assert!(!rule.is_empty());
        assert_eq!(place, Some(format!("override {last}")));
        if let Some(nearest) = nearest {
            overrides.push(format!("{key}={nearest}"));
            assert!(broken(&overrides).iter().all(|problem| problem.key != key), "{nearest} does not mend {case:?}");
        }
    }
}

#[test]
fn every_number_has_a_rule() {
    let tables: toml::Table = Config::default().to_toml().parse().expect("the default is TOML");
    for (table, keys) in &tables {
        for (key, value) in keys.as_table().expect("tables hold keys") {
            let key = format!("{table}.{key}");
            // every integer that TOML can write is fine
            let free = ["run.seed", "data.max_bytes"].contains(&key.as_str());
            let is_broken = |case: &&[&str]| case.last().is_some_and(|last| last.starts_with(&format!("{key}=")));
            if (value.is_integer() || value.is_float()) && !free {
                assert!(BROKEN.iter().any(is_broken), "{key} has no rule");
            }
        }
    }
}

#[test]
fn weight_decay_is_a_number_or_follows_the_text() {
    let of = |value: &str| Config::from_toml("", "test", &[format!("train.weight_decay={value}")]);
    assert_eq!(of("1").expect("a whole number").train.weight_decay, WeightDecay::Value(1.0));
    let auto = of("auto").expect("a word");
    assert_eq!(Config::from_toml(&auto.to_toml(), "again", &[]).expect("it is written as it is read"), auto);
    let error = of("automatic").expect_err("another word").to_string();
    assert!(error.contains("a number or \"auto\""), "{error}");
    let auto = |n_params, n_tokens| auto.train.weight_decay.resolved(n_params, n_tokens);
    assert_eq!([auto(1, 20), auto(1, 1000), auto(0, 0)], [0.1; 3], "text enough");
    assert!((auto(2_000_000, 4_000_000) - 1.0).abs() < 1e-12);
    assert_eq!(auto(1_000_000, 10), 3.0);
}

#[test]
fn what_toml_cannot_write_is_no_configuration() {
    let mut config = Config::default();
    config.run.seed = u64::MAX;
    config.data.max_bytes = 1 << 63;
    let Err(ConfigError::Invalid { problems }) = config.validate() else { panic!("validated") };
    assert_eq!(problems.len(), 2);
}

#[test]
fn the_nearest_value_is_the_nearest() {
    for (case, expected) in [
        (&["run.device=cuda0"][..], "cuda"),
        (&["model.d_head=48"], "32"),
        (&["model.d_head=65"], "64"),
        (&["model.d_head=100000"], "256"),
        (&["model.n_groups=3"], "2"),
        (&["model.n_groups=7"], "8"),
        (&["model.d_model=96", "model.position_embedding=rope", "model.n_attention_heads=32"], "24"),
        (&["model.position_embedding=rope", "model.attention_head_dim=7"], "8"),
        (&["model.attention_layers=[3, 7, 1, 3]"], "[1, 3]"),
        (&["train.min_lr_ratio=1.5"], "1"),
        (&["train.warmup_steps=1001"], "1000"),
        (&["model.vocab_size=1"], "258"),
        (&["tokenizer.kind=byte", "model.vocab_size=100"], "258"),
        (&["tokenizer.alphabet=text", "model.vocab_size=1"], "2"),
    ] {
        let problems = broken(&owned(case));
        let [Problem { fault: Fault::BrokenRule(BrokenRule { nearest, .. }), .. }] = problems.as_slice() else {
            panic!("{case:?}: {problems:?}")
        };
        assert_eq!(nearest.as_deref(), Some(expected), "{case:?}");
    }
}

#[test]
fn all_broken_rules_are_reported_at_once() {
    let overrides =
        ["run.device=x", "model.d_head=0", "model.top_k=7", "train.lr=0", "eval.every_steps=0", "log.every_steps=0"];
    let keys: Vec<String> = broken(&owned(&overrides)).into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, overrides.map(|text| text.split_once('=').expect("key=value").0));
}

#[test]
fn unused_settings_are_free() {
    for free in [
        // no attention layer: no heads to fit
        &["model.attention_layers=[]", "model.n_attention_heads=3", "model.n_kv_heads=5"][..],
        // without rotation an odd head width is fine
        &["model.d_model=96", "model.n_attention_heads=32"],
        &["model.n_experts=0", "model.top_k=9"],
        &["data.valid_source=x.txt", "data.valid_fraction=0"],
        &["data.source=C:/stories/*.txt"],
        // what decides how small a vocabulary may be is the text, or the given one
        &["tokenizer.alphabet=text", "model.vocab_size=64"],
        &["tokenizer.path=mine.json", "model.vocab_size=64"],
        &["tokenizer.path=mine.json", "tokenizer.kind=byte", "tokenizer.alphabet=text"],
        &["data.source=[\"hub:a/b\", \"hub:a-1/b_2.x:c\"]"],
    ] {
        assert_eq!(broken(&owned(free)), [], "{free:?}");
    }
}

#[test]
fn huge_models_are_refused_by_their_parameters() {
    let overrides = owned(&["model.d_model=32768", "model.vocab_size=65536"]);
    let problems = broken(&overrides);
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert!(problem.to_string().starts_with("`model` = "), "{problem}");
    assert!(problem.to_string().contains("at most 1000000000 parameters"), "{problem}");
}

#[test]
fn endless_contexts_cost_endless_flops() {
    let model = ModelConfig { attention_layers: vec![0, 1, 2, 3], ..ModelConfig::default() };
    assert_eq!(model.flops_per_token(usize::MAX), u64::MAX);
}

/// Sizes as files have them, and as attackers do.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![0..9_usize, 0..300_usize, Just(1 << 20), Just(1 << 32), Just(usize::MAX / 2 + 1), Just(usize::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn absurd_sizes_are_errors_and_valid_ones_have_a_table(
        [vocab_size, d_model, n_layers, d_state, d_conv, expand, d_head, n_groups] in proptest::array::uniform8(size()),
        [n_attention_heads, n_kv_heads, n_experts, top_k, d_expert, d_shared, layer, chunk_len] in
            proptest::array::uniform8(size()),
    ) {
        let model = ModelConfig {
            vocab_size, d_model, n_layers, d_state, d_conv, expand, d_head, n_groups, chunk_len, n_attention_heads,
            n_kv_heads, n_experts, top_k, d_expert, d_shared, attention_layers: vec![layer],
            ..ModelConfig::default()
        };
        if model.validate().is_ok() {
            prop_assert!(model.total_params() <= 1_000_000_000);
            let n_mamba_layers = model.n_layers - model.attention_layers.len();
            prop_assert!(model.d_inner() * model.d_state * n_mamba_layers <= 1 << 26);
            prop_assert!(model.active_params() <= model.total_params());
            prop_assert!(model.flops_per_token(4096) >= 2 * model.vocab_size as u64 * model.d_model as u64);
        }
    }
}
