use crate::{
    bf16,
    check::{assert_close, wide},
    mlp::{self, Join, Mlp},
    moe::{Dispatch, Experts, Gradients, Mixture, backward, forward},
    reference,
    simd::{Level, with_level},
    stored::{Stored, StoredMut},
    test_data::{for_thread_counts, rounded, uniform},
};

/// How ids are spread over experts.
#[derive(Clone, Copy, Debug)]
enum Spread {
    /// Over all of them.
    Even,
    /// Every first choice is expert 0, so that it gets every token; the last experts get none.
    First,
}

/// (t, d, f, e, k) around a block and a task.
const SHAPES: [(usize, usize, usize, usize, usize); 8] = [
    (0, 4, 3, 3, 2),
    (1, 1, 1, 1, 1),
    (1, 33, 17, 4, 2),
    (5, 3, 4, 64, 8),
    (97, 16, 9, 3, 3),
    (190, 8, 32, 4, 2),
    (600, 5, 3, 2, 1),
    (1200, 3, 5, 6, 2),
];

const MULTIPLIER: f32 = 0.75;

struct Case {
    d: usize,
    f: usize,
    f_shared: usize,
    e: usize,
    u: Vec<f32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
    dispatch: Dispatch,
    w_in: Vec<f32>,
    w_out: Vec<f32>,
    shared: [Vec<f32>; 2],
    d_out: Vec<f32>,
}

/// What forward and backward wrote.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    out: Vec<f32>,
    d_u: Vec<f32>,
    d_weights: Vec<f32>,
    d_w_in: Vec<f32>,
    d_w_out: Vec<f32>,
    d_shared: [Vec<f32>; 2],
}

impl Case {
    fn new((t, d, f, e, k): (usize, usize, usize, usize, usize), spread: Spread) -> Self {
        let rank = |a: usize| (a / k * 7 + a % k) % e;
        let ids: Vec<u32> = (0..t * k)
            .map(|a| match spread {
                Spread::Even => rank(a) as u32,
                Spread::First => (a % k) as u32,
            })
            .collect();
        let f_shared = f + 3;
        Self {
            d,
            f,
            f_shared,
            e,
            u: uniform(t * d, 1),
            dispatch: Dispatch::new(&ids, e, k),
            ids,
            weights: uniform(t * k, 2),
            w_in: uniform(e * 2 * f * d, 3),
            w_out: uniform(e * d * f, 4),
            shared: [uniform(2 * f_shared * d, 5), uniform(d * f_shared, 6)],
            d_out: uniform(t * d, 7),
        }
    }

