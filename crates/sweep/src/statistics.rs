//! values of some seeds → mean, standard deviation, 95 % interval
//!
//! The interval of a mean of n values is x̄ ± t·s/√n, with s² = Σ(xᵢ − x̄)²/(n − 1), and t the 97.5 % quantile of Student's t
//! with n − 1 degrees of freedom (Student 1908, "The probable error of a mean", doi 10.2307/2331554; any text book, such as
//! Casella and Berger, Statistical Inference, 2nd edition, section 9.2). It holds where values are normal, and nearly so
//! where they are not far from it. A difference of two configurations is the mean of the differences between runs of the same
//! seed, so that what a seed does to both drops out (a paired t test: the same, section 8.3).

use std::f64::consts::PI;

use serde::Serialize;

/// The share of intervals that hold the truth.
pub const CONFIDENCE: f64 = 0.95;

/// A sample of values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Number of values, at least one.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, by n − 1; NaN for one value.
    pub sd: f64,
}

impl Sample {
    /// `None` for no values.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(Self { n, mean, sd: (squares / (n as f64 - 1.0)).sqrt() })
    }

    /// The interval that holds the true mean in [`CONFIDENCE`] of all cases; `None` for one value.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let nu = self.n.checked_sub(2)? + 1;
        let half = quantile(nu) * self.sd / (self.n as f64).sqrt();
        Some((self.mean - half, self.mean + half))
    }
}

/// What a difference, or the lack of one, is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// The interval lies below 0.
    #[serde(rename = "lower")]
    Lower,
    /// The interval lies above 0.
    #[serde(rename = "higher")]
    Higher,
    /// The interval holds 0.
    #[serde(rename = "not distinguishable")]
    NotDistinguishable,
    /// There are fewer than two pairs, and no interval.
    #[serde(rename = "too few seeds")]
    TooFewSeeds,
}

impl Verdict {
    /// Of a difference.
    pub fn of(difference: Option<&Sample>) -> Self {
        match difference.and_then(Sample::interval) {
            None => Self::TooFewSeeds,
            Some((_, high)) if high < 0.0 => Self::Lower,
            Some((low, _)) if low > 0.0 => Self::Higher,
            Some(_) => Self::NotDistinguishable,
        }
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::NotDistinguishable => "not distinguishable",
            Self::TooFewSeeds => "too few seeds",
        }
    }
}

/// t above which 2.5 % of Student's distribution lie, of so many degrees of freedom, at least one.
fn quantile(nu: usize) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while within(high, nu) < CONFIDENCE {
        high *= 2.0;
    }
    // halving ends where no double lies between
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle;
        }
        if within(middle, nu) < CONFIDENCE { low = middle } else { high = middle }
    }
}

