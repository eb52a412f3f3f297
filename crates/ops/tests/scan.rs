//! The composite scan against the recurrence, one position at a time in f64.

use burn::tensor::{Device, Tensor, TensorData};
use itera_ops::composite::{ScanInput, chunked_scan, recurrent_step};
use itera_testkit::{F32_REORDERED, assert_close, awkward_lengths, uniform};

#[derive(Clone, Copy)]
struct Shape {
    b: usize,
    l: usize,
    h: usize,
    p: usize,
    g: usize,
    n: usize,
}

struct Case {
    shape: Shape,
    x: Vec<f32>,
    dt: Vec<f32>,
    a: Vec<f32>,
    bb: Vec<f32>,
    cc: Vec<f32>,
    d: Vec<f32>,
    state: Vec<f32>,
}

impl Case {
    /// `decay` bounds −A·Δ from above.
    fn new(shape: Shape, decay: f32) -> Self {
        let Shape { b, l, h, p, g, n } = shape;
        Self {
            shape,
            x: uniform(b * l * h * p, -1.0, 1.0, 1),
            dt: uniform(b * l * h, 0.001, 0.5, 2),
            a: uniform(h, -2.0 * decay, -0.02 * decay, 3),
            bb: uniform(b * l * g * n, -1.0, 1.0, 4),
            cc: uniform(b * l * g * n, -1.0, 1.0, 5),
            d: uniform(h, 0.5, 1.5, 6),
            state: uniform(b * h * p * n, -1.0, 1.0, 7),
        }
    }

    fn input(&self, from: usize, to: usize, device: &Device) -> ScanInput {
        let Shape { b, l, h, p, g, n } = self.shape;
        let cut = |t: Tensor<4>| t.narrow(1, from, to - from);
        let rank4 = |v: &[f32], s: [usize; 4]| Tensor::<4>::from_data(TensorData::new(v.to_vec(), s), device);
        let rank1 = |v: &[f32]| Tensor::<1>::from_floats(v, device);
        ScanInput {
            x: cut(rank4(&self.x, [b, l, h, p])),
            dt: cut(rank4(&self.dt, [b, l, h, 1])).squeeze_dim(3),
            a: rank1(&self.a),
            b: cut(rank4(&self.bb, [b, l, g, n])),
            c: cut(rank4(&self.cc, [b, l, g, n])),
            d_skip: rank1(&self.d),
        }
    }

    fn state(&self, device: &Device) -> Tensor<4> {
        let Shape { b, h, p, n, .. } = self.shape;
        Tensor::from_data(TensorData::new(self.state.clone(), [b, h, p, n]), device)
    }

    /// y and the final state, straight from the recurrence.
    fn reference(&self) -> (Vec<f32>, Vec<f32>) {
        let Shape { b, l, h, p, g, n } = self.shape;
        let mut s: Vec<f64> = self.state.iter().map(|&v| v.into()).collect();
        let mut y = vec![0.0; b * l * h * p];
        for (bi, t, hi) in (0..b).flat_map(|bi| (0..l).flat_map(move |t| (0..h).map(move |hi| (bi, t, hi)))) {
            let dt = f64::from(self.dt[(bi * l + t) * h + hi]);
            let decay = (f64::from(self.a[hi]) * dt).exp();
            let bc = ((bi * l + t) * g + hi / (h / g)) * n;
            for pi in 0..p {
                let at = ((bi * l + t) * h + hi) * p + pi;
                let x = f64::from(self.x[at]);
                let mut sum = f64::from(self.d[hi]) * x;
                for ni in 0..n {
                    let cell = &mut s[((bi * h + hi) * p + pi) * n + ni];
                    *cell = decay * *cell + dt * x * f64::from(self.bb[bc + ni]);
                    sum += *cell * f64::from(self.cc[bc + ni]);
                }
                y[at] = sum as f32;
            }
        }
        (y, s.into_iter().map(|v| v as f32).collect())
    }
}

fn values<const D: usize>(t: Tensor<D>) -> Vec<f32> {
    t.into_data().try_into_vec().expect("f32")
}

#[test]
fn chunked_is_the_recurrence_at_awkward_lengths_groups_and_decays() {
    let device = Device::flex();
    for l in awkward_lengths(8) {
        for (g, decay) in [(1, 1.0), (2, 1.0), (4, 1.0), (1, 200.0), (1, 1e-3)] {
            let case = Case::new(Shape { b: 2, l, h: 4, p: 3, g, n: 5 }, decay);
            let (y, state) = chunked_scan(case.input(0, l, &device), case.state(&device), 8);
            let (expected_y, expected_state) = case.reference();
            assert_close(&format!("y, l {l}, g {g}, decay {decay}"), &values(y), &expected_y, F32_REORDERED);
            assert_close(
                &format!("state, l {l}, g {g}, decay {decay}"),
                &values(state),
                &expected_state,
                F32_REORDERED,
            );
        }
    }
}

