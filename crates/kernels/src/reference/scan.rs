//! The selective scan, one position at a time.

use crate::scan::ScanShape;

/// What drives the scan, as [`ScanInput`](crate::scan::ScanInput) in f64 and with the raw steps in rows of their own.
#[derive(Clone, Debug)]
pub struct ScanInput {
    /// Rows x | B | C, [b·l, h·p + 2·g·n].
    pub xbc: Vec<f64>,
    /// Raw steps, [b·l, h].
    pub raw_dt: Vec<f64>,
    /// Added to the raw steps, `[h]`.
    pub dt_bias: Vec<f64>,
    /// Logarithm of −A, `[h]`.
    pub a_log: Vec<f64>,
    /// D, `[h]`.
    pub d_skip: Vec<f64>,
    /// States before the first position, [b, h, p, n].
    pub state: Vec<f64>,
}

impl ScanInput {
    /// All zeros, as a gradient begins.
    fn zeros(shape: &ScanShape) -> Self {
        let tokens = shape.batch * shape.len;
        let heads = vec![0.0; shape.n_heads];
        Self {
            xbc: vec![0.0; tokens * shape.channels()],
            raw_dt: vec![0.0; tokens * shape.n_heads],
            dt_bias: heads.clone(),
            a_log: heads.clone(),
            d_skip: heads,
            state: vec![0.0; shape.batch * shape.n_heads * shape.state_len()],
        }
    }

    /// Δ and exp(A·Δ) of a head at a token.
    fn step(&self, shape: &ScanShape, token: usize, head: usize) -> (f64, f64) {
        let raw = self.raw_dt[token * shape.n_heads + head] + self.dt_bias[head];
        let delta = raw.max(0.0) + (-raw.abs()).exp().ln_1p();
        (delta, (-self.a_log[head].exp() * delta).exp())
    }
}

/// Where a token's x, B and C of a head begin in `xbc`.
fn columns(shape: &ScanShape, token: usize, head: usize) -> [usize; 3] {
    let row = token * shape.channels();
    let group = head / (shape.n_heads / shape.n_groups);
    let b = row + shape.d_inner() + group * shape.d_state;
    [row + head * shape.d_head, b, b + shape.n_groups * shape.d_state]
}

/// Twin of [`scan`](crate::scan::scan): arXiv 2405.21060 eq. 1 with Δ folded into x, `(y, last states)`.
///
/// # Shapes
/// ([b·l, h·p], [b, h, p, n])
pub fn scan(shape: &ScanShape, input: &ScanInput) -> (Vec<f64>, Vec<f64>) {
    let states = all_states(shape, input);
    let (p, n) = (shape.d_head, shape.d_state);
    let mut y = vec![0.0; shape.batch * shape.len * shape.d_inner()];
    let mut last = Vec::new();
    for (sequence, states) in states.iter().enumerate() {
        for t in 0..shape.len {
            let token = sequence * shape.len + t;
            for head in 0..shape.n_heads {
                let [x, _, c] = columns(shape, token, head);
                for i in 0..p {
                    let state = &states[t + 1][head * p * n + i * n..][..n];
                    let from_state: f64 = (0..n).map(|j| state[j] * input.xbc[c + j]).sum();
                    y[token * shape.d_inner() + head * p + i] = from_state + input.d_skip[head] * input.xbc[x + i];
                }
            }
        }
        last.extend(&states[shape.len]);
    }
    (y, last)
}

/// S before the first position and after each, [h, p, n], of every sequence.
fn all_states(shape: &ScanShape, input: &ScanInput) -> Vec<Vec<Vec<f64>>> {
    let (p, n, len) = (shape.d_head, shape.d_state, shape.n_heads * shape.state_len());
    let sequence = |sequence: usize| {
        let mut states = vec![input.state[sequence * len..][..len].to_vec()];
        for t in 0..shape.len {
            let mut state = states[t].clone();
            for head in 0..shape.n_heads {
                let token = sequence * shape.len + t;
                let (delta, decay) = input.step(shape, token, head);
                let [x, b, _] = columns(shape, token, head);
                for i in 0..p {
                    for j in 0..n {
                        let s = &mut state[head * p * n + i * n + j];
                        *s = decay * *s + delta * input.xbc[x + i] * input.xbc[b + j];
                    }
                }
            }
            states.push(state);
        }
        states
    };
    (0..shape.batch).map(sequence).collect()
}

/// Twin of [`scan_backward`](crate::scan::scan_backward): the recurrence differentiated line by line, last line first.
///
/// # Shapes
/// `dy`: [b·l, h·p], `d_last`: [b, h, p, n]
pub fn scan_backward(shape: &ScanShape, input: &ScanInput, dy: &[f64], d_last: &[f64]) -> ScanInput {
    let states = all_states(shape, input);
    let (p, n, len) = (shape.d_head, shape.d_state, shape.n_heads * shape.state_len());
    let mut grad = ScanInput::zeros(shape);
    for sequence in 0..shape.batch {
        let mut d_state = d_last[sequence * len..][..len].to_vec();
        for t in (0..shape.len).rev() {
            let token = sequence * shape.len + t;
            for head in 0..shape.n_heads {
                let (delta, decay) = input.step(shape, token, head);
                let [x, b, c] = columns(shape, token, head);
                let (mut d_delta, mut d_decay) = (0.0, 0.0);
                for i in 0..p {
                    let dy = dy[token * shape.d_inner() + head * p + i];
                    // y = S·C + D·x
                    grad.d_skip[head] += dy * input.xbc[x + i];
                    grad.xbc[x + i] += dy * input.d_skip[head];
                    for j in 0..n {
                        let at = head * p * n + i * n + j;
                        grad.xbc[c + j] += dy * states[sequence][t + 1][at];
                        d_state[at] += dy * input.xbc[c + j];
                        // S = a·S + Δ·x⊗B
                        d_decay += d_state[at] * states[sequence][t][at];
                        d_delta += d_state[at] * input.xbc[x + i] * input.xbc[b + j];
                        grad.xbc[x + i] += d_state[at] * delta * input.xbc[b + j];
                        grad.xbc[b + j] += d_state[at] * delta * input.xbc[x + i];
                        d_state[at] *= decay;
                    }
                }
                // a = exp(−exp(a_log)·Δ), Δ = softplus(raw + bias)
                let a = -input.a_log[head].exp();
                grad.a_log[head] += d_decay * decay * delta * a;
                d_delta += d_decay * decay * a;
                let raw = input.raw_dt[token * shape.n_heads + head] + input.dt_bias[head];
                let d_raw = d_delta / (1.0 + (-raw).exp());
                grad.raw_dt[token * shape.n_heads + head] = d_raw;
                grad.dt_bias[head] += d_raw;
            }
        }
        grad.state[sequence * len..][..len].copy_from_slice(&d_state);
    }
    grad
}
