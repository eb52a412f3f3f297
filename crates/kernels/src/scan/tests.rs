use super::*;
use crate::{
    check::{assert_gradient, inner, wide},
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, shapes, uniform},
};

/// How fast states decay.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Decay {
    /// exp(A·Δ) above 0.999.
    Weak,
    /// Δ and A as a new model has them, and beyond.
    Usual,
    /// A·Δ around −12: the state's scale is settled every other position.
    Fast,
    /// A·Δ below −60: nothing is left of a state after one position.
    Strong,
}

const DECAYS: [Decay; 4] = [Decay::Weak, Decay::Usual, Decay::Fast, Decay::Strong];

/// Shapes (b, l, h, p, n, g) around vectors, tiles, chunks, rounds and tasks.
const SHAPES: [(usize, usize, usize, usize, usize, usize); 14] = [
    (1, 1, 1, 1, 1, 1),
    (2, 3, 2, 5, 1, 1),
    (1, 63, 2, 8, 16, 1),
    (1, 64, 1, 16, 8, 1),
    (2, 65, 4, 32, 32, 2),
    (1, 131, 3, 17, 33, 1),
    (3, 20, 6, 4, 9, 3),
    (1, 70, 1, 64, 128, 1),
    (1, 70, 2, 128, 16, 2),
    (17, 10, 2, 7, 12, 1),
    (16, 66, 4, 20, 4, 2),
    (1, ROUND + 70, 2, 3, 2, 1),
    (2, ROUND - 1, 1, 2, 5, 1),
    (1, 2 * ROUND + 1, 4, 2, 3, 2),
];
const UNDER_MIRI: [(usize, usize, usize, usize, usize, usize); 3] =
    [(1, 1, 1, 1, 1, 1), (2, 3, 4, 5, 6, 2), (1, 66, 2, 3, 1, 1)];

/// Columns beside those of the steps in the matrix that holds them.
const BESIDE: usize = 3;

struct Case {
    shape: ScanShape,
    xbc: Vec<f32>,
    raw_dt: Vec<f32>,
    heads: [Vec<f32>; 3],
    state: Vec<f32>,
    dy: Vec<f32>,
    d_last: Vec<f32>,
}

impl Case {
    fn new(
        (batch, len, n_heads, d_head, d_state, n_groups): (usize, usize, usize, usize, usize, usize),
        decay: Decay,
    ) -> Self {
        let shape = ScanShape { batch, len, n_heads, d_head, d_state, n_groups };
        let around = |mean: f32, spread: f32, seed: u64| -> Vec<f32> {
            uniform(n_heads, seed).into_iter().map(|x| mean + spread * x).collect()
        };
        let (dt_bias, a_log) = match decay {
            Decay::Weak => (around(-8.0, 0.5, 3), around(-1.0, 1.0, 4)),
            Decay::Usual => (around(-3.0, 2.0, 3), around(1.5, 1.5, 4)),
            Decay::Fast => (around(1.0, 0.1, 3), around(2.3, 0.1, 4)),
            Decay::Strong => (around(3.0, 0.1, 3), around(3.7, 0.1, 4)),
        };
        let tokens = batch * len;
        let states = batch * n_heads * shape.state_len();
        // what the end asks of a state is so much more than what it asks of a fast decay that f32 cannot hold both
        let ends = if decay == Decay::Fast { 0.0 } else { 1.0 };
        Self {
            shape,
            xbc: uniform(tokens * shape.channels(), 1),
            raw_dt: uniform(tokens * (n_heads + BESIDE), 2),
            heads: [dt_bias, a_log, around(1.0, 0.5, 5)],
            state: uniform(states, 6),
            dy: uniform(tokens * shape.d_inner(), 7),
            d_last: uniform(states, 8).into_iter().map(|x| ends * x).collect(),
        }
    }

    fn columns(&self) -> Columns {
        Columns { stride: self.shape.n_heads + BESIDE, start: 1, width: self.shape.n_heads }
    }