#[test]
fn a_sequence_may_be_cut_anywhere() {
    let device = Device::flex();
    let case = Case::new(Shape { b: 2, l: 19, h: 2, p: 3, g: 1, n: 4 }, 1.0);
    let (expected_y, expected_state) = case.reference();
    for cuts in [vec![0, 1, 19], vec![0, 8, 19], vec![0, 7, 9, 19]] {
        let mut state = case.state(&device);
        let mut pieces = Vec::new();
        for pair in cuts.windows(2) {
            let (y, next) = chunked_scan(case.input(pair[0], pair[1], &device), state, 8);
            state = next;
            pieces.push(y);
        }
        assert_close(&format!("y cut at {cuts:?}"), &values(Tensor::cat(pieces, 1)), &expected_y, F32_REORDERED);
        assert_close(&format!("state cut at {cuts:?}"), &values(state), &expected_state, F32_REORDERED);
    }
}

#[test]
fn steps_are_the_recurrence() {
    let device = Device::flex();
    let case = Case::new(Shape { b: 2, l: 11, h: 4, p: 3, g: 2, n: 5 }, 1.0);
    let mut state = case.state(&device);
    let mut pieces = Vec::new();
    for t in 0..11 {
        let (y, next) = recurrent_step(case.input(t, t + 1, &device), state);
        state = next;
        pieces.push(y);
    }
    let (expected_y, expected_state) = case.reference();
    assert_close("y", &values(Tensor::cat(pieces, 1)), &expected_y, F32_REORDERED);
    assert_close("state", &values(state), &expected_state, F32_REORDERED);
}

/// Gradients of Σ w·y + Σ v·state through the chunked form equal those through the unrolled steps.
#[test]
fn gradients_of_chunked_and_recurrent_agree() {
    let device = Device::flex().autodiff();
    let l = 19;
    let case = Case::new(Shape { b: 2, l, h: 4, p: 3, g: 2, n: 5 }, 1.0);
    let gradients = |recurrent: bool| -> Vec<Vec<f32>> {
        let input = case.input(0, l, &device);
        let leaf = ScanInput {
            x: input.x.require_grad(),
            dt: input.dt.require_grad(),
            a: input.a.require_grad(),
            b: input.b.require_grad(),
            c: input.c.require_grad(),
            d_skip: input.d_skip.require_grad(),
        };
        let start = case.state(&device).require_grad();
        let (y, state) = if recurrent {
            let mut state = start.clone();
            let mut ys = Vec::new();
            for t in 0..l {
                let at = |x: &Tensor<4>| x.clone().narrow(1, t, 1);
                let input = ScanInput {
                    x: at(&leaf.x),
                    dt: leaf.dt.clone().narrow(1, t, 1),
                    b: at(&leaf.b),
                    c: at(&leaf.c),
                    ..leaf.clone()
                };
                let (y, next) = recurrent_step(input, state);
                ys.push(y);
                state = next;
            }
            (Tensor::cat(ys, 1), state)
        } else {
            chunked_scan(leaf.clone(), start.clone(), 8)
        };
        let weigh = |t: Tensor<4>, seed| {
            let w = uniform(t.dims().iter().product(), -1.0, 1.0, seed);
            let w = Tensor::<4>::from_data(TensorData::new(w, t.dims()), &device);
            (t * w).sum()
        };
        let gradients = (weigh(y, 8) + weigh(state, 9)).backward();
        vec![
            values(leaf.x.grad(&gradients).expect("x")),
            values(leaf.dt.grad(&gradients).expect("dt")),
            values(leaf.a.grad(&gradients).expect("a")),
            values(leaf.b.grad(&gradients).expect("b")),
            values(leaf.c.grad(&gradients).expect("c")),
            values(leaf.d_skip.grad(&gradients).expect("d_skip")),
            values(start.grad(&gradients).expect("state")),
        ]
    };
    for (index, (chunked, recurrent)) in gradients(false).iter().zip(&gradients(true)).enumerate() {
        assert_close(&format!("gradient {index}"), chunked, recurrent, 5.0 * F32_REORDERED);
    }
}
