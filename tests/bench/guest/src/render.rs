//! A menu as HTML. Pure; `menu.js` has to give the same bytes.

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write as _;

#[derive(Deserialize)]
struct Menu<'a> {
    #[serde(borrow)]
    store: Text<'a>,
    currency: &'a str,
    sections: Vec<Section<'a>>,
}

#[derive(Deserialize)]
struct Section<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    id: &'a str,
    #[serde(borrow)]
    name: Text<'a>,
    price_minor: i64,
    available: bool,
}

#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    en: Cow<'a, str>,
    #[serde(borrow)]
    zh: Cow<'a, str>,
}

impl Text<'_> {
    fn in_language(&self, language: &str) -> &str {
        if language == "zh" { &self.zh } else { &self.en }
    }
}

/// Renders a menu in Chinese (`zh`) or else in English.
///
/// # Errors
/// The text is no menu.
pub fn render(menu: &str, language: &str) -> serde_json::Result<String> {
    let menu: Menu<'_> = serde_json::from_str(menu)?;
    let mut html = String::with_capacity(8_192);
    html.push_str("<h1>");
    escape(menu.store.in_language(language), &mut html);
    html.push_str("</h1>");
    for section in &menu.sections {
        html.push_str("<h2>");
        escape(section.name.in_language(language), &mut html);
        html.push_str("</h2><ul>");
        for item in &section.items {
            let class = if item.available { "item" } else { "item gone" };
            for part in ["<li id=\"", item.id, "\" class=\"", class, "\"><b>"] {
                html.push_str(part);
            }
            escape(item.name.in_language(language), &mut html);
            html.push_str("</b><span>");
            html.push_str(menu.currency);
            let (major, minor) = (item.price_minor / 100, item.price_minor % 100);
            // Writing to a String cannot fail.
            let _ = write!(html, " {major}.{minor:02}</span></li>");
        }
        html.push_str("</ul>");
    }
    Ok(html)
}

/// Appends `text`, a run of plain characters at a time.
fn escape(text: &str, html: &mut String) {
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => continue,
        };
        html.push_str(&text[plain_from..at]);
        html.push_str(escaped);
        plain_from = at + 1;
    }
    html.push_str(&text[plain_from..]);
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::MENU;

    #[test]
    fn a_menu_is_rendered_in_the_language_asked_for() {
        let menu = r#"{"version":"0","store":{"en":"A & B","zh":"甲"},"currency":"EUR","sections":[
            {"name":{"en":"Soups","zh":"汤"},"items":[
                {"id":"i1","name":{"en":"\"Hot\" <pot>","zh":"火锅"},"price_minor":1205,"available":false}]}]}"#;
        assert_eq!(
            render(menu, "en").unwrap(),
            "<h1>A &amp; B</h1><h2>Soups</h2><ul><li id=\"i1\" class=\"item gone\">\
             <b>&quot;Hot&quot; &lt;pot&gt;</b><span>EUR 12.05</span></li></ul>"
        );
        assert!(render(menu, "zh").unwrap().contains("<b>火锅</b>"));
    }

    #[test]
    fn the_menu_is_as_long_as_the_report_says() {
        assert_eq!(MENU.len(), 8_192);
        assert!(render(MENU, "en").unwrap().len() > 4_000);
    }
}
