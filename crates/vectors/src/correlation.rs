//! How well two lists of numbers agree.

/// Pearson's correlation; `None` if a list is constant, has a number that is none, or the lengths differ.
pub fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut both, mut of_x, mut of_y) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        both += x * y;
        of_x += x * x;
        of_y += y * y;
    }
    let found = both / (of_x * of_y).sqrt();
    Some(found).filter(|found| x.len() == y.len() && found.is_finite())
}

/// Spearman's correlation, Pearson's of the ranks, those of equal numbers their mean; `None` as of [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    if x.iter().chain(y).any(|x| x.is_nan()) {
        return None;
    }
    pearson(&ranks(x), &ranks(y))
}

fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut ranks = vec![0.0; x.len()];
    let mut first = 0;
    // −0 and 0 are equal, and side by side in the order
    for equal in order.chunk_by(|a, b| x[*a] == x[*b]) {
        let rank = first as f64 + (equal.len() - 1) as f64 / 2.0;
        equal.iter().for_each(|index| ranks[*index] = rank);
        first += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `scipy.stats` finds.
    #[test]
    fn correlations_are_those_of_scipy() {
        let x = [1.0, 2.0, 2.0, 4.0, 5.5, -0.0, 0.0];
        let y = [2.0, 1.0, 3.0, 3.0, 9.0, 0.5, 0.25];
        let near =
            |found: Option<f64>, expected: f64| assert!((found.expect("one") - expected).abs() < 1e-12, "{found:?}");
        near(pearson(&x, &y), 0.884395899798002);
        near(spearman(&x, &y), 0.908295106229248);
        near(spearman(&x, &x.map(f64::exp)), 1.0);
        near(spearman(&x, &x.map(|x| -x)), -1.0);
    }

    #[test]
    fn what_has_no_correlation_has_none() {
        assert_eq!(pearson(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(pearson(&[], &[]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[1.0, 2.0, 3.0]), None);
    }
}
