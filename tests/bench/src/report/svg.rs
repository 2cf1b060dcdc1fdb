//! The parts of a plot that know nothing of what is plotted.
//!
//! Colours are those of Okabe and Ito, which people with any kind of colour vision can tell apart.

/// The first system's.
pub const BLUE: &str = "#0072B2";
/// The second's.
pub const ORANGE: &str = "#D55E00";
/// The third's.
pub const GREEN: &str = "#009E73";

/// A whole document around its shapes.
pub fn document(width: f64, height: f64, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// The title of a panel, above its upper left corner.
pub fn title(left: f64, top: f64, text: &str) -> String {
    let (y, text) = (top - 8.0, escape(text));
    format!("<text x=\"{left}\" y=\"{y}\" font-weight=\"bold\">{text}</text>\n")
}

/// The next of 1, 2, 4, 5, 8 and 10 times a power of ten: its quarters are numbers that read well.
pub fn ceiling(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    let fits = steps.iter().map(|step| step * power).find(|top| *top >= value);
    fits.unwrap_or(10.0 * power)
}

/// A number as an axis shows it.
pub fn number(value: f64) -> String {
    if value >= 10.0 || value == value.trunc() {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Text as it may stand in a document.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        assert_eq!(escape("a<b & c>d"), "a&lt;b &amp; c&gt;d");
    }

    #[test]
    fn ceilings_read_well() {
        for (value, expected) in [
            (0.0, 1.0),
            (0.7, 0.8),
            (1.0, 1.0),
            (1.1, 2.0),
            (230.0, 400.0),
            (4_500.0, 5_000.0),
            (81.0, 100.0),
        ] {
            assert!((ceiling(value) - expected).abs() < 1e-9, "{value}: {}", ceiling(value));
        }
    }
}
