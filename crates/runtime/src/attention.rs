//! u → q | k | v → turned, remembered → softmax(q·kᵀ)·v → o_proj
//!
//! Each of several states by one query, or by a chunk of them; the same function.

use itera_kernels::{
    attention::{self, attend},
    decode::{attention_step, turn},
    gemm::Operands,
};

use crate::{
    buffer::sized,
    network::{Attention, Rope},
    past::{Chunk, Past},
    state::KeysValues,
    workspace::{ForChunks, Workspace},
};

/// The mixer of layer `index` on `rows` rows of `work.u`, into `work.branch`.
pub(crate) fn mix(
    layer: &Attention<'_>,
    rope: Option<&Rope>,
    index: usize,
    rows: usize,
    past: &mut Past<'_, '_>,
    work: &mut Workspace,
) {
    let (d, w) = (layer.q_proj.packed().cols(), layer.sizes.d_head);
    let (q, kv) = (layer.sizes.n_heads * w, layer.sizes.n_kv_heads * w);
    let u = &work.u[..rows * d];
    let queries = &mut work.projected[..rows * q];
    let (keys, values) = (&mut work.key[..rows * kv], &mut work.value[..rows * kv]);
    let mut input = work.linear.input(past.form(), u, d);
    input.times(&layer.q_proj, queries);
    input.times(&layer.k_proj, keys);
    input.times(&layer.v_proj, values);
    if let Some(rope) = rope {
        let heads = queries.chunks_exact_mut(q).zip(keys.chunks_exact_mut(kv));
        for ((query, key), turns) in heads.zip(work.turns.chunks_exact(w)) {
            turn(query, turns, rope.pairs);
            turn(key, turns, rope.pairs);
        }
    }

    let mixed = &mut work.mixed[..rows * q];
    let mut new = keys.chunks_exact(kv).zip(values.chunks_exact(kv));
    match past {
        Past::Steps(states) => {
            let queries = queries.chunks_exact(q).zip(mixed.chunks_exact_mut(q));
            for ((state, (key, value)), (query, y)) in states.iter_mut().zip(new).zip(queries) {
                let past = state.attention_mut(index);
                past.push(key, value);
                attention_step(&layer.sizes, query, past.all(), y);
            }
        }
        Past::Chunks(chunks) => {
            let (mut queries, mut mixed) = (&*queries, &mut *mixed);
            for Chunk { state, len } in &mut **chunks {
                let (input, output);
                (input, queries) = queries.split_at(*len * q);
                (output, mixed) = mixed.split_at_mut(*len * q);
                let past = state.attention_mut(index);
                new.by_ref().take(*len).for_each(|(key, value)| past.push(key, value));
                attend_chunk(layer, past, input, &mut work.chunk, output);
            }
        }
    }
    work.linear.input(past.form(), mixed, q).times(&layer.o_proj, &mut work.branch[..rows * d]);
}

/// The last positions of `past`, whose `queries` [l, q] are given, over all of it.
fn attend_chunk(layer: &Attention<'_>, past: &KeysValues, queries: &[f32], chunk: &mut ForChunks, mixed: &mut [f32]) {
    let sizes = &layer.sizes;
    let q = sizes.n_heads * sizes.d_head;
    let len = queries.len() / q;
    let op = attention::Attention {
        batch: 1,
        len,
        past: past.seen() - len,
        n_heads: sizes.n_heads,
        n_kv_heads: sizes.n_kv_heads,
        d_head: sizes.d_head,
        scale: sizes.scale,
        operands: Operands::F32,
    };
    let (keys, values) = (sized(&mut chunk.keys, op.keys_len()), sized(&mut chunk.values, op.keys_len()));
    past.write_by_head(sizes.d_head, keys, values);
    // keys and values are read from where they were just written, not from these rows
    let qkv = sized(&mut chunk.qkv, len * op.qkv_width());
    for (row, query) in qkv.chunks_exact_mut(op.qkv_width()).zip(queries.chunks_exact(q)) {
        row[..q].copy_from_slice(query);
    }
    let logsumexp = sized(&mut chunk.logsumexp, len * sizes.n_heads);
    attend(&op, None, qkv, (keys, values), mixed, logsumexp);
}
