use super::*;
use crate::{
    check::{assert_close, assert_close_in_bf16, wide},
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, rounded, uniform},
};

/// Tokens around a block and a task, widths around a vector and a panel: (t, d, f).
const SHAPES: [(usize, usize, usize); 10] = [
    (0, 4, 3),
    (1, 1, 1),
    (1, 33, 17),
    (95, 16, 31),
    (96, 7, 32),
    (97, 32, 16),
    (575, 5, 3),
    (577, 8, 4),
    (1300, 3, 9),
    (10_001, 2, 3),
];

struct Case {
    d: usize,
    f: usize,
    u: Vec<f32>,
    w_in: Vec<f32>,
    w_out: Vec<f32>,
    d_out: Vec<f32>,
    operands: Operands,
}

/// What forward and backward wrote.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    out: Vec<f32>,
    d_u: Vec<f32>,
    d_w_in: Vec<f32>,
    d_w_out: Vec<f32>,
}

const MULTIPLIER: f32 = 0.75;

impl Case {
    fn new((t, d, f): (usize, usize, usize)) -> Self {
        let [u, w_in, w_out, d_out] =
            [(t * d, 1), (2 * f * d, 2), (d * f, 3), (t * d, 4)].map(|(len, seed)| uniform(len, seed));
        Self { d, f, u, w_in, w_out, d_out, operands: Operands::F32 }
    }

    /// Everything, over stale numbers.
    fn run(&self, residual: Option<&[f32]>, keep: bool) -> Written {
        let mlp = Mlp::new(&self.w_in, &self.w_out, self.d, self.f).with_operands(self.operands);
        let stale = |len: usize| vec![f32::NAN; len];
        let mut saved = keep.then(|| stale(mlp.saved_len(self.u.len() / self.d)));
        let mut written = Written {
            out: stale(self.u.len()),
            d_u: stale(self.u.len()),
            d_w_in: stale(self.w_in.len()),
            d_w_out: stale(self.w_out.len()),
        };
        let join = Join { residual, multiplier: MULTIPLIER };
        forward(&self.u, &mlp, join, saved.as_deref_mut().map(StoredMut::F32), &mut written.out);
        let Written { d_u, d_w_in, d_w_out, .. } = &mut written;
        backward(
            self.u[..].into(),
            &mlp,
            MULTIPLIER,
            saved.as_deref().map(Stored::F32),
            &self.d_out,
            d_u,
            d_w_in,
            d_w_out,
        );
        written
    }

    fn assert_agrees(&self, residual: Option<&[f32]>, found: &Written, what: &str) {
        let (w_in, w_out) = (wide(&self.w_in), wide(&self.w_out));
        let mlp = reference::Mlp { w_in: &w_in, w_out: &w_out, d: self.d, f: self.f };
        let u = wide(&self.u);
        let mut out: Vec<f64> = reference::mlp(&u, &mlp).iter().map(|y| f64::from(MULTIPLIER) * y).collect();
        for (out, residual) in out.iter_mut().zip(residual.unwrap_or_default()) {
            *out += f64::from(*residual);
        }
        let d_y: Vec<f64> = self.d_out.iter().map(|d| f64::from(MULTIPLIER * d)).collect();
        let slow = reference::mlp_backward(&u, &mlp, &d_y);
        for (name, found, slow, tolerance) in [
            ("out", &found.out, &out, 2e-5),
            ("d_u", &found.d_u, &slow.d_u, 2e-5),
            ("d_w_in", &found.d_w_in, &slow.d_w_in, 5e-5),
            ("d_w_out", &found.d_w_out, &slow.d_w_out, 5e-5),
        ] {
            match self.operands {
                Operands::F32 => assert_close(found, slow, tolerance, (what, name)),
                Operands::Bf16 => assert_close_in_bf16(found, slow, (what, name)),
            }
        }
    }
}

