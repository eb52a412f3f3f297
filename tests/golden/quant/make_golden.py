"""What `gguf` reads from blocks, and the blocks that llama.cpp's reference quantisers write; of f8_e4m3, torch.

    pip install gguf==0.19.0 numpy torch==2.15.0 && python make_golden.py libggml-base.so

`libggml-base.so` is built from llama.cpp (`cmake -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF`): two kinds have no
quantiser in `gguf`, q2_0 is not in it at all, and where it has one the two must agree. Everything is little-endian:

    KIND.blocks    random blocks, some with a zero, subnormal, negative or infinite scale
    KIND.values    the f32 that they stand for
    input.f32      numbers to quantise
    KIND.rounded   their blocks
"""

import ctypes
import pathlib
import sys

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, quants

HERE = pathlib.Path(__file__).parent
SEED = 1
N_BLOCKS = 32
KINDS = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4", "nvfp4", "q2_0"]
# f16: 0, −0, least and greatest subnormal, least normal, greatest, ∞, −1, ⅓, a small negative
SCALES = np.array([0, 0x8000, 1, 0x3FF, 0x400, 0x7BFF, 0x7C00, 0xBC00, 0x3555, 0x9234], dtype="<u2").view(np.uint8).reshape(-1, 2)


def sizes(kind):
    """Elements and bytes of a block."""
    return (64, 18) if kind == "q2_0" else GGML_QUANT_SIZES[Type[kind.upper()]]


def blocks(rng, kind):
    """Bytes of any value; where an f16 leads, the first few take the scales above, the others a finite one."""
    block_len, block_bytes = sizes(kind)
    count = N_BLOCKS * max(1, 32 // block_len)
    bytes_ = rng.integers(0, 256, (count, block_bytes), dtype=np.uint8)
    if kind[0] in "qi":
        bytes_[:, 1] &= 0xBF
        bytes_[: len(SCALES), :2] = SCALES
        if kind.endswith("_1"):
            bytes_[:, 3] &= 0xBF
            bytes_[: len(SCALES), 2:4] = SCALES[::-1]
    if kind == "mxfp4":
        bytes_[:4, 0] = [0, 1, 254, 255]
    if kind == "nvfp4":
        bytes_[0, :4], bytes_[1, :4] = [0, 1, 7, 8], [0x7E, 0x7F, 0x80, 0xFF]
    return bytes_


def numbers(rng):
    """Rows of 64: ordinary ones, then every corner that a quantiser has."""
    x = rng.standard_normal((N_BLOCKS, 64)).astype(np.float32)
    x[8:16] *= np.exp2(rng.integers(-12, 12, (8, 1))).astype(np.float32)
    x[16] = 0
    x[17] = -0.0
    x[18] = 0.3
    x[19] = -0.3
    x[20, 1:] = 0
    x[21] = np.tile([1.5, -1.5], 32)
    x[22] = np.tile([-1.5, 1.5], 32)
    x[23] *= 1e-5
    x[24] *= 1e-16
    x[25] = np.arange(64) - 32
    x[26] = (np.arange(64) - 32) / 2
    # halfway between the entries of the table of iq4_nl
    table = quants.IQ4_NL.kvalues
    x[27] = np.tile([table[0], *np.add(table[1:], table[:-1]) / 2], 4)
    x[28] = np.abs(x[28])
    x[29] = -np.abs(x[29])
    # the largest of a group just below a power of two
    x[30] = np.clip(x[30], -1, 1) * np.nextafter(np.float32(8), np.float32(0))
    x[31] = np.clip(x[31], -1, 1) * np.nextafter(np.float32(2**-6), np.float32(0))
    return x


def values(ggml, kind, bytes_):
    """By `gguf`; by llama.cpp for the kind that it has not."""
    if kind != "q2_0":
        with np.errstate(all="ignore"):
            return quants.dequantize(bytes_, Type[kind.upper()]).astype("<f4")
    block_len, _ = sizes(kind)
    out = np.zeros((len(bytes_), block_len), dtype="<f4")
    ggml.dequantize_row_q2_0(bytes_.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(out.size))
    return out


def rounded(ggml, kind, x):
    """By llama.cpp's reference; by `gguf` for the floats that have no quantiser there."""
    block_len, block_bytes = sizes(kind)
    out = np.zeros(x.size // block_len * block_bytes, dtype=np.uint8)
    if kind in ("f32", "f16", "bf16"):
        return quants.quantize(x, Type[kind.upper()])
    quantise = getattr(ggml, f"quantize_row_{kind}_ref")
    quantise(x.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(x.size))
    if kind not in ("iq4_nl", "nvfp4", "q2_0"):
        # a block of −0 has a scale of −0 in llama.cpp and of 0 in `gguf`
        rows = np.arange(len(x)) != 17
        assert np.array_equal(out.reshape(len(x), -1)[rows], quants.quantize(x, Type[kind.upper()])[rows]), kind
    if kind == "iq4_nl":
        # where nothing is above 1e-15 the reference leaves the codes of the block before, under a scale of 0
        out = out.reshape(-1, block_bytes)
        out[np.abs(x).reshape(-1, block_len).max(axis=1) < 1e-15, 2:] = 0x88
    return out


def e4m3(x):
    """Every code, and numbers rounded as compressed-tensors rounds: clamped, then cast."""
    codes = np.arange(256, dtype=np.uint8)
    codes.tofile(HERE / "f8_e4m3.blocks")
    torch.from_numpy(codes).view(torch.float8_e4m3fn).float().numpy().tofile(HERE / "f8_e4m3.values")
    clamped = torch.from_numpy(x).clamp(-448, 448)
    clamped.to(torch.float8_e4m3fn).view(torch.uint8).numpy().tofile(HERE / "f8_e4m3.rounded")


def main():
    ggml = ctypes.CDLL(sys.argv[1])
    rng = np.random.default_rng(SEED)
    x = numbers(rng)
    x.tofile(HERE / "input.f32")
    e4m3(x)
    for kind in KINDS:
        bytes_ = blocks(rng, kind)
        bytes_.tofile(HERE / f"{kind}.blocks")
        values(ggml, kind, bytes_).tofile(HERE / f"{kind}.values")
        rounded(ggml, kind, x).tofile(HERE / f"{kind}.rounded")


main()
