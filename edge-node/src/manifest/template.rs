//! `{{ name }}` in a manifest's strings, as Spin reads them: an expression is a variable's name and
//! nothing more, and there is no escape for two braces.

/// Replaces each expression in `text` by what `lookup` says of its name.
///
/// # Errors
/// The reason in one sentence: braces that do not close, or what `lookup` refused.
pub(super) fn resolve(
    text: &str,
    mut lookup: impl FnMut(&str) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once("{{") {
        let (expression, tail) = after
            .split_once("}}")
            .ok_or_else(|| format!("the template {text:?} opens {{{{ and does not close it"))?;
        out.push_str(literal);
        out.push_str(&lookup(expression.trim())?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
