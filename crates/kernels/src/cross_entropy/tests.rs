use super::*;
use crate::{
    check::{assert_close, assert_close_in_bf16, assert_gradient, inner, wide},
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, shapes, uniform},
};

/// (t, d, v) around lanes, runs, tiles, tasks and slabs.
const SHAPES: [(usize, usize, usize); 10] = [
    (0, 3, 5),
    (1, 1, 1),
    (1, 16, 100),
    (2, 8, 15),
    (31, 33, 17),
    (32, 7, 96),
    (33, 128, 97),
    (64, 12, RANGE + 1),
    (260, 9, SLAB_LEN / 256 + 3),
    (545, 8, 40),
];
const UNDER_MIRI: [(usize, usize, usize); 2] = [(1, 2, 3), (33, 2, 3)];

/// Rounding of a logit of about 20, which is what a row of these numbers reaches, and so of a probability.
const TOLERANCE: f64 = itera_testkit::F32_REORDERED;

struct Case {
    hidden: Vec<f32>,
    head: Vec<f32>,
    d: usize,
    targets: Vec<i32>,
    scaling: f32,
    upstream: Vec<f32>,
    operands: Operands,
}

impl Case {
    fn new((t, d, v): (usize, usize, usize), scaling: f32) -> Self {
        let targets = uniform(t, 4).iter().map(|x| ((x + 1.0) / 2.0 * v as f32) as i32 % v as i32).collect();
        let hidden = uniform(t * d, 1).iter().map(|x| 3.0 * x).collect();
        let (head, upstream, operands) = (uniform(v * d, 2), uniform(t, 3), Operands::F32);
        Self { hidden, head, d, targets, scaling, upstream, operands }
    }

    fn input(&self) -> HeadCrossEntropy<'_> {
        let Self { hidden, head, d, targets, scaling, operands, .. } = self;
        HeadCrossEntropy { hidden, head, d_model: *d, targets, scaling: *scaling, operands: *operands }
    }

    fn nats(&self) -> Vec<f32> {
        let mut nats = vec![f32::NAN; self.targets.len()];
        forward(&self.input(), &mut nats);
        nats
    }

    /// (nats, d_hidden, d_head)
    fn gradients(&self, upstream: Upstream<'_>) -> [Vec<f32>; 3] {
        let mut nats = vec![f32::NAN; self.targets.len()];
        let [mut d_hidden, mut d_head] = [&self.hidden, &self.head].map(|x| vec![f32::NAN; x.len()]);
        let gradients = Gradients { hidden: &mut d_hidden, head: &mut d_head };
        forward_backward(&self.input(), upstream, &mut nats, gradients);
        [nats, d_hidden, d_head]
    }

    fn slow_nats(&self) -> Vec<f64> {
        let (hidden, head) = (wide(&self.hidden), wide(&self.head));
        reference::head_cross_entropy(&hidden, &head, self.d, &self.targets, f64::from(self.scaling))
    }

    fn slow_gradients(&self, upstream: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (hidden, head) = (wide(&self.hidden), wide(&self.head));
        let scaling = f64::from(self.scaling);
        reference::head_cross_entropy_backward(&hidden, &head, self.d, &self.targets, scaling, upstream)
    }
}

#[test]
fn nats_agree_with_the_twin() {
    for &shape in shapes(&SHAPES, &UNDER_MIRI) {
        let case = Case::new(shape, 1.5);
        let slow = case.slow_nats();
        for level in Level::available() {
            assert_close(&with_level(level, 2, || case.nats()), &slow, TOLERANCE, ("nats", shape, level));
        }
    }
}

