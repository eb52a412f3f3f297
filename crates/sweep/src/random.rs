//! seed, key, index → a value in a range
//!
//! A draw is a function of these alone: more draws, or further keys, leave those that there were as they are.

use itera_files::Sha256Digest;
use toml::Value;

/// Values drawn at random.
#[derive(Debug)]
pub(crate) struct Random {
    pub count: u64,
    pub seed: u64,
    /// `table.key`, and where its values are drawn from.
    pub ranges: Vec<(String, Range)>,
}

/// Both ends finite, the first below the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    Uniform(f64, f64),
    /// Uniform in the logarithm; both ends above 0.
    LogUniform(f64, f64),
}

impl Range {
    /// From `{ uniform = [low, high] }` or `{ log_uniform = [low, high] }`.
    pub(crate) fn from_toml(value: &Value) -> Option<Self> {
        let table = value.as_table().filter(|table| table.len() == 1)?;
        let (name, ends) = table.iter().next()?;
        let [low, high] = ends.as_array()?.as_slice() else { return None };
        let number = |value: &Value| value.as_float().or(value.as_integer().map(|number| number as f64));
        let (low, high) = (number(low)?, number(high)?);
        let is_range = low.is_finite() && high.is_finite() && low < high;
        match name.as_str() {
            "uniform" if is_range => Some(Self::Uniform(low, high)),
            "log_uniform" if is_range && low > 0.0 => Some(Self::LogUniform(low, high)),
            _ => None,
        }
    }

    /// The number that lies at `share` of the range, in [0, 1): of four digits, or, for a key that takes whole numbers, one of
    /// those, each of which has the same share of the range, or of its logarithm.
    fn at(self, share: f64, is_whole: bool) -> Value {
        let between = |low: f64, high: f64| match self {
            Self::Uniform(..) => low + share * (high - low),
            Self::LogUniform(..) => (low.ln() + share * (high.ln() - low.ln())).exp(),
        };
        let (Self::Uniform(low, high) | Self::LogUniform(low, high)) = self;
        if is_whole {
            let (low, high) = (low.ceil(), high.floor());
            return Value::Integer(between(low, high + 1.0).floor().clamp(low, high.max(low)) as i64);
        }
        let short: f64 = format!("{:.3e}", between(low, high)).parse().unwrap_or(low);
        Value::Float(short.clamp(low, high))
    }
}

impl Random {
    /// The values of a draw. Keys that take whole numbers get those.
    pub(crate) fn draw(&self, index: u64, is_whole: &dyn Fn(&str) -> bool) -> Vec<(String, Value)> {
        let value = |(key, range): &(String, Range)| {
            let parts = [&b"sweep"[..], &self.seed.to_le_bytes(), key.as_bytes(), &index.to_le_bytes()];
            (key.clone(), range.at(Sha256Digest::of_parts(parts).fraction(), is_whole(key)))
        };
        self.ranges.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(count: u64, range: Range) -> Random {
        Random { count, seed: 1, ranges: vec![("train.lr".into(), range)] }
    }

    fn draws(range: Range, is_whole: bool) -> Vec<f64> {
        let random = random(2000, range);
        let value = |index| match random.draw(index, &|_| is_whole)[0].1 {
            Value::Float(value) if !is_whole => value,
            Value::Integer(value) if is_whole => value as f64,
            ref other => panic!("{other}"),
        };
        (0..random.count).map(value).collect()
    }

    #[test]
    fn draws_fill_their_range_evenly() {
        let uniform = draws(Range::Uniform(-1.0, 3.0), false);
        assert!(uniform.iter().all(|value| (-1.0..=3.0).contains(value)));
        assert!((uniform.iter().sum::<f64>() / 2000.0 - 1.0).abs() < 0.1);
        let log = draws(Range::LogUniform(1e-4, 1e-2), false);
        assert!(log.iter().all(|value| (1e-4..=1e-2).contains(value)));
        let below = log.iter().filter(|value| **value < 1e-3).count();
        assert!((900..1100).contains(&below), "{below} of 2000 are below the middle");
        let whole = draws(Range::Uniform(1.0, 4.0), true);
        for value in [1.0, 2.0, 3.0, 4.0] {
            let times = whole.iter().filter(|drawn| **drawn == value).count();
            assert!((420..580).contains(&times), "{value} is drawn {times} times of 2000");
        }
        assert!(draws(Range::LogUniform(1.0, 64.0), true).iter().all(|value| (1.0..=64.0).contains(value)));
    }

    #[test]
    fn a_draw_does_not_depend_on_how_many_there_are_or_on_other_keys() {
        let range = Range::LogUniform(1e-4, 1e-2);
        let few = random(3, range);
        let mut many = random(9, range);
        many.ranges.insert(0, ("train.ema".into(), Range::Uniform(0.0, 1.0)));
        for index in 0..3 {
            assert_eq!(few.draw(index, &|_| false)[0], many.draw(index, &|_| false)[1]);
        }
        let other = Random { seed: 2, ..random(3, range) };
        assert_ne!(few.draw(0, &|_| false), other.draw(0, &|_| false));
    }
}
