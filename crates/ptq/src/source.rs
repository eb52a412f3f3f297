//! a Hugging Face directory → the headers of its files of weights and its `config.json`, nothing more.

use std::path::{Path, PathBuf};

use itera_formats::{
    SafetensorsReader,
    hf::{Shards, read_config_json},
};
use serde_json::{Map, Value};

use crate::error::{PtqError, Result};

/// Keys of `config.json` that say that weights are rounded.
const QUANTIZED_KEYS: [&str; 2] = ["quantization_config", "compression_config"];

/// The file beside `config.json` in which ModelOpt says so.
pub(crate) const MODELOPT_CONFIG: &str = "hf_quant_config.json";

/// Endings of the names of tensors that only rounded weights have.
const QUANTIZED_ENDINGS: [&str; 9] = [
    ".weight_packed",
    ".weight_scale",
    ".weight_scale_2",
    ".weight_scale_inv",
    ".weight_global_scale",
    ".weight_zero_point",
    ".qweight",
    ".qzeros",
    ".quant_state.bitsandbytes__nf4",
];

/// A directory whose headers are read and agree with each other.
pub(crate) struct Source {
    pub(crate) dir: PathBuf,
    /// In order of the names of their files.
    pub(crate) shards: Vec<SafetensorsReader>,
    /// Whether there is an index beside several files.
    pub(crate) has_index: bool,
    pub(crate) config: Map<String, Value>,
}

impl Source {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        let config = read_config(dir)?;
        let quantized = |said: String| PtqError::Quantized { dir: dir.into(), said };
        if let Some(key) = QUANTIZED_KEYS.iter().find(|key| config.get(**key).is_some_and(|value| !value.is_null())) {
            return Err(quantized(format!("config.json has `{key}`")));
        }
        if dir.join(MODELOPT_CONFIG).exists() {
            return Err(quantized(format!("{MODELOPT_CONFIG} is there")));
        }
        let Shards { readers: shards, has_index } = Shards::open(dir)?;
        let mut names = shards.iter().flat_map(SafetensorsReader::tensors).map(|tensor| tensor.name.as_str());
        if let Some(name) = names.find(|name| QUANTIZED_ENDINGS.iter().any(|ending| name.ends_with(ending))) {
            return Err(quantized(format!("it has the tensor `{name}`")));
        }
        Ok(Self { dir: dir.into(), shards, has_index, config })
    }

    /// The name of the file of a shard.
    pub(crate) fn file_name(&self, shard: usize) -> String {
        self.shards[shard].path().file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn read_config(dir: &Path) -> Result<Map<String, Value>> {
    let path = dir.join("config.json");
    if !path.exists() {
        return Err(PtqError::NoConfig { dir: dir.into() });
    }
    match read_config_json(&path)? {
        Value::Object(config) => Ok(config),
        _ => Err(PtqError::NoConfig { dir: dir.into() }),
    }
}
