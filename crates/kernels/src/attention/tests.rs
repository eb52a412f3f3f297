use super::*;
use crate::{
    check::{assert_close, assert_close_in_bf16, assert_gradient, inner, wide},
    reference,
    simd::{Level, with_level},
    test_data::{for_thread_counts, uniform},
};

const THETA: f64 = 100.0;

/// (batch, len, past, heads, kv heads, width) around lanes, blocks of keys and segments.
const SHAPES: [[usize; 6]; 12] = [
    [1, 1, 0, 1, 1, 2],
    [1, 1, 5, 2, 1, 4],
    [2, 5, 0, 4, 2, 6],
    [1, 31, 0, 1, 1, 32],
    [3, 32, 33, 2, 2, 8],
    [1, 33, 0, 6, 2, 16],
    [1, 7, 300, 3, 1, 10],
    [1, 64, 256, 2, 1, 34],
    [2, 129, 0, 2, 1, 4],
    [1, 257, 0, 2, 2, 6],
    [1, 300, 0, 4, 1, 2],
    [33, 130, 0, 1, 1, 2],
];

struct Case {
    op: Attention,
    rope: Option<Rope>,
    qkv: Vec<f32>,
    past: [Vec<f32>; 2],
    d_y: Vec<f32>,
}

impl Case {
    fn new([batch, len, past, n_heads, n_kv_heads, d_head]: [usize; 6], rope: bool) -> Self {
        let op = Attention { batch, len, past, n_heads, n_kv_heads, d_head, scale: 0.6, operands: Operands::F32 };
        let past_len = batch * n_kv_heads * past * d_head;
        Self {
            op,
            rope: rope.then(|| Rope::new(THETA, d_head, past + len)),
            qkv: uniform(batch * len * op.qkv_width(), 1).iter().map(|x| 3.0 * x).collect(),
            past: [uniform(past_len, 2), uniform(past_len, 3)],
            d_y: uniform(batch * len * op.y_width(), 4),
        }
    }

    fn with_operands(mut self, operands: Operands) -> Self {
        self.op.operands = operands;
        self
    }

    fn theta(&self) -> Option<f64> {
        self.rope.as_ref().map(|_| THETA)
    }

    /// [keys, values, y, logsumexp]
    fn attend(&self) -> [Vec<f32>; 4] {
        let Self { op, rope, qkv, past: [past_keys, past_values], .. } = self;
        let (mut keys, mut values) = (vec![f32::NAN; op.keys_len()], vec![f32::NAN; op.keys_len()]);
        keys_and_values(op, rope.as_ref(), qkv, (past_keys, past_values), &mut keys, &mut values);
        let positions = op.batch * op.len;
        let (mut y, mut logsumexp) = (vec![f32::NAN; positions * op.y_width()], vec![f32::NAN; positions * op.n_heads]);
        attend(op, rope.as_ref(), qkv, (&keys, &values), &mut y, &mut logsumexp);
        [keys, values, y, logsumexp]
    }

    fn backward(&self) -> Vec<f32> {
        let Self { op, rope, qkv, d_y, .. } = self;
        let positions = op.batch * op.len;
        let (mut y, mut logsumexp) = (vec![f32::NAN; positions * op.y_width()], vec![f32::NAN; positions * op.n_heads]);
        forward(op, rope.as_ref(), qkv, &mut y, &mut logsumexp);
        let mut d_qkv = vec![f32::NAN; qkv.len()];
        backward(op, rope.as_ref(), Saved { qkv, y: &y, logsumexp: &logsumexp }, d_y, &mut d_qkv);
        d_qkv
    }
}

#[test]
fn outputs_agree_with_the_twin() {
    for (shape, rope) in SHAPES.into_iter().flat_map(|shape| [(shape, false), (shape, true)]) {
        let case = Case::new(shape, rope);
        let (qkv, past) = (wide(&case.qkv), (wide(&case.past[0]), wide(&case.past[1])));
        let (keys, values) = reference::keys_and_values(&case.op, case.theta(), &qkv, (&past.0, &past.1));
        let (y, logsumexp) = reference::attention(&case.op, case.theta(), &qkv, &keys, &values);
        for level in Level::available() {
            let found = with_level(level, 2, || case.attend());
            for (name, found, slow) in
                [("keys", 0, &keys), ("values", 1, &values), ("y", 2, &y), ("lse", 3, &logsumexp)]
                    .map(|(name, i, slow)| (name, &found[i], slow))
            {
                assert_close(found, slow, 1e-5, (name, shape, rope, level));
            }
        }
    }
}

#[test]
fn gradients_agree_with_the_twin() {
    let shapes = SHAPES.into_iter().filter(|shape| shape[2] == 0);
    for (shape, rope) in shapes.flat_map(|shape| [(shape, false), (shape, true)]) {
        let case = Case::new(shape, rope);
        let slow = reference::attention_backward(&case.op, case.theta(), &wide(&case.qkv), &wide(&case.d_y));
        for level in Level::available() {
            assert_close(&with_level(level, 2, || case.backward()), &slow, 2e-5, (shape, rope, level));
        }
    }
}

