//! a directory of the BERT family → its configuration, what sentence-transformers says of it, and its weights in f32.
//!
//! ```text
//! config.json ─▶ EncoderConfig            modules.json, 1_Pooling/config.json, sentence_bert_config.json ─▶ pooling, lengths
//! model.safetensors, plain or in FP8 or NVFP4 ─▶ embeddings, and a layer at a time
//! ```

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{
    json::{in_file, read_json},
    model_dir::CONFIG,
    settings::{Settings, unsupported},
    shards::is_name,
    weights::WeightsDir,
};
use crate::error::{FormatError, Result};

/// Longest of the files that sentence-transformers writes beside a model.
const MAX_JSON_BYTES: u64 = 1 << 20;

/// What `transformers` prefixes the weights of an encoder with that has a head.
const PREFIX: &str = "bert.";

/// The shape of an encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderConfig {
    /// Tokens.
    pub vocab_size: usize,
    /// Width of the residual stream, and of a vector.
    pub d_model: usize,
    /// Layers.
    pub n_layers: usize,
    /// Heads of an attention layer, which d_model is a multiple of.
    pub n_heads: usize,
    /// Width within an MLP.
    pub d_ff: usize,
    /// Longest text, in tokens.
    pub max_positions: usize,
    /// Kinds of text that the model tells apart; one text is of the first.
    pub n_types: usize,
    /// ε of every LayerNorm.
    pub layer_norm_eps: f32,
}

/// What of a text's positions becomes its vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all.
    Mean,
    /// The first.
    First,
    /// The last.
    Last,
}

/// Weight and bias of a LayerNorm, each `[d]`.
#[derive(Clone, Debug)]
pub struct EncoderNorm {
    /// What a normalised row is multiplied by.
    pub weight: Vec<f32>,
    /// What is then added.
    pub bias: Vec<f32>,
}