    fn input(&self) -> ScanInput<'_> {
        let [dt_bias, a_log, d_skip] = &self.heads;
        let state = Some(&self.state[..]);
        ScanInput {
            xbc: &self.xbc,
            raw_dt: self.raw_dt[..].into(),
            dt_columns: self.columns(),
            dt_bias,
            a_log,
            d_skip,
            state,
        }
    }

    fn reference(&self) -> reference::ScanInput {
        let steps = (0..self.shape.tokens()).flat_map(|token| self.columns().row(&self.raw_dt, token));
        let [dt_bias, a_log, d_skip] = self.heads.each_ref().map(|x| wide(x));
        reference::ScanInput {
            xbc: wide(&self.xbc),
            raw_dt: steps.map(|x| f64::from(*x)).collect(),
            dt_bias,
            a_log,
            d_skip,
            state: wide(&self.state),
        }
    }

    /// y and the last states.
    fn forward(&self) -> [Vec<f32>; 2] {
        let (mut y, mut last) = (vec![f32::NAN; self.dy.len()], vec![f32::NAN; self.state.len()]);
        scan(&self.shape, &self.input(), &mut y, Some(&mut last));
        [y, last]
    }

    /// Gradients of x | B | C, of the matrix with the raw steps, of dt_bias, a_log and D, and of the states.
    fn backward(&self) -> [Vec<f32>; 6] {
        let stale = |like: &[f32]| vec![f32::NAN; like.len()];
        let (mut xbc, mut raw_dt, mut state) = (stale(&self.xbc), stale(&self.raw_dt), stale(&self.state));
        let [mut dt_bias, mut a_log, mut d_skip] = self.heads.each_ref().map(|x| stale(x));
        let gradient = ScanGradient {
            xbc: &mut xbc,
            raw_dt: &mut raw_dt,
            dt_columns: self.columns(),
            dt_bias: &mut dt_bias,
            a_log: &mut a_log,
            d_skip: &mut d_skip,
            state: Some(&mut state),
        };
        scan_backward(&self.shape, &self.input(), &self.dy, Some(&self.d_last), gradient);
        [xbc, raw_dt, dt_bias, a_log, d_skip, state]
    }
}

/// Every level with every decay of every shape.
fn cases() -> impl Iterator<Item = (Level, Decay, Case)> {
    let of_level = |level| {
        shapes(&SHAPES, &UNDER_MIRI)
            .iter()
            .flat_map(move |&shape| DECAYS.map(|decay| (level, decay, Case::new(shape, decay))))
    };
    Level::available().into_iter().flat_map(of_level)
}

/// Fail unless `|fast − slow|` is within `tolerance` of the root mean square of `slow`.
///
/// Sums of many terms of either sign are as exact as their terms, not as what is left of them.
#[track_caller]
fn assert_near(fast: &[f32], slow: &[f64], tolerance: f64, what: &str) {
    let scale = (inner(slow, slow) / slow.len() as f64).sqrt().max(1e-10);
    for (i, (fast, slow)) in fast.iter().zip(slow).enumerate() {
        let difference = (f64::from(*fast) - slow).abs() / scale;
        assert!(
            difference <= tolerance,
            "{what}: {fast} against {slow} at {i}, off by {difference:.1e} of {scale:.1e}"
        );
    }
}

#[test]
fn agrees_with_the_recurrence_at_every_level() {
    for (level, decay, case) in cases() {
        let [y, last] = with_level(level, 2, || case.forward());
        let (slow_y, slow_last) = reference::scan(&case.shape, &case.reference());
        let what = format!("{level:?} {decay:?} {:?}", case.shape);
        assert_near(&y, &slow_y, 1e-5, &format!("y, {what}"));
        assert_near(&last, &slow_last, 1e-5, &format!("last states, {what}"));
    }
}

