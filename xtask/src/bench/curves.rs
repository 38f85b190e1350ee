//! Curves as pictures.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::{
    BLACK, ChartBuilder, Circle, EmptyElement, IntoDrawingArea as _, IntoFont as _, LineSeries,
    PathElement, PointSeries, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
};

use super::results::{Curve, show};

const SIZE: (u32, u32) = (760, 420);
const FONT: &str = "sans-serif";
/// Told apart by those who see red and green alike, too (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Draws `curve` into a file.
pub fn draw(curve: &Curve, path: &Path) -> Result<()> {
    // Its errors borrow from the drawing.
    plot(curve, path).map_err(|why| anyhow!("cannot draw {}: {why}", path.display()))
}

fn plot(curve: &Curve, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let largest = |axis: usize| {
        let points = curve.lines.iter().flat_map(|(_, points)| points);
        points.map(|point| point[axis]).fold(f64::MIN_POSITIVE, f64::max)
    };
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(&curve.title, (FONT, 18).into_font())
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..largest(0) * 1.03, 0.0..largest(1) * 1.1)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .x_desc(&curve.x)
        .y_desc(&curve.y)
        .x_label_formatter(&|number| show(*number))
        .y_label_formatter(&|number| show(*number))
        .label_style((FONT, 12))
        .draw()?;
    for ((name, points), colour) in curve.lines.iter().zip(COLOURS.into_iter().cycle()) {
        let points: Vec<_> = points.iter().map(|&[x, y]| (x, y)).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), &colour))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        let dot = |at, size, style| EmptyElement::at(at) + Circle::new((0, 0), size, style);
        chart.draw_series(PointSeries::of_element(points, 3, colour, &dot))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleLeft)
        .background_style(WHITE)
        .border_style(BLACK)
        .label_font((FONT, 12))
        .draw()?;
    area.present()?;
    Ok(())
}
