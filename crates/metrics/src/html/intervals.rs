//! Means with their intervals, and the values that they are of, along a number or one below the other.

use std::{error::Error, ops::Range};

use plotters::{
    coord::{
        ranged1d::{Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    prelude::*,
};

use crate::{
    error::{MetricsError, Result},
    html::chart::{COLOURS, short, span, within},
};

/// Width and height of the picture along a number; a line of its own for each name adds to the height.
const SIZE: (u32, u32) = (760, 420);
const LINE: u32 = 26;
/// Axes, grid and text: dark enough on white, light enough on black.
const RULE: RGBColor = RGBColor(128, 128, 128);
/// A range this many times as long as it begins is drawn by its logarithm.
const DECADE: f64 = 10.0;

/// Where a mean stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// At a number, finite.
    At(f64),
    /// On a line of its own.
    Named(String),
}

/// A mean, and what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// All of a picture are of one kind.
    pub place: Place,
    /// Finite.
    pub mean: f64,
    /// Its ends; absent for one value.
    pub interval: Option<(f64, f64)>,
    /// The values, finite.
    pub points: Vec<f64>,
}

/// A picture that stands alone: `metric` against `axis`, upwards where places are numbers, to the right where they are names.
///
/// # Errors
/// If the plotting library refuses.
pub fn intervals(metric: &str, axis: &str, cells: &[Interval]) -> Result<String> {
    let failed = |error: Box<dyn Error>| MetricsError::Chart { chart: metric.into(), reason: error.to_string() };
    let numbers: Vec<f64> =
        cells.iter().filter_map(|cell| if let Place::At(x) = cell.place { Some(x) } else { None }).collect();
    if numbers.is_empty() {
        return named(metric, axis, cells).map_err(failed);
    }
    let (low, high) = numbers.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    if low > 0.0 && high >= DECADE * low {
        let x: LogCoord<f64> = (low / 1.3..high * 1.3).log_scale().into();
        along(metric, axis, cells, x, decade).map_err(failed)
    } else {
        let x: RangedCoordf64 = span(numbers.into_iter()).unwrap_or(0.0..1.0).into();
        along(metric, axis, cells, x, short).map_err(failed)
    }
}

/// All that is drawn of the metric.
fn values(cells: &[Interval]) -> Range<f64> {
    let ends = cells.iter().filter_map(|cell| cell.interval).flat_map(|(low, high)| [low, high]);
    let values = cells.iter().flat_map(|cell| cell.points.iter().copied().chain([cell.mean]));
    span(values.chain(ends)).unwrap_or(0.0..1.0)
}

/// What stands at a line of a logarithmic axis: where all nine of a decade are drawn, there is room for three.
fn decade(x: f64) -> String {
    let mantissa = x / DECADE.powf(x.log10().floor());
    let is_written = [1.0, 2.0, 5.0, 10.0].iter().any(|written| (mantissa - written).abs() < 1e-6);
    if is_written { short(x) } else { String::new() }
}

fn along<X>(
    metric: &str,
    axis: &str,
    cells: &[Interval],
    x: X,
    label: fn(f64) -> String,
) -> std::result::Result<String, Box<dyn Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let y = values(cells);
    let height = y.end - y.start;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut axes =
            ChartBuilder::on(&area).margin(10).x_label_area_size(44).y_label_area_size(72).build_cartesian_2d(x, y)?;
        let text = ("sans-serif", 15).into_font().color(&RULE);
        axes.configure_mesh()
            .x_desc(axis)
            .y_desc(metric)
            .x_label_formatter(&|x| label(*x))
            .y_label_formatter(&|y| within(*y, height))
            .label_style(text.clone())
            .axis_desc_style(text)
            .axis_style(RULE)
            .bold_line_style(RULE.mix(0.3))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for cell in cells {
            let Place::At(x) = cell.place else { continue };
            let (low, high) = cell.interval.unwrap_or((cell.mean, cell.mean));
            axes.draw_series([PathElement::new([(x, low), (x, high)], COLOURS[0].stroke_width(2))])?;
            axes.draw_series(cell.points.iter().map(|y| Circle::new((x, *y), 2, RULE.filled())))?;
            axes.draw_series([Circle::new((x, cell.mean), 4, COLOURS[0].filled())])?;
        }
        area.present()?;
    }
    Ok(svg)
}

