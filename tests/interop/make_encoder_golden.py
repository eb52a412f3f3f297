"""Makes tests/golden/encoder: a tiny random BERT as sentence-transformers saves it, and its vectors of odd texts.

    pip install sentence-transformers==6.2.0
    python tests/interop/make_encoder_golden.py tests/golden/encoder
"""

import json
import pathlib
import shutil
import sys

import tokenizers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "sat", "un", "##aff", "##able", "hello", "##ing", "mat", "##s", "on", "a", "dog", "ran", "国", "é"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"
TEXTS = [
    "The cat sat on the mat.",
    "the cats ran",
    "A dog ran, unaffable!",
    "",
    " ",
    "hello",
    "Hello hello HELLO hello hello hello hello hello hello hello hello hello hello hello hello hello hello hello",
    "[MASK] sat [SEP] on",
    "naïve café 国中 \u0000 \u200b x",
    "0123456789" * 4,
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "don't!? well-known...",
    "supercalifragilisticexpialidocious" * 3,
    "😀 😀",
    "cat",
    "cats",
]


def tokenizer():
    pieces = SPECIALS + WORDS + [letter for letter in LETTERS] + ["##" + letter for letter in LETTERS if letter.isalnum()]
    vocab = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    model = tokenizers.models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100)
    made = tokenizers.Tokenizer(model)
    made.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    ends = [(name, vocab[name]) for name in ("[CLS]", "[SEP]")]
    made.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]", ends)
    made.add_special_tokens(SPECIALS)
    named = dict(unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]")
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=24, **named), len(vocab)


def main(root):
    shutil.rmtree(root, ignore_errors=True)
    torch.manual_seed(11)
    made, vocab_size = tokenizer()
    config = transformers.BertConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=24,
        initializer_range=0.3,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(root)
    made.save_pretrained(root)
    found = {}
    for mode in ["mean", "cls"]:
        inner = Transformer(str(root), max_seq_length=20)
        parts = [inner, Pooling(32, pooling_mode=mode)] + ([Normalize()] if mode == "mean" else [])
        sentence = SentenceTransformer(modules=parts, device="cpu")
        found[mode] = [[round(x, 7) for x in vector] for vector in sentence.encode(TEXTS).tolist()]
        if mode == "mean":
            whole = root.parent / "encoder-whole"
            sentence.save(str(whole))
            for name in ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"]:
                (root / name).parent.mkdir(exist_ok=True)
                shutil.copy(whole / name, root / name)
            shutil.rmtree(whole)
    (root / "vectors.json").write_text(json.dumps({"texts": TEXTS, **found}, separators=(",", ":")) + "\n")
    for name in ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]:
        (root / name).unlink(missing_ok=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
