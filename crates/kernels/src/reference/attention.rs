//! Causal grouped-query attention, a query at a time.

use crate::attention::Attention;

/// Twin of [`keys_and_values`](crate::attention::keys_and_values): those of the past and then those of `qkv`, keys
/// turned by `theta`.
///
/// # Shapes
/// `qkv`: [b·l, (heads + 2·kv_heads)·w], `past`: each [b, kv_heads, past, w] → each [b, kv_heads, past + l, w]
pub fn keys_and_values(
    op: &Attention,
    theta: Option<f64>,
    qkv: &[f64],
    past: (&[f64], &[f64]),
) -> (Vec<f64>, Vec<f64>) {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (b, kv) in (0..op.batch).flat_map(|b| (0..op.n_kv_heads).map(move |kv| (b, kv))) {
        for position in 0..op.past + op.len {
            if position < op.past {
                let from = ((b * op.n_kv_heads + kv) * op.past + position) * op.d_head;
                keys.extend(&past.0[from..from + op.d_head]);
                values.extend(&past.1[from..from + op.d_head]);
            } else {
                let head = |head| head_of(op, qkv, b, position - op.past, head);
                keys.extend(turned(head(op.n_heads + kv), theta, position as f64));
                values.extend(head(op.n_heads + op.n_kv_heads + kv));
            }
        }
    }
    (keys, values)
}

/// Twin of [`attend`](crate::attention::attend): `softmax(q·kᵀ·scale)·v` over the positions up to the query's, and the
/// logsumexp of the scores.
///
/// # Shapes
/// `qkv`: [b·l, (heads + 2·kv_heads)·w], `keys`, `values`: [b, kv_heads, past + l, w] → ([b·l, heads·w], [b·l, heads])
pub fn attention(
    op: &Attention,
    theta: Option<f64>,
    qkv: &[f64],
    keys: &[f64],
    values: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let (mut y, mut logsumexp) = (Vec::new(), Vec::new());
    for (b, i, head) in queries(op) {
        let (weights, sum) = weights(op, theta, qkv, keys, (b, i, head));
        logsumexp.push(sum);
        for c in 0..op.d_head {
            y.push(weights.iter().enumerate().map(|(j, weight)| weight * values[at(op, b, head, j) + c]).sum());
        }
    }
    (y, logsumexp)
}