fn named(metric: &str, axis: &str, cells: &[Interval]) -> std::result::Result<String, Box<dyn Error>> {
    let x = values(cells);
    let width = x.end - x.start;
    let name = |cell: &Interval| if let Place::Named(name) = &cell.place { name.clone() } else { String::new() };
    let longest = cells.iter().map(|cell| name(cell).chars().count()).max().unwrap_or(0) as u32;
    let size = (SIZE.0 + 8 * longest, 100 + LINE * cells.len() as u32);
    // the first at the top
    let at = |line: usize| (cells.len() - line) as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut axes = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(44)
            .y_label_area_size(24 + 8 * longest)
            .build_cartesian_2d(x, 0.5..cells.len() as f64 + 0.5)?;
        let text = ("sans-serif", 15).into_font().color(&RULE);
        axes.configure_mesh()
            .x_desc(metric)
            .y_desc(axis)
            .x_label_formatter(&|x| within(*x, width))
            .disable_y_axis()
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .axis_style(RULE)
            .bold_line_style(RULE.mix(0.3))
            .light_line_style(TRANSPARENT)
            .draw()?;
        for (line, cell) in cells.iter().enumerate() {
            let (low, high) = cell.interval.unwrap_or((cell.mean, cell.mean));
            axes.draw_series([PathElement::new([(low, at(line)), (high, at(line))], COLOURS[0].stroke_width(2))])?;
            axes.draw_series(cell.points.iter().map(|x| Circle::new((*x, at(line)), 2, RULE.filled())))?;
            axes.draw_series([Circle::new((cell.mean, at(line)), 4, COLOURS[0].filled())])?;
            let (_, y) = axes.backend_coord(&(cell.mean, at(line)));
            let style = text.pos(plotters::style::text_anchor::Pos::new(
                plotters::style::text_anchor::HPos::Left,
                plotters::style::text_anchor::VPos::Center,
            ));
            area.draw(&Text::new(name(cell), (28, y), style))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    fn cell(place: Place, mean: f64) -> Interval {
        Interval { place, mean, interval: Some((mean - 0.1, mean + 0.2)), points: vec![mean - 0.05, mean + 0.05] }
    }

    #[test]
    fn every_mean_has_its_values_and_its_interval() {
        let at = |x: f64| cell(Place::At(x), x.ln());
        for cells in
            [vec![at(1e-4), at(1e-3), at(1e-2)], vec![at(1.0), at(2.0), at(3.0)], vec![at(-1.0), at(0.0), at(900.0)]]
        {
            let cells: Vec<Interval> = cells.into_iter().filter(|cell| cell.mean.is_finite()).collect();
            let svg = intervals("val_bpb", "train.lr", &cells).unwrap();
            assert_eq!(svg.matches("<circle").count(), 3 * cells.len(), "{svg}");
            assert!(svg.contains("val_bpb") && svg.contains("train.lr") && !svg.contains("NaN"), "{svg}");
            assert!(!svg.contains("7.0e-3"), "labels of a decade lie on each other: {svg}");
        }
        let named: Vec<Interval> = ["0.001, muon", "a < b"].map(|name| cell(Place::Named(name.into()), 1.0)).into();
        let svg = intervals("val_bpb", "train.lr, train.optimizer", &named).unwrap();
        assert_eq!(svg.matches("<circle").count(), 6, "{svg}");
        assert!(svg.contains("0.001, muon") && svg.contains("a &lt; b"), "{svg}");
    }

    #[test]
    fn one_value_and_none_at_all_are_drawn_too() {
        let one = Interval { place: Place::At(1.0), mean: 2.0, interval: None, points: vec![2.0] };
        assert!(!intervals("m", "k", &[one]).unwrap().contains("NaN"));
        let svg = intervals("m", "k", &[]).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
    }
}