/// A linear layer.
#[derive(Clone, Debug)]
pub struct EncoderLinear {
    /// [outputs, inputs]
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

/// What a token is before the first layer.
#[derive(Clone, Debug)]
pub struct EncoderEmbeddings {
    /// [vocab_size, d]
    pub words: Vec<f32>,
    /// [max_positions, d], the type of a text that stands alone added
    pub positions: Vec<f32>,
    /// Of their sum.
    pub norm: EncoderNorm,
}

/// The weights of a layer.
#[derive(Clone, Debug)]
pub struct EncoderLayer {
    /// Queries, keys and values.
    pub qkv: [EncoderLinear; 3],
    /// What attention adds to the stream.
    pub attention_out: EncoderLinear,
    /// Of the stream then.
    pub attention_norm: EncoderNorm,
    /// [d_ff, d]
    pub ffn_in: EncoderLinear,
    /// [d, d_ff]
    pub ffn_out: EncoderLinear,
    /// Of the stream at last.
    pub ffn_norm: EncoderNorm,
}

/// A directory that holds an encoder.
#[derive(Debug)]
pub struct EncoderDir {
    /// Its shape.
    pub config: EncoderConfig,
    /// How a vector is made of the last layer's output; the mean if nothing says it.
    pub pooling: Pooling,
    /// Whether vectors are divided by their length.
    pub is_normalized: bool,
    /// The length that texts are cut to, in tokens, if something beside the tokenizer says one.
    pub max_tokens: Option<usize>,
    /// Whether texts are made lower case before the tokenizer sees them.
    pub is_lower_case: bool,
    /// Where its tokenizer lies.
    pub tokenizer: PathBuf,
    dir: PathBuf,
    weights: WeightsDir,
}

/// Whether a directory says that it holds a model of the BERT family.
pub fn is_encoder(dir: &Path) -> bool {
    super::read_config_json(&dir.join(CONFIG)).is_ok_and(|config| config["model_type"] == "bert")
}

impl EncoderDir {
    /// Reads all but the weights.
    ///
    /// # Errors
    /// If a file is absent or damaged, or says what is not supported: another family, activation or positions, a head that is no
    /// multiple of the width, or a module that is none of Transformer, Pooling (mean, first or last token) and Normalize.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG);
        let config = parse(&super::read_config_json(&path)?).map_err(in_file(&path))?;
        let mut opened = Self {
            config,
            pooling: Pooling::Mean,
            is_normalized: false,
            max_tokens: None,
            is_lower_case: false,
            tokenizer: dir.join("tokenizer.json"),
            dir: dir.to_owned(),
            weights: WeightsDir::open(dir)?,
        };
        opened.read_modules()?;
        let path = dir.join("sentence_bert_config.json");
        if path.exists() {
            let json = read_json(&path, MAX_JSON_BYTES)?;
            let read = |settings: Settings<'_>| {
                let max = settings.get("max_seq_length").map(|_| settings.size("max_seq_length")).transpose()?;
                let is_lower = settings.get("do_lower_case").map(|_| settings.flag("do_lower_case")).transpose()?;
                Ok((max, is_lower == Some(true)))
            };
            (opened.max_tokens, opened.is_lower_case) =
                Settings::of(&json, "sentence_bert_config").and_then(read).map_err(in_file(&path))?;
        }
        Ok(opened)
    }

    /// What comes after the layers.
    fn read_modules(&mut self) -> Result<()> {
        let path = self.dir.join("modules.json");
        if !path.exists() {
            return Ok(());
        }
        let json = read_json(&path, MAX_JSON_BYTES)?;
        let of_modules = in_file(&path);
        let modules = json.as_array().ok_or_else(|| of_modules(unsupported("modules", Some(&json), "a list")))?;
        for module in modules {
            let kind = module["type"].as_str().unwrap_or_default();
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => {}
                "Normalize" => self.is_normalized = true,
                "Pooling" => {
                    let within = module["path"].as_str().filter(|path| is_name(path));
                    let within = within.ok_or_else(|| {
                        of_modules(unsupported("path", module.get("path"), "the name of a directory within"))
                    })?;
                    let path = self.dir.join(within).join(CONFIG);
                    let json = read_json(&path, MAX_JSON_BYTES)?;
                    self.pooling = pooling(&json).map_err(in_file(&path))?;
                }
                _ => {
                    return Err(of_modules(unsupported("type", module.get("type"), "Transformer, Pooling, Normalize")));
                }
            }
        }
        Ok(())
    }

    /// Reads what a token is before the first layer.
    ///
    /// # Errors
    /// If a tensor is absent, has another shape than the configuration says, another kind of number, or one that is not finite.
    pub fn embeddings(&mut self) -> Result<EncoderEmbeddings> {
        let EncoderConfig { vocab_size, d_model: d, max_positions, n_types, .. } = self.config;
        let words = self.tensor("embeddings.word_embeddings.weight", &[vocab_size, d])?;
        let mut positions = self.tensor("embeddings.position_embeddings.weight", &[max_positions, d])?;
        let types = self.tensor("embeddings.token_type_embeddings.weight", &[n_types, d])?;
        for position in positions.chunks_exact_mut(d) {
            position.iter_mut().zip(&types).for_each(|(position, first)| *position += first);
        }
        Ok(EncoderEmbeddings { words, positions, norm: self.norm("embeddings.LayerNorm")? })
    }

    /// Reads the weights of a layer.
    ///
    /// # Errors
    /// As [`EncoderDir::embeddings`].
    pub fn layer(&mut self, index: usize) -> Result<EncoderLayer> {
        let EncoderConfig { d_model: d, d_ff: f, .. } = self.config;
        let mut linear = |name: &str, outputs: usize, inputs: usize| {
            let name = format!("encoder.layer.{index}.{name}");
            Ok::<_, FormatError>(EncoderLinear {
                weight: self.tensor(&format!("{name}.weight"), &[outputs, inputs])?,
                bias: self.tensor(&format!("{name}.bias"), &[outputs])?,
            })
        };
        let [query, key, value] = ["query", "key", "value"].map(|part| linear(&format!("attention.self.{part}"), d, d));
        let qkv = [query?, key?, value?];
        let attention_out = linear("attention.output.dense", d, d)?;
        let (ffn_in, ffn_out) = (linear("intermediate.dense", f, d)?, linear("output.dense", d, f)?);
        Ok(EncoderLayer {
            qkv,
            attention_out,
            attention_norm: self.norm(&format!("encoder.layer.{index}.attention.output.LayerNorm"))?,
            ffn_in,
            ffn_out,
            ffn_norm: self.norm(&format!("encoder.layer.{index}.output.LayerNorm"))?,
        })
    }

    fn norm(&mut self, name: &str) -> Result<EncoderNorm> {
        let d = self.config.d_model;
        let mut part = |part: &str| self.tensor(&format!("{name}.{part}"), &[d]);
        Ok(EncoderNorm { weight: part("weight")?, bias: part("bias")? })
    }

    fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        let found = self.weights.find(name).or_else(|| self.weights.find(&format!("{PREFIX}{name}")));
        let path = || self.dir.clone();
        let Some(index) = found else {
            return Err(FormatError::Names { path: path(), missing: vec![name.to_owned()], unexpected: vec![] });
        };
        let weight = &self.weights.weights()[index];
        if weight.shape != expected {
            let (expected, found) = (expected.to_vec(), weight.shape.clone());
            return Err(FormatError::Shape { path: path(), tensor: weight.name.clone(), expected, found });
        }
        let (rows, tensor) = (weight.rows_and_cols().0, weight.name.clone());
        let mut numbers = Vec::new();
        self.weights.read(index, 0..rows, &mut numbers)?;
        match numbers.iter().position(|number| !number.is_finite()) {
            Some(at) => Err(FormatError::NotFinite { path: path(), tensor, index: at, value: numbers[at] }),
            None => Ok(numbers),
        }
    }
}

