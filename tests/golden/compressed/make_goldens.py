"""Small random models in the layouts of compressed-tensors, as that package writes them.

    pip install torch==2.15.0 transformers==5.23.0 compressed-tensors==0.20.0 && python make_goldens.py

    fp8/   8-bit floats with a bf16 scale for each row (`naive-quantized`)
    int4/  4-bit integers with a bf16 scale for each 32 (`pack-quantized`)

Each holds `config.json` and `model.safetensors`, and in `values.safetensors` what the compressed weights stand for: codes
times scales in f32, by the package's own decompressor.
"""

import pathlib
import shutil

import torch
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, QuantizationStatus, apply_quantization_config
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GraniteMoeHybridConfig

HERE = pathlib.Path(__file__).parent
SEED = 1
WEIGHTS = {
    "fp8": dict(num_bits=8, type="float", strategy="channel"),
    "int4": dict(num_bits=4, type="int", strategy="group", group_size=32),
}
# largest code: what the scale of the largest element of a row or group makes of it
LARGEST = {"fp8": 448, "int4": 7.5}


def model():
    """Rows of 32 and 64, a mamba and an attention layer."""
    config = GraniteMoeHybridConfig(
        vocab_size=259, hidden_size=32, num_hidden_layers=2, layer_types=["mamba", "attention"],
        num_attention_heads=2, num_key_value_heads=1, mamba_n_heads=4, mamba_d_head=16, mamba_d_state=8, mamba_expand=2,
        mamba_n_groups=1, mamba_chunk_size=8, num_local_experts=2, num_experts_per_tok=1, intermediate_size=8,
        shared_intermediate_size=32, max_position_embeddings=64, tie_word_embeddings=True, attention_multiplier=0.25,
        time_step_limit=[0.0, 1e6], bos_token_id=0, eos_token_id=0, pad_token_id=1,
    )
    torch.manual_seed(SEED)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.1)
    return model


def write(name):
    dense, out = model(), HERE / name
    shutil.rmtree(out, ignore_errors=True)
    group = dict(targets=["Linear"], weights=WEIGHTS[name])
    config = QuantizationConfig(config_groups={"group_0": group}, ignore=["lm_head"])
    apply_quantization_config(dense, config)
    for module in dense.modules():
        if hasattr(module, "weight_scale"):
            width = WEIGHTS[name].get("group_size", module.weight.shape[1])
            largest = module.weight.reshape(len(module.weight), -1, width).abs().amax(-1)
            module.weight_scale.data = (largest / LARGEST[name]).to(torch.bfloat16)
            module.quantization_status = QuantizationStatus.FROZEN
    compressor = ModelCompressor.from_pretrained_model(dense)
    compressor.compress_model(dense)
    dense.save_pretrained(out)
    compressor.update_config(out)
    (out / "generation_config.json").unlink()

    stored = load_file(out / "model.safetensors")
    scheme = compressor.quantization_config.config_groups["group_0"]
    decompressor = BaseCompressor.get_value_from_registry(compressor.quantization_config.format.value)
    values = {}
    for scale in [name for name in stored if name.endswith(".weight_scale")]:
        prefix = scale.removesuffix("weight_scale")
        parts = {key.removeprefix(prefix): tensor for key, tensor in stored.items() if key.startswith(prefix)}
        parts["weight_scale"] = parts["weight_scale"].float()
        values[prefix + "weight"] = decompressor.decompress(parts, scheme)["weight"]
    assert len(values) == 10
    save_file(values, out / "values.safetensors")


for name in WEIGHTS:
    write(name)