#[test]
fn gradients_agree_with_the_twin() {
    for &shape in shapes(&SHAPES, &UNDER_MIRI) {
        let case = Case::new(shape, 0.7);
        let slow_nats = case.slow_nats();
        let each = wide(&case.upstream);
        let same = vec![f64::from(0.3f32); shape.0];
        for (name, upstream, wide_upstream) in
            [("each", Upstream::Each(&case.upstream), each), ("same", Upstream::Same(0.3), same)]
        {
            let (slow_hidden, slow_head) = case.slow_gradients(&wide_upstream);
            for level in Level::available() {
                let [nats, d_hidden, d_head] = with_level(level, 2, || case.gradients(upstream));
                assert_close(&nats, &slow_nats, TOLERANCE, ("nats", name, shape, level));
                assert_close(&d_hidden, &slow_hidden, TOLERANCE, ("d_hidden", name, shape, level));
                assert_close(&d_head, &slow_head, TOLERANCE, ("d_head", name, shape, level));
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn bfloat16_rounds_the_operands_of_every_product() {
    for shape in [(33, 128, 97), (64, 12, RANGE + 1), (545, 8, 40)] {
        let case = Case { operands: Operands::Bf16, ..Case::new(shape, 0.7) };
        let (slow_hidden, slow_head) = case.slow_gradients(&wide(&case.upstream));
        for level in Level::available() {
            let [nats, d_hidden, d_head] = with_level(level, 2, || case.gradients(Upstream::Each(&case.upstream)));
            assert_close_in_bf16(&nats, &case.slow_nats(), ("nats", shape, level));
            assert_close_in_bf16(&d_hidden, &slow_hidden, ("d_hidden", shape, level));
            assert_close_in_bf16(&d_head, &slow_head, ("d_head", shape, level));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn twin_is_the_slope_of_its_forward() {
    let case = Case::new((4, 3, 6), 1.7);
    let (hidden, head, upstream) = (wide(&case.hidden), wide(&case.head), wide(&case.upstream));
    let (d_hidden, d_head) = case.slow_gradients(&upstream);
    let loss = |hidden: &[f64], head: &[f64]| {
        inner(&reference::head_cross_entropy(hidden, head, 3, &case.targets, f64::from(case.scaling)), &upstream)
    };
    assert_gradient(|hidden| loss(hidden, &head), &hidden, &d_hidden, "d_hidden");
    assert_gradient(|head| loss(&hidden, head), &head, &d_head, "d_head");
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn every_thread_count_gives_the_same_bits() {
    for operands in [Operands::F32, Operands::Bf16] {
        let case = Case { operands, ..Case::new((300, 20, SLAB_LEN / 256 + 3), 1.0) };
        let results = for_thread_counts(|| (case.nats(), case.gradients(Upstream::Same(1.0))));
        assert!(results.iter().all(|result| *result == results[0]), "{operands:?}");
        assert_eq!(results[0].0, results[0].1[0], "with and without gradients in {operands:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn extreme_logits_are_exact() {
    // logits 10⁴·head, all exact: token 0 is sure and right, token 1 sure and wrong, token 2 torn between two ranges
    let (d, v) = (2, RANGE + 37);
    let mut head = vec![0.0; v * d];
    (head[3 * d], head[5 * d], head[9 * d + 1], head[(v - 1) * d + 1]) = (1.0, -1.0, 1.0, 1.0);
    let hidden = vec![1e4, 0.0, 1e4, 0.0, 0.0, 1e4];
    let case = Case {
        hidden,
        head,
        d,
        targets: vec![3, 5, v as i32 - 1],
        scaling: 1.0,
        upstream: vec![1.0; 3],
        operands: Operands::F32,
    };
    let ln_2 = std::f32::consts::LN_2;
    for level in Level::available() {
        let [nats, d_hidden, d_head] = with_level(level, 1, || case.gradients(Upstream::Same(1.0)));
        assert_eq!(nats, [0.0, 2e4, ln_2], "{level:?}");
        assert_eq!(d_hidden, [0.0, 0.0, 2.0, 0.0, 0.0, 0.0], "{level:?}");
        let mut expected = vec![0.0; v * d];
        (expected[3 * d], expected[5 * d]) = (1e4, -1e4);
        (expected[9 * d + 1], expected[(v - 1) * d + 1]) = (5e3, -5e3);
        assert_eq!(d_head, expected, "{level:?}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn only_differences_of_logits_count() {
    for logit in [-1e4, 1e4] {
        let case = Case {
            hidden: vec![logit],
            head: vec![1.0; 37],
            d: 1,
            targets: vec![7],
            scaling: 1.0,
            upstream: vec![],
            operands: Operands::F32,
        };
        for level in Level::available() {
            let nats = with_level(level, 1, || case.nats());
            assert_close(&nats, &[37f64.ln()], 1e-6, (logit, level));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too long for an interpreter")]
fn no_gradient_is_subnormal() {
    let (t, d, v) = (40, 1, 200);
    let head = (0..v).map(|i| -(i as f32)).collect();
    let case = Case {
        hidden: vec![1e-3; t],
        head,
        d,
        targets: vec![0; t],
        scaling: 1e-3,
        upstream: vec![1e-3; t],
        operands: Operands::F32,
    };
    let [_, d_hidden, d_head] = case.gradients(Upstream::Each(&case.upstream));
    assert!(d_hidden.iter().chain(&d_head).all(|g| *g == 0.0 || g.is_normal()));
    assert!(d_head[60] != 0.0 && d_head[61] == 0.0, "as far as e⁻⁶⁰");
}

#[test]
#[should_panic(expected = "target Some(5) of a vocabulary of 5")]
fn a_target_past_the_vocabulary_is_refused() {
    let mut case = Case::new((3, 2, 5), 1.0);
    case.targets[1] = 5;
    case.nats();
}

#[test]
#[should_panic(expected = "target Some(-1) of a vocabulary of 5")]
fn a_negative_target_is_refused() {
    let mut case = Case::new((3, 2, 5), 1.0);
    case.targets[1] = -1;
    case.nats();
}
