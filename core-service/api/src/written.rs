//! Texts that people write: names, addresses, titles, notes.
//!
//! They end up on screens, on the printer of a kitchen and in the logs of others. So there is one rule for all of
//! them: what stands in one can be printed as it is, and there is something to see. Refused are control characters,
//! line breaks included; what turns the direction of the text around it; tags outside a flag; and code points that
//! are no characters. Other invisible characters are welcome beside visible ones: emoji are joined by U+200D, and
//! Persian and Indic words need U+200C and U+200D.
//!
//! The facts are Unicode's: General_Category, Default_Ignorable_Code_Point, and emoji tag sequences (UTS #51). Code
//! points that are not assigned yet count as visible, because the emoji of next year are among them.

/// Why a text cannot be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It holds a character that must not stand in it.
    #[error(
        "must be one line of characters that can be shown; U+{code:04X} is not one", code = u32::from(*.0)
    )]
    Forbidden(char),
    /// There is nothing to see in it.
    #[error("must have a character that can be seen")]
    Invisible,
}

/// Holds a text to the rule.
pub fn check(text: &str) -> Result<(), Unfit> {
    let mut rest = text.chars();
    let mut visible = false;
    while let Some(char) = rest.next() {
        if char == BLACK_FLAG {
            rest = after_tags(rest);
        }
        if is_forbidden(char) {
            return Err(Unfit::Forbidden(char));
        }
        visible |= is_visible(char);
    }
    if visible { Ok(()) } else { Err(Unfit::Invisible) }
}

/// A text of somebody else's program, made fit to be shown: what must not stand in it becomes U+FFFD.
pub fn mended(text: &str) -> String {
    let fit = |char| if is_forbidden(char) { char::REPLACEMENT_CHARACTER } else { char };
    text.chars().map(fit).collect()
}

/// The flag that tags turn into that of a region.
const BLACK_FLAG: char = '\u{1F3F4}';
/// Ends the tags of a flag.
const CANCEL_TAG: char = '\u{E007F}';
/// The most tags of a flag: a country and its part, such as `gbsct`.
const FLAG_TAGS: usize = 6;