    fn mixture(&self, shared: bool) -> Mixture<'_> {
        let [w_in, w_out] = &self.shared;
        Mixture {
            experts: Experts::new(&self.w_in, &self.w_out, self.e, self.d, self.f),
            dispatch: &self.dispatch,
            expert_weights: &self.weights,
            shared: shared.then(|| Mlp::new(w_in, w_out, self.d, self.f_shared)),
        }
    }

    /// Everything, over stale numbers.
    fn run(&self, shared: bool, residual: Option<&[f32]>, keep: bool) -> Written {
        let mixture = self.mixture(shared);
        let stale = |x: &[f32]| vec![f32::NAN; x.len()];
        let mut saved = keep.then(|| vec![f32::NAN; mixture.saved_len()]);
        let mut written = Written {
            out: stale(&self.u),
            d_u: stale(&self.u),
            d_weights: stale(&self.weights),
            d_w_in: stale(&self.w_in),
            d_w_out: stale(&self.w_out),
            d_shared: if shared { [stale(&self.shared[0]), stale(&self.shared[1])] } else { [vec![], vec![]] },
        };
        let join = Join { residual, multiplier: MULTIPLIER };
        forward(&self.u, &mixture, join, saved.as_deref_mut().map(StoredMut::F32), &mut written.out);
        self.backward(&mixture, self.u[..].into(), saved.as_deref().map(Stored::F32), &mut written);
        written
    }

    fn backward(&self, mixture: &Mixture<'_>, u: Stored<'_>, saved: Option<Stored<'_>>, written: &mut Written) {
        let [d_shared_in, d_shared_out] = &mut written.d_shared;
        let gradients = Gradients {
            d_u: &mut written.d_u,
            d_expert_weights: &mut written.d_weights,
            d_w_in: &mut written.d_w_in,
            d_w_out: &mut written.d_w_out,
            d_shared: mixture.shared.map(|_| (&mut d_shared_in[..], &mut d_shared_out[..])),
        };
        backward(u, mixture, MULTIPLIER, saved, &self.d_out, gradients);
    }

    fn assert_agrees(&self, shared: bool, residual: Option<&[f32]>, found: &Written, what: &str) {
        let Self { d, f, f_shared, .. } = *self;
        let (w_in, w_out) = (wide(&self.w_in), wide(&self.w_out));
        let experts: Vec<_> = w_in
            .chunks(2 * f * d)
            .zip(w_out.chunks(d * f))
            .map(|(w_in, w_out)| reference::Mlp { w_in, w_out, d, f })
            .collect();
        let (u, weights) = (wide(&self.u), wide(&self.weights));
        let d_y: Vec<f64> = self.d_out.iter().map(|d| f64::from(MULTIPLIER * d)).collect();
        let mut y = reference::experts(&u, &experts, &self.ids, &weights);
        let mut slow = reference::experts_backward(&u, &experts, &self.ids, &weights, &d_y);
        if shared {
            let [w_in, w_out] = [wide(&self.shared[0]), wide(&self.shared[1])];
            let mlp = reference::Mlp { w_in: &w_in, w_out: &w_out, d, f: f_shared };
            let own = reference::mlp_backward(&u, &mlp, &d_y);
            add(&mut y, &reference::mlp(&u, &mlp));
            add(&mut slow.d_u, &own.d_u);
            assert_close(&found.d_shared[0], &own.d_w_in, 5e-5, (what, "shared d_w_in"));
            assert_close(&found.d_shared[1], &own.d_w_out, 5e-5, (what, "shared d_w_out"));
        }
        let mut out: Vec<f64> = y.iter().map(|y| f64::from(MULTIPLIER) * y).collect();
        add(&mut out, &residual.map_or(vec![], wide));
        assert_close(&found.out, &out, 2e-5, (what, "out"));
        assert_close(&found.d_u, &slow.d_u, 3e-5, (what, "d_u"));
        let d_weights: Vec<f64> = slow.d_expert_weights;
        assert_close(&found.d_weights, &d_weights, 3e-5, (what, "d_weights"));
        assert_close(&found.d_w_in, &slow.d_w_in, 5e-5, (what, "d_w_in"));
        assert_close(&found.d_w_out, &slow.d_w_out, 5e-5, (what, "d_w_out"));
    }
}

fn add(to: &mut [f64], x: &[f64]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}

#[test]
fn what_is_stored_as_bfloat16_is_read_as_the_numbers_it_stands_for() {
    for shape in SHAPES {
        let case = Case::new(shape, Spread::Even);
        let mixture = case.mixture(true);
        let mut stored = vec![0; mixture.saved_len()];
        forward(&case.u, &mixture, Join::NONE, Some(StoredMut::Bf16(&mut stored)), &mut case.u.clone());

        let mut gate_up = vec![0.0; stored.len()];
        bf16::widen(&stored, &mut gate_up);
        let (stored_u, u) = rounded(&case.u);
        let mut from_numbers = case.run(true, None, true);
        let mut from_stored = from_numbers.clone();
        case.backward(&mixture, u[..].into(), Some(gate_up[..].into()), &mut from_numbers);
        case.backward(&mixture, Stored::Bf16(&stored_u), Some(Stored::Bf16(&stored)), &mut from_stored);
        assert_eq!(from_stored, from_numbers, "{shape:?}");
    }
}

