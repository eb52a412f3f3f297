//! The scan over x, B, C and the step columns of the input projection, and backward: as a new model decays, and so fast
//! that nothing is left of a state after one position, where subnormal numbers would make it slow.

use divan::Bencher;
use itera_kernels::{
    columns::Columns,
    scan::{ScanGradient, ScanInput, ScanShape},
};

use crate::support::{Shape, Work, bench, uniform};

const SHAPES: [Shape<5>; 3] = [sizes(16, 256, 32), sizes(1, 16_384, 32), sizes(16, 256, 128)];

const fn sizes(batch: usize, len: usize, d_state: usize) -> Shape<5> {
    Shape([("b", batch), ("l", len), ("h", 8), ("p", 32), ("n", d_state)])
}

struct Case {
    shape: ScanShape,
    xbc: Vec<f32>,
    raw_dt: Vec<f32>,
    dt_columns: Columns,
    dt_bias: Vec<f32>,
    a_log: Vec<f32>,
    d_skip: Vec<f32>,
}

impl Case {
    /// Δ between exp(`dt_bias`) of these two, A between −exp(`a_log`) of those.
    fn new(shape: &Shape<5>, dt_bias: (f32, f32), a_log: (f32, f32)) -> Self {
        let [batch, len, n_heads, d_head, d_state] = shape.sizes();
        let shape = ScanShape { batch, len, n_heads, d_head, d_state, n_groups: 1 };
        let beside = shape.d_inner() + shape.channels();
        let dt_columns = Columns { stride: beside + n_heads, start: beside, width: n_heads };
        Self {
            shape,
            xbc: uniform(batch * len * shape.channels(), -1.0, 1.0, 1),
            raw_dt: uniform(batch * len * dt_columns.stride, -1.0, 1.0, 2),
            dt_columns,
            dt_bias: uniform(n_heads, dt_bias.0, dt_bias.1, 3),
            a_log: uniform(n_heads, a_log.0, a_log.1, 4),
            d_skip: uniform(n_heads, 0.5, 1.5, 5),
        }
    }

    fn as_initialised(shape: &Shape<5>) -> Self {
        Self::new(shape, (-6.9, -2.3), (0.0, 2.77))
    }

    /// A·Δ below −40 everywhere, around −100.
    fn strong(shape: &Shape<5>) -> Self {
        Self::new(shape, (1.0, 1.0), (4.4, 4.7))
    }

    fn input(&self) -> ScanInput<'_> {
        let Self { xbc, raw_dt, dt_columns, dt_bias, a_log, d_skip, .. } = self;
        ScanInput { xbc, raw_dt: raw_dt[..].into(), dt_columns: *dt_columns, dt_bias, a_log, d_skip, state: None }
    }

    /// Floats and operations of `sweeps` passes of the recurrence, each two multiply-adds an element of the state.
    fn work(&self, tensors: usize, sweeps: usize) -> Work {
        let tokens = self.shape.batch * self.shape.len;
        let row = self.shape.d_inner() + self.shape.channels() + self.shape.n_heads;
        Work {
            floats: tensors * tokens * row,
            flops: sweeps * 4 * tokens * self.shape.n_heads * self.shape.state_len(),
        }
    }

    fn forward(&self, bencher: Bencher<'_, '_>) {
        let mut y = vec![0.0; self.shape.batch * self.shape.len * self.shape.d_inner()];
        bench(bencher, self.work(1, 1), || itera_kernels::scan::scan(&self.shape, &self.input(), &mut y, None));
    }

    fn backward(&self, bencher: Bencher<'_, '_>) {
        let dy = uniform(self.shape.batch * self.shape.len * self.shape.d_inner(), -1.0, 1.0, 6);
        let (mut xbc, mut raw_dt) = (vec![0.0; self.xbc.len()], vec![0.0; self.raw_dt.len()]);
        let [mut dt_bias, mut a_log, mut d_skip] = [(); 3].map(|()| vec![0.0; self.shape.n_heads]);
        bench(bencher, self.work(2, 3), || {
            let gradient = ScanGradient {
                xbc: &mut xbc,
                raw_dt: &mut raw_dt,
                dt_columns: self.dt_columns,
                dt_bias: &mut dt_bias,
                a_log: &mut a_log,
                d_skip: &mut d_skip,
                state: None,
            };
            itera_kernels::scan::scan_backward(&self.shape, &self.input(), &dy, None, gradient);
        });
    }
}

#[divan::bench(args = SHAPES)]
fn scan(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    Case::as_initialised(shape).forward(bencher);
}

#[divan::bench(args = SHAPES)]
fn scan_backward(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    Case::as_initialised(shape).backward(bencher);
}

#[divan::bench(args = SHAPES)]
fn scan_strong_decay(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    Case::strong(shape).forward(bencher);
}

#[divan::bench(args = SHAPES)]
fn scan_backward_strong_decay(bencher: Bencher<'_, '_>, shape: &Shape<5>) {
    Case::strong(shape).backward(bencher);
}
