//! Charts of lines and of bars as inline SVG.
//!
//! ```text
//! Chart { series, floor } ─┐
//! Bars { names, values }  ─┴→ plotters → <svg>, coloured by the page's style sheet
//! ```

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;

use crate::error::{MetricsError, Result};

/// Size of a chart in its own units; the page scales it.
const SIZE: (u32, u32) = (640, 260);

/// Colour of axes and grid, which the style sheet replaces to suit a light or dark page.
const RULE: RGBColor = RGBColor(2, 2, 2);

/// Colours that stand out from white and from black; charts with more series begin again.
pub(crate) const COLOURS: [RGBColor; 8] = [
    RGBColor(59, 130, 246),
    RGBColor(234, 136, 12),
    RGBColor(16, 163, 110),
    RGBColor(226, 75, 75),
    RGBColor(148, 100, 240),
    RGBColor(8, 160, 190),
    RGBColor(222, 80, 150),
    RGBColor(120, 150, 30),
];

/// Most points drawn of a series; more do not fit the pixels.
const MAX_POINTS: usize = 1_000;

/// Points (x, y) under one name.
pub struct Series {
    /// What it shows.
    pub name: String,
    /// Finite, in the order in which they are joined; a single one is a dot.
    pub points: Vec<(f64, f64)>,
}

/// Curves over one pair of axes.
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// Whether the vertical axis begins at 0, for quantities whose ratios matter.
    pub from_zero: bool,
    /// Its curves.
    pub series: Vec<Series>,
}

impl Series {
    /// Keeps the points that are finite, evenly thinned to [`MAX_POINTS`] and the last one.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let finite: Vec<_> = points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let stride = finite.len().div_ceil(MAX_POINTS).max(1);
        let last = finite.len().saturating_sub(1);
        let thinned = finite.into_iter().enumerate().filter(|(i, _)| i % stride == 0 || *i == last);
        Self { name: name.into(), points: thinned.map(|(_, point)| point).collect() }
    }
}

impl Chart {
    /// The chart as an `<svg>` element; `None` if there is no point to draw.
    pub(super) fn to_svg(&self) -> Result<Option<String>> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (Some(x), Some(mut y)) = (span(points().map(|p| p.0)), span(points().map(|p| p.1))) else {
            return Ok(None);
        };
        if self.from_zero {
            y.start = y.start.min(0.0);
        }
        let failed = |e: Box<dyn Error>| MetricsError::Chart { chart: self.title.clone(), reason: e.to_string() };
        self.draw(x, y).map(Some).map_err(failed)
    }

    fn draw(&self, x: Range<f64>, y: Range<f64>) -> std::result::Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        let height = y.end - y.start;
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut axes = ChartBuilder::on(&area)
                .margin(8)
                .x_label_area_size(28)
                .y_label_area_size(52)
                .build_cartesian_2d(x, y)?;
            axes.configure_mesh()
                .x_labels(8)
                .y_labels(6)
                .x_label_formatter(&|x| short(*x))
                .y_label_formatter(&|y| within(*y, height))
                .label_style(("sans-serif", 15))
                .axis_style(RULE)
                .bold_line_style(RULE)
                .light_line_style(TRANSPARENT)
                .draw()?;
            for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
                if let [point] = series.points[..] {
                    axes.draw_series([Circle::new(point, 3, colour.filled())])?;
                }
                axes.draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)))?;
            }
            area.present()?;
        }
        Ok(svg)
    }
}

/// Bars that lie from 0 to a value, a name before each.
pub struct Bars {
    /// What they show.
    pub title: String,
    /// Names and values.
    pub bars: Vec<(String, f64)>,
}

impl Bars {
    /// The bars as an `<svg>` element, those that are not finite left out; `None` if none is left.
    pub(super) fn to_svg(&self) -> Result<Option<String>> {
        let finite: Vec<&(String, f64)> = self.bars.iter().filter(|(_, value)| value.is_finite()).collect();
        let Some(x) = span(finite.iter().map(|(_, value)| *value).chain([0.0])).filter(|_| !finite.is_empty()) else {
            return Ok(None);
        };
        let failed = |e: Box<dyn Error>| MetricsError::Chart { chart: self.title.clone(), reason: e.to_string() };
        Self::draw(&finite, x).map(Some).map_err(failed)
    }

    fn draw(bars: &[&(String, f64)], x: Range<f64>) -> std::result::Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let width = x.end - x.start;
            let mut axes = ChartBuilder::on(&area)
                .margin(8)
                .x_label_area_size(28)
                .y_label_area_size(96)
                .build_cartesian_2d(x, (0..bars.len()).into_segmented())?;
            let name = |of: &SegmentValue<usize>| match of {
                SegmentValue::CenterOf(at) => bars.get(*at).map_or(String::new(), |(name, _)| name.clone()),
                _ => String::new(),
            };
            axes.configure_mesh()
                .x_labels(8)
                .y_labels(bars.len())
                .x_label_formatter(&|x| within(*x, width))
                .y_label_formatter(&name)
                .label_style(("sans-serif", 15))
                .axis_style(RULE)
                .bold_line_style(TRANSPARENT)
                .light_line_style(TRANSPARENT)
                .draw()?;
            axes.draw_series(bars.iter().enumerate().map(|(at, (_, value))| {
                let corners = [(0.0, SegmentValue::Exact(at)), (*value, SegmentValue::Exact(at + 1))];
                let mut bar = Rectangle::new(corners, COLOURS[0].filled());
                bar.set_margin(3, 3, 0, 0);
                bar
            }))?;
            area.present()?;
        }
        Ok(svg)
    }
}

