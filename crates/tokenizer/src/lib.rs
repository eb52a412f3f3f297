//! Byte-level BPE and byte tokenizers: train, load, encode, decode