#[test]
fn agree_with_their_twin_at_every_level() {
    for shape in SHAPES {
        for spread in [Spread::Even, Spread::First] {
            let case = Case::new(shape, spread);
            for (shared, residual) in [(false, None), (true, Some(&case.d_out[..]))] {
                for level in Level::available() {
                    let found = with_level(level, 2, || case.run(shared, residual, true));
                    let what = format!("{shape:?}, {spread:?}, shared {shared} at {level:?}");
                    case.assert_agrees(shared, residual, &found, &what);
                }
            }
        }
    }
}

#[test]
fn computing_the_gate_again_changes_no_bit() {
    for shape in SHAPES {
        let case = Case::new(shape, Spread::Even);
        assert!(case.run(true, None, true) == case.run(true, None, false), "{shape:?}");
    }
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    for spread in [Spread::Even, Spread::First] {
        let case = Case::new((1500, 20, 18, 5, 2), spread);
        for keep in [true, false] {
            let found = for_thread_counts(|| case.run(true, Some(&case.d_out), keep));
            assert!(found.iter().all(|x| *x == found[0]), "{spread:?}, keep {keep}");
        }
    }
}

#[test]
fn one_expert_with_every_token_is_the_dense_mlp() {
    let mut case = Case::new((300, 12, 20, 1, 1), Spread::Even);
    case.weights.fill(1.0);
    let found = case.run(false, None, true);
    let mlp = Mlp::new(&case.w_in, &case.w_out, case.d, case.f);
    let mut dense = Written {
        out: vec![0.0; case.u.len()],
        d_u: vec![0.0; case.u.len()],
        d_weights: found.d_weights.clone(),
        d_w_in: vec![0.0; case.w_in.len()],
        d_w_out: vec![0.0; case.w_out.len()],
        d_shared: [vec![], vec![]],
    };
    let join = Join { residual: None, multiplier: MULTIPLIER };
    mlp::forward(&case.u, &mlp, join, None, &mut dense.out);
    let Written { d_u, d_w_in, d_w_out, .. } = &mut dense;
    mlp::backward(case.u[..].into(), &mlp, MULTIPLIER, None, &case.d_out, d_u, d_w_in, d_w_out);
    assert_eq!(found, dense);
}

#[test]
fn permuting_the_experts_changes_no_output_bit() {
    let shape @ (_, d, f, e, _) = (700, 9, 7, 5, 3);
    let case = Case::new(shape, Spread::Even);
    let mut permuted = Case::new(shape, Spread::Even);
    let to = |expert: usize| (expert * 2 + 1) % e;
    for expert in 0..e {
        let (w_in, w_out) = (2 * f * d, d * f);
        permuted.w_in[to(expert) * w_in..][..w_in].copy_from_slice(&case.w_in[expert * w_in..][..w_in]);
        permuted.w_out[to(expert) * w_out..][..w_out].copy_from_slice(&case.w_out[expert * w_out..][..w_out]);
    }
    permuted.ids.iter_mut().for_each(|id| *id = to(*id as usize) as u32);
    permuted.dispatch = Dispatch::new(&permuted.ids, e, 3);
    let (a, b) = (case.run(true, None, true), permuted.run(true, None, true));
    assert!((&a.out, &a.d_u, &a.d_weights) == (&b.out, &b.d_u, &b.d_weights));
}

#[test]
#[should_panic(expected = "experts of the dispatch and of the weights")]
fn a_dispatch_over_other_experts_is_refused() {
    let case = Case::new((4, 3, 2, 3, 1), Spread::Even);
    let dispatch = Dispatch::new(&case.ids, 4, 1);
    let mixture = Mixture { dispatch: &dispatch, ..case.mixture(false) };
    forward(&case.u, &mixture, Join::NONE, None, &mut [0.0; 12]);
}
