"""Makes tests/golden/ptq: tiny random models in two files, and what llm-compressor makes of each.

    pip install llmcompressor==0.14.0.1 transformers torch
    python tests/interop/make_ptq_golden.py tests/golden/ptq

For each model: `source/`, what transformers saves, and `fp8/`, `nvfp4/`, what `model_free_ptq` writes of it
(FP8_DYNAMIC and NVFP4A16), weights alone. What stays is what Itera keeps, listed here by hand.
"""

import pathlib
import shutil
import sys

import torch
import transformers
from llmcompressor import model_free_ptq

KEPT = {
    "qwen3": ["re:.*embed_tokens", "re:.*lm_head", "re:.*norm"],
    "llama": ["re:.*embed_tokens", "re:.*lm_head", "re:.*norm"],
    "mixtral": ["re:.*embed_tokens", "re:.*lm_head", "re:.*norm", "re:.*gate"],
    "half": ["re:.*embed_tokens", "re:.*lm_head", "re:.*norm"],
    "bert": ["re:.*embeddings.*", "re:.*LayerNorm", "re:.*pooler.*"],
}


def models():
    common = dict(vocab_size=48, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48)
    causal = dict(common, num_key_value_heads=1, head_dim=16, tie_word_embeddings=False, max_position_embeddings=64)
    yield "qwen3", transformers.Qwen3Config(**causal), transformers.Qwen3ForCausalLM, torch.bfloat16
    yield "llama", transformers.LlamaConfig(**causal), transformers.LlamaForCausalLM, torch.float32
    mixtral = transformers.MixtralConfig(**causal, num_local_experts=3, num_experts_per_tok=2)
    yield "mixtral", mixtral, transformers.MixtralForCausalLM, torch.bfloat16
    yield "bert", transformers.BertConfig(**common, max_position_embeddings=16), transformers.BertModel, torch.bfloat16
    # of f16, FP8 alone: there the factor of NVFP4 overflows in llm-compressor, and becomes 1
    yield "half", transformers.LlamaConfig(**causal), transformers.LlamaForCausalLM, torch.float16


def main(root):
    for seed, (name, config, kind, dtype) in enumerate(models()):
        torch.manual_seed(seed)
        model = kind(config).to(dtype)
        source = root / name / "source"
        shutil.rmtree(root / name, ignore_errors=True)
        size = sum(p.numel() * p.element_size() for p in model.parameters())
        model.save_pretrained(source, max_shard_size=size * 6 // 10)
        schemes = [("FP8_DYNAMIC", "fp8"), ("NVFP4A16", "nvfp4")]
        for scheme, out in schemes[: 1 if dtype == torch.float16 else 2]:
            target = root / name / out
            model_free_ptq(source, target, scheme, ignore=KEPT[name], device="cpu")
            for file in target.iterdir():
                if file.suffix not in (".safetensors",):
                    file.unlink()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