/// Smallest range that holds all values, with a margin; `None` without values.
pub(super) fn span(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let (low, high) = values
        .fold(None, |span: Option<(f64, f64)>, x| Some(span.map_or((x, x), |(low, high)| (low.min(x), high.max(x)))))?;
    let margin = if high > low { 0.04 * (high - low) } else { 0.04 * high.abs().max(1e-9) };
    Some(low - margin..high + margin)
}

/// [`short`] with the digits that tell apart labels on an axis of this length.
pub(super) fn within(x: f64, length: f64) -> String {
    let digits = (2.0 - length.log10()).ceil();
    // labels that `short` gives a unit, or an exponent, have enough
    if digits <= 3.0 || x.abs() >= 1e4 { short(x) } else { format!("{x:.0$}", digits.min(9.0) as usize) }
}

/// A number in the width of an axis label: `1.2M`, `350k`, `0.02`, `3e-4`.
pub fn short(x: f64) -> String {
    let (scaled, unit) = match x.abs() {
        // what is left of 0 when an axis is cut into steps
        a if a < 1e-12 => return "0".into(),
        a if a >= 1e9 => (x / 1e9, "G"),
        a if a >= 1e6 => (x / 1e6, "M"),
        a if a >= 1e4 => (x / 1e3, "k"),
        a if a < 1e-2 => return format!("{x:.1e}"),
        _ => (x, ""),
    };
    let digits = format!("{scaled:.3}");
    format!("{}{unit}", digits.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (-5.6e-17, "0"),
            (1_234_567.0, "1.235M"),
            (350_000.0, "350k"),
            (2048.0, "2048"),
            (0.02, "0.02"),
            (-1.5, "-1.5"),
            (3e-4, "3.0e-4"),
        ] {
            assert_eq!(short(x), text);
        }
    }

    #[test]
    fn labels_of_a_short_axis_differ() {
        let labels = |from: f64, length: f64| -> Vec<String> {
            (0..6).map(|step| within(from + length * f64::from(step) / 5.0, length)).collect()
        };
        for (from, length) in [(0.7112, 0.0025), (0.7112, 0.02), (0.0, 1.0), (-0.002, 0.004), (2e6, 5e6)] {
            let mut labels = labels(from, length);
            assert!(labels.iter().all(|label| label.len() <= 9), "{labels:?}");
            labels.dedup();
            assert_eq!(labels.len(), 6, "{labels:?}");
        }
    }

    #[test]
    fn bars_begin_at_zero_and_have_their_names() {
        let bars = |bars: &[(&str, f64)]| Bars {
            title: "t".into(),
            bars: bars.iter().map(|(name, value)| ((*name).into(), *value)).collect(),
        };
        assert_eq!(bars(&[]).to_svg().unwrap(), None);
        assert_eq!(bars(&[("a", f64::NAN)]).to_svg().unwrap(), None);
        let svg = bars(&[("one", 0.5), ("two", -0.25), ("nowhere", f64::INFINITY)]).to_svg().unwrap().unwrap();
        assert!(svg.contains("one") && svg.contains("two") && !svg.contains("nowhere"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(bars(&[("zero", 0.0)]).to_svg().unwrap().is_some());
    }

    #[test]
    fn series_are_finite_thin_and_end_where_they_end() {
        let series = Series::new("x", (0..12_345).map(|i| (f64::from(i), if i % 7 == 0 { f64::NAN } else { 1.0 })));
        assert!(series.points.len() <= MAX_POINTS + 1 && series.points.len() > MAX_POINTS / 2);
        assert!(series.points.iter().all(|(_, y)| y.is_finite()));
        assert_eq!(series.points.last(), Some(&(12_344.0, 1.0)));
    }

    #[test]
    fn awkward_numbers_of_points_draw() {
        let chart = |n: u32, y: f64| Chart {
            title: "t".into(),
            from_zero: true,
            series: vec![Series::new("a", (0..n).map(|i| (f64::from(i), y)))],
        };
        assert_eq!(chart(0, 1.0).to_svg().unwrap(), None);
        assert_eq!(chart(3, f64::NAN).to_svg().unwrap(), None);
        for (n, y) in [(1, 0.0), (1, 5.0), (2, 0.0), (3, -2.0)] {
            let svg = chart(n, y).to_svg().unwrap().unwrap();
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"), "{svg}");
        }
    }
}
