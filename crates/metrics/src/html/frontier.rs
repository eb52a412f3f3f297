//! Models as dots of bytes against bits per byte, and the line through those that no other beats in both.

use std::error::Error;

use plotters::prelude::*;

use crate::{
    error::{MetricsError, Result},
    html::chart::{COLOURS, short},
};

/// Size of the picture in its own units.
const SIZE: (u32, u32) = (760, 420);
/// Axes, grid and text: dark enough on white, light enough on black.
const RULE: RGBColor = RGBColor(128, 128, 128);

/// A model among others.
#[derive(Clone, Debug, PartialEq)]
pub struct Dot {
    /// Written beside it.
    pub name: String,
    /// Above 0.
    pub bytes: u64,
    /// Finite.
    pub bits_per_byte: f64,
    /// Whether somebody else made it.
    pub is_peer: bool,
}

/// Those of `dots` that no other beats in both, from the smallest on.
pub fn front(dots: &[Dot]) -> Vec<&Dot> {
    let mut front: Vec<&Dot> = dots.iter().collect();
    front.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.bits_per_byte.total_cmp(&b.bits_per_byte)));
    let mut least = f64::INFINITY;
    front.retain(|dot| {
        let better = dot.bits_per_byte < least;
        least = least.min(dot.bits_per_byte);
        better
    });
    front
}

/// A picture that stands alone: bytes on a logarithmic axis, a line along our [`front`], peers in another colour.
///
/// # Errors
/// If the plotting library refuses.
pub fn frontier(dots: &[Dot]) -> Result<String> {
    draw(dots).map_err(|error| MetricsError::Chart { chart: "frontier".into(), reason: error.to_string() })
}

fn draw(dots: &[Dot]) -> std::result::Result<String, Box<dyn Error>> {
    let span = |of: fn(&Dot) -> f64| {
        let values = dots.iter().map(of);
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(f64::NEG_INFINITY, f64::max))
    };
    let ((small, large), (good, bad)) = (span(|dot| dot.bytes as f64), span(|dot| dot.bits_per_byte));
    // room on the right for names
    let x = (small / 1.3).max(1.0)..large.max(1.0) * 2.5;
    let margin = (0.08 * (bad - good)).max(0.01);
    let (ours, peers): (Vec<Dot>, Vec<Dot>) = dots.iter().cloned().partition(|dot| !dot.is_peer);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut axes = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(x.log_scale(), good - margin..bad + margin)?;
        let text = ("sans-serif", 15).into_font().color(&RULE);
        axes.configure_mesh()
            .x_desc("bytes of the file, tokenizer and metadata included")
            .y_desc("bits per byte")
            .x_label_formatter(&|bytes| short(*bytes))
            .y_label_formatter(&|bits| format!("{bits:.2}"))
            .label_style(text.clone())
            .axis_desc_style(text.clone())
            .axis_style(RULE)
            .bold_line_style(RULE.mix(0.3))
            .light_line_style(TRANSPARENT)
            .draw()?;
        let point = |dot: &Dot| (dot.bytes as f64, dot.bits_per_byte);
        axes.draw_series(LineSeries::new(front(&ours).into_iter().map(point), COLOURS[0].stroke_width(2)))?;
        for (dots, colour) in [(&ours, COLOURS[0]), (&peers, COLOURS[1])] {
            axes.draw_series(dots.iter().map(|dot| {
                EmptyElement::at(point(dot))
                    + Circle::new((0, 0), 4, colour.filled())
                    + Text::new(dot.name.clone(), (8, -8), text.clone())
            }))?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
mod tests {
    use super::*;

    fn dot(name: &str, bytes: u64, bits_per_byte: f64) -> Dot {
        Dot { name: name.into(), bytes, bits_per_byte, is_peer: name == "peer" }
    }

    #[test]
    fn the_front_is_what_no_other_beats_in_both() {
        let dots = [dot("large", 900, 0.7), dot("worse", 950, 0.8), dot("small", 10, 1.2), dot("as small", 10, 1.1)];
        let names: Vec<&str> = front(&dots).into_iter().map(|dot| dot.name.as_str()).collect();
        assert_eq!(names, ["as small", "large"]);
        assert!(front(&[]).is_empty());
    }

    #[test]
    fn a_picture_names_every_model_and_draws_one_alone() {
        let svg = frontier(&[dot("a < b", 1_000, 1.0), dot("peer", 2_000_000, 0.9)]).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("a &lt; b") && svg.contains("peer"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        let alone = frontier(&[dot("alone", 1, 0.0)]).unwrap();
        assert!(alone.contains("alone") && !alone.contains("NaN"), "{alone}");
    }
}