fn parse(json: &Value) -> Result<EncoderConfig> {
    let settings = Settings::of(json, "config")?;
    settings.required("model_type", "bert", |value| (value == "bert").then_some(()))?;
    settings.only("hidden_act", &"gelu".into())?;
    settings.only("position_embedding_type", &"absolute".into())?;
    settings.only("is_decoder", &false.into())?;
    let size = |key: &str| settings.required(key, "a whole number from 1", above_0);
    let config = EncoderConfig {
        vocab_size: size("vocab_size")?,
        d_model: size("hidden_size")?,
        n_layers: size("num_hidden_layers")?,
        n_heads: size("num_attention_heads")?,
        d_ff: size("intermediate_size")?,
        max_positions: size("max_position_embeddings")?,
        n_types: size("type_vocab_size")?,
        layer_norm_eps: settings.number("layer_norm_eps")? as f32,
    };
    if !config.d_model.is_multiple_of(config.n_heads) {
        let supported = format!("a divisor of hidden_size, {}", config.d_model);
        return Err(unsupported("num_attention_heads", settings.get("num_attention_heads"), supported));
    }
    Ok(config)
}

fn above_0(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok().filter(|size| *size > 0)
}

/// The one mode that is set, by its own key, or in a list of flags.
fn pooling(json: &Value) -> Result<Pooling> {
    const FLAG: &str = "pooling_mode_";
    let settings = Settings::of(json, "pooling")?;
    let modes: Vec<&str> = match settings.get("pooling_mode") {
        Some(mode) => mode.as_str().into_iter().collect(),
        None => {
            let flags = json.as_object().into_iter().flatten();
            flags.filter(|(_, value)| **value == true).filter_map(|(key, _)| key.strip_prefix(FLAG)).collect()
        }
    };
    match modes[..] {
        ["mean" | "mean_tokens"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        ["lasttoken" | "last_token"] => Ok(Pooling::Last),
        _ => Err(unsupported("pooling_mode", Some(&modes.into()), "one of mean, cls, lasttoken")),
    }
}
