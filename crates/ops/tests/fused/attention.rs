//! causal_attention

use itera_ops::{AttentionShape, Rope, causal_attention};
use itera_testkit::F32_REORDERED;

use crate::case::{Case, Output};

fn check(batch: usize, len: usize, shape: AttentionShape) {
    let AttentionShape { n_heads, n_kv_heads, d_head, .. } = shape;
    let width = (n_heads + 2 * n_kv_heads) * d_head;
    Case::new(format!("attention, {batch} of {len}, {shape:?}"), F32_REORDERED)
        .uniform(batch * len * width, -2.0, 2.0)
        .check(|inputs| {
            let (y, (keys, values)) = causal_attention(inputs[0].clone().reshape([batch, len, width]), None, &shape);
            vec![y.into(), Output::constant(keys), Output::constant(values)]
        });
}

#[test]
fn attention_is_its_composite() {
    for [batch, len, n_heads, n_kv_heads, d_head] in [
        [1, 1, 1, 1, 2],
        [2, 1, 4, 2, 8],
        [2, 5, 4, 1, 6],
        [1, 63, 2, 2, 16],
        [2, 64, 4, 2, 32],
        [1, 65, 6, 3, 34],
        [3, 130, 2, 1, 20],
        [1, 257, 1, 1, 64],
        [1, 33, 2, 2, 128],
    ] {
        for rope in [None, Some(Rope { theta: 10_000.0 })] {
            check(batch, len, AttentionShape { n_heads, n_kv_heads, d_head, scale: 0.3, rope });
        }
    }
}

#[test]
fn one_key_may_take_all_the_weight() {
    check(1, 70, AttentionShape { n_heads: 2, n_kv_heads: 1, d_head: 16, scale: 8.0, rope: None });
}

#[test]
fn later_pieces_of_a_sequence_go_on_from_what_the_fused_form_left() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, d_head: 6, scale: 0.4, rope: Some(Rope { theta: 100.0 }) };
    let width = 8 * 6;
    for cut in [1, 7, 19] {
        Case::new(format!("attention cut at {cut} of 20"), F32_REORDERED).uniform(2 * 20 * width, -1.0, 1.0).check(
            |inputs| {
                let qkv = inputs[0].clone().reshape([2, 20, width]);
                let (first, past) = causal_attention(qkv.clone().narrow(1, 0, cut), None, &shape);
                // the fused form cuts the graph here
                let past = (past.0.detach(), past.1.detach());
                let (second, _) = causal_attention(qkv.narrow(1, cut, 20 - cut), Some(past), &shape);
                vec![first.into(), second.into()]
            },
        );
    }
}