/// A(t|ν), the share of Student's distribution between −t and t, for whole ν (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4).
fn within(t: f64, nu: usize) -> f64 {
    let theta = (t / (nu as f64).sqrt()).atan();
    let (sin, cos) = theta.sin_cos();
    // odd:  cos θ + 2/3 cos³ θ + … + 2·4…(ν−3)/(1·3…(ν−2)) cos^(ν−2) θ
    // even: 1 + 1/2 cos² θ + … + 1·3…(ν−3)/(2·4…(ν−2)) cos^(ν−2) θ
    let is_odd = nu % 2 == 1;
    let (mut term, first) = if is_odd { (cos, 3) } else { (1.0, 2) };
    let mut sum = if nu == 1 { 0.0 } else { term };
    for k in (first..=nu.saturating_sub(2)).step_by(2) {
        term *= (k - 1) as f64 / k as f64 * cos * cos;
        sum += term;
    }
    if is_odd { 2.0 / PI * (theta + sin * sum) } else { sin * sum }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A generator of normal numbers, by Box and Muller, from uniform ones (SplitMix64).
    pub(crate) fn normal(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed;
        let mut uniform = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
        };
        move || {
            let (radius, angle) = ((-2.0 * (1.0 - uniform()).ln()).sqrt(), 2.0 * PI * uniform());
            radius * angle.cos()
        }
    }

    /// Fisher and Yates, Statistical Tables, table III, and Abramowitz and Stegun, table 26.10.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (nu, t) in [
            (1, 12.706),
            (2, 4.303),
            (3, 3.182),
            (4, 2.776),
            (5, 2.571),
            (6, 2.447),
            (7, 2.365),
            (8, 2.306),
            (9, 2.262),
            (10, 2.228),
            (15, 2.131),
            (20, 2.086),
            (30, 2.042),
            (60, 2.000),
            (120, 1.980),
        ] {
            assert!((quantile(nu) - t).abs() < 6e-4, "{nu}: {} and not {t}", quantile(nu));
        }
        assert!((quantile(100_000) - 1.959_988).abs() < 1e-5, "the normal distribution: {}", quantile(100_000));
    }

    #[test]
    fn a_sample_is_described() {
        let sample = Sample::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("values");
        assert_eq!((sample.n, sample.mean), (8, 5.0));
        assert!((sample.sd - (32.0f64 / 7.0).sqrt()).abs() < 1e-15);
        let (low, high) = sample.interval().expect("several");
        assert!((low - 3.2126).abs() < 1e-3 && (high - 6.7874).abs() < 1e-3, "{low} {high}");
        let one = Sample::of(&[3.0]).expect("a value");
        assert!((one.n, one.mean) == (1, 3.0) && one.sd.is_nan() && one.interval().is_none());
        assert_eq!(Sample::of(&[]), None);
    }

    #[test]
    fn a_difference_has_a_name() {
        let verdict = |values: &[f64]| Verdict::of(Sample::of(values).as_ref()).as_str();
        assert_eq!(verdict(&[-1.0, -1.1, -0.9]), "lower");
        assert_eq!(verdict(&[1.0, 1.1, 0.9]), "higher");
        assert_eq!(verdict(&[1.0, -1.1, 0.2]), "not distinguishable");
        assert_eq!(verdict(&[0.0, 0.0]), "not distinguishable");
        assert_eq!([verdict(&[1.0]), verdict(&[])], ["too few seeds"; 2]);
    }

    /// Of cells whose truth is known: a mean of its own, a part that a seed does to all, and noise.
    #[test]
    fn intervals_of_95_percent_hold_the_truth_in_93_to_97_of_100_cases() {
        const CELLS: usize = 4000;
        let mut normal = normal(7);
        for seeds in [2, 3, 5, 10] {
            let (mut means, mut differences, mut false_alarms) = (0, 0, 0);
            for _ in 0..CELLS {
                let (truth, effect, noise) = (1.0 + 0.1 * normal(), 0.02 * normal(), 0.01 + 0.01 * normal().abs());
                let of_seed: Vec<f64> = (0..seeds).map(|_| 0.05 * normal()).collect();
                let mut cell =
                    |truth: f64| -> Vec<f64> { of_seed.iter().map(|seed| truth + seed + noise * normal()).collect() };
                let (baseline, other, same) = (cell(truth), cell(truth + effect), cell(truth));
                let holds = |values: &[f64], truth: f64| {
                    let (low, high) = Sample::of(values).and_then(|sample| sample.interval()).expect("several");
                    low <= truth && truth <= high
                };
                let minus = |values: &[f64]| -> Vec<f64> { values.iter().zip(&baseline).map(|(a, b)| a - b).collect() };
                means += usize::from(holds(&baseline, truth));
                differences += usize::from(holds(&minus(&other), effect));
                false_alarms +=
                    usize::from(Verdict::of(Sample::of(&minus(&same)).as_ref()) != Verdict::NotDistinguishable);
            }
            let share = |count: usize| count as f64 / CELLS as f64;
            println!(
                "{seeds} seeds: {:.2} % of means, {:.2} % of differences; {:.2} % of equal cells told apart",
                100.0 * share(means),
                100.0 * share(differences),
                100.0 * share(false_alarms)
            );
            assert!((0.93..=0.97).contains(&share(means)), "means of {seeds} seeds: {}", share(means));
            assert!(
                (0.93..=0.97).contains(&share(differences)),
                "differences of {seeds} seeds: {}",
                share(differences)
            );
            assert!((0.03..=0.07).contains(&share(false_alarms)), "{seeds} seeds: {}", share(false_alarms));
        }
    }
}