/// Twin of [`attend_whole`](crate::attention::attend_whole): `softmax(q·kᵀ/√w)·v` over all positions of one text.
///
/// # Shapes
/// `qkv`: [l, 3·heads·w] → [l, heads·w]
pub fn attention_whole(n_heads: usize, w: usize, qkv: &[f64]) -> Vec<f64> {
    let d = n_heads * w;
    let rows: Vec<&[f64]> = qkv.chunks(3 * d).collect();
    let mut y = Vec::new();
    for query in &rows {
        for head in 0..n_heads {
            let of = |row: &[f64], part: usize, c: usize| row[part * d + head * w + c];
            let score = |key: &&[f64]| (0..w).map(|c| of(query, 0, c) * of(key, 1, c)).sum::<f64>() / (w as f64).sqrt();
            let weights: Vec<f64> = rows.iter().map(|key| score(key).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let value = |c| rows.iter().zip(&weights).map(|(row, weight)| weight / sum * of(row, 2, c)).sum::<f64>();
            y.extend((0..w).map(value));
        }
    }
    y
}

/// Twin of [`backward`](crate::attention::backward): the gradient of `Σ d_y·y` with respect to `qkv`, without a past.
///
/// # Shapes
/// `qkv`: [b·l, (heads + 2·kv_heads)·w], `d_y`: [b·l, heads·w] → as `qkv`
pub fn attention_backward(op: &Attention, theta: Option<f64>, qkv: &[f64], d_y: &[f64]) -> Vec<f64> {
    let (keys, values) = keys_and_values(op, theta, qkv, (&[], &[]));
    let mut d_qkv = vec![0.0; qkv.len()];
    for (row, (b, i, head)) in queries(op).enumerate() {
        let (weights, _) = weights(op, theta, qkv, &keys, (b, i, head));
        let d_y = &d_y[row * op.d_head..][..op.d_head];
        let d_weights: Vec<f64> = (0..weights.len()).map(|j| inner(d_y, &values[at(op, b, head, j)..])).collect();
        let mean = inner(&weights, &d_weights);
        let query = turned(head_of(op, qkv, b, i, head), theta, i as f64);
        let mut d_query = vec![0.0; op.d_head];
        for (j, (weight, d_weight)) in weights.iter().zip(&d_weights).enumerate() {
            let d_score = weight * (d_weight - mean) * op.scale as f64;
            let key = &keys[at(op, b, head, j)..][..op.d_head];
            let d_key: Vec<f64> = query.iter().map(|q| d_score * q).collect();
            d_query.iter_mut().zip(key).for_each(|(d, key)| *d += d_score * key);
            let kv = head / (op.n_heads / op.n_kv_heads);
            add(op, &mut d_qkv, (b, j, op.n_heads + kv), &turned(&d_key, theta, -(j as f64)));
            let d_value: Vec<f64> = d_y.iter().map(|d| weight * d).collect();
            add(op, &mut d_qkv, (b, j, op.n_heads + op.n_kv_heads + kv), &d_value);
        }
        add(op, &mut d_qkv, (b, i, head), &turned(&d_query, theta, -(i as f64)));
    }
    d_qkv
}

/// (sequence, position, head) of each row of `y` cut into heads.
fn queries(op: &Attention) -> impl Iterator<Item = (usize, usize, usize)> {
    let Attention { batch, len, n_heads, .. } = *op;
    (0..batch * len * n_heads).map(move |row| (row / n_heads / len, row / n_heads % len, row % n_heads))
}

/// softmax of a query's scores over the positions up to its own, and their logsumexp.
fn weights(
    op: &Attention,
    theta: Option<f64>,
    qkv: &[f64],
    keys: &[f64],
    (b, i, head): (usize, usize, usize),
) -> (Vec<f64>, f64) {
    let query = turned(head_of(op, qkv, b, i, head), theta, (op.past + i) as f64);
    let scores: Vec<f64> =
        (0..=op.past + i).map(|j| inner(&query, &keys[at(op, b, head, j)..]) * op.scale as f64).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let logsumexp = max + scores.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    (scores.iter().map(|z| (z - logsumexp).exp()).collect(), logsumexp)
}

/// Where the key and value of position `j` that query head `head` sees begin.
fn at(op: &Attention, b: usize, head: usize, j: usize) -> usize {
    let kv = head / (op.n_heads / op.n_kv_heads);
    ((b * op.n_kv_heads + kv) * (op.past + op.len) + j) * op.d_head
}

fn head_of<'a>(op: &Attention, qkv: &'a [f64], b: usize, i: usize, head: usize) -> &'a [f64] {
    &qkv[(b * op.len + i) * op.qkv_width() + head * op.d_head..][..op.d_head]
}

fn add(op: &Attention, d_qkv: &mut [f64], (b, i, head): (usize, usize, usize), values: &[f64]) {
    let from = (b * op.len + i) * op.qkv_width() + head * op.d_head;
    d_qkv[from..].iter_mut().zip(values).for_each(|(d, value)| *d += value);
}

/// Rotary position embedding (arXiv 2104.09864 eq. 34), channel j paired with channel w/2 + j.
fn turned(x: &[f64], theta: Option<f64>, position: f64) -> Vec<f64> {
    let Some(theta) = theta else { return x.to_vec() };
    let (w, half) = (x.len(), x.len() / 2);
    let angle = |j: usize| position * theta.powf(-2.0 * j as f64 / w as f64);
    let first = (0..half).map(|j| x[j] * angle(j).cos() - x[half + j] * angle(j).sin());
    let second = (0..half).map(|j| x[half + j] * angle(j).cos() + x[j] * angle(j).sin());
    first.chain(second).collect()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
