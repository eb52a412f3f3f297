//! `quantization_config` of `config.json`, and ModelOpt's file of the same.

use itera_kernels::quant::apart::NVFP4_GROUP;
use serde_json::{Map, Value, json};

use crate::method::{BLOCK, Fp8Scales, Layout, Method};

/// What compressed-tensors calls the release whose keys these are.
const VERSION: &str = "0.19.0";

/// `config` with what it has to say of weights that are rounded by `method`, but in the modules of `kept`.
pub(crate) fn quantized(config: &Map<String, Value>, method: Method, layout: Layout, kept: &[String]) -> Value {
    let about = match layout {
        Layout::CompressedTensors => compressed_tensors(method, kept),
        Layout::ModelOpt => modelopt(method, kept),
    };
    let mut config = config.clone();
    config.insert("quantization_config".into(), about);
    Value::Object(config)
}

fn compressed_tensors(method: Method, kept: &[String]) -> Value {
    let float = |bits: u8, strategy: &str| json!({ "num_bits": bits, "type": "float", "strategy": strategy, "symmetric": true, "dynamic": false });
    let with = |mut args: Value, more: &[(&str, Value)]| {
        for (key, value) in more {
            args[*key] = value.clone();
        }
        args
    };
    let dynamic = ("dynamic", true.into());
    let (format, weights, activations) = match method {
        Method::Nvfp4 => {
            let group = ("group_size", NVFP4_GROUP.into());
            let scale = ("scale_dtype", "torch.float8_e4m3fn".into());
            ("nvfp4-pack-quantized", with(float(4, "tensor_group"), &[group, scale]), Value::Null)
        }
        Method::Fp8(scales) => {
            let (weights, activations) = match scales {
                Fp8Scales::Channel => (float(8, "channel"), float(8, "token")),
                Fp8Scales::Tensor => (float(8, "tensor"), float(8, "token")),
                Fp8Scales::Block => {
                    let block = ("block_structure", json!([BLOCK, BLOCK]));
                    (with(float(8, "block"), &[block]), with(float(8, "group"), &[("group_size", BLOCK.into())]))
                }
            };
            ("float-quantized", weights, with(activations, &[dynamic]))
        }
    };
    json!({
        "quant_method": "compressed-tensors",
        "version": VERSION,
        "format": format,
        "quantization_status": "compressed",
        "config_groups": { "group_0": {
            "targets": ["Linear"],
            "format": format,
            "weights": weights,
            "input_activations": activations,
            "output_activations": null,
        } },
        "kv_cache_scheme": null,
        "ignore": kept,
    })
}

fn modelopt(method: Method, kept: &[String]) -> Value {
    let mut about = json!({ "quant_method": "modelopt" });
    if let (Some(about), Value::Object(more)) = (about.as_object_mut(), modelopt_quantization(method, kept)) {
        about.extend(more);
    }
    about
}

/// The file that ModelOpt writes beside `config.json`.
pub(crate) fn modelopt_file(method: Method, kept: &[String]) -> Value {
    json!({
        "producer": { "name": "itera", "version": env!("CARGO_PKG_VERSION") },
        "quantization": modelopt_quantization(method, kept),
    })
}

fn modelopt_quantization(method: Method, kept: &[String]) -> Value {
    match method {
        Method::Nvfp4 => json!({
            "quant_algo": "W4A16_NVFP4",
            "kv_cache_quant_algo": null,
            "group_size": NVFP4_GROUP,
            "exclude_modules": kept,
        }),
        Method::Fp8(_) => json!({
            "quant_algo": "FP8_PER_CHANNEL_PER_TOKEN",
            "kv_cache_quant_algo": null,
            "exclude_modules": kept,
        }),
    }
}
