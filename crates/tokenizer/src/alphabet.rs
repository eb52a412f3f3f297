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

/// letter → byte.
pub(crate) struct Letters {
    /// Byte of each letter up to the last, at the letter's own index.
    bytes: [Option<u8>; N_LETTERS],
}

/// Just past the last letter.
const N_LETTERS: usize = (FIRST_LETTER + 256 - N_PRINTABLE) as usize;

impl Letters {
    pub(crate) fn new() -> Self {
        let mut bytes = [None; N_LETTERS];
        (0..=255).zip(letters()).for_each(|(byte, letter)| bytes[letter as usize] = Some(byte));
        Self { bytes }
    }

    /// The bytes that a vocabulary entry spells; `None` if one of its characters spells no byte.
    pub(crate) fn bytes_of(&self, entry: &str) -> Option<Vec<u8>> {
        entry.chars().map(|letter| self.bytes.get(letter as usize).copied().flatten()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_letter() {
        let alphabet = Letters::new();
        for (byte, letter) in letters().into_iter().enumerate() {
            assert_eq!(alphabet.bytes_of(&letter.to_string()), Some(vec![byte as u8]), "{letter:?}");
        }
        let is_letter = |c: &char| alphabet.bytes_of(&c.to_string()).is_some();
        let spelled = (0..=0x1_0FFF).filter_map(char::from_u32).filter(is_letter).count();
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