#[test]
fn gradients_agree_with_the_recurrence_at_every_level() {
    for (level, decay, case) in cases() {
        let [xbc, raw_dt, dt_bias, a_log, d_skip, state] = with_level(level, 2, || case.backward());
        let slow = reference::scan_backward(&case.shape, &case.reference(), &wide(&case.dy), &wide(&case.d_last));
        let steps: Vec<f32> =
            (0..case.shape.tokens()).flat_map(|token| case.columns().row(&raw_dt, token).to_vec()).collect();
        let what = format!("{level:?} {decay:?} {:?}", case.shape);
        for (name, fast, slow) in [
            ("x | B | C", xbc, slow.xbc),
            ("dt", steps, slow.raw_dt),
            ("dt_bias", dt_bias, slow.dt_bias),
            ("a_log", a_log, slow.a_log),
            ("D", d_skip, slow.d_skip),
            ("states", state, slow.state),
        ] {
            // a sum of terms of either sign, each of them a difference
            let tolerance = if name == "a_log" && decay == Decay::Fast { 1e-3 } else { 3e-5 };
            assert_near(&fast, &slow, tolerance, &format!("gradient of {name}, {what}"));
        }
        for (i, x) in raw_dt.iter().enumerate() {
            let column = i % (case.shape.n_heads + BESIDE);
            let beside = column < 1 || column > case.shape.n_heads;
            assert_eq!(x.is_nan(), beside, "column {column} of the gradient of dt, {what}");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn the_twin_has_the_slope_of_its_loss() {
    for shape in [(2, 3, 2, 2, 3, 1), (1, 4, 4, 1, 2, 2)] {
        let case = Case::new(shape, Decay::Usual);
        let (input, dy, d_last) = (case.reference(), wide(&case.dy), wide(&case.d_last));
        let grad = reference::scan_backward(&case.shape, &input, &dy, &d_last);
        let loss = |input: &reference::ScanInput| {
            let (y, last) = reference::scan(&case.shape, input);
            inner(&y, &dy) + inner(&last, &d_last)
        };
        type Part = fn(&mut reference::ScanInput) -> &mut Vec<f64>;
        let parts: [(&str, Part); 6] = [
            ("x | B | C", |input| &mut input.xbc),
            ("dt", |input| &mut input.raw_dt),
            ("dt_bias", |input| &mut input.dt_bias),
            ("a_log", |input| &mut input.a_log),
            ("D", |input| &mut input.d_skip),
            ("states", |input| &mut input.state),
        ];
        for (name, part) in parts {
            let at = part(&mut input.clone()).clone();
            let along = |x: &[f64]| {
                let mut moved = input.clone();
                part(&mut moved).copy_from_slice(x);
                loss(&moved)
            };
            assert_gradient(along, &at, part(&mut grad.clone()), name);
        }
    }
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    const SHAPES: [(usize, usize, usize, usize, usize, usize); 3] =
        [(1, ROUND + 100, 4, 16, 32, 1), (5, 100, 8, 8, 16, 2), (20, 65, 2, 16, 16, 1)];
    for &shape in shapes(&SHAPES, &[(1, 66, 2, 3, 2, 1)]) {
        let case = Case::new(shape, Decay::Usual);
        let results = for_thread_counts(|| {
            let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            (case.forward().map(bits), case.backward().map(bits))
        });
        assert!(results.iter().all(|result| *result == results[0]), "{shape:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_sequence_may_be_cut_anywhere() {
    let case = Case::new((1, 150, 2, 16, 16, 1), Decay::Usual);
    let [whole, last] = case.forward();
    for cut in [1, 63, 64, 65, 149] {
        let (channels, d_inner, stride) = (case.shape.channels(), case.shape.d_inner(), case.columns().stride);
        let (mut y, mut state) = (vec![f32::NAN; whole.len()], case.state.clone());
        for (from, to) in [(0, cut), (cut, 150)] {
            let before = state.clone();
            let input = ScanInput {
                xbc: &case.xbc[from * channels..to * channels],
                raw_dt: case.raw_dt[from * stride..to * stride].into(),
                state: Some(&before),
                ..case.input()
            };
            let shape = ScanShape { len: to - from, ..case.shape };
            scan(&shape, &input, &mut y[from * d_inner..to * d_inner], Some(&mut state));
        }
        // where multiply-adds are not fused they round twice
        assert_near(&y, &wide(&whole), 2e-6, &format!("y cut at {cut}"));
        assert_near(&state, &wide(&last), 2e-6, &format!("last states cut at {cut}"));
    }
}

/// A state that nothing feeds passes through the subnormal range on its way to zero, unless it is stopped.
#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn a_state_that_dies_out_becomes_zero() {
    for decay in DECAYS {
        for level in Level::available() {
            let mut case = Case::new((1, 4000, 2, 16, 16, 1), decay);
            case.xbc.fill(0.0);
            let fast = decay != Decay::Weak;
            let [_, last] = with_level(level, 1, || case.forward());
            assert!(last.iter().all(|s| if fast { *s == 0.0 } else { s.is_normal() }), "{level:?} {decay:?}");
            for len in [1, 5, 20, 70, 100, 300] {
                let shape = ScanShape { len, ..case.shape };
                let rows = |data: &[f32]| data[..data.len() / 4000 * len].to_vec();
                let (xbc, raw_dt) = (rows(&case.xbc), rows(&case.raw_dt));
                let input = ScanInput { xbc: &xbc, raw_dt: raw_dt[..].into(), ..case.input() };
                let (mut y, mut last) = (vec![f32::NAN; len * shape.d_inner()], vec![f32::NAN; case.state.len()]);
                with_level(level, 1, || scan(&shape, &input, &mut y, Some(&mut last)));
                assert!(last.iter().all(|s| *s == 0.0 || s.is_normal()), "{level:?} {decay:?}, {len} positions");
            }
        }
    }
}

#[test]
fn absent_states_are_zeros() {
    let mut case = Case::new(shapes(&[(2, 70, 2, 16, 16, 1)], &[(2, 3, 2, 5, 6, 1)])[0], Decay::Usual);
    case.state.fill(0.0);
    case.d_last.fill(0.0);
    let input = ScanInput { state: None, ..case.input() };
    let mut y = vec![f32::NAN; case.dy.len()];
    scan(&case.shape, &input, &mut y, None);
    assert_eq!(y, case.forward()[0]);
    let [mut xbc, mut raw_dt] = [vec![f32::NAN; case.xbc.len()], vec![0.0; case.raw_dt.len()]];
    let [mut dt_bias, mut a_log, mut d_skip] = case.heads.clone();
    let gradient = ScanGradient {
        xbc: &mut xbc,
        raw_dt: &mut raw_dt,
        dt_columns: case.columns(),
        dt_bias: &mut dt_bias,
        a_log: &mut a_log,
        d_skip: &mut d_skip,
        state: None,
    };
    scan_backward(&case.shape, &input, &case.dy, None, gradient);
    let [expected, ..] = case.backward();
    assert_eq!(xbc, expected);
}

#[test]
#[should_panic(expected = "y of ScanShape")]
fn an_output_of_another_length_is_refused() {
    let case = Case::new((1, 2, 1, 4, 4, 1), Decay::Usual);
    scan(&case.shape, &case.input(), &mut [0.0; 7], None);
}