#[test]
fn agrees_with_its_twin_at_every_level() {
    for shape in SHAPES {
        let case = Case::new(shape);
        for residual in [None, Some(&case.d_out[..])] {
            for level in Level::available() {
                let found = with_level(level, 2, || case.run(residual, true));
                case.assert_agrees(residual, &found, &format!("{shape:?} at {level:?}"));
            }
        }
    }
}

#[test]
fn bfloat16_rounds_the_operands_of_every_product() {
    for shape in [(1, 33, 17), (97, 32, 16), (1300, 16, 31)] {
        let case = Case { operands: Operands::Bf16, ..Case::new(shape) };
        for level in Level::available() {
            let found = with_level(level, 2, || case.run(None, true));
            case.assert_agrees(None, &found, &format!("{shape:?} at {level:?}"));
        }
    }
}

#[test]
fn computing_the_gate_again_changes_no_bit() {
    for operands in [Operands::F32, Operands::Bf16] {
        for shape in SHAPES {
            let case = Case { operands, ..Case::new(shape) };
            assert_eq!(case.run(None, true), case.run(None, false), "{shape:?} in {operands:?}");
        }
    }
}

#[test]
fn what_is_stored_as_bfloat16_is_read_as_the_numbers_it_stands_for() {
    for shape in SHAPES {
        let case = Case::new(shape);
        let mlp = Mlp::new(&case.w_in, &case.w_out, case.d, case.f);
        let mut gate_up = vec![f32::NAN; mlp.saved_len(case.u.len() / case.d)];
        let mut stored = vec![0; gate_up.len()];
        let [mut out, mut out_again] = [&case.u; 2].map(|u| vec![f32::NAN; u.len()]);
        forward(&case.u, &mlp, Join::NONE, Some(StoredMut::F32(&mut gate_up)), &mut out);
        forward(&case.u, &mlp, Join::NONE, Some(StoredMut::Bf16(&mut stored)), &mut out_again);
        let (expected, gate_up) = rounded(&gate_up);
        assert_eq!((out, &stored), (out_again, &expected), "{shape:?}");

        let (stored_u, u) = rounded(&case.u);
        let gradients = |u: Stored<'_>, gate_up: Stored<'_>| {
            let [mut d_u, mut d_w_in, mut d_w_out] =
                [&case.u, &case.w_in, &case.w_out].map(|x| vec![f32::NAN; x.len()]);
            backward(u, &mlp, MULTIPLIER, Some(gate_up), &case.d_out, &mut d_u, &mut d_w_in, &mut d_w_out);
            [d_u, d_w_in, d_w_out]
        };
        let from_numbers = gradients(u[..].into(), gate_up[..].into());
        assert_eq!(gradients(Stored::Bf16(&stored_u), Stored::Bf16(&stored)), from_numbers, "{shape:?}");
    }
}

#[test]
fn every_thread_count_gives_the_same_bits() {
    for operands in [Operands::F32, Operands::Bf16] {
        let case = Case { operands, ..Case::new((1700, 20, 18)) };
        for keep in [true, false] {
            let found = for_thread_counts(|| case.run(None, keep));
            assert!(found.iter().all(|x| *x == found[0]), "keep {keep} in {operands:?}");
        }
    }
}

#[test]
#[should_panic(expected = "w_out of 4 × 3")]
fn weights_that_do_not_fit_are_refused() {
    Mlp::new(&[0.0; 24], &[0.0; 13], 4, 3);
}

#[test]
#[should_panic(expected = "saved of 5 × 2·3")]
fn saved_rows_that_do_not_fit_are_refused() {
    let (w_in, w_out) = ([0.0; 24], [0.0; 12]);
    let mlp = Mlp::new(&w_in, &w_out, 4, 3);
    forward(&[0.0; 20], &mlp, Join::NONE, Some(StoredMut::F32(&mut [0.0; 29])), &mut [0.0; 20]);
}
