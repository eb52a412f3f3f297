//! byte ⇄ the printable letter that spells it in a vocabulary.
//!
//! GPT-2 writes tokens as text although they are bytes: the 188 bytes that print in Latin-1 spell themselves, and the
//! others, in ascending order, take the letters from U+0100 up (so a space is `Ġ`). Same table as `bytes_to_unicode`
//! in the GPT-2 release.

/// Number of bytes that spell themselves.
const N_PRINTABLE: u32 = 188;

/// First letter of the bytes that do not print.
const FIRST_LETTER: u32 = 0x100;

fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The letters of the 256 bytes, at the byte's own index.
pub(crate) fn letters() -> [char; 256] {
    let mut next = FIRST_LETTER;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        if prints(byte) {
            return char::from(byte);
        }
        next += 1;
        char::from_u32(next - 1).expect("U+0100 to U+0143 are letters")
    })
}

/// The bytes that a vocabulary entry spells; `None` if one of its characters spells no byte.
pub(crate) fn bytes_of(entry: &str) -> Option<Vec<u8>> {
    entry.chars().map(byte_of).collect()
}

fn byte_of(letter: char) -> Option<u8> {
    match u32::from(letter) {
        own @ 0..FIRST_LETTER => u8::try_from(own).ok().filter(|&byte| prints(byte)),
        letter => {
            let rank = letter - FIRST_LETTER;
            (rank < 256 - N_PRINTABLE).then(|| (0..=255).filter(|&byte| !prints(byte)).nth(rank as usize)).flatten()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_letter() {
        for (byte, letter) in letters().into_iter().enumerate() {
            assert_eq!(bytes_of(&letter.to_string()), Some(vec![byte as u8]), "{letter:?}");
        }
        let spelled = (0..=0x1_0FFF).filter_map(char::from_u32).filter(|&c| byte_of(c).is_some()).count();
        assert_eq!(spelled, 256);
    }

    #[test]
    fn is_the_alphabet_of_the_pre_tokenizer() {
        let theirs = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert_eq!(letters().len(), theirs.len());
        assert!(letters().iter().all(|letter| theirs.contains(letter)));
        assert_eq!(letters()[usize::from(b' ')], 'Ġ');
    }
}
