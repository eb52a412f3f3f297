//! Corpora, token shards and the resumable sampler
