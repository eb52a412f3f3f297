//! Names that other programs give to what has another name here.
//!
//! They are not accepted: an unknown key is an error. They make its suggestion the right one, for `learning_rate` is many
//! edits away from `lr`.

/// Key → names of PyTorch, `transformers`, nanoGPT, Megatron, Mamba and their like for it.
const ALIASES: [(&str, &[&str]); 44] = [
    ("run.dir", &["output_dir", "out_dir", "save_dir", "run_dir"]),
    ("run.seed", &["random_seed", "manual_seed"]),
    ("run.threads", &["n_threads", "num_threads", "num_workers"]),
    ("data.source", &["dataset", "dataset_name", "data_path", "train_file"]),
    ("data.valid_source", &["eval_file", "validation_file", "val_file"]),
    ("data.valid_fraction", &["val_fraction", "val_split", "validation_split"]),
    ("data.text_field", &["text_column"]),
    ("tokenizer.path", &["tokenizer_name", "tokenizer_file"]),
    ("tokenizer.kind", &["tokenizer_type"]),
    ("model.d_model", &["hidden_size", "hidden_dim", "embedding_dim", "n_embd", "dim"]),
    ("model.n_layers", &["num_layers", "num_hidden_layers", "n_layer", "depth"]),
    ("model.max_seq_len", &["max_position_embeddings", "max_seq_length", "context_length", "n_ctx"]),
    ("model.d_state", &["state_size", "ssm_state_size", "mamba_d_state"]),
    ("model.d_conv", &["conv_kernel", "mamba_d_conv"]),
    ("model.expand", &["mamba_expand"]),
    ("model.d_head", &["head_dim", "headdim", "mamba_d_head"]),
    ("model.n_groups", &["ngroups", "mamba_n_groups"]),
    ("model.chunk_len", &["chunk_size", "mamba_chunk_size"]),
    ("model.n_attention_heads", &["num_attention_heads", "num_heads", "n_heads", "n_head"]),
    ("model.n_kv_heads", &["num_key_value_heads", "n_query_groups"]),
    ("model.n_experts", &["num_experts", "num_local_experts"]),
    ("model.top_k", &["num_experts_per_tok", "moe_top_k"]),
    ("model.d_expert", &["intermediate_size", "moe_intermediate_size", "ffn_dim", "d_ff"]),
    ("model.d_shared", &["shared_intermediate_size"]),
    ("model.tie_embeddings", &["tie_word_embeddings"]),
    (
        "train.steps",
        &["max_steps", "num_steps", "total_steps", "max_iters", "iterations", "epochs", "num_train_epochs"],
    ),
    ("train.batch_size", &["per_device_train_batch_size", "train_batch_size", "micro_batch_size"]),
    ("train.seq_len", &["sequence_length", "seq_length", "max_seq_length", "block_size", "max_length"]),
    ("train.grad_accum_steps", &["gradient_accumulation_steps", "accumulate_grad_batches"]),
    ("train.lr", &["learning_rate", "max_lr", "peak_lr", "base_lr"]),
    ("train.min_lr_ratio", &["min_lr", "eta_min"]),
    ("train.schedule", &["lr_scheduler", "lr_scheduler_type", "scheduler"]),
    ("train.warmup_steps", &["num_warmup_steps", "warmup_iters", "warmup_ratio"]),
    ("train.beta1", &["adam_beta1"]),
    ("train.beta2", &["adam_beta2"]),
    ("train.eps", &["epsilon", "adam_epsilon"]),
    ("train.grad_clip_norm", &["max_grad_norm", "gradient_clip_val", "grad_clip"]),
    ("train.load_balance_coef", &["router_aux_loss_coef", "aux_loss_coef"]),
    ("train.precision", &["dtype", "torch_dtype", "mixed_precision"]),
    ("train.gradient_checkpointing", &["activation_checkpointing"]),
    ("eval.every_steps", &["eval_steps", "eval_interval", "eval_every"]),
    ("eval.patience", &["early_stopping_patience"]),
    ("checkpoint.every_steps", &["save_steps", "save_interval", "save_every"]),
    ("log.every_steps", &["logging_steps", "log_interval", "log_every"]),
];

/// The key that `name` means elsewhere; of several, that of `table`, else the first.
pub(crate) fn meant(table: &str, name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let mut keys = ALIASES.iter().filter(|(_, names)| names.contains(&&*name)).map(|(key, _)| *key);
    let first = keys.clone().next();
    keys.find(|key| key.split_once('.').is_some_and(|(of, _)| of == table)).or(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn every_alias_means_a_key_and_is_none_itself() {
        let schema = toml::Table::try_from(Config::default()).expect("the default configuration is TOML");
        let exists = |key: &str| {
            let (table, name) = key.split_once('.').expect("a key has a table");
            schema[table].get(name).is_some()
        };
        for (key, names) in ALIASES {
            assert!(exists(key), "{key}");
            let (table, _) = key.split_once('.').expect("a key has a table");
            names.iter().for_each(|name| assert!(!exists(&format!("{table}.{name}")), "{name} is a key"));
        }
    }

    #[test]
    fn of_several_keys_the_one_of_the_table_is_meant() {
        assert_eq!(meant("train", "learning-rate"), Some("train.lr"));
        assert_eq!(meant("model", "max_seq_length"), Some("model.max_seq_len"));
        assert_eq!(meant("train", "max_seq_length"), Some("train.seq_len"));
        assert_eq!(meant("", "max_seq_length"), Some("model.max_seq_len"));
        assert_eq!(meant("train", "lr"), None);
    }
}
