//! What `config.json` says of weights in fewer bits: `quantization_config` of compressed-tensors (0.20).
//!
//! ```text
//! X.weight F8_E4M3, X.weight_scale  ─▶ a group of modules X: 8 bits, float, a scale a tensor      naive-quantized
//! X.weight_packed …                 ─▶ a group of modules X: 4 bits, int, groups of 32, symmetric   pack-quantized
//! ```

use itera_kernels::quant::Kind;
use serde_json::{Value, json};

use super::settings::{Settings, unsupported};
use crate::error::Result;

pub(super) const QUANTIZATION: &str = "quantization_config";
const GROUPS: &str = "config_groups";

/// How the modules of a directory are compressed that are at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Fp8,
    Int4,
}

impl Scheme {
    /// The kind of their weights.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Fp8 => Kind::F8E4M3,
            Self::Int4 => Kind::Q4_0,
        }
    }

    /// What [`QUANTIZATION`] holds where these modules, by their names, have the scheme.
    pub(super) fn describe(self, modules: &[String]) -> Value {
        let (format, weights) = match self {
            Self::Fp8 => ("naive-quantized", json!({ "num_bits": 8, "type": "float", "strategy": "tensor" })),
            Self::Int4 => {
                ("pack-quantized", json!({ "num_bits": 4, "type": "int", "strategy": "group", "group_size": 32 }))
            }
        };
        json!({
            "quant_method": "compressed-tensors",
            "format": format,
            "quantization_status": "compressed",
            GROUPS: { "group_0": { "targets": modules, "weights": weights } },
        })
    }
}

/// An error unless weights alone are compressed, by what is read here. How each is shows in its tensors.
pub(super) fn check(config: Settings<'_>) -> Result<()> {
    let Some(quantization) = config.get(QUANTIZATION) else { return Ok(()) };
    let quantization = Settings::of(quantization, QUANTIZATION)?;
    quantization.only("quant_method", &"compressed-tensors".into())?;
    quantization.only("kv_cache_scheme", &Value::Null)?;
    let groups = quantization.required(GROUPS, "an object", Value::as_object)?;
    for (name, group) in groups {
        let group = Settings::of(group, name)?;
        group.only("input_activations", &Value::Null)?;
        group.only("output_activations", &Value::Null)?;
        let weights = group.required("weights", "an object", |value| Settings::of(value, "weights").ok())?;
        weights.only("symmetric", &true.into())?;
        let says = |key: &str, value: Value| weights.get(key) == Some(&value);
        let is_fp8 = says("num_bits", 8.into())
            && says("type", "float".into())
            && (says("strategy", "tensor".into()) || says("strategy", "channel".into()));
        let is_int4 = says("num_bits", 4.into()) && says("type", "int".into()) && says("group_size", 32.into());
        if !is_fp8 && !is_int4 {
            let supported = "8-bit floats scaled by tensor or channel, or 4-bit integers in groups of 32";
            return Err(unsupported("weights", group.get("weights"), supported));
        }
    }
    Ok(())
}
