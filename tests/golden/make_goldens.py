"""Numbers that Hugging Face `transformers` produces, for Itera's model and trainer to be checked against.

    seed → random tiny model → save_pretrained → from_pretrained ─┬→ logits at awkward lengths
                                                                  ├→ router logits, chosen experts
                                                                  ├→ losses, gradient of every parameter
                                                                  └→ ten AdamW steps

Each case becomes a directory beside this file; README.md there says what it holds. `python make_goldens.py`
remakes all of them, `python make_goldens.py hybrid dense` only those named.
"""

import itertools
import json
import math
import sys
from pathlib import Path

import numpy
import safetensors
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file
from transformers import GraniteMoeHybridConfig, GraniteMoeHybridForCausalLM
from transformers.models.granitemoehybrid.modeling_granitemoehybrid import load_balancing_loss_func

HERE = Path(__file__).parent
FIRST_SEED = 1
CHUNK_LEN = 8
AWKWARD_LENGTHS = [1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN + 1]
SHORT_AND_LONG = [1, 2 * CHUNK_LEN + 1]

# A chosen expert leads the next one by at least this much in router logits. Closer, rounding in another
# implementation could choose otherwise, and its numbers would differ without being wrong.
MIN_ROUTER_MARGIN = 5e-4

TRAIN_STEPS = 10
LEARNING_RATE = 3e-3
BETAS = (0.9, 0.95)
EPS = 1e-8
WEIGHT_DECAY = 0.1
CLIP_NORM = 1.0
LOAD_BALANCE_COEF = 0.01
Z_LOSS_COEF = 0.001

BASE = dict(
    vocab_size=259,
    hidden_size=32,
    num_attention_heads=4,
    num_key_value_heads=2,
    attention_multiplier=1 / math.sqrt(8),
    position_embedding_type=None,
    max_position_embeddings=64,
    rms_norm_eps=1e-5,
    num_local_experts=4,
    num_experts_per_tok=2,
    intermediate_size=8,
    shared_intermediate_size=12,
    mamba_expand=1,
    mamba_n_heads=4,
    mamba_d_head=8,
    mamba_n_groups=1,
    mamba_d_state=8,
    mamba_d_conv=4,
    mamba_chunk_size=CHUNK_LEN,
    # JSON has no infinity; no step size comes near this.
    time_step_limit=(0.0, 1e6),
    tie_word_embeddings=True,
    bos_token_id=256,
    eos_token_id=257,
    pad_token_id=258,
)

# Layers by letter (m: mamba, a: attention), lengths whose logits are kept, departures from BASE.
CASES = {
    "all_mamba": ("mm", AWKWARD_LENGTHS, {}),
    "hybrid": ("mam", AWKWARD_LENGTHS, {}),
    "all_attention": (
        "aa",
        SHORT_AND_LONG,
        dict(position_embedding_type="rope", rope_parameters={"rope_type": "default", "rope_theta": 500.0}),
    ),
    "all_attention_nope": ("a", SHORT_AND_LONG, dict(num_key_value_heads=4, num_experts_per_tok=3)),
    "dense": ("ma", SHORT_AND_LONG, dict(num_local_experts=0, num_experts_per_tok=0, num_key_value_heads=1)),
    "two_groups": ("m", SHORT_AND_LONG, dict(mamba_n_groups=2, mamba_expand=2, mamba_d_head=16, num_experts_per_tok=3)),
    "untied": ("m", SHORT_AND_LONG, dict(tie_word_embeddings=False, num_experts_per_tok=1)),
    "multipliers": (
        "ma",
        SHORT_AND_LONG,
        dict(
            embedding_multiplier=3.0,
            residual_multiplier=0.6,
            attention_multiplier=0.2,
            logits_scaling=1.5,
            position_embedding_type="rope",
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        ),
    ),
}