#[test]
fn bfloat16_rounds_the_operands_of_every_product() {
    for shape in [[1, 33, 0, 6, 2, 16], [1, 64, 256, 2, 1, 34], [2, 129, 0, 4, 2, 8], [1, 300, 0, 4, 1, 2]] {
        let mut case = Case::new(shape, true).with_operands(Operands::Bf16);
        // a rounded score is off by 2⁻⁸ of itself, and its weight by as much as that: keep scores small
        case.qkv.iter_mut().for_each(|x| *x /= 3.0);
        let (qkv, past) = (wide(&case.qkv), (wide(&case.past[0]), wide(&case.past[1])));
        let (keys, values) = reference::keys_and_values(&case.op, case.theta(), &qkv, (&past.0, &past.1));
        let (y, _) = reference::attention(&case.op, case.theta(), &qkv, &keys, &values);
        for level in Level::available() {
            let [_, _, found, _] = with_level(level, 2, || case.attend());
            assert_close_in_bf16(&found, &y, (shape, level));
        }
        if shape[2] == 0 {
            let slow = reference::attention_backward(&case.op, case.theta(), &qkv, &wide(&case.d_y));
            for level in Level::available() {
                assert_close_in_bf16(&with_level(level, 2, || case.backward()), &slow, (shape, level));
            }
        }
    }
}

#[test]
fn twin_is_the_slope_of_its_forward() {
    for rope in [false, true] {
        let case = Case::new([2, 4, 0, 4, 2, 4], rope);
        let (op, theta, qkv, d_y) = (&case.op, case.theta(), wide(&case.qkv), wide(&case.d_y));
        let loss = |qkv: &[f64]| {
            let (keys, values) = reference::keys_and_values(op, theta, qkv, (&[], &[]));
            inner(&reference::attention(op, theta, qkv, &keys, &values).0, &d_y)
        };
        assert_gradient(loss, &qkv, &reference::attention_backward(op, theta, &qkv, &d_y), rope);
    }
}

#[test]
fn threads_and_instruction_sets_do_not_change_a_bit() {
    for operands in [Operands::F32, Operands::Bf16] {
        for shape in [[1, 1000, 0, 4, 2, 8], [3, 70, 0, 2, 1, 16]] {
            let case = Case::new(shape, true).with_operands(operands);
            let results = for_thread_counts(|| (case.attend(), case.backward()));
            assert!(results.iter().all(|result| *result == results[0]), "{shape:?} in {operands:?}");
            for level in Level::available().into_iter().filter(|level| *level > Level::Portable) {
                let result = with_level(level, 2, || (case.attend(), case.backward()));
                assert!(result == results[0], "{shape:?} in {operands:?} at {level:?}");
            }
        }
    }
}

#[test]
fn a_changed_future_leaves_the_past_alone() {
    let mut case = Case::new([1, 300, 0, 2, 1, 8], true);
    let [_, _, y, logsumexp] = case.attend();
    for changed in [299, 270, 256, 255, 1] {
        case.qkv[changed * case.op.qkv_width()..].fill(7.0);
        let [_, _, y_changed, logsumexp_changed] = case.attend();
        assert_eq!(y_changed[..changed * case.op.y_width()], y[..changed * case.op.y_width()], "y before {changed}");
        assert_eq!(logsumexp_changed[..changed * 2], logsumexp[..changed * 2], "logsumexp before {changed}");
    }
}

#[test]
fn a_sequence_in_two_parts_is_the_sequence() {
    let whole = Case::new([2, 90, 0, 4, 2, 8], true);
    let [keys, values, y, _] = whole.attend();
    let (width, y_width) = (whole.op.qkv_width(), whole.op.y_width());
    for cut in [1, 31, 32, 50, 89] {
        let rows = |data: &[f32], width: usize, from: usize, to: usize| -> Vec<f32> {
            data.chunks(90 * width).flat_map(|sequence| sequence[from * width..to * width].to_vec()).collect()
        };
        let mut part = Case::new([2, cut, 0, 4, 2, 8], true);
        part.qkv = rows(&whole.qkv, width, 0, cut);
        let [past_keys, past_values, _, _] = part.attend();
        let mut rest = Case::new([2, 90 - cut, cut, 4, 2, 8], true);
        (rest.qkv, rest.past) = (rows(&whole.qkv, width, cut, 90), [past_keys, past_values]);
        let [keys_rest, values_rest, y_rest, _] = rest.attend();
        assert_eq!((&keys_rest, &values_rest), (&keys, &values), "cut at {cut}");
        assert_close(&y_rest, &wide(&rows(&y, y_width, cut, 90)), 1e-6, cut);
    }
}

#[test]
fn extreme_scores_pick_one_value() {
    // keys are ±100 in one channel, queries 100: scores ±10⁴·scale, all weight on the last positive key
    let mut case = Case::new([1, 300, 0, 1, 1, 2], false);
    for (i, row) in case.qkv.chunks_exact_mut(6).enumerate() {
        let key = if i == 3 { 100.0 } else { -100.0 };
        row.copy_from_slice(&[100.0, 0.0, key, 0.0, i as f32, 1.0]);
    }
    for level in Level::available() {
        let [_, _, y, _] = with_level(level, 1, || case.attend());
        for (i, y) in y.chunks_exact(2).enumerate().skip(3) {
            assert_eq!(y, [3.0, 1.0], "query {i} at {level:?}");
        }
        assert!(with_level(level, 1, || case.backward()).iter().all(|g| *g == 0.0 || g.is_normal()), "{level:?}");
    }
}

#[test]
#[should_panic(expected = "gradients do not reach the past")]
fn backward_refuses_a_past() {
    let Case { op, qkv, d_y, .. } = Case::new([1, 2, 3, 1, 1, 2], false);
    let saved = Saved { qkv: &qkv, y: &d_y, logsumexp: &[0.0; 2] };
    backward(&op, None, saved, &d_y, &mut vec![0.0; qkv.len()]);
}

#[test]
#[should_panic(expected = "4 angles for 5 positions")]
fn a_short_table_of_angles_is_refused() {
    let mut case = Case::new([1, 5, 0, 1, 1, 2], true);
    case.rope = Some(Rope::new(THETA, 2, 4));
    case.attend();
}
