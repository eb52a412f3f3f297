//! Pages that hold their own styles and charts and fetch nothing.
//!
//! ```text
//! tables, figures, samples, folded JSON → document → one HTML file
//! ```

mod chart;
mod frontier;
mod intervals;

pub use chart::{Bars, Chart, Series, short};
pub use frontier::{Dot, front, frontier};
pub use intervals::{Interval, Place, intervals};

use chart::COLOURS;
use serde_json::Value;

use crate::error::Result;

/// A whole page.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{style}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n",
        title = escape(title),
        style = include_str!("page.css"),
    )
}

/// Charts side by side, those without points left out; nothing if none has any.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn figures(charts: &[Chart]) -> Result<String> {
    let drawn = charts.iter().map(figure).collect::<Result<String>>()?;
    Ok(if drawn.is_empty() { drawn } else { format!("<section class=\"charts\">\n{drawn}</section>\n") })
}

/// A chart under its title and the names of its curves; nothing if it has no points.
fn figure(chart: &Chart) -> Result<String> {
    let Some(svg) = chart.to_svg()? else { return Ok(String::new()) };
    let key = |(series, colour): (&Series, &plotters::style::RGBColor)| {
        let (r, g, b) = (colour.0, colour.1, colour.2);
        format!(" <span class=\"key\"><i style=\"background:rgb({r},{g},{b})\"></i>{}</span>", escape(&series.name))
    };
    let drawn = chart.series.iter().zip(COLOURS.iter().cycle()).filter(|(series, _)| !series.points.is_empty());
    let keys: String = drawn.map(key).collect();
    Ok(format!("<figure><figcaption><b>{}</b>{keys}</figcaption>\n{svg}</figure>\n", escape(&chart.title)))
}

/// A chart of bars under its title; nothing if there are none.
///
/// # Errors
/// If it cannot be drawn.
pub fn bars(bars: &Bars) -> Result<String> {
    let Some(svg) = bars.to_svg()? else { return Ok(String::new()) };
    let figure = format!("<figure><figcaption><b>{}</b></figcaption>\n{svg}</figure>\n", escape(&bars.title));
    Ok(format!("<section class=\"charts\">\n{figure}</section>\n"))
}

/// `body` under a heading; nothing if it is empty.
pub fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("<h2>{title}</h2>\n{body}") }
}

/// Rows of a name and a value.
pub fn table(rows: &[(&str, String)]) -> String {
    let row =
        |(name, value): &(&str, String)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(name), escape(value));
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// A folded block of JSON, or of plain text if that is what was given.
pub fn details(title: &str, value: &Value) -> String {
    let text = value.as_str().map_or_else(|| format!("{value:#}"), Into::into);
    if value.is_null() {
        return String::new();
    }
    format!("<details><summary>{title}</summary><pre>{}</pre></details>\n", escape(&text))
}

/// Text as HTML shows it, in elements and in quoted attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