def randomise(model, rng):
    """Weights far from degenerate: transformers' own initialiser is a placeholder (D = 1, flat norms, tiny routers)."""

    def normal(p, mean, std):
        return mean + std * torch.randn(p.shape, generator=rng)

    def uniform(p, low, high):
        return low + (high - low) * torch.rand(p.shape, generator=rng)

    for name, p in model.named_parameters():
        if name.endswith("A_log"):
            value = uniform(p, 1.0, 16.0).log()
        elif name.endswith("dt_bias"):
            dt = uniform(p, math.log(1e-3), math.log(1e-1)).exp()
            value = dt + torch.log(-torch.expm1(-dt))  # softplus⁻¹
        elif name.endswith(".D") or name.endswith("norm.weight"):
            value = normal(p, 1.0, 0.2)
        elif "conv1d" in name or "router" in name:
            value = normal(p, 0.0, 0.4)
        else:
            value = normal(p, 0.0, 0.15)
        p.data.copy_(value)


def write_model(directory, layers, departures, rng):
    """Writes a Hugging Face directory as Itera writes it, and returns the model that transformers reads back."""
    layer_types = ["attention" if letter == "a" else "mamba" for letter in layers]
    config = GraniteMoeHybridConfig(**(BASE | departures), num_hidden_layers=len(layers), layer_types=layer_types)
    config.use_cache = "a" in layers
    model = GraniteMoeHybridForCausalLM(config)
    randomise(model, rng)
    model.save_pretrained(directory)
    (directory / "generation_config.json").unlink()

    path = directory / "config.json"
    fields = json.loads(path.read_text()) | {"layer_types": layer_types}
    path.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")

    model, report = GraniteMoeHybridForCausalLM.from_pretrained(
        directory,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[problem], (problem, report[problem])
    return model


def random_ids(rng, *shape):
    """Token ids with something to learn: mostly a cycle through 16 tokens, broken by uniform noise. Never pad,
    whose embedding row transformers gives no gradient."""
    length = shape[-1]
    rows = math.prod(shape[:-1])
    phase = torch.randint(16, (rows, 1), generator=rng)
    cycle = (phase + torch.arange(length)) % 16 * 13 + 7
    noise = torch.randint(BASE["pad_token_id"], (rows, length), generator=rng)
    keep = torch.rand(rows, length, generator=rng) < 0.7
    return torch.where(keep, cycle, noise).reshape(shape)


def run(model, ids):
    """Logits [b, l, v] and the router logits [b·l, e] of each layer."""
    moe = model.config.num_local_experts > 0
    out = model.model(input_ids=ids, use_cache=False, output_router_logits=moe)
    logits = model.lm_head(out.last_hidden_state) / model.config.logits_scaling
    return logits, out.router_logits if moe else ()


class UndecidedRouter(Exception):
    """Some token's choice of experts hangs on rounding: this seed will not do."""


def choose(router_logits, top_k):
    """Expert ids [t, k] by falling logit, ties to the lower index."""
    values, ids = router_logits.detach().sort(dim=-1, descending=True, stable=True)
    margin = (values[:, :top_k] - values[:, 1 : top_k + 1]).min().item()
    if margin < MIN_ROUTER_MARGIN:
        raise UndecidedRouter(f"router margin {margin:.1e}")
    return ids[:, :top_k]


def load_balance_loss(router_logits, top_k):
    """e · Σ_e f_e · P_e (Switch Transformer eq. 4), where f is the share of assignments, so that balance gives 1."""
    n_experts = router_logits.shape[-1]
    f = F.one_hot(choose(router_logits, top_k), n_experts).float().mean((0, 1))
    p = router_logits.softmax(-1).mean(0)
    return n_experts * (f * p).sum()


def losses(model, ids):
    """The parts of the objective for ids [b, l+1]: positions 0..l go in, positions 1..l+1 are predicted."""
    logits, router_logits = run(model, ids[:, :-1])
    parts = {"cross_entropy": F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())}
    if router_logits:
        k = model.config.num_experts_per_tok
        parts["load_balance_loss"] = torch.stack([load_balance_loss(r, k) for r in router_logits]).mean()
        parts["z_loss"] = torch.stack([r.logsumexp(-1).square().mean() for r in router_logits]).mean()
        pooled = load_balancing_loss_func(router_logits, model.config.num_local_experts, k)
        torch.testing.assert_close(pooled, k * load_balance_loss(torch.cat(router_logits), k))
        parts["hf_load_balance_loss"] = pooled
    return parts


