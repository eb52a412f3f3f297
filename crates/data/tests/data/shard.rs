//! Token shards on disk.

use std::fs;

use itera_data::{DataError, Shard, ShardWriter};
use itera_tokenizer::TokenId;
use proptest::prelude::*;
use tempfile::tempdir;

/// A shard of these tokens; the directory keeps its file.
pub fn shard_of(ids: &[u32], vocab_size: usize) -> (tempfile::TempDir, Shard) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("s.tokens");
    let mut writer = ShardWriter::new(vocab_size, None);
    writer.extend(ids.iter().copied().map(TokenId));
    writer.finish(&path).unwrap();
    let shard = Shard::open(&path).unwrap();
    (dir, shard)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn tokens_come_back(ids in prop::collection::vec(0u32..70_000, 0..300)) {
        for vocab_size in [1 << 16, (1 << 16) + 1, 1 << 20] {
            let ids: Vec<u32> = ids.iter().map(|&id| id.min(vocab_size as u32 - 1)).collect();
            let (_dir, shard) = shard_of(&ids, vocab_size);
            prop_assert_eq!(shard.len(), ids.len());
            let mut copied = Vec::new();
            shard.copy_range(0..ids.len(), &mut copied);
            prop_assert!(ids.iter().zip(&copied).all(|(&id, &copy)| copy == id as i32));
            prop_assert!((0..ids.len()).all(|i| shard.token(i) == TokenId(ids[i])));
        }
    }
}

#[test]
fn small_vocabularies_take_two_bytes_a_token() {
    let size = |vocab_size| fs::metadata(shard_of(&[1; 100], vocab_size).0.path().join("s.tokens")).unwrap().len();
    assert_eq!(size((1 << 16) + 1) - size(1 << 16), 200);
}

#[test]
fn documents_end_with_eos() {
    let ranges = |ids: &[u32]| shard_of(ids, 300).1.documents(TokenId(0)).collect::<Vec<_>>();
    assert_eq!(ranges(&[0, 5, 6, 0, 7, 0]), [1..4, 4..6]);
    assert_eq!(ranges(&[0, 0, 5]), [1..2, 2..3], "an unfinished one ends with the shard");
    assert!(ranges(&[0]).is_empty());
}

/// eos stands for bytes that have no token, and still ends no document within one.
#[test]
fn a_byte_without_a_token_is_told_from_the_end_of_a_document() {
    let eos = TokenId(0);
    // with one entry more the number that marks such bytes takes four bytes
    for (vocab_size, largest) in [(300, 299), ((1 << 16) - 1, 65_534), (1 << 16, 65_535), (1 << 20, 1_000_000)] {
        let dir = tempdir().unwrap();
        let path = dir.path().join("s.tokens");
        let mut writer = ShardWriter::new(vocab_size, Some(eos));
        writer.extend([eos]);
        for text in [&[5, 0, 0, largest][..], &[], &[0]] {
            writer.extend_text(text.iter().copied().map(TokenId));
            writer.extend([eos]);
        }
        writer.finish(&path).unwrap();
        let shard = Shard::open(&path).unwrap();
        let mut copied = vec![];
        shard.copy_range(0..shard.len(), &mut copied);
        assert_eq!(copied, [0, 5, 0, 0, largest as i32, 0, 0, 0, 0]);
        assert_eq!(shard.documents(eos).collect::<Vec<_>>(), [1..6, 6..7, 7..9]);
        let unknown: Vec<usize> = (0..shard.len()).filter(|position| shard.is_unknown(*position)).collect();
        assert_eq!((&unknown[..], shard.n_unknown()), (&[2, 3, 7][..], 3));
        assert_eq!(shard.token(2), eos);

        let mut bytes = fs::read(&path).unwrap();
        bytes[56] ^= 2;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(Shard::open(&path), Err(DataError::Damaged { .. })), "another token for them");
    }
    // the same number is a token like any other where all bytes have one
    let (_dir, shard) = shard_of(&[65_535], 1 << 16);
    assert_eq!((shard.token(0), shard.is_unknown(0), shard.n_unknown()), (TokenId(65_535), false, 0));
}

#[test]
fn any_flipped_or_missing_byte_is_noticed() {
    let (dir, shard) = shard_of(&[1, 2, 3], 300);
    drop(shard);
    let path = dir.path().join("s.tokens");
    let whole = fs::read(&path).unwrap();
    let is_refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        matches!(Shard::open(&path), Err(DataError::Damaged { .. }))
    };
    // Bytes 60..64 only pad the header.
    for at in (0..60).chain(64..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(is_refused(&bytes), "byte {at} flipped");
    }
    for length in 0..whole.len() {
        assert!(is_refused(&whole[..length]), "cut to {length} bytes");
    }
    assert!(is_refused(&[&whole[..], &[0, 0]].concat()), "a token too many");
    assert!(!is_refused(&whole));
}