/// What follows the tags of a flag, if they are whole; else what follows the flag.
fn after_tags(after_flag: std::str::Chars<'_>) -> std::str::Chars<'_> {
    let mut rest = after_flag.clone();
    for tags in 0..=FLAG_TAGS {
        match rest.next() {
            Some('\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}') => {}
            Some(CANCEL_TAG) if tags > 0 => return rest,
            _ => break,
        }
    }
    after_flag
}

/// What must not stand in a text, whatever is beside it.
const fn is_forbidden(char: char) -> bool {
    let code = char as u32;
    matches!(
        char,
        // Control characters: C0, DEL and C1.
        '\u{0}'..='\u{1F}' | '\u{7F}'..='\u{9F}'
        // The separators of lines and paragraphs.
        | '\u{2028}' | '\u{2029}'
        // Embeddings, overrides and isolates of direction; deprecated controls of form.
        | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{206F}'
        // Annotations, which other text hides in.
        | '\u{FFF9}'..='\u{FFFB}'
        // Tags, and what is kept free beside them; the variation selectors are elsewhere in that plane.
        | '\u{E0000}'..='\u{E00FF}' | '\u{E01F0}'..='\u{E0FFF}'
        // No characters.
        | '\u{FDD0}'..='\u{FDEF}'
    ) || code & 0xFFFE == 0xFFFE
}

/// Whether a character leaves something to see by itself.
fn is_visible(char: char) -> bool {
    !(char.is_whitespace() || is_ignorable(char) || is_blank(char) || is_mark(char))
}

/// Default_Ignorable_Code_Point: what is shown as nothing where it is not supported.
const fn is_ignorable(char: char) -> bool {
    matches!(
        char,
        '\u{AD}' | '\u{34F}' | '\u{61C}'
        | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

/// Characters that are blank though they are no spaces, and those that nobody else knows the look of.
const fn is_blank(char: char) -> bool {
    matches!(
        char,
        // Braille without dots, a note head without a head, blanks of hieroglyphs, a filler.
        '\u{2800}' | '\u{1D159}' | '\u{13441}'..='\u{13442}' | '\u{16FE4}'
        // Stands for an object that is not there.
        | '\u{FFFC}'
        // Private use.
        | '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{FFFFD}' | '\u{100000}'..='\u{10FFFD}'
    )
}

/// Combining marks of all scripts, which need a character to stand on.
const fn is_mark(char: char) -> bool {
    matches!(
        char,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_write_passes() {
        for text in [
            "Noodle Bar",
            "面馆",
            "l'été à Zürich, №5 – 50 % off!",
            "x",
            "7",
            "\u{1F35C}",
            // Families, professions, keycaps, skin tones, flags of countries and of Scotland.
            "👨‍👩‍👧 menu",
            "👩🏽‍🍳",
            "1\u{FE0F}\u{20E3}",
            "🇮🇹",
            "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
            "🏴 pirates",
            "🏴‍☠️",
            // Persian with a non-joiner, Hindi and Sinhala with joiners, Thai, Arabic with a mark of direction.
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "ශ්\u{200D}රී",
            "ก๋วยเตี๋ยว",
            "شاي\u{200F} (1)",
            "e\u{301}",
            "葛\u{E0100}",
            "한글",
            "soft\u{AD}hyphen",
            "\u{FEFF}pasted",
            "no\u{A0}break",
            // Not assigned yet.
            "\u{1FAFF}",
            "\u{378}",
        ] {
            assert_eq!(check(text), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn where_there_is_nothing_to_see_a_text_is_refused() {
        for text in [
            "",
            " ",
            "\u{3000}\u{A0}\u{2003}",
            "\u{200B}",
            "\u{200D}\u{200C}",
            "\u{2060}\u{2064}",
            "\u{AD}\u{AD}",
            "\u{2800}",
            "\u{3164}",
            "\u{FFA0}",
            "\u{115F}\u{1160}",
            "\u{FEFF}",
            "\u{180E}",
            "\u{34F}",
            "\u{FE0F}",
            "\u{E0100}",
            "\u{301}",
            "\u{20E3}\u{FE0F}",
            "\u{E000}",
            "\u{10FFFD}",
            "\u{FFFC}",
            "\u{1D159}",
            "\u{17B4} \u{17B5}",
            "\u{1D173}",
            "\u{200E}\u{61C}",
        ] {
            assert_eq!(check(text), Err(Unfit::Invisible), "{text:?}");
        }
    }

    #[test]
    fn what_obeys_or_hides_is_refused_beside_whatever_stands() {
        for char in [
            '\0',
            '\u{7}',
            '\t',
            '\n',
            '\r',
            '\u{1B}',
            '\u{7F}',
            '\u{85}',
            '\u{9B}',
            '\u{2028}',
            '\u{2029}',
            '\u{202A}',
            '\u{202E}',
            '\u{2066}',
            '\u{2069}',
            '\u{206A}',
            '\u{FFF9}',
            '\u{FDD0}',
            '\u{FFFE}',
            '\u{FFFF}',
            '\u{1FFFE}',
            '\u{10FFFF}',
            '\u{E0001}',
            '\u{E0041}',
            '\u{E007F}',
            '\u{E0FFF}',
        ] {
            for text in [
                format!("{char}soup"),
                format!("so{char}up"),
                format!("soup{char}"),
                format!("{char}"),
            ] {
                assert_eq!(check(&text), Err(Unfit::Forbidden(char)), "{text:?}");
            }
            assert_eq!(mended(&format!("so{char}up")), "so\u{FFFD}up");
        }
    }

    #[test]
    fn tags_stand_in_a_whole_flag_alone() {
        for (text, tag) in [
            // Never ended, begun without a flag, empty, too long, or of other tags.
            ("🏴\u{E0067}\u{E0062}", '\u{E0067}'),
            ("a\u{E0067}\u{E007F}", '\u{E0067}'),
            ("🏴\u{E007F}", '\u{E007F}'),
            (
                "🏴\u{E0061}\u{E0061}\u{E0061}\u{E0061}\u{E0061}\u{E0061}\u{E0061}\u{E007F}",
                '\u{E0061}',
            ),
            ("🏴\u{E0041}\u{E007F}", '\u{E0041}'),
            ("🏴\u{E0067}\u{E007F}\u{E0067}", '\u{E0067}'),
        ] {
            assert_eq!(check(text), Err(Unfit::Forbidden(tag)), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_character_without_showing_it() {
        let refused = check("so\u{1B}up").unwrap_err().to_string();
        assert_eq!(refused, "must be one line of characters that can be shown; U+001B is not one");
    }

    proptest! {
        #[test]
        fn no_control_character_passes_and_what_is_mended_holds_none(text in any::<String>()) {
            let has_control = text.chars().any(char::is_control);
            prop_assert!(!has_control || matches!(check(&text), Err(Unfit::Forbidden(_))));
            prop_assert!(!matches!(check(&mended(&text)), Err(Unfit::Forbidden(_))));
        }

        #[test]
        fn letters_and_digits_are_seen_whatever_is_around_them(text in "[ \u{200B}\u{AD}]{0,3}[a-z0-9一-龥]{1,9}[ \u{200B}]{0,3}") {
            prop_assert_eq!(check(&text), Ok(()));
        }
    }
}
