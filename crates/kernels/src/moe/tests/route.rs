use crate::{
    check::{assert_close, wide},
    moe::{route, route::choose, route_backward},
    reference,
    simd::{Level, with_level},
    stored::Stored,
    test_data::{for_thread_counts, uniform},
};

/// (t, d, e, k)
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (0, 4, 3, 2),
    (1, 1, 1, 1),
    (1, 33, 4, 2),
    (15, 9, 5, 5),
    (16, 16, 17, 3),
    (95, 8, 33, 8),
    (97, 32, 64, 8),
    (385, 12, 4, 2),
    (800, 5, 7, 1),
];

#[derive(Debug, PartialEq)]
struct Routed {
    logits: Vec<f32>,
    ids: Vec<u32>,
    weights: Vec<f32>,
}

fn run(u: &[f32], router: &[f32], e: usize, k: usize) -> Routed {
    let t = u.len() * e / router.len();
    let mut routed =
        Routed { logits: vec![f32::NAN; t * e], ids: vec![u32::MAX; t * k], weights: vec![f32::NAN; t * k] };
    route(u, router, e, k, &mut routed.logits, &mut routed.ids, &mut routed.weights);
    routed
}

/// `d_u` after 1 was there, and `d_router`.
fn run_backward(u: &[f32], router: &[f32], k: usize, routed: &Routed, d_logits: Option<&[f32]>) -> [Vec<f32>; 2] {
    let e = routed.logits.len() * k / routed.ids.len().max(1);
    let d_weights = uniform(routed.weights.len(), 5);
    let (mut d_u, mut d_router) = (vec![1.0; u.len()], vec![f32::NAN; router.len()]);
    let Routed { ids, weights, .. } = routed;
    let e = e.max(1);
    route_backward(u.into(), router, e, k, ids, weights, &d_weights, d_logits, &mut d_u, &mut d_router);
    [d_u, d_router]
}

#[test]
fn agrees_with_its_twin_at_every_level() {
    for shape @ (t, d, e, k) in SHAPES {
        let (u, router) = (uniform(t * d, 1), uniform(e * d, 2));
        let slow = reference::route(&wide(&u), &wide(&router), e, k);
        for level in Level::available() {
            let fast = with_level(level, 2, || run(&u, &router, e, k));
            assert_close(&fast.logits, &slow.logits, 1e-5, (shape, level, "logits"));
            assert_eq!(fast.ids, slow.expert_ids, "{shape:?} {level:?}");
            assert_close(&fast.weights, &slow.expert_weights, 1e-5, (shape, level, "weights"));
        }
    }
}

#[test]
fn gradients_agree_with_their_twin_at_every_level() {
    for shape @ (t, d, e, k) in SHAPES.into_iter().filter(|shape| shape.0 > 0) {
        let (u, router) = (uniform(t * d, 1), uniform(e * d, 2));
        let (d_weights, d_logits) = (uniform(t * k, 5), uniform(t * e, 6));
        for auxiliary in [None, Some(&d_logits[..])] {
            let aux = auxiliary.map_or(vec![0.0; t * e], wide);
            let (d_u, d_router) = reference::route_backward(&wide(&u), &wide(&router), e, k, &wide(&d_weights), &aux);
            let d_u: Vec<f64> = d_u.iter().map(|x| 1.0 + x).collect();
            for level in Level::available() {
                let [fast_u, fast_router] = with_level(level, 2, || {
                    let routed = run(&u, &router, e, k);
                    run_backward(&u, &router, k, &routed, auxiliary)
                });
                assert_close(&fast_u, &d_u, 1e-5, (shape, level, "d_u"));
                assert_close(&fast_router, &d_router, 5e-5, (shape, level, "d_router"));
            }
        }
    }
}

#[test]
fn no_tokens_give_no_gradient() {
    let (mut d_u, mut d_router) = ([], [f32::NAN; 6]);
    route_backward(Stored::F32(&[]), &[1.0; 6], 3, 2, &[], &[], &[], None, &mut d_u, &mut d_router);
    assert_eq!(d_router, [0.0; 6]);
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    let (t, d, e, k) = (2000, 20, 9, 3);
    let (u, router) = (uniform(t * d, 1), uniform(e * d, 2));
    let found = for_thread_counts(|| {
        let routed = run(&u, &router, e, k);
        let gradients = run_backward(&u, &router, k, &routed, None);
        (routed, gradients)
    });
    assert!(found.iter().all(|x| *x == found[0]));
}

/// Ids and weights of rows of logits.
fn chosen(logits: &[f32], e: usize, k: usize) -> (Vec<u32>, Vec<f32>) {
    let rows = logits.len() / e;
    let (mut ids, mut weights) = (vec![u32::MAX; rows * k], vec![0.0; rows * k]);
    choose(logits, e, k, &mut ids, &mut weights);
    (ids, weights)
}

#[test]
fn ties_go_to_the_lower_index() {
    let logits = [1.0, 2.0, 2.0, 1.0, -0.0, 0.0, -0.0, 0.0, 3.0, 3.0, 3.0, 3.0];
    for level in Level::available() {
        let (ids, _) = with_level(level, 1, || chosen(&logits, 4, 3));
        assert_eq!(ids, [1, 2, 0, 0, 1, 2, 0, 1, 2], "{level:?}");
    }
}

#[test]
fn numbers_that_are_not_finite_still_give_different_experts() {
    let largest_nan = f32::from_bits(0x7fff_ffff);
    let numbers = [f32::NAN, -largest_nan, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, largest_nan, 0.5];
    let (e, k) = (6, 4);
    let logits: Vec<f32> = (0..999 * e).map(|i| numbers[i * i % 1009 % numbers.len()]).collect();
    for level in Level::available() {
        let (ids, _) = with_level(level, 1, || chosen(&logits, e, k));
        for (ids, logits) in ids.chunks(k).zip(logits.chunks(e)) {
            let mut sorted = ids.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            assert!(sorted.len() == k && sorted[k - 1] < e as u32, "{level:?}: {ids:?} of {logits:?}");
        }
    }
    let (u, router) = (vec![f32::NAN; 40 * e], vec![1.0; e * e]);
    let routed = run(&u, &router, e, k);
    assert!(routed.weights.iter().all(|w| w.is_nan()));
    run_backward(&u, &router, k, &routed, None);
}

#[test]
fn extreme_logits_keep_their_softmax() {
    let found = chosen(&[1e4, -1e4, 1e4, 3e38, -3e38, 0.0], 3, 2);
    assert_eq!(found, (vec![0, 2, 0, 2], vec![0.5, 0.5, 1.0, 0.0]));
}

#[test]
#[should_panic(expected = "3 of 2 experts")]
fn more_experts_than_there_are_is_refused() {
    run(&[0.0; 4], &[0.0; 4], 2, 3);
}
