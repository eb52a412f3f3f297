//! Causal grouped-query attention with rotary positions, and backward.

use divan::Bencher;
use itera_kernels::{
    attention::{Attention, Rope, Saved, backward, forward},
    gemm::Operands,
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<5>; 2] = [
    Shape([("b", 16), ("l", 256), ("h", 4), ("kv", 2), ("w", 32)]),
    Shape([("b", 1), ("l", 4096), ("h", 4), ("kv", 2), ("w", 32)]),
];

/// The operator, its angles and its input.
fn case(shape: &Shape<5>, operands: Operands) -> (Attention, Rope, Vec<f32>) {
    let [batch, len, n_heads, n_kv_heads, d_head] = shape.sizes();
    let scale = (d_head as f32).sqrt().recip();
    let op = Attention { batch, len, past: 0, n_heads, n_kv_heads, d_head, scale, operands };
    (op, Rope::new(1e4, d_head, len), uniform(batch * len * op.qkv_width(), -1.0, 1.0, 1))
}

/// y and the logsumexp.
fn outputs(op: &Attention) -> (Vec<f32>, Vec<f32>) {
    let positions = op.batch * op.len;
    (vec![0.0; positions * op.y_width()], vec![0.0; positions * op.n_heads])
}

/// Operations of one of the products of scores, those above the diagonal left out.
fn product(op: &Attention) -> usize {
    op.batch * op.n_heads * op.len * (op.len + 1) * op.d_head
}

fn bench_forward(bencher: Bencher<'_, '_>, shape: &Shape<5>, operands: Operands) {
    let (op, rope, qkv) = case(shape, operands);
    let (mut y, mut logsumexp) = outputs(&op);
    let work = Work { floats: qkv.len() + y.len(), flops: 2 * product(&op) };
    bench(bencher, work, || forward(&op, Some(&rope), &qkv, &mut y, &mut logsumexp));
}

fn bench_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>, operands: Operands) {
    let (op, rope, qkv) = case(shape, operands);
    let (mut y, mut logsumexp) = outputs(&op);
    forward(&op, Some(&rope), &qkv, &mut y, &mut logsumexp);
    let (d_y, mut d_qkv) = (uniform(y.len(), -1.0, 1.0, 2), vec![0.0; qkv.len()]);
    let work = Work { floats: 2 * (qkv.len() + y.len()), flops: 5 * product(&op) };
    let saved = Saved { qkv: &qkv, y: &y, logsumexp: &logsumexp };
    bench(bencher, work, || backward(&op, Some(&rope), saved, &d_y, &mut d_qkv));
}

#[divan::bench(args = SHAPES)]
fn attention(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    bench_forward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn attention_bf16(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    bench_forward(bencher, shape, Operands::Bf16);
}

#[divan::bench(args = SHAPES)]
fn attention_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    bench_backward(bencher, shape, Operands::F32);
}

#[divan::bench(args = SHAPES)]
fn attention_backward_bf16(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    bench_backward(bencher, shape, Operands::Bf16);
}