def disk_name(name):
    """The name that a parameter has in `model.safetensors`."""
    return (
        name.replace("experts.gate_up_proj", "input_linear.weight")
        .replace("experts.down_proj", "output_linear.weight")
        .replace("router.weight", "router.layer.weight")
    )


def gradients(model, loss, keep=lambda name: True):
    """Gradient of `loss` by name on disk, for the parameters to `keep`."""
    named = [(disk_name(n), p) for n, p in model.named_parameters() if keep(n)]
    grads = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, materialize_grads=True)
    return {name: g.contiguous() for (name, _), g in zip(named, grads, strict=True)}


def train(model, train_ids):
    """Ten AdamW steps on ten batches; one row of losses a step, before the update."""

    def decays(name, p):
        return p.dim() >= 2 and "conv1d" not in name

    named = list(model.named_parameters())
    groups = [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPS)
    curve = []
    for ids in train_ids:
        parts = losses(model, ids)
        ce = parts["cross_entropy"]
        lb = parts.get("load_balance_loss", torch.zeros(()))
        z = parts.get("z_loss", torch.zeros(()))
        optimiser.zero_grad()
        (ce + LOAD_BALANCE_COEF * lb + Z_LOSS_COEF * z).backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimiser.step()
        curve.append({"ce": ce.item(), "lb": lb.item(), "z": z.item(), "grad_norm": norm.item()})
    return curve


def make(case, seed):
    """Writes one case; all that is random in it follows from `seed`."""
    layers, lengths, departures = CASES[case]
    directory = HERE / case
    directory.mkdir(exist_ok=True)
    rng = torch.Generator().manual_seed(seed)
    model = write_model(directory, layers, departures, rng)
    versions = {m.__name__: m.__version__.split("+")[0] for m in (torch, transformers, safetensors, numpy)}
    numbers = {"case": case, "seed": seed, "versions": versions, "lengths": lengths}
    tensors = {}

    for length in lengths:
        ids = random_ids(rng, 2, length)
        numbers[f"ids_{length}"] = ids.tolist()
        with torch.no_grad():
            tensors[f"logits_{length}"], router_logits = run(model, ids)
    for layer, r in enumerate(router_logits):  # of the last, longest length
        numbers[f"experts_{layer}"] = choose(r, model.config.num_experts_per_tok).tolist()
        tensors[f"router_logits_{layer}"] = r

    grad_ids = random_ids(rng, 2, lengths[-1] + 1)
    numbers["grad_ids"] = grad_ids.tolist()
    parts = losses(model, grad_ids)
    numbers |= {name: value.item() for name, value in parts.items()}
    tensors |= {f"grad.{n}": g for n, g in gradients(model, parts["cross_entropy"]).items()}
    if "z_loss" in parts:
        for name in ("load_balance_loss", "z_loss"):
            routers = gradients(model, parts[name], keep=lambda n: "router" in n)
            tensors |= {f"{name}_grad.{n}": g for n, g in routers.items()}

    train_ids = random_ids(rng, TRAIN_STEPS, 2, lengths[-1] + 1)
    numbers["train_ids"] = train_ids.tolist()
    numbers["train_settings"] = {
        "lr": LEARNING_RATE,
        "beta1": BETAS[0],
        "beta2": BETAS[1],
        "eps": EPS,
        "weight_decay": WEIGHT_DECAY,
        "grad_clip_norm": CLIP_NORM,
        "load_balance_coef": LOAD_BALANCE_COEF,
        "z_loss_coef": Z_LOSS_COEF,
    }
    numbers["train_curve"] = train(model, train_ids)

    save_file(tensors, directory / "golden.safetensors")
    lines = (f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in numbers.items())
    (directory / "golden.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    curve = numbers["train_curve"]
    print(f"{case}: seed {seed}, cross-entropy {curve[0]['ce']:.3f} → {curve[-1]['ce']:.3f} in {len(curve)} steps")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for case in sys.argv[1:] or CASES:
        for seed in itertools.count(FIRST_SEED):
            try:
                make(case, seed)
                break
            except UndecidedRouter as undecided:
                print(f"{case}: seed {seed} skipped, {undecided}")


if __name__ == "__main__":
    main()
