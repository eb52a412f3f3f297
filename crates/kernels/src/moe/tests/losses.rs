use crate::{
    check::{assert_close, wide},
    moe::{RouterLosses, router_losses, router_losses_backward},
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, uniform},
};

/// Tokens, and how many assignments each expert got.
const SHAPES: [(usize, &[usize]); 6] = [
    (1, &[1]),
    (3, &[3, 2, 1]),
    (16, &[0, 16, 0, 16]),
    (17, &[34]),
    (511, &[100, 0, 411]),
    (1030, &[3, 7, 1020, 1000, 30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
];

fn logits(tokens: usize, e: usize) -> Vec<f32> {
    uniform(tokens * e, 1).iter().map(|x| 5.0 * x).collect()
}

#[test]
fn agree_with_their_twin_at_every_level() {
    for shape @ (tokens, counts) in SHAPES {
        let logits = logits(tokens, counts.len());
        let slow = reference::router_losses(&wide(&logits), counts);
        for level in Level::available() {
            let fast = with_level(level, 2, || router_losses(&logits, counts));
            assert_close(&[fast.load_balance, fast.z], &slow, 2e-6, (shape, level));
        }
    }
}

#[test]
fn gradients_are_slopes_of_the_twin() {
    let d_losses = RouterLosses { load_balance: 300.0, z: -200.0 };
    for shape @ (tokens, counts) in SHAPES.into_iter().take(4) {
        let logits = logits(tokens, counts.len());
        let loss = |logits: &[f64]| {
            let [balance, z] = reference::router_losses(logits, counts);
            300.0 * balance - 200.0 * z
        };
        for level in Level::available() {
            let mut d_logits = vec![f32::NAN; logits.len()];
            with_level(level, 2, || router_losses_backward(&logits, counts, d_losses, &mut d_logits));
            assert_slope(loss, &wide(&logits), &wide(&d_logits), (shape, level));
        }
    }
}

/// Central differences, with the tolerance of f32.
fn assert_slope(loss: impl Fn(&[f64]) -> f64, x: &[f64], gradient: &[f64], what: impl std::fmt::Debug) {
    let mut moved = x.to_vec();
    for i in 0..x.len() {
        let mut at = |value: f64| {
            moved[i] = value;
            loss(&moved)
        };
        let slope = (at(x[i] + 1e-5) - at(x[i] - 1e-5)) / 2e-5;
        moved[i] = x[i];
        assert!((slope - gradient[i]).abs() <= 2e-5 * slope.abs().max(1.0), "{what:?}: {} {slope} at {i}", gradient[i]);
    }
}

#[test]
fn balance_is_one_when_experts_share_alike() {
    let losses = router_losses(&[0.0; 40], &[10, 10, 10, 10]);
    assert!((losses.load_balance - 1.0).abs() < 1e-6 && (losses.z - 4f32.ln().powi(2)).abs() < 1e-5, "{losses:?}");
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    let counts = [1000, 500, 2500, 0, 0];
    let logits = logits(2000, 5);
    let found = for_thread_counts(|| {
        let losses = router_losses(&logits, &counts);
        let mut d_logits = vec![f32::NAN; logits.len()];
        router_losses_backward(&logits, &counts, losses, &mut d_logits);
        (losses, d_logits)
    });
    assert!(found.iter().all(|x| *x == found[0]));
}

#[test]
fn extreme_logits_stay_finite() {
    let losses = router_losses(&[1e4, -1e4, -1e4, 1e4], &[1, 1]);
    assert_eq!((losses.load_balance, losses.z), (1.0, 1e8));
}
